"""The loop: reads records, measures, publishes, all in one thread and each when it is due.

The measurer runs it: whenever no pass is due, or the budget of CPU is spent, it rests, and resting is where the rest of
the work is done. Records are read a little oftener than each interval, or when a hint says that they changed, and what
is cheap to measure is measured then too, at the same beat: so one report tells all of it. A report is published soon
after there is something new in it. Reading and publishing, too, are kept to a small share of the CPU
(``exporter/rhythm.py``).

A stage that fails is counted and logged, and the loop goes on: what could not be read is missing from the next report,
so nothing old is shown as if it were new.
"""

import threading
from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol

from exporter.account.report import Report
from exporter.clock import Clock
from exporter.disk import Disk
from exporter.logs import Once
from exporter.measure.listing import Pace as Measure
from exporter.measure.measurer import Measurer
from exporter.measure.schedule import next_beat
from exporter.measure.tracker import Pass
from exporter.notices import Notices
from exporter.rhythm import SHARE, News, Rhythm
from exporter.settings import Pace
from exporter.store.catalog import Catalog
from exporter.survey import RecordSurvey, summarize
from exporter.uppers import Key, UpperBook, trees
from exporter.vitals import Reason, Stage, Vitals, reason_of

BEAT = 0.9
"""Of the interval, what lies between two looks: what changes is to be told within an interval, and telling takes time
too."""


class Watching(Protocol):
    """What brings hints: told after each scan which directories mean something."""

    def expect(self, directories: Iterable[str]) -> None:
        """Watch exactly these, where they are there."""


class Waiting(Protocol):
    """Where the loop waits."""

    def wait(self, timeout: float) -> bool:
        """Wait until hints are due, or for *timeout* seconds, or until woken; whether there was a hint."""

    def wake(self) -> None:
        """End the wait, the present one or else the next. From any thread or signal handler."""


class Stopped(BaseException):
    """Raised inside a measurement to end it: no Exception, so that no stage counts it as a failure and goes on."""


