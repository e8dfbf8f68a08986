"""Many trees, measured again and again: on time, within the budget, and none behind another."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.measure.ledger import LEAST
from exporter.measure.measurer import SLICE, Measurer
from exporter.measure.schedule import Tree
from exporter.measure.tracker import Pass
from tests.unit.measure.trees import by_system, remove

BUDGET, INTERVAL, FULL_INTERVAL = 0.01, 15.0, 300.0
STEP = 0.001
"""CPU seconds that each call of the pace stands for: about what 64 entries cost on a slow machine."""


class OverError(Exception):
    """The time of the test has passed."""


class Host:
    """A machine whose time passes only as it is told: a measurer, its clock, and what it found."""

    def __init__(self, *, start: float = 0.0) -> None:
        self.time = 0.0
        self.used = 0.0
        self.until = 0.0
        self.then: list[tuple[float, Callable[[], None]]] = []
        self.spent: list[tuple[float, float]] = []
        self.passes: list[tuple[float, str, Pass]] = []
        self.began: dict[str, list[float]] = {}
        self.failures: list[str] = []
        self.measurer = Measurer[str](
            clock=self,
            budget=BUDGET,
            interval=INTERVAL,
            full_interval=FULL_INTERVAL,
            rest=self.rest,
            check=self.check,
            measured=self.measured,
            failed=lambda key, _error: self.failures.append(key),
            start=start,
        )

    def measured(self, key: str, done: Pass, began: float, _cpu: float) -> None:
        self.passes.append((self.time, key, done))
        self.began.setdefault(key, []).append(began)

    def now(self) -> float:
        return time.time() + self.time

    def monotonic(self) -> float:
        return self.time

    def cpu(self) -> float:
        return self.used

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def rest(self, seconds: float) -> None:
        if self.then and self.then[0][0] <= self.time + seconds:
            at, act = self.then.pop(0)
            self.time = max(self.time, at)
            act()
        else:
            self.time += seconds
        if self.time > self.until:
            raise OverError

    def check(self) -> None:
        self.used += STEP
        self.time += STEP
        self.spent.append((self.time, STEP))

    def run(self, seconds: float, *then: tuple[float, Callable[[], None]]) -> None:
        """Run for so long, and do these things in between, at their times."""
        self.until = seconds
        self.then = list(then)
        with pytest.raises(OverError):
            self.measurer.run()

    def times(self, key: str) -> list[float]:
        return [at for at, name, _ in self.passes if name == key]

    def last(self, key: str) -> Pass:
        return [done for _, name, done in self.passes if name == key][-1]

    def excess(self) -> float:
        """CPU seconds over the budget, in the window where they are most."""
        worst = total = lowest = 0.0
        for at, cpu in self.spent:
            lowest = min(lowest, total - BUDGET * at)
            total += cpu
            worst = max(worst, total - BUDGET * at - lowest)
        return worst


def make(top: Path, *, directories: int) -> Tree:
    for number in range(directories):
        (top / f"directory{number}").mkdir(parents=True)
    return tree(top)


def tree(top: Path, *, active: bool = True) -> Tree:
    return Tree(path=str(top), active=active, stamp=top.parent.stat().st_mtime)


def test_every_tree_is_measured_every_interval(root: Path) -> None:
    """Where the budget allows."""
    host = Host()
    host.measurer.expect({name: make(root / name, directories=3) for name in ("web", "db")})
    host.run(100.0)
    for name in ("web", "db"):
        assert host.last(name).walked.usage == by_system(root / name)
        assert [later - earlier for earlier, later in pairwise(host.times(name))] == pytest.approx(
            [INTERVAL] * 6, abs=1.0
        )


def test_a_tree_that_takes_long_delays_no_other(root: Path) -> None:
    """Its first pass takes minutes; meanwhile the others are measured on time, new ones too."""
    host = Host()
    trees = {"giant": make(root / "giant", directories=3000), "web": make(root / "web", directories=3)}
    later = {**trees, "new": make(root / "new", directories=3)}
    host.measurer.expect(trees)
    host.run(600.0, (200.0, lambda: host.measurer.expect(later)))
    assert host.last("giant").walked.usage == by_system(root / "giant")
    assert host.times("giant")[0] > 290.0
    assert 200.0 < host.times("new")[0] < 210.0
    for name in ("web", "new"):
        assert max(after - before for before, after in pairwise(host.times(name))) < 1.5 * INTERVAL


def test_many_that_take_long_all_at_once_delay_no_other(root: Path) -> None:
    """Of new trees nobody knows how long they take; each is given up soon, to be measured when it is in nobody's way.

    So those that are known are measured on time, and a small new one gets its figure before the large ones are done.
    """
    host = Host()
    web = make(root / "web", directories=3)
    giants = {f"giant{number}": make(root / f"giant{number}", directories=300) for number in range(10)}
    new = make(root / "new", directories=3)
    host.measurer.expect({"web": web})
    host.run(
        800.0,
        (100.0, lambda: host.measurer.expect({"web": web, **giants})),
        (110.0, lambda: host.measurer.expect({"web": web, **giants, "new": new})),
    )
    assert max(after - before for before, after in pairwise(host.times("web"))) < 2.5 * INTERVAL
    assert host.times("new")[0] < min(host.times(name)[0] for name in giants if host.times(name))
    assert host.excess() <= BUDGET * INTERVAL + 2 * SLICE


def test_many_that_become_dear_all_at_once_delay_no_other(root: Path) -> None:
    """Containers may make their layers dear whenever they like: for each no more than three slices are in vain."""
    host = Host()
    trees = {f"tree{number}": make(root / f"tree{number}", directories=3) for number in range(10)}
    web = make(root / "web", directories=3)

    def swell() -> None:
        for name in trees:
            make(root / name / "more", directories=200)

    host.measurer.expect({"web": web, **trees})
    host.run(800.0, (100.0, swell))
    late = max(after - before for before, after in pairwise(host.times("web")))
    assert late < 1.5 * INTERVAL + len(trees) * 3 * SLICE / BUDGET
    assert all(host.last(name).walked.usage == by_system(root / name) for name in trees)


def test_it_keeps_within_the_budget(root: Path) -> None:
    """In every window of time, but for what an interval is worth and two slices."""
    host = Host()
    host.measurer.expect(
        {f"tree{number}": make(root / f"tree{number}", directories=30 * number) for number in range(1, 8)}
    )
    host.run(1000.0)
    assert host.excess() <= BUDGET * INTERVAL + 2 * SLICE
    assert {name for _, name, _ in host.passes} == {f"tree{number}" for number in range(1, 8)}


def test_first_figures_are_there_soon(root: Path) -> None:
    """Once, in the beginning, it may spend at once what it would have to rest long for."""
    host = Host(start=5.0)
    host.measurer.expect({"giant": make(root / "giant", directories=1000)})
    host.run(10.0)
    assert host.times("giant")[0] < 2.0


def test_a_stopped_tree_is_measured_once(root: Path) -> None:
    """And again when the storage directory around it has changed."""
    host = Host()
    top = root / "overlay" / "diff"
    make(top, directories=3)
    host.measurer.expect({"web": tree(top, active=False)})

    def copy() -> None:
        assert len(host.times("web")) == 1
        (top / "copied").touch()
        os.utime(top.parent, (0, 0))
        host.measurer.expect({"web": tree(top, active=False)})

    host.run(600.0, (300.0, copy))
    assert len(host.times("web")) == 2
    assert host.last("web").walked.usage == by_system(top)


def test_a_tree_is_at_rest_once_it_is_measured_and_nobody_writes(root: Path) -> None:
    """Not before, not while its container runs, and not when it has changed since."""
    host = Host()
    stopped, running = root / "stopped" / "diff", root / "running" / "diff"
    for top in (stopped, running):
        make(top, directories=3)
    trees = {"stopped": tree(stopped, active=False), "running": tree(running)}
    host.measurer.expect(trees)
    assert host.measurer.at_rest() == []

    def start() -> None:
        assert host.measurer.at_rest() == ["stopped"]
        host.measurer.expect({**trees, "stopped": tree(stopped)})
        assert host.measurer.at_rest() == []

    def end() -> None:
        os.utime(stopped.parent, (0, 0))
        host.measurer.expect({**trees, "stopped": tree(stopped, active=False)})
        assert host.measurer.at_rest() == []

    host.run(100.0, (20.0, start), (40.0, end))
    assert host.measurer.at_rest() == ["stopped"]


def test_a_pass_is_told_with_when_it_began(root: Path) -> None:
    """What it did not find came after that, however long it rested meanwhile."""
    host = Host()
    host.measurer.expect({"giant": make(root / "giant", directories=3000)})
    host.run(600.0)
    assert host.began["giant"][0] < 1.0
    assert host.times("giant")[0] > 60.0
    ends = [0.0, *host.times("giant")]
    assert all(before <= began for before, began in zip(ends, host.began["giant"], strict=False))


def test_a_hinted_tree_is_measured_soon(root: Path) -> None:
    """It does not wait for its interval."""
    host = Host()
    host.measurer.expect({"web": make(root / "web", directories=3)})
    host.run(25.0, (20.0, lambda: host.measurer.hint("web")))
    assert 20.0 < host.times("web")[-1] < 21.0


def test_a_tree_that_vanishes_is_told_and_harms_no_other(root: Path) -> None:
    """The catalog may be older than a removal."""
    host = Host()
    host.measurer.expect({name: make(root / name, directories=3) for name in ("web", "db")})
    host.run(50.0, (20.0, lambda: remove(root / "web")))
    assert set(host.failures) == {"web"}
    assert len(host.times("db")) == 4


def test_what_is_forgotten_is_not_told_any_more(root: Path) -> None:
    """Even if its pass was under way."""
    host = Host()
    host.measurer.expect({"giant": make(root / "giant", directories=1000)})
    host.run(200.0, (50.0, lambda: host.measurer.expect({})))
    assert host.passes == []


def test_a_tree_that_moved_is_a_new_one(root: Path) -> None:
    """A container made anew under the same name has another upper layer."""
    host = Host()
    two = make(root / "two", directories=5)
    host.measurer.expect({"web": make(root / "one", directories=3)})
    host.run(40.0, (20.0, lambda: host.measurer.expect({"web": two})))
    assert host.last("web").walked.usage == by_system(root / "two")
    assert host.last("web").growers == ()


def measurer(host: Host, *, max_directories: int) -> Measurer[str]:
    return Measurer[str](
        clock=host,
        budget=BUDGET,
        interval=INTERVAL,
        full_interval=FULL_INTERVAL,
        rest=host.rest,
        check=host.check,
        measured=host.measured,
        failed=lambda key, _error: host.failures.append(key),
        max_directories=max_directories,
    )


def test_a_large_tree_is_measured_by_walks_alone(root: Path) -> None:
    """The limit is passed on to the trackers."""
    host = Host()
    host.measurer = measurer(host, max_directories=10)
    host.measurer.expect({"web": make(root / "web", directories=20)})
    host.run(40.0)
    assert host.last("web").full_only


def test_all_trees_together_have_a_limit(root: Path) -> None:
    """Half as many again as one may have: the next is walked, until one of those before is gone."""
    host = Host()
    host.measurer = measurer(host, max_directories=2 * LEAST)
    trees = {name: make(root / name, directories=2 * LEAST - 10) for name in "ab"}
    host.measurer.expect(trees)
    host.run(900.0)
    assert sorted(host.last(name).full_only for name in trees) == [False, True]
    (walked,) = [name for name in trees if host.last(name).full_only]
    host.measurer.expect({walked: trees[walked]})
    host.run(1800.0)
    assert not host.last(walked).full_only
    assert host.last(walked).walked.usage == by_system(root / walked)


def test_a_stop_is_passed_on_at_once(root: Path) -> None:
    """What the check raises ends the measuring, wherever it is."""
    host = Host(start=5.0)
    host.measurer.expect({"giant": make(root / "giant", directories=1000)})
    host.check = lambda: (_ for _ in ()).throw(OverError)  # type: ignore[method-assign]
    host.run(1.0)
