"""What happens around a daemon that runs for months: roots come, move, go and are replaced; clocks are set."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from exporter.sample.builder import StoreBuilder
from exporter.store.detect import Root
from exporter.vitals import Stage
from tests.unit.daemons import WHOLE_ROUND, Host, container

YEAR = 366 * 86400.0


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_an_engine_that_comes_later_is_picked_up(host: Host, tmp_path: Path) -> None:
    """The exporter may be started before its engine was installed: until then a stage fails, and nothing is shown."""
    container(host)
    away = tmp_path / "later"
    host.root.rename(away)

    def appear() -> bool:
        assert host.reports[-1].stores == ()
        assert not host.vitals.snapshot().stages[Stage.CATALOG].success
        away.rename(host.root)
        return False

    host.run(*WHOLE_ROUND, appear, *WHOLE_ROUND)
    assert len(host.last.uppers) == 1
    assert host.vitals.snapshot().stages[Stage.CATALOG].success


def test_a_root_that_nobody_named_moves_with_the_engines_configuration(host: Host, tmp_path: Path) -> None:
    """``data-root`` is read again at every scan, and what is watched moves along."""
    container(host, "old")
    moved = Host(tmp_path / "elsewhere")
    new = container(moved, "new")
    host.daemon_config.write_text(json.dumps({"data-root": str(host.root)}))
    host.named = Root(path="/nonexistent", followed=True)

    def move() -> bool:
        host.daemon_config.write_text(json.dumps({"data-root": str(moved.root)}))
        return False

    host.run(*WHOLE_ROUND, move, *WHOLE_ROUND)
    assert [new] == list(host.last.uppers)
    assert f"{moved.root}/overlay2" in host.watch.expected
    assert f"{host.root}/overlay2" not in host.watch.expected


def test_a_named_root_stays_where_it_is(host: Host, tmp_path: Path) -> None:
    """Whoever named it knows better than the configuration."""
    made = container(host)
    host.daemon_config.write_text(json.dumps({"data-root": str(tmp_path)}))
    host.run(*WHOLE_ROUND)
    assert [made] == list(host.last.uppers)


def test_a_root_that_is_replaced_is_another(host: Host, tmp_path: Path) -> None:
    """Another disk mounted over it, or a new installation: nothing of the old one is left in any figure."""
    container(host, "old", size=1_000_000)

    def replace() -> bool:
        host.root.rename(tmp_path / "old")
        host.store = StoreBuilder(host.root, seed=2)
        container(host, "new", size=4096)
        return True

    host.run(*WHOLE_ROUND, replace, *WHOLE_ROUND)
    ((name, size),) = [
        (host.last.store.containers[key].name, upper.usage.size) for key, upper in host.last.uppers.items()
    ]
    assert (name, size) == ("new", 4096)
    assert len(host.last.store.layers) == 1


def test_a_root_that_is_unmounted_shows_nothing_old(host: Host, tmp_path: Path) -> None:
    """The mount point stays, empty: that is said, and nothing is reported from memory."""
    container(host)

    def unmount() -> bool:
        host.root.rename(tmp_path / "away")
        host.root.mkdir()
        return True

    host.run(*WHOLE_ROUND, unmount, *WHOLE_ROUND)
    assert host.reports[-1].stores == ()
    (problem,) = host.reports[-1].problems
    assert (problem.path, "unmounted" in problem.reason) == (f"{host.root}/image", True)


@pytest.mark.parametrize("jump", [YEAR, -YEAR, 3600.0, -3600.0, -1.0], ids="{:+g} s".format)
def test_a_clock_that_is_set_changes_no_figure(host: Host, jump: float) -> None:
    """Figures and growth stay exact, the loop keeps its rhythm, and what is measured then has the time of then."""
    made = container(host, size=8192)

    def set_clock() -> bool:
        host.clock.set_by += jump
        return False

    def write() -> bool:
        host.store.write(made, "more", 40_960)
        return False

    host.run(*WHOLE_ROUND, set_clock, *WHOLE_ROUND, write, *WHOLE_ROUND, *WHOLE_ROUND)
    upper = host.last.uppers[made]
    assert upper.usage.size == 8192 + 40_960
    assert upper.growth is not None
    assert (upper.growth.grown, upper.growth.freed) == (40_960, 0)
    assert abs(host.clock.now() - upper.measured_at) < 60
    assert host.vitals.snapshot().stages[Stage.CATALOG].success
    assert sum(host.vitals.snapshot().errors.values()) == 0
    assert host.last.store.problems == host.reports[-1].problems == ()


def test_a_clock_that_is_set_back_silences_no_surge(host: Host) -> None:
    """That one was told of a year later, by the clock of then, keeps no other from being told of now."""
    made = container(host)
    host.threshold = 100_000

    def write(name: str) -> Callable[[], bool]:
        def step() -> bool:
            host.store.write(made, name, 500_000)
            return False

        return step

    def set_back() -> bool:
        host.clock.set_by -= YEAR
        return False

    with structlog.testing.capture_logs() as lines:
        host.run(*WHOLE_ROUND, write("one"), *WHOLE_ROUND, set_back, *WHOLE_ROUND * 12, write("two"), *WHOLE_ROUND)
    assert len([line for line in lines if line["event"] == "an upper layer grows fast"]) == 2
