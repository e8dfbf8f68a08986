"""Decides which tree is measured next, and when. No clock of its own, no input or output."""

import heapq
from bisect import bisect_left
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import count
from math import floor, inf
from typing import Generic, TypeVar

from exporter.measure.budget import Cost, Rhythm, divide
from exporter.measure.tracker import Pass

K = TypeVar("K", bound=Hashable)

_LANES = (0.02, 0.1, 0.5, 2.5)
"""CPU seconds: passes are queued by how long they are, as a pass may be interrupted by those that are shorter."""


def next_beat(at: float, interval: float) -> float:
    """The next of the moments that lie an *interval* apart, seconds: what is done then is done together."""
    # What is begun at a beat belongs to it, however its time was rounded.
    return (floor(at / interval + 1e-6) + 1) * interval


def lane(cpu: float) -> int:
    """The lane of a pass that takes so many CPU seconds: 0 for the shortest."""
    return bisect_left(_LANES, cpu)


_LEARNING = 4.0
"""How fast the cost of reading everything is learned anew: so many times faster than everything is read."""

_PURE_EACH = 16
"""Of so many quick passes one does nothing of a full one: it tells what a quick pass by itself costs."""

PLANNED = 0.8
"""Of the budget: what is left lets passes catch up that were held up, by the first pass over a new tree for one, and
pays for reading records and publishing where they cost little."""

_GROWN = 1.25
"""The budget is divided anew at once where the trees want so many times more than when it was divided: what is learned
of a dear tree must not wait until the records are read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree to be measured again and again: an upper layer."""

    path: str
    active: bool
    """Whether something may write to it: its container runs, or is paused."""
    stamp: float
    """When the storage directory around it last changed. A tree that is not active is not measured before that does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Generic[K]):
    """One pass to be done."""

    key: K
    tree: Tree
    full: bool
    """Whether it has to read everything."""
    full_period: float
    """Else: the time in which to read everything; infinite where this pass does nothing of that."""
    expected: float
    """CPU seconds that it may take; 0 where nothing is known of the tree."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    tree: Tree
    due: float
    """Monotonic seconds."""
    cost: Cost | None = None
    turns: int = 0
    began: float | None = None
    """When the last pass began; monotonic seconds."""
    is_under_way: bool = False
    is_hinted: bool = False
    was_hinted: bool = False
    """Whether the last pass was brought forward."""
    settled: Tree | None = None
    """The tree at rest that was measured in full."""


_Queue = list[tuple[float, int, K]]


