"""The loop, on stores on disk, with time and hints passed in."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import structlog

from exporter.account.report import Report, StoreReport
from exporter.daemon import Daemon
from exporter.disk import Disk
from exporter.measure.memory import Memory
from exporter.sample.builder import StoreBuilder
from exporter.settings import Pace
from exporter.store.catalog import ContainerID
from exporter.store.detect import Root
from exporter.survey import RecordSurvey
from exporter.vitals import Stage, Vitals
from tests.quiet import QUIET_PROC

INTERVAL = 15.0


class Time:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0
        """Far after the files' times, so that no record counts as young."""

    def now(self) -> float:
        return self.at

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

    def run(self, *steps: Callable[[], bool]) -> None:
        """Run *steps*, one at each wait of the loop, and stop it."""

        def stop() -> bool:
            self.reports_at_stop = len(self.reports)
            daemon.stop()
            return False

        daemon = Daemon(
            records=RecordSurvey([Root(path=str(self.root))], clock=self.clock, daemon_config="/none", proc=QUIET_PROC),
            root_paths=[str(self.root)],
            publish=self.reports.append,
            watch=self.watch,
            hints=Hints(self.clock, (*steps, stop)),
            vitals=self.vitals,
            clock=self.clock,
            pace=Pace(interval=INTERVAL),
            disk=Disk(Memory(), clock=self.clock, vitals=self.vitals, full_interval=300.0),
            surge_threshold=self.threshold,
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


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def container(host: Host, name: str = "web", size: int = 8192) -> ContainerID:
    top = host.store.layer({"bin/sh": 1000})
    image = host.store.image(top, tags=["web:1"])
    return host.store.container(image, name=name, files={"data": size})


def test_a_report_follows_a_start(host: Host) -> None:
    """Records are read and upper layers measured before anybody waits for an interval."""
    made = container(host)
    began = host.clock.at
    host.run(wait)
    assert host.last.uppers[made].usage.size == 8192
    assert host.last.uppers[made].measured_at - began < 1


def test_growth_is_counted_between_measurements(host: Host) -> None:
    """What a container writes is a rise; what it deletes is a fall; together they are the difference."""
    made = container(host)

    def write() -> bool:
        host.store.write(made, "more", 40_960)
        return False

    def delete() -> bool:
        Path(host.store.upper_path(made), "more").unlink()
        return False

    host.run(*WHOLE_ROUND, write, *WHOLE_ROUND, delete, *WHOLE_ROUND)
    growths = [report.stores[0].uppers[made].growth for report in host.reports if report.stores[0].uppers]
    assert growths[0] is not None
    assert growths[-1] is not None
    assert (growths[0].grown, growths[0].freed) == (0, 0)
    assert (growths[-1].grown, growths[-1].freed) == (40_960, 40_960)


def test_what_is_removed_is_gone_from_the_next_report(host: Host) -> None:
    """Nothing is reported from memory of what no longer exists (invariant 8)."""
    gone, kept = container(host, "gone"), container(host, "kept")

    def remove() -> bool:
        host.store.remove_container(gone)
        return True

    host.run(*WHOLE_ROUND, remove, *WHOLE_ROUND)
    assert set(host.last.uppers) == set(host.last.logs) == set(host.last.store.containers) == {kept}


def test_a_hint_brings_the_next_reading_forward(host: Host) -> None:
    """A new container is reported before the interval ends."""
    container(host)
    made: dict[ContainerID, float] = {}

    def create() -> bool:
        made[container(host, "new")] = host.clock.at
        return True

    host.run(wait, create, wait, wait, wait)
    ((new, at),) = made.items()
    first = next(report.stores[0] for report in host.reports if new in report.stores[0].uppers)
    assert first.uppers[new].measured_at - at < 1


def test_a_root_that_vanishes_takes_its_series_with_it(host: Host, tmp_path: Path) -> None:
    """No figure is older than its root; the stage says that it failed; what comes back is reported again."""
    container(host)
    away = tmp_path / "away"

    def hide() -> bool:
        host.root.rename(away)
        return True

    def bring_back() -> bool:
        away.rename(host.root)
        return True

    host.run(*WHOLE_ROUND, hide, *WHOLE_ROUND, bring_back, *WHOLE_ROUND)
    counts = [len(report.stores) for report in host.reports]
    assert 0 in counts
    assert counts[-1] == 1
    assert host.vitals.snapshot().stages[Stage.CATALOG].success
    assert sum(host.vitals.snapshot().errors.values()) > 0


def test_the_watch_is_told_what_means_something(host: Host) -> None:
    """The directories whose entries come and go with images, layers and containers; none that a container can touch."""
    container(host)
    host.run(wait)
    root = str(host.root)
    assert {f"{root}/overlay2", f"{root}/containers", f"{root}/image/overlay2/layerdb/sha256"} <= set(
        host.watch.expected
    )
    assert not [path for path in host.watch.expected if "/diff" in path]


def test_nothing_is_published_after_a_stop(host: Host) -> None:
    """A stop ends the loop where it stands."""
    container(host)
    host.run(*WHOLE_ROUND)
    assert len(host.reports) == host.reports_at_stop > 0


def test_a_surge_gives_one_line_that_names_who_grows(host: Host) -> None:
    """Container, image, rate and the largest growers, so that a person can act before the alert fires."""
    made = container(host)
    host.threshold = 100_000

    def write() -> bool:
        host.store.write(made, "var/log/app.log", 500_000)
        return False

    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND, write, *WHOLE_ROUND)
    (line,) = [line for line in lines if line["event"] == "an upper layer grows fast"]
    assert (line["container"], line["image"], line["container_id"]) == ("web", "web:1", made)
    assert line["grown_bytes"] >= 500_000
    assert line["largest_growers"][0]["path"].startswith("/var")


def test_a_root_without_a_store_is_said_once(tmp_path: Path) -> None:
    """A silent zero is what everybody hates: a root where nothing was found is named, with what to do."""
    host = Host(tmp_path)
    host.root = tmp_path / "empty"
    host.root.mkdir()
    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND, *WHOLE_ROUND)
    (line,) = [line for line in lines if line["event"] == "no layer store found"]
    assert line["subject"] == str(host.root)
