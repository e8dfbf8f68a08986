"""A million files in upper layers: what measuring them costs, once and from then on.

The steady state is watched for ``LAYERSTORE_BENCH_SECONDS`` (120 by default; the limits are meant for 600).
"""

import os
import random
import statistics
import threading
import time
from pathlib import Path

from exporter.measure.tracker import Tracker
from exporter.sample.builder import StoreBuilder
from exporter.sample.large import build_tree
from exporter.store.entries import ContainerID
from tests.bench import commands, peers
from tests.bench.figures import Figure, du, du_cpu, in_turn
from tests.bench.service import Service, service

CONTAINERS, GROWING = 100, 5
FILES, DIRECTORIES = 1_000_000, 10_000
INTERVAL = 15.0
GROWTH = 50_000_000
"""Bytes: far more than the growing containers write meanwhile."""


def figures(directory: Path) -> list[Figure]:
    """Passes over all upper layers beside du, then the service beside what others do every minute."""
    store = StoreBuilder(directory / "docker", seed=1)
    image = store.image(store.layer({"bin/sh": 1000}), tags=["app:1"])
    containers = [store.container(image, name=f"app-{number}") for number in range(CONTAINERS)]
    uppers = [Path(store.upper_path(container)) for container in containers]
    for number, upper in enumerate(uppers):
        tree = upper / "data"
        build_tree(tree, files=FILES // CONTAINERS, directories=DIRECTORIES // CONTAINERS, seed=number)
    return [
        *commands.figures(store.root),
        *_passes(store.root / "overlay2", uppers),
        *_service(store, containers, uppers),
        _end(store),
        *peers.figures(store.root),
    ]


def _passes(driver: Path, uppers: list[Path]) -> list[Figure]:
    trackers = [Tracker(str(upper), clock=time.time) for upper in uppers]

    def full() -> None:
        for tracker in trackers:
            tracker.full()

    def quick() -> None:
        for tracker in trackers:
            tracker.quick()

    ours, theirs = [], []
    for _ in range(5):
        before = time.process_time()
        full()
        ours.append(time.process_time() - before)
        theirs.append(du_cpu(str(driver)))
    full_cpu, du_seconds = statistics.median(ours), statistics.median(theirs)
    time.sleep(125)  # what was just made is looked at in every pass for two minutes
    full()

    def grow_and_look() -> None:
        for upper in uppers[:GROWING]:
            with (upper / "data" / "f0").open("ab") as file:
                file.write(b"x" * 4096)
        quick()

    look, walk = in_turn(grow_and_look, lambda: du(str(driver)), times=5)
    return [
        Figure(
            what="full pass, CPU",
            value=full_cpu / du_seconds,
            unit="times du",
            limit=1.7,
            reference=f"{full_cpu:.2f} s; du -s {du_seconds:.2f} s; {FILES:,} files in {DIRECTORIES:,} directories",
        ),
        Figure(
            what="quick pass, 5 of 100 grow",
            value=look / walk,
            unit="times du",
            limit=1 / 30,
            reference=f"{look:.3f} s; du -s {walk:.2f} s",
        ),
    ]


def _service(store: StoreBuilder, containers: list[ContainerID], uppers: list[Path]) -> list[Figure]:
    length = float(os.environ.get("LAYERSTORE_BENCH_SECONDS", "120"))
    with service(store.root) as running:
        first, during = _until_measured(running)
        time.sleep(2 * INTERVAL)
        stop = threading.Event()
        writer = threading.Thread(target=_grow, args=(uppers[:GROWING], stop))
        writer.start()
        before, began = running.cpu(), time.monotonic()
        latencies, scrapes = _watch(running, store, containers[0], until=began + length)
        share = (running.cpu() - before) / (time.monotonic() - began)
        stop.set()
        writer.join()
        memory = running.resident()
    return [
        Figure(what="all upper layers measured after a start", value=first, unit="s", reference="within the budget"),
        _slowest("/metrics during the first full pass, p99", during),
        Figure(
            what="steady state, CPU",
            value=share * 100,
            unit="% of a core",
            limit=1.0,
            reference=f"over {length:.0f} s",
        ),
        Figure(
            what="growth of a file reported after, at most",
            value=max(latencies, default=float("nan")),
            unit="s",
            limit=INTERVAL,
            reference=f"median {statistics.median(latencies):.1f} s of {len(latencies)}: a new file, then one in use",
        ),
        _slowest("/metrics in the steady state, p99", scrapes),
        Figure(what="resident memory", value=memory / 1e6, unit="MB", limit=120, reference=f"{FILES:,} files"),
    ]


def _end(store: StoreBuilder) -> Figure:
    """How soon a service ends that is told to during its first full pass."""
    with service(store.root) as running:
        time.sleep(1)
        told = time.monotonic()
        assert running.scrape().count("\nlayerstore_container_upper_inodes{") < CONTAINERS
    return Figure(
        what="end after SIGTERM during a full pass",
        value=time.monotonic() - told,
        unit="s",
        limit=1.0,
        reference="one scrape included",
    )


def _slowest(what: str, scrapes: list[float]) -> Figure:
    value = statistics.quantiles(scrapes, n=100)[98] * 1e3
    return Figure(what=what, value=value, unit="ms", limit=50, reference=f"{len(scrapes)} scrapes")


def _until_measured(running: Service) -> tuple[float, list[float]]:
    """How long it took until every upper layer had a figure, and how long each scrape took meanwhile."""
    began, scrapes = time.monotonic(), []
    measured = 0
    while measured < CONTAINERS:
        before = time.perf_counter()
        measured = running.scrape().count("\nlayerstore_container_upper_inodes{")
        scrapes.append(time.perf_counter() - before)
        time.sleep(0.02)
    return time.monotonic() - began, scrapes


def _grow(uppers: list[Path], stop: threading.Event) -> None:
    rng = random.Random(1)  # noqa: S311 - sizes of writes, no secrets
    while not stop.wait(1):
        for upper in uppers:
            with (upper / "data" / "f0").open("ab") as file:
                file.write(b"x" * rng.randrange(10_000))


def _watch(
    running: Service, store: StoreBuilder, container: ContainerID, *, until: float
) -> tuple[list[float], list[float]]:
    """How long growth took to be reported, and how long each scrape took. By turns a new file is made, and the one made
    last grows."""
    sample = f'layerstore_container_upper_allocated_bytes{{container_id="{container[:12]}"'
    latencies, scrapes, number = [], [], 0
    rng = random.Random(2)  # noqa: S311 - moments within an interval, no secrets
    while time.monotonic() < until:
        time.sleep(rng.uniform(0, INTERVAL))
        known = running.value(sample)
        file = Path(store.upper_path(container)) / "data" / f"new-{number // 2}"
        _grow_by(file, GROWTH)
        number += 1
        written = time.monotonic()
        while time.monotonic() - written < 4 * INTERVAL:
            before = time.perf_counter()
            value = running.value(sample)
            scrapes.append(time.perf_counter() - before)
            if value >= known + GROWTH:
                latencies.append(time.monotonic() - written)
                break
            # Seldom at first, so that scrapes are not what the service works for.
            time.sleep(1.0 if time.monotonic() - written < 0.8 * INTERVAL else 0.25)
        else:
            latencies.append(float("inf"))
    return latencies, scrapes


def _grow_by(path: Path, size: int) -> None:
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), size)
