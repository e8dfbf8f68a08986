"""A daemon on a store on disk, with time and hints passed in."""

from collections.abc import Callable, Iterable
from pathlib import Path

from exporter.account.report import Report, StoreReport
from exporter.daemon import Daemon
from exporter.disk import Disk
from exporter.measure.memory import Memory
from exporter.sample.builder import StoreBuilder
from exporter.settings import Pace
from exporter.store.detect import Root
from exporter.store.entries import ContainerID
from exporter.survey import RecordSurvey
from exporter.vitals import Vitals
from tests.quiet import QUIET_PROC

INTERVAL = 15.0
LONGEST_REST = 10.0


class Time:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0
        """Far after the files' times, so that no record counts as young."""
        self.set_by = 0.0
        """Seconds by which somebody set the machine's clock."""

    def now(self) -> float:
        return self.at + self.set_by

    def monotonic(self) -> float:
        return self.at

    def cpu(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class Hints:
    """Where the loop waits: time passes at once; at each wait the script's next step is done."""

    def __init__(self, clock: Time, steps: Iterable[Callable[[], bool]]) -> None:
        self._clock = clock
        self._steps = iter(steps)

    def wait(self, timeout: float) -> bool:
        self._clock.sleep(timeout)
        step = next(self._steps, None)
        return step is not None and step()

    def wake(self) -> None:
        """Nobody sleeps for real."""


class Watch:
    """Takes down what it is asked to watch."""

    def __init__(self) -> None:
        self.expected: list[str] = []

    def expect(self, directories: Iterable[str]) -> None:
        self.expected = list(directories)


class Host:
    """A root, and a daemon on it that runs until its script ends."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "docker"
        self.store = StoreBuilder(self.root, seed=1)
        self.clock = Time()
        self.watch = Watch()
        self.vitals = Vitals(clock=self.clock.now, timer=self.clock.monotonic)
        self.reports: list[Report] = []
        self.reports_at_stop = 0
        self.threshold = 0
        self.interval = INTERVAL
        self.signs: list[float] = []
        """When the loop gave a sign of progress."""
        self.named: Root | None = None
        """What the daemon is told to read, if not the root."""
        self.daemon_config = directory / "daemon.json"

    def run(self, *steps: Callable[[], bool]) -> None:
        """Run *steps*, one at each wait of the loop, and stop it."""

        def stop() -> bool:
            self.reports_at_stop = len(self.reports)
            daemon.stop()
            return False

        daemon = Daemon(
            records=RecordSurvey(
                [self.named or Root(path=str(self.root))],
                clock=self.clock,
                daemon_config=str(self.daemon_config),
                proc=QUIET_PROC,
            ),
            publish=self.reports.append,
            watch=self.watch,
            hints=Hints(self.clock, (*steps, stop)),
            vitals=self.vitals,
            clock=self.clock,
            pace=Pace(interval=self.interval),
            disk=Disk(Memory(), clock=self.clock, vitals=self.vitals, full_interval=300.0),
            surge_threshold=self.threshold,
            progressed=lambda: self.signs.append(self.clock.at),
            longest_rest=LONGEST_REST,
        )
        daemon.run()

    @property
    def last(self) -> StoreReport:
        (store,) = self.reports[-1].stores
        return store


def wait() -> bool:
    """A step in which nothing happens."""
    return False


WHOLE_ROUND = (wait,) * 8
"""Enough waits for one interval: for a pass, for a publication, for the next reading."""


def container(host: Host, name: str = "web", size: int = 8192) -> ContainerID:
    top = host.store.layer({"bin/sh": 1000})
    image = host.store.image(top, tags=["web:1"])
    return host.store.container(image, name=name, files={"data": size})
