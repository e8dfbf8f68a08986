"""Decides which tree is measured next, and when. No clock of its own, no input or output."""

import heapq
from bisect import bisect_left
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import count
from math import floor, inf
from sys import float_info
from typing import Generic, TypeVar

from exporter.measure.budget import Cost, Rhythm, divide
from exporter.measure.tracker import Pass

K = TypeVar("K", bound=Hashable)

_LANES = (0.02, 0.1, 0.5, 2.5, float_info.max)
"""CPU seconds: passes are queued by how long they are, as a pass may be interrupted by those that are shorter."""

_UNKNOWN = 0.03
"""CPU seconds that a first pass is expected to take: it waits for none but those that are known to be short."""

_SLACK = 3
"""How many times longer than expected a pass may take where it interrupts another."""


def next_beat(at: float, interval: float) -> float:
    """The next of the moments that lie an *interval* apart, seconds: what is done then is done together."""
    # What is begun at a beat belongs to it, however its time was rounded.
    return (floor(at / interval + 1e-6) + 1) * interval


def lane(cpu: float) -> int:
    """The lane of a pass that takes so many CPU seconds: 0 for the shortest; of what never ends, one above all."""
    return bisect_left(_LANES, cpu)


def longest(expected: float) -> float:
    """CPU seconds that a pass may take where it interrupts another, and so many are expected."""
    return _SLACK * max(_LANES[0], expected)


_LEARNING = 4.0
"""How fast the cost of reading everything is learned anew: so many times faster than everything is read."""

_PURE_EACH = 16
"""Of so many quick passes one does nothing of a full one: it tells what a quick pass by itself costs."""

PLANNED = 0.8
"""Of the budget: what is left lets passes catch up that were held up, by the first pass over a new tree for one, and
pays for reading records and publishing where they cost little."""

_LONG = Cost(quick=float_info.max, full=0.0)
"""What a tree is taken to cost of which nothing is known but that it takes long: its first pass gets a share."""

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
    """CPU seconds that it may take."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    tree: Tree
    due: float
    """Monotonic seconds."""
    cost: Cost | None = None
    turns: int = 0
    began: float | None = None
    """When the last pass began; monotonic seconds."""
    before: float | None = None
    """When the one before that did."""
    place: int = -1
    """Tells where in the queues it is from where it was before."""
    is_under_way: bool = False
    is_hinted: bool = False
    was_hinted: bool = False
    """Whether the last pass was brought forward."""
    settled: Tree | None = None
    """The tree at rest that was measured in full."""
    least: float = 0.0
    """CPU seconds that the next pass is taken to need, since the last one was given up."""


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
        self._queues: tuple[_Queue[K], ...] = tuple([] for _ in _LANES)
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

    def next(self, *, below: int = len(_LANES)) -> tuple[float, K] | None:
        """The pass that is due first of those in the lanes below one, and when it is due."""
        ends = [first for queue in self._queues[:below] if (first := self._first(queue)) is not None]
        return min(ends, key=lambda end: end[0], default=None)

    @property
    def rests(self) -> bool:
        """Whether no tree is due, now or later, or is being measured: there is none, or all are at rest."""
        return not any(entry.is_under_way or entry.due < inf for entry in self._entries.values())

    def at_rest(self) -> list[K]:
        """The trees that are as they were when they were measured in full, and that nobody can write to."""
        return [key for key, entry in self._entries.items() if entry.settled == entry.tree]

    def begin(self, key: K, *, now: float) -> Turn[K]:
        """Take a tree out of the queue, to measure it now; `done` puts it back."""
        entry = self._entries[key]
        entry.before, entry.began = entry.began, now
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
        entry.least = 0.0
        if outcome is not None:
            before, entry.cost = self._demand_of(entry), _cost(turn, outcome, cpu, entry.cost)
            self._demand += self._demand_of(entry) - before
            if self._demand > max(self._budget * PLANNED, self._divided_for * _GROWN):
                self._divide()
            entry.settled = turn.tree if outcome.full and not turn.tree.active else None
        self._queue(turn.key, entry)

    def give_up(self, turn: Turn[K], *, cpu: float) -> None:
        """Put a tree back of which a pass took so many CPU seconds and was not brought to its end: it is due as it was
        before, but as one that takes much longer, so that less is done in vain than it takes in the end."""
        entry = self._entries.get(turn.key)
        if entry is None:
            return
        entry.is_under_way = False
        entry.began = entry.before
        entry.is_hinted, entry.was_hinted = entry.is_hinted or entry.was_hinted, False
        entry.least = _SLACK * cpu
        self._queue(turn.key, entry)

    def _divide(self) -> None:
        active = [entry for entry in self._entries.values() if entry.tree.active]
        self._demand = self._divided_for = sum(map(self._demand_of, active))
        self._division = divide(
            [entry.cost or _LONG for entry in active if entry.cost is not None or entry.least],
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
        entry.due, entry.place = self._due(entry), next(self._number)
        if entry.due < inf:
            heapq.heappush(self._queues[lane(self._expected(entry))], (entry.due, entry.place, key))

    def _first(self, queue: _Queue[K]) -> tuple[float, K] | None:
        while queue:
            due, place, key = queue[0]
            entry = self._entries.get(key)
            if entry is not None and entry.place == place and not entry.is_under_way:
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
            return max(entry.least, _UNKNOWN)
        if not entry.tree.active:
            return max(entry.least, entry.cost.quick + entry.cost.full)
        rhythm = self._rhythm(entry)
        return max(entry.least, entry.cost.quick + entry.cost.full * rhythm.period / rhythm.full_period)

    def _rhythm(self, entry: _Entry) -> Rhythm:
        return self._division.rhythm(entry.cost or Cost(quick=0.0, full=0.0))


def _cost(turn: Turn[K], outcome: Pass, cpu: float, known: Cost | None) -> Cost:
    inodes, looked = outcome.walked.usage.inodes, max(1, outcome.looked)
    if outcome.full_only:
        return Cost(quick=cpu, full=0.0)
    if outcome.full:
        if known is None:
            # A directory costs a quick pass about as much as a file costs a full one.
            return Cost(quick=cpu * outcome.walked.directories / looked, full=cpu)
        # A quick pass that could not be one, since the pass before was kept from its end, is paid for as what it was.
        return Cost(quick=known.quick if turn.full else cpu, full=cpu)
    if known is None:
        return Cost(quick=cpu, full=cpu / looked * inodes)
    if not outcome.refreshed:
        return Cost(quick=cpu, full=known.full)
    # The first pass after a start may have been far dearer than those that find everything in memory.
    part = min(1.0, outcome.refreshed / inodes)
    now = max(0.0, cpu - known.quick) / part
    return Cost(quick=known.quick, full=known.full + min(1.0, _LEARNING * part) * (now - known.full))
