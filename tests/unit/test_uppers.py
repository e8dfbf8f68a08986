"""Which upper layers the daemon has measured, and what it takes down of each pass."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.account.growth import Growth
from exporter.measure.tracker import Pass
from exporter.measure.usage import Usage
from exporter.measure.walk import Walked
from exporter.store.catalog import Catalog, Store
from exporter.store.entries import CacheID, ContainerID, ContainerState
from exporter.uppers import Key, UpperBook, trees
from tests.store.containerd_roots import ContainerdRootBuilder
from tests.unit.daemons import INTERVAL, Time
from tests.unit.store.containerd.hosts import kubernetes, scan, store_of

WEB: Key = ("overlay2", ContainerID("a" * 64))
GIB = 1 << 30


def outcome(allocated: int, *, cut: bool = False, unreadable: int = 0) -> Pass:
    walked = Walked(
        usage=Usage(size=allocated, allocated=allocated, inodes=10),
        directories=1,
        links=0,
        vanished=0,
        unreadable=unreadable,
        cut=cut,
    )
    return Pass(walked=walked, full=False, read_since=0.0, looked=10, refreshed=0, full_only=False, growers=())


def grown(*passes: Pass) -> tuple[Growth | None, list[bool], int]:
    """The growth in the end, of which figures it was said that they are all, and how many lines told of a surge."""
    clock, exact = Time(), []
    book = UpperBook(clock=clock, surge_threshold=100)
    with capture_logs() as logs:
        for done in passes:
            clock.sleep(INTERVAL)
            book.measured(WEB, done, began=clock.monotonic())
            exact.append(book.known(WEB[0])[WEB[1]].exact)
    return book.known(WEB[0])[WEB[1]].growth, exact, len(logs)


def test_a_layer_that_was_not_seen_whole_for_a_while_has_not_grown() -> None:
    """Neither in the counters nor in the log: else a container could raise an alarm by moving directories about."""
    passes = outcome(50 * GIB), outcome(GIB, cut=True), outcome(2 * GIB, unreadable=1), outcome(50 * GIB)
    growth, exact, _ = grown(*passes[:2], passes[3])
    assert growth == Growth(allocated=50 * GIB)
    assert exact == [True, False, True]
    growth, exact, _ = grown(*passes)
    assert growth is not None
    assert growth.grown - growth.freed == 0
    assert exact == [True, False, False, True]


def test_a_layer_that_was_cut_at_first_sight_makes_no_line() -> None:
    """What was there before the exporter is no surge."""
    assert grown(outcome(GIB, cut=True), outcome(50 * GIB))[2] == 0


def test_a_layer_that_grows_makes_a_line() -> None:
    """Whether it was seen whole or not."""
    assert grown(outcome(GIB), outcome(2 * GIB))[2] == 1
    assert grown(outcome(GIB), outcome(2 * GIB, cut=True))[2] == 1


NODE = "containerd/k8s.io"


def ended(builder: ContainerdRootBuilder, container: str = "container-id") -> Store:
    """The store of a node whose container has ended."""
    builder.status(container, StartedAt=2, FinishedAt=3)
    store = store_of(scan(containerd=builder.path), NODE)
    assert store.containers[ContainerID(container)].state is ContainerState.EXITED
    return store


def is_watched(store: Store, container: str = "container-id") -> bool:
    """Whether its upper layer is measured all the time."""
    return trees(Catalog(taken_at=0.0, stores=(store,)))[NODE, ContainerID(container)].active


def test_what_is_mounted_is_watched_though_its_container_has_ended(tmp_path: Path) -> None:
    """A long ``docker cp`` into it is told of while it is under way, and what it writes last is not missed."""
    store = ended(kubernetes(tmp_path))
    upper = store.upper_of(ContainerID("container-id"))
    assert upper is not None
    assert not is_watched(store)
    assert is_watched(replace(store, overlaid=frozenset({upper})))
    assert not is_watched(replace(store, overlaid=frozenset({CacheID("another")})))


def test_an_upper_layer_that_lies_on_nothing_is_always_watched(tmp_path: Path) -> None:
    """containerd mounts it without overlayfs, and nothing tells afterwards that it did."""
    builder = kubernetes(tmp_path)
    builder.container("k8s.io", "bare")
    assert is_watched(ended(builder.write(), "bare"), "bare")


def test_a_figure_is_as_old_as_the_pass_that_it_is_from() -> None:
    """One that took long, at the pace that the budget allows, looked at most of the layer long ago."""
    clock = Time()
    book = UpperBook(clock=clock, surge_threshold=100)
    began, at = clock.monotonic(), clock.now()
    clock.sleep(500.0)
    book.measured(WEB, outcome(GIB), began=began)
    assert book.known(WEB[0])[WEB[1]].measured_at == pytest.approx(at)
