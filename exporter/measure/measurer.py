"""Measures many trees again and again, within a budget of CPU.

Passes are done one at a time, in one thread. A long one is done in slices: between them it rests until the purse holds
something again, and shorter passes that fall due meanwhile come first. So a tree that takes minutes to measure delays
no other, and the CPU is spent evenly.
"""

from collections.abc import Callable, Hashable, Mapping
from math import inf
from typing import Generic, TypeVar

from exporter.clock import Clock
from exporter.measure.budget import Purse
from exporter.measure.ledger import Ledger
from exporter.measure.listing import Pace
from exporter.measure.schedule import Schedule, Tree, Turn, lane, longest
from exporter.measure.tracker import MAX_DIRECTORIES, Pass, Tracker

K = TypeVar("K", bound=Hashable)

SLICE = 0.02
"""CPU seconds after which a pass rests until the budget allows more."""

_SHARE = 3
"""How many slices shorter passes may take before the pass that they interrupt gets another."""

_IDLE = 1.0
_SHORTEST = 0.001

START = 5.0
"""CPU seconds: a million files are read in that time."""


class _TooLongError(Exception):
    """A pass that interrupts another turns out to be long, and holds others up."""


class Measurer(Generic[K]):
    """A tracker for each tree, and the schedule that they are run by."""

    def __init__(
        self,
        *,
        clock: Clock,
        budget: float,
        interval: float,
        full_interval: float,
        rest: Callable[[float], None],
        check: Callable[[], None],
        measured: Callable[[K, Pass, float, float], None],
        failed: Callable[[K, OSError], None],
        spent: Callable[[float], None] = lambda _cpu: None,
        others: Callable[[Pace], bool] = lambda _pace: False,
        max_directories: int = MAX_DIRECTORIES,
        start: float = START,
    ) -> None:
        """Prepare to measure.

        Args:
            clock: Tells the time, and the CPU time of the thread that measures.
            budget: Share of one core that all measuring may take, above 0.
            interval: Seconds from one pass over a tree to the next, where the budget allows.
            full_interval: Seconds in which to read all of a tree once, where the budget allows.
            rest: Lets so many seconds pass, or fewer, and may do other work meanwhile, such as `expect`.
            check: Called often within a pass. What it or ``rest`` raises ends the measuring.
            measured: Told of every pass, when it began (monotonic seconds), and the CPU seconds that it took.
            failed: Told why a tree could not be measured.
            spent: Told of all CPU seconds that measuring took, soon after.
            others: Does a piece of other measuring at the pace given, within the same budget, when no pass is due;
                returns whether there was any to do.
            max_directories: See `Tracker`; all together remember half as many again.
            start: CPU seconds that may be spent at once in the beginning, so that the first figures are there soon.
        """
        self._clock = clock
        self._rest = rest
        self._check = check
        self._measured = measured
        self._failed = failed
        self._spent = spent
        self._others = others
        self._max_directories = max_directories
        self._ledger = Ledger(limit=max_directories * 3 // 2)
        self._schedule = Schedule[K](budget=budget, interval=interval, full_interval=full_interval)
        self._purse = Purse(budget=budget, limit=budget * interval, balance=start, at=clock.monotonic())
        self._trackers: dict[K, tuple[str, Tracker]] = {}

    def expect(self, trees: Mapping[K, Tree]) -> None:
        """Measure these from now on, and forget all others."""
        for key, (path, tracker) in list(self._trackers.items()):
            if key not in trees or trees[key].path != path:
                tracker.forget()
                del self._trackers[key]
        self._schedule.expect(trees, now=self._clock.monotonic())

    def hint(self, key: K) -> None:
        """Something happened to a tree: measure it soon."""
        self._schedule.hint(key)

    @property
    def rests(self) -> bool:
        """Whether there is nothing to measure until something changes: no tree, or only trees at rest."""
        return self._schedule.rests

    def at_rest(self) -> list[K]:
        """The trees that nobody could write to since they were measured, as was last seen."""
        return self._schedule.at_rest()

    def run(self) -> None:
        """Measure without end."""
        while True:
            self.step()

    def step(self) -> None:
        """Do the pass that is due; else other measuring, where there is any; else rest."""
        # Before anything is decided: it may change what there is to measure.
        self._rest(0.0)
        first = self._schedule.next()
        wait = _IDLE if first is None else self._wait(first[0])
        if first is not None and wait == 0:
            self._measure(first[1])
        elif self._wait(0.0) > 0 or not self._aside():
            self._rest(wait)

    def _wait(self, due: float) -> float:
        """Seconds until what is due then may be done; 0 where that is now."""
        now = self._clock.monotonic()
        wait = max(due - now, self._purse.wait(now=now))
        return max(wait, _SHORTEST) if wait > 0 else 0.0

    def _measure(self, key: K, *, within: int = 0) -> float:
        """Do one pass, and return the CPU seconds that it took.

        One that interrupts another, in the lane *within*, is given up where it turns out to be long and holds up what
        may interrupt that one too. It lets itself be interrupted only by what is shorter than it was expected to be. So
        there are never more passes under way than lanes, however many trees there are of which nothing is known yet, or
        that become dear all at once. What a quick pass had read by then need not be read again.
        """
        began = self._clock.monotonic()
        turn = self._schedule.begin(key, now=began)
        meter = _Meter(self._clock)
        try:
            outcome = self._pass(turn, self._pace(meter, turn.expected, within=within))
        except _TooLongError:
            self._schedule.give_up(turn, cpu=meter.total)
            return meter.total
        except OSError as error:
            self._failed(key, error)
            outcome = None
        finally:
            self._pay(meter)
        self._schedule.done(turn, outcome, cpu=meter.total)
        if outcome is not None and key in self._trackers:
            self._measured(key, outcome, began, meter.total)
        return meter.total

    def _aside(self) -> bool:
        """Do a piece of other measuring, which every pass that falls due comes before; whether there was any."""
        meter = _Meter(self._clock)
        try:
            return self._others(self._pace(meter, inf))
        finally:
            self._pay(meter)

    def _pace(self, meter: "_Meter", expected: float, *, within: int = 0) -> Pace:
        """The pace of work that is expected to take so many CPU seconds, and that *meter* counts."""
        most = longest(expected)

        def pace(_: int) -> None:
            self._check()
            if meter.running >= SLICE:
                self._pay(meter)
                if meter.total > most and self._is_waited_for(within):
                    raise _TooLongError
                self._interrupt(expected if within else max(meter.total, expected))
                meter.resume()

        return pace

    def _pay(self, meter: "_Meter") -> None:
        cpu = meter.pause()
        self._spent(cpu)
        self._purse = self._purse.spend(cpu, now=self._clock.monotonic())

    def _interrupt(self, cpu: float) -> None:
        """Rest within a pass that takes so many CPU seconds, and do shorter ones that are due."""
        # However much may be spent now, a long pass holds up nothing else that is to be done at rest.
        self._rest(0.0)
        left = _SHARE * SLICE
        while True:
            while (wait := self._wait(0.0)) > 0:
                self._rest(wait)
            shorter = self._schedule.next(below=lane(cpu))
            if left <= 0 or shorter is None or self._wait(shorter[0]) > 0:
                return
            left -= self._measure(shorter[1], within=lane(cpu))

    def _is_waited_for(self, within: int) -> bool:
        """Whether a pass in the lanes below one is due."""
        first = self._schedule.next(below=within)
        return first is not None and first[0] <= self._clock.monotonic()

    def _pass(self, turn: Turn[K], pace: Callable[[int], None]) -> Pass:
        path, tracker = self._trackers.get(turn.key, (None, None))
        if tracker is None or path != turn.tree.path:
            tracker = Tracker(
                turn.tree.path, clock=self._clock.now, max_directories=self._max_directories, ledger=self._ledger
            )
            self._trackers[turn.key] = turn.tree.path, tracker
        return tracker.full(pace=pace) if turn.full else tracker.quick(pace=pace, full_period=turn.full_period)


class _Meter:
    """Counts the CPU seconds of one pass, without what is done while it rests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._total = 0.0
        self._since: float | None = clock.cpu()

    @property
    def running(self) -> float:
        """Used since it was last resumed."""
        return 0.0 if self._since is None else self._clock.cpu() - self._since

    @property
    def total(self) -> float:
        return self._total + self.running

    def pause(self) -> float:
        """Stop counting, and return what was used since it was last resumed."""
        used = self.running
        self._total += used
        self._since = None
        return used

    def resume(self) -> None:
        self._since = self._clock.cpu()
