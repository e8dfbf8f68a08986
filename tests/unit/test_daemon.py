"""The loop, on stores on disk, with time and hints passed in."""

import os
import time
from collections.abc import Callable, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from exporter.account.report import StoreReport, Upper
from exporter.account.surge import WINDOW
from exporter.daemon import BEAT
from exporter.measure.schedule import next_beat
from exporter.rhythm import LATEST
from exporter.store.detect import Root
from exporter.store.entries import ContainerID
from exporter.vitals import Stage
from tests.store.containerd_roots import ContainerdRootBuilder
from tests.unit.daemons import INTERVAL, LONGEST_REST, WHOLE_ROUND, Host, container, wait
from tests.unit.store.containerd.hosts import CONTAINER, write_container
from tests.unit.store.hosts import give_away, unprivileged


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


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


def test_a_beat_makes_one_report(host: Host) -> None:
    """Records and upper layers are looked at together, and within an interval whatever changed is told."""
    containers = [container(host, f"web-{number}") for number in range(20)]
    host.run(*WHOLE_ROUND * 12)
    reports = [report.stores[0] for report in host.reports if len(report.stores[0].uppers) == len(containers)]
    moments = [report.uppers[containers[0]].measured_at for report in reports]
    for report, moment in zip(reports, moments, strict=True):
        assert max(abs(upper.measured_at - moment) for upper in report.uppers.values()) < 0.5
    renewed = sorted(set(moments))
    assert len(renewed) > 3
    assert len(reports) <= len(renewed) + 2
    assert max(later - earlier for earlier, later in pairwise(renewed)) <= INTERVAL - LATEST


def test_a_measurement_is_not_a_reading_of_everything(host: Host) -> None:
    """An upper layer is measured each interval, and its report tells since when every file was looked at."""
    made = container(host)
    host.run(*WHOLE_ROUND, *WHOLE_ROUND)
    uppers = [report.stores[0].uppers[made] for report in host.reports if report.stores[0].uppers]
    first, last = uppers[0], uppers[-1]
    assert last.measured_at > first.measured_at
    assert first.read_since is not None
    assert last.read_since == first.read_since <= first.measured_at


def test_a_container_that_ends_and_begins_again(host: Host) -> None:
    """While it is stopped its upper layer rests, and is not looked at; its growth goes on where it was."""
    made = container(host)
    seen: list[StoreReport] = []

    def write() -> bool:
        host.store.write(made, f"log.{len(seen)}", 40_960)
        return False

    def turn(state: str) -> Callable[[], bool]:
        def change() -> bool:
            host.store.set_state(made, state)
            return True

        return change

    def note() -> bool:
        seen.append(host.last)
        return False

    stopped = (turn("exited"), *WHOLE_ROUND, note, *WHOLE_ROUND * 3, note)
    host.run(*WHOLE_ROUND, write, *WHOLE_ROUND, *stopped, turn("running"), write, *WHOLE_ROUND, note)

    uppers = [report.uppers[made] for report in seen]
    assert [report.store.containers[made].state for report in seen] == ["exited", "exited", "running"]
    assert uppers[0].measured_at == uppers[1].measured_at < uppers[2].measured_at
    growths = [(upper.growth.grown, upper.growth.freed) for upper in uppers if upper.growth is not None]
    assert growths == [(40_960, 0), (40_960, 0), (81_920, 0)]


def test_what_is_written_into_a_stopped_container(host: Host, tmp_path: Path) -> None:
    """In containerd's image store nothing about the directory around the upper layer tells but what a mount left. What
    is written is told of; then the upper layer rests again."""
    builder = ContainerdRootBuilder(tmp_path / "stopped/containerd/daemon")
    host.named = Root(path=str(tmp_path / "stopped"))
    target, chain = builder.pulled("moby", "docker.io/library/web:1", "base")
    number = builder.dockers_container(CONTAINER, parent=chain[-1])
    write_container(tmp_path / "stopped", CONTAINER, image=target, state={"StartedAt": "2024-05-06T07:08:10Z"})
    builder.write()
    builder.age(1_000)
    seen: list[Upper] = []

    def write() -> bool:
        builder.mount(number, files={f"copied{len(seen)}": bytes(40_960)})
        return False

    def note() -> bool:
        seen.append(host.last.uppers[ContainerID(CONTAINER)])
        return False

    rest = (*WHOLE_ROUND, note, *WHOLE_ROUND * 3, note)
    host.run(*rest, write, *rest, write, *rest)

    assert [upper.usage.size for upper in seen] == [0, 0, 40_960, 40_960, 81_920, 81_920]
    assert [upper.growth.grown for upper in seen if upper.growth is not None][::2] == [0, 40_960, 81_920]
    moments = [upper.measured_at for upper in seen]
    assert moments[0] == moments[1] < moments[2] == moments[3] < moments[4] == moments[5]


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


SURGE = "an upper layer grows fast"
MIB = 1 << 20


def surge(host: Host, *rounds: dict[str, int]) -> tuple[MutableMapping[str, Any], dict[str, int]]:
    """The one line that tells of a container that adds so many bytes to its files, in one interval after another; and
    by how much each file grew on the disk: some blocks more, where free space lies in pieces."""
    made = container(host)
    paths = {path for growth in rounds for path in growth}
    for path in paths:
        host.store.write(made, path, 4096)
    # Files have the machine's time, and which file grew is told of those in use.
    host.clock.at = next_beat(time.time(), INTERVAL * BEAT)

    def add(growth: dict[str, int]) -> Callable[[], bool]:
        def write() -> bool:
            for path, size in growth.items():
                host.store.write(made, path, size, append=True)
            return False

        return write

    def allocated(path: str) -> int:
        return os.stat(f"{host.store.upper_path(made)}/{path}").st_blocks * 512

    before = {path: allocated(path) for path in paths}
    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND, *(step for growth in rounds for step in (add(growth), wait, wait)), *WHOLE_ROUND)
    (line,) = [line for line in lines if line["event"] == SURGE]
    assert line["container_id"] == made
    return line, {path: allocated(path) - before[path] for path in paths}