class Schedule(Generic[K]):
    """The trees, what they cost, and when each is due. All times are monotonic seconds."""

    def __init__(self, *, budget: float, interval: float, full_interval: float) -> None:
        """See `divide`."""
        self._budget = budget
        self._interval = interval
        self._full_interval = full_interval
        self._entries: dict[K, _Entry] = {}
        self._demand = self._divided_for = 0.0
        self._divide()
        # Entries that moved on are left behind in the queues, and skipped when they come up.
        self._queues: tuple[_Queue[K], ...] = tuple([] for _ in range(len(_LANES) + 1))
        self._number = count()

    def expect(self, trees: Mapping[K, Tree], *, now: float) -> None:
        """Take these trees and no others; what is known of those that stay is kept."""
        entries, self._entries = self._entries, {}
        for key, tree in trees.items():
            entry = self._entries[key] = entries.get(key) or _Entry(tree=tree, due=now)
            entry.tree = tree
        self._divide()
        for queue in self._queues:
            queue.clear()
        for key, entry in self._entries.items():
            self._queue(key, entry)

    def hint(self, key: K) -> None:
        """Bring a tree forward to which something happened, unless its last pass was brought forward too."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.is_hinted = True
            self._queue(key, entry)

    def next(self, *, below: int = len(_LANES) + 1) -> tuple[float, K] | None:
        """The pass that is due first of those in the lanes below one, and when it is due."""
        ends = [first for queue in self._queues[:below] if (first := self._first(queue)) is not None]
        return min(ends, key=lambda end: end[0], default=None)

    @property
    def rests(self) -> bool:
        """Whether no tree is due, now or later, or is being measured: there is none, or all are at rest."""
        return not any(entry.is_under_way or entry.due < inf for entry in self._entries.values())

    def begin(self, key: K, *, now: float) -> Turn[K]:
        """Take a tree out of the queue, to measure it now; `done` puts it back."""
        entry = self._entries[key]
        entry.began = now
        entry.is_under_way = True
        entry.was_hinted = entry.is_hinted and not entry.was_hinted
        entry.is_hinted = False
        entry.turns += 1
        is_pure = entry.turns % _PURE_EACH == 2
        return Turn(
            key=key,
            tree=entry.tree,
            full=not entry.tree.active,
            full_period=inf if is_pure else self._rhythm(entry).full_period * (1 - 1 / _PURE_EACH),
            expected=self._expected(entry),
        )

    def done(self, turn: Turn[K], outcome: Pass | None, *, cpu: float) -> None:
        """Put a tree back after a pass that took so many CPU seconds; it failed where there is no outcome."""
        entry = self._entries.get(turn.key)
        if entry is None:
            return
        entry.is_under_way = False
        if outcome is not None:
            before, entry.cost = self._demand_of(entry), _cost(outcome, cpu, entry.cost)
            self._demand += self._demand_of(entry) - before
            if self._demand > max(self._budget * PLANNED, self._divided_for * _GROWN):
                self._divide()
            entry.settled = turn.tree if outcome.full and not turn.tree.active else None
        self._queue(turn.key, entry)

    def _divide(self) -> None:
        active = [entry for entry in self._entries.values() if entry.tree.active]
        self._demand = self._divided_for = sum(map(self._demand_of, active))
        self._division = divide(
            [entry.cost for entry in active if entry.cost is not None],
            budget=self._budget * PLANNED,
            interval=self._interval,
            full_interval=self._full_interval,
        )

    def _demand_of(self, entry: _Entry) -> float:
        """CPU seconds a second that measuring it as often as is wanted takes."""
        if entry.cost is None or not entry.tree.active:
            return 0.0
        return entry.cost.quick / self._interval + entry.cost.full / self._full_interval

    def _queue(self, key: K, entry: _Entry) -> None:
        if entry.is_under_way:
            return
        entry.due = self._due(entry)
        if entry.due < inf:
            heapq.heappush(self._queues[lane(self._expected(entry))], (entry.due, next(self._number), key))

    def _first(self, queue: _Queue[K]) -> tuple[float, K] | None:
        while queue:
            due, _, key = queue[0]
            entry = self._entries.get(key)
            if entry is not None and entry.due == due and not entry.is_under_way:
                return due, key
            heapq.heappop(queue)
        return None

    def _due(self, entry: _Entry) -> float:
        if entry.settled == entry.tree:
            return inf
        if entry.began is None:
            return entry.due
        if entry.is_hinted and not entry.was_hinted:
            return entry.began
        if entry.cost is None:
            return entry.began + self._interval
        if not entry.tree.active:
            return entry.began + max(self._interval, (entry.cost.quick + entry.cost.full) / self._budget)
        period = self._rhythm(entry).period
        return next_beat(entry.began, self._interval) if period <= self._interval else entry.began + period

    def _expected(self, entry: _Entry) -> float:
        """CPU seconds that the next pass may take."""
        if entry.cost is None:
            return 0.0
        if not entry.tree.active:
            return entry.cost.quick + entry.cost.full
        rhythm = self._rhythm(entry)
        return entry.cost.quick + entry.cost.full * rhythm.period / rhythm.full_period

    def _rhythm(self, entry: _Entry) -> Rhythm:
        return self._division.rhythm(entry.cost or Cost(quick=0.0, full=0.0))


def _cost(outcome: Pass, cpu: float, known: Cost | None) -> Cost:
    inodes, looked = outcome.walked.usage.inodes, max(1, outcome.looked)
    if outcome.full_only:
        return Cost(quick=cpu, full=0.0)
    if outcome.full:
        # A directory costs a quick pass about as much as a file costs a full one.
        return Cost(quick=known.quick if known else cpu * outcome.walked.directories / looked, full=cpu)
    if known is None:
        return Cost(quick=cpu, full=cpu / looked * inodes)
    if not outcome.refreshed:
        return Cost(quick=cpu, full=known.full)
    # The first pass after a start may have been far dearer than those that find everything in memory.
    part = min(1.0, outcome.refreshed / inodes)
    now = max(0.0, cpu - known.quick) / part
    return Cost(quick=known.quick, full=known.full + min(1.0, _LEARNING * part) * (now - known.full))