class Daemon:
    """Works until it is stopped."""

    def __init__(
        self,
        *,
        records: RecordSurvey,
        publish: Callable[[Report], None],
        watch: Watching,
        hints: Waiting,
        vitals: Vitals,
        clock: Clock,
        pace: Pace,
        disk: Disk,
        surge_threshold: int = 0,
        progressed: Callable[[], None] = lambda: None,
        longest_rest: float = inf,
    ) -> None:
        """*publish* is given every report; *progressed* is called whenever the loop got on, for a watchdog, and after
        *longest_rest* seconds of rest at the latest."""
        self._records = records
        self._publish = publish
        self._watch = watch
        self._hints = hints
        self._vitals = vitals
        self._clock = clock
        self._interval = pace.interval * BEAT
        self._disk = disk
        self._progressed = progressed
        self._longest_rest = longest_rest
        self._stop = threading.Event()
        self._problems = Once()
        self._notices = Notices()
        self._book = UpperBook(clock=clock, surge_threshold=surge_threshold)
        self._catalog: Catalog | None = None
        self._next_reading = 0.0
        self._is_hinted = True
        self._reading = Rhythm(clock, SHARE)
        self._news = News(clock, interval=self._interval)
        self._measured_for: float | None = None
        self._failure: OSError | None = None
        self._measurer: Measurer[Key] = Measurer(
            clock=clock,
            budget=pace.cpu_budget,
            interval=self._interval,
            full_interval=pace.full_interval,
            rest=self._rest,
            check=self._check,
            measured=self._measured,
            failed=self._failed,
            spent=lambda cpu: vitals.walked(inodes=0, cpu_seconds=cpu),
            others=self._aside,
            max_directories=pace.max_directories,
        )

    def stop(self) -> None:
        """End the loop, a measurement that is under way included. From any thread or signal handler."""
        self._stop.set()
        self._hints.wake()

    def run(self) -> None:
        """Work until stopped."""
        try:
            self._work()
            self._measurer.run()
        except Stopped:
            return

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped
        self._progressed()

    def _rest(self, seconds: float) -> None:
        """What the measurer does while it may not measure: whatever else is due, and waiting; less long, if need be."""
        end = self._clock.monotonic() + seconds
        due = min(end, self._work())
        wait = min(due - self._clock.monotonic(), self._longest_rest)
        if wait > 0 and self._hints.wait(wait):
            self._next_reading, self._is_hinted = 0.0, True

    def _work(self) -> float:
        """Read and publish, if that is due; when something is due next."""
        self._check()
        if self._clock.monotonic() >= self._reading.due(self._next_reading):
            before = self._clock.cpu()
            self._read()
            self._reading.took(self._clock.cpu() - before)
            self._next_reading = next_beat(self._clock.monotonic(), self._interval)
            self._news.come(urgent=self._is_hinted)
            self._is_hinted = False
        if self._clock.monotonic() >= self._news.due:
            before = self._clock.cpu()
            self._report()
            self._news.took(self._clock.cpu() - before)
        return min(self._reading.due(self._next_reading), self._news.due)

    def _read(self) -> None:
        """Read the records, of as many roots as can be read."""
        before, catalog, began = self._catalog, None, self._clock.monotonic()
        with self._vitals.stage(Stage.CATALOG):
            catalog = self._records.catalog(check=self._check)
            self._vitals.errors(Stage.CATALOG, Reason.VANISHED, catalog.vanished)
            self._problems.report(
                (*catalog.problems, *(problem for store in catalog.stores for problem in store.problems))
            )
            for error in self._records.lost:
                raise error
        self._catalog = catalog or Catalog(taken_at=self._clock.now(), stores=())
        self._notices.tell(self._catalog)
        self._watch.expect(self._directories())
        self._book.expect(self._catalog)
        self._disk.expect(self._catalog)
        wanted = trees(self._catalog)
        known = {} if before is None else trees(before)
        self._measurer.expect(wanted)
        self._book.rested(self._measurer.at_rest(), at=began)
        for key, tree in wanted.items():
            if known.get(key, tree) != tree:
                self._measurer.hint(key)

    def _directories(self) -> list[str]:
        """What to watch: the roots, where stores appear, and the records of the stores that are there."""
        inside = (directory for place in self._records.locations for directory in place.record_directories)
        roots = self._records.root_paths
        return [*roots, *(f"{path}/image" for path in roots), *inside]

    def _measured(self, key: Key, outcome: Pass, began: float, cpu_seconds: float) -> None:
        self._vitals.walked(inodes=outcome.looked, cpu_seconds=0.0)
        self._vitals.errors(Stage.UPPERS, Reason.VANISHED, outcome.walked.vanished)
        self._vitals.errors(Stage.UPPERS, Reason.IO, outcome.walked.unreadable)
        self._measured_for = (self._measured_for or 0.0) + cpu_seconds
        self._news.come(urgent=not self._book.has(key))
        self._book.measured(key, outcome, began=began)

    def _aside(self, pace: Measure) -> bool:
        """Measure a piece of all else; whether there was one to measure."""
        did = self._disk.step(pace)
        if did:
            self._news.come(urgent=False)
        return did

    def _failed(self, _key: Key, error: OSError) -> None:
        reason = reason_of(error)
        if reason is Reason.VANISHED:
            self._vitals.errors(Stage.UPPERS, reason)
        else:
            self._failure = error
        self._news.come(urgent=False)

    def _report(self) -> None:
        """Publish what is known now."""
        self._news.begin()
        if self._catalog is None:
            return
        # Where there is nothing to measure, all of it is measured: no figure is old, and no failure lasts.
        if self._measured_for is not None or self._failure is not None or self._measurer.rests:
            self._vitals.ended(Stage.UPPERS, duration=self._measured_for or 0.0, error=self._failure)
            self._measured_for, self._failure = None, None
        uppers = {store.name: self._book.known(store.name) for store in self._catalog.stores}
        self._publish(summarize(self._catalog, uppers, ownership=self._records.ownership, disk=self._disk))
        self._disk.flush()
