"""The loop: records, measurements, report, and again.

Each round reads the records, measures every upper layer and publishes what it found. Between rounds it waits for
the interval to end, or for a hint that records changed. A stage that fails is counted and logged, and the loop goes
on: what could not be read is missing from the report, so nothing old is shown as if it were new.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from exporter.account.report import Report
from exporter.clock import Clock
from exporter.logs import Once
from exporter.measure.walk import Walked
from exporter.store.catalog import Catalog
from exporter.survey import RecordSurvey, measure_uppers, summarize
from exporter.vitals import Reason, Stage, Vitals


class Watching(Protocol):
    """What brings hints: told after each scan which directories mean something."""

    def expect(self, directories: Iterable[str]) -> None:
        """Watch exactly these, where they are there."""


class Waiting(Protocol):
    """Where the loop waits between rounds."""

    def wait(self, timeout: float) -> bool:
        """Wait until hints are due, or for *timeout* seconds, or until woken; whether there was a hint."""

    def wake(self) -> None:
        """End the wait, the present one or else the next. From any thread or signal handler."""


class Stopped(BaseException):
    """Raised inside a measurement to end it: no Exception, so that no stage counts it as a failure and goes on."""


class Daemon:
    """Runs rounds until it is stopped."""

    def __init__(
        self,
        *,
        records: RecordSurvey,
        root_paths: Sequence[str],
        publish: Callable[[Report], None],
        watch: Watching,
        hints: Waiting,
        vitals: Vitals,
        clock: Clock,
        interval: float,
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        """*publish* is given every report; *progressed* is called whenever the loop got on, for a watchdog."""
        self._records = records
        self._root_paths = tuple(root_paths)
        self._publish = publish
        self._watch = watch
        self._hints = hints
        self._vitals = vitals
        self._clock = clock
        self._interval = interval
        self._progressed = progressed
        self._stop = threading.Event()
        self._problems = Once()

    def stop(self) -> None:
        """End the loop, a measurement that is under way included. From any thread or signal handler."""
        self._stop.set()
        self._hints.wake()

    def run(self) -> None:
        """Run rounds until stopped."""
        while not self._stop.is_set():
            started = self._clock.monotonic()
            try:
                self.round()
            except Stopped:
                return
            self._progressed()
            rest = self._interval - (self._clock.monotonic() - started)
            if rest > 0 and not self._stop.is_set():
                self._hints.wait(rest)

    def round(self) -> None:
        """Read, measure and publish once."""
        catalog = self._read()
        if catalog is None:
            return
        self._watch.expect(self._directories())
        with self._vitals.stage(Stage.UPPERS):
            uppers = measure_uppers(catalog, clock=self._clock, pace=self._pace, walked=self._walked)
            self._publish(summarize(catalog, uppers))

    def _read(self) -> Catalog | None:
        """The catalog, also where only some of the roots could be read; None where reading failed altogether."""
        catalog = None
        with self._vitals.stage(Stage.CATALOG):
            catalog = self._records.catalog()
            self._vitals.errors(Stage.CATALOG, Reason.VANISHED, catalog.vanished)
            self._problems.report(
                (*catalog.problems, *(problem for store in catalog.stores for problem in store.problems))
            )
            for error in self._records.lost:
                raise error
        return catalog

    def _directories(self) -> list[str]:
        """What to watch: the roots, where stores appear, and the records of the stores that are there."""
        inside = (directory for place in self._records.locations for directory in place.record_directories)
        return [*self._root_paths, *(f"{path}/image" for path in self._root_paths), *inside]

    def _pace(self, _inodes: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._progressed()

    def _walked(self, walked: Walked, cpu_seconds: float) -> None:
        self._vitals.walked(inodes=walked.usage.inodes, cpu_seconds=cpu_seconds)
        self._vitals.errors(Stage.UPPERS, Reason.VANISHED, walked.vanished)
        self._vitals.errors(Stage.UPPERS, Reason.IO, walked.unreadable)