def test_a_surge_gives_one_line_that_names_who_grows(host: Host) -> None:
    """Container, image, rate and the three largest growers, so that a person can act before the alert fires."""
    host.threshold = 10 * MIB
    line, grown = surge(host, {"srv/db": 3 * MIB, "var/log/app.log": 8 * MIB, "small": 1 * MIB, "new/upload": 2 * MIB})
    assert (line["store"], line["container"], line["image"]) == ("overlay2", "web", "web:1")
    assert line["log_level"] == "warning"
    assert line["grown_bytes"] == sum(grown.values()) >= 14 * MIB
    assert line["seconds"] == round(INTERVAL * BEAT, 1)
    assert line["bytes_per_second"] == round(sum(grown.values()) / (INTERVAL * BEAT))
    assert line["largest_growers"] == [
        {"path": f"/{path}", "grown_bytes": grown[path]} for path in ("var/log/app.log", "srv/db", "new/upload")
    ]


def test_a_surge_over_several_intervals_names_who_grew_in_all_of_them(host: Host) -> None:
    """The last look alone would name only who made the measure full."""
    host.threshold = 10 * MIB
    line, grown = surge(host, {"log/app": 6 * MIB, "db/data": 2 * MIB}, {"log/app": 1 * MIB}, {"upload/new": 3 * MIB})
    assert line["grown_bytes"] == sum(grown.values()) >= 12 * MIB
    assert INTERVAL < line["seconds"] <= WINDOW
    assert line["largest_growers"] == [
        {"path": f"/{path}", "grown_bytes": grown[path]} for path in ("log/app", "upload/new", "db/data")
    ]


@pytest.mark.parametrize("is_seen_running", [True, False])
def test_a_job_that_rested_for_long_and_writes_at_once_is_told(host: Host, is_seen_running: bool) -> None:
    """What it writes came after it was last seen at rest, not in the half hour since it was measured."""
    made = container(host)
    host.store.set_state(made, "exited")
    host.threshold = 100_000
    rested: list[float] = []

    def start() -> bool:
        rested.append(host.clock.now() - host.last.uppers[made].measured_at)
        host.store.set_state(made, "running")
        host.store.write(made, "out", 500_000)
        return is_seen_running

    def end() -> bool:
        host.store.set_state(made, "exited")
        directory = Path(host.store.upper_path(made)).parent
        os.utime(directory, (host.clock.at, host.clock.at))
        return True

    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND * 250, start, end, *WHOLE_ROUND)
    assert rested[0] > 1800
    (line,) = [line for line in lines if line["event"] == SURGE]
    assert line["grown_bytes"] >= 500_000
    assert line["seconds"] <= 2 * INTERVAL


def test_a_root_without_a_store_is_said_once(tmp_path: Path) -> None:
    """A silent zero is what everybody hates: a root where nothing was found is named, with what to do."""
    host = Host(tmp_path)
    host.root = tmp_path / "empty"
    host.root.mkdir()
    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND, *WHOLE_ROUND)
    (line,) = [line for line in lines if line["event"] == "no layer store found"]
    assert line["subject"] == str(host.root)


def test_the_loop_gives_signs_of_progress_when_nothing_is_due(host: Host) -> None:
    """Though records are read once an hour, a watchdog hears of the loop within seconds, all the time."""
    host.interval = 3600.0
    container(host)
    host.run(*(wait,) * 500)
    pauses = [later - earlier for earlier, later in pairwise(host.signs)]
    assert host.signs[-1] - host.signs[0] > 1800
    assert LONGEST_REST >= max(pauses)


@pytest.mark.parametrize("left", ["nothing", "a stopped container"])
def test_where_nothing_is_to_be_measured_no_figure_is_old(host: Host, left: str) -> None:
    """A host that has no container, or only such as rest, is measured whole: the stage succeeds with each report."""
    made = container(host)

    def end() -> bool:
        if left == "nothing":
            host.store.remove_container(made)
        else:
            host.store.set_state(made, "exited")
        return True

    host.run(*WHOLE_ROUND, end, *WHOLE_ROUND * 40)
    stage = host.vitals.snapshot().stages[Stage.UPPERS]
    assert stage.success
    assert host.clock.now() - stage.last_success < 3 * INTERVAL


def test_a_failure_does_not_outlive_what_could_not_be_measured(open_directory: Path) -> None:
    """An upper layer that cannot be read fails the stage as long as its container is there."""
    host = Host(open_directory)
    made = container(host)
    seen: list[bool] = []

    def close() -> bool:
        Path(host.store.upper_path(made)).chmod(0)
        return True

    def note() -> bool:
        seen.append(host.vitals.snapshot().stages[Stage.UPPERS].success)
        return False

    def remove() -> bool:
        for path in (Path(host.store.upper_path(made)), *host.root.glob("overlay2/*/work/*")):
            path.chmod(0o755)
        host.store.remove_container(made)
        return True

    give_away(open_directory)
    with unprivileged():
        host.run(*WHOLE_ROUND, note, close, *WHOLE_ROUND, note, remove, *WHOLE_ROUND, note)
    assert seen == [True, False, True]
