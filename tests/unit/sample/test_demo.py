"""The demonstration host, and the writers that keep it busy."""

import itertools
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.sample.demo import Demo, Writers, build_demo
from tests.unit.sample.invariants import assert_faithful, assert_images, assert_layers

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return build_demo(tmp_path / "root")


def disk_use(root: Path) -> int:
    out = subprocess.run(["du", "-s", "--block-size=1", root], check=True, capture_output=True).stdout
    return int(out.split()[0])


def busy(demo: Demo, *, seconds: int, look: Callable[[Writers], None], limit: int = 256 * MIB) -> None:
    """Let the writers work for so many seconds of a clock of their own, and look after each."""
    clock = Clock()
    writers = Writers(demo, limit=limit, clock=clock, rng=random.Random(3))  # noqa: S311 - no secrets
    for _ in range(seconds):
        clock.now += 1
        writers.step()
        look(writers)


def test_the_demo_is_a_faithful_store(demo: Demo) -> None:
    """Layers, images and containers of the demo agree as those of any engine."""
    assert_layers(demo.store.graph.home, demo.store.layerdb.layers.parent)
    assert_images(demo.store.root / "image/overlay2")
    assert len(demo.store.layers) == 12


def test_the_demo_shows_every_state_of_a_small_host(demo: Demo) -> None:
    """It has sharing, a dangling and an intermediate image, most states, both sorts of labels, and one large upper."""
    store = demo.store
    states = {container.state.value for container in store.containers.values()}
    labels = {label for container in store.containers.values() for label in container.labels}
    uppers = {name: disk_use(store.upper_path(container)) for name, container in demo.containers.items()}
    largest, second = sorted(uppers.values(), reverse=True)[:2]

    assert states == {"created", "running", "paused", "exited"}
    assert {"com.docker.compose.project", "io.kubernetes.pod.name"} <= labels
    assert {"shop/api:2.3.0", "shop/requirements"} == {
        name for name, image in demo.images.items() if not store.imagedb.references_of(image)
    }
    assert largest > 3 * second
    assert uppers["shop-worker-1"] == largest


def test_the_demo_is_small_and_fast(tmp_path: Path) -> None:
    """It takes a few megabytes, and a moment."""
    start = time.process_time()
    build_demo(tmp_path / "root")
    assert time.process_time() - start < 1
    assert disk_use(tmp_path / "root") < 12 * MIB


def test_writers_stay_below_their_limit(demo: Demo) -> None:
    """Whatever happens, at any moment, they take no more disk than they may."""
    before = disk_use(demo.store.root)
    limit = 4 * MIB
    seen: list[int] = []
    busy(demo, seconds=200, limit=limit, look=lambda _: seen.append(disk_use(demo.store.root)))
    assert max(seen) <= before + limit
    assert max(seen) > before + limit // 2


def test_uppers_grow_at_their_own_rates_and_start_over(demo: Demo) -> None:
    """Each upper grows faster or slower than the others, and falls when it has had its share."""
    uppers = {name: demo.store.upper_path(demo.containers[name]) for name in ("shop-worker-1", "shop-api-1", "k8s_api")}
    seen: dict[str, list[int]] = {name: [] for name in uppers}

    def look(_: Writers) -> None:
        for name, path in uppers.items():
            seen[name].append(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))

    busy(demo, seconds=300, look=look)

    after_a_minute = [sizes[60] - sizes[0] for sizes in seen.values()]
    assert after_a_minute == sorted(after_a_minute, reverse=True)
    assert min(after_a_minute) > MIB
    worker = seen["shop-worker-1"]
    assert any(later < earlier for earlier, later in itertools.pairwise(worker))


def test_many_small_files_take_inodes(demo: Demo) -> None:
    """The web server's cache fills with files of a few hundred bytes."""
    cache = demo.store.upper_path(demo.containers["shop-web-1"]) / "var/cache/nginx"
    before = len(list(cache.iterdir()))
    busy(demo, seconds=100, look=lambda _: None)
    assert len(list(cache.iterdir())) == before + 400


def test_logs_rotate(demo: Demo) -> None:
    """The log grows to its size, moves to ``.1``, and only three old ones are kept."""
    container = demo.containers["shop-api-1"]
    busy(demo, seconds=300, look=lambda _: None)
    path = demo.store.log_path(container)
    assert path is not None
    assert {name for name in os.listdir(path.parent) if "json.log" in name} == {
        path.name,
        *(f"{path.name}.{number}" for number in (1, 2, 3)),
    }


def test_jobs_and_tags_come_and_go(demo: Demo) -> None:
    """A container is created, ends and is removed, and an image has one more tag meanwhile; the store stays whole."""
    containers, references = set(), set()
    image = demo.images["shop/api:2.3.0"]

    def look(_: Writers) -> None:
        for record in demo.store.containers.values():
            containers.add((record.name, record.state.value))
        references.add(tuple(demo.store.imagedb.references_of(image)))

    busy(demo, seconds=250, look=look)

    job = {state for name, state in containers if name == "shop-report-1"}
    assert job == {"running", "exited"}
    assert "shop-report-1" not in {record.name for record in demo.store.containers.values()}
    assert ("shop-report-2", "running") in containers
    assert references == {(), ("shop/api:rollback",)}
    assert_images(demo.store.root / "image/overlay2")
    assert_layers(demo.store.graph.home, demo.store.layerdb.layers.parent)


def test_a_machine_that_slept_writes_no_burst(demo: Demo) -> None:
    """After an hour without a step, the next one is worth ten seconds."""
    clock = Clock()
    writers = Writers(demo, clock=clock)
    before = disk_use(demo.store.root)
    clock.now = 3600
    writers.step()
    assert disk_use(demo.store.root) - before < 20 * MIB


def test_writers_start_and_stop(demo: Demo) -> None:
    """The thread writes by itself, and ends within a second of being told."""
    before = disk_use(demo.store.root)
    writers = Writers(demo, interval=0.01)
    writers.start()
    deadline = time.monotonic() + 10
    while disk_use(demo.store.root) <= before and time.monotonic() < deadline:
        time.sleep(0.01)

    start = time.monotonic()
    writers.stop()

    assert time.monotonic() - start < 1
    after = disk_use(demo.store.root)
    assert after > before
    time.sleep(0.1)
    assert disk_use(demo.store.root) == after


def test_writers_end_when_their_host_is_gone(demo: Demo, caplog: pytest.LogCaptureFixture) -> None:
    """A demo whose root somebody deleted ends with a warning, not with a traceback."""
    demo.store.root.rename(demo.store.root.with_name("elsewhere"))
    writers = Writers(demo, interval=0.01)
    writers.start()
    deadline = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.01)
    writers.stop()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not demo.store.root.exists()


def test_the_demo_stays_faithful_while_it_is_written(demo: Demo) -> None:
    """After five minutes of writing, every link, chain and identity still agrees."""
    busy(demo, seconds=300, look=lambda _: None)
    assert_faithful(demo.store.root)
