"""A restart on a host of 1,000 layers that was measured before: how soon its figures are back, and what it costs."""

import time
from collections import Counter
from pathlib import Path

from exporter.measure.areas import AreaMeasurer
from exporter.measure.directories import DirectoryMeasurer, Kind
from exporter.measure.memory import open_memory
from exporter.sample.large import build_large
from exporter.store.catalog import Catalog
from exporter.store.detect import Root
from exporter.store.scanner import Scanner
from tests.bench.figures import Figure, du, in_turn, seconds


def figures(directory: Path) -> list[Figure]:
    """The first start, the next one, a round in which nothing changed, and the areas beside ``du``."""
    root = directory / "docker"
    build_large(root, layers=1000, images=300, containers=500, seed=1)
    state = directory / "state"
    before = time.perf_counter()
    first, _ = _start(root, state)
    measuring = time.perf_counter() - before
    before, used = time.perf_counter(), time.thread_time()
    again, measurer = _start(root, state)
    back, used = time.perf_counter() - before, time.thread_time() - used
    catalog = _catalog(root)
    unchanged = seconds(lambda: measurer.expect(catalog.stores))
    return [
        Figure(
            what="restart: records read, all figures back",
            value=back,
            unit="s",
            limit=2.0,
            reference=f"CPU {used:.2f} s; the first start, which measures everything: {measuring:.2f} s",
        ),
        Figure(
            what="restart: inodes of immutable directories walked again",
            value=again[Kind.IMMUTABLE],
            unit="",
            reference=f"0 is wanted; at the first start {first[Kind.IMMUTABLE]:,}",
        ),
        Figure(
            what="storage directories, nothing changed",
            value=unchanged * 1e3,
            unit="ms",
            reference=f"{len(catalog.stores[0].directories):,} of them",
        ),
        _areas(root, catalog),
    ]


def _catalog(root: Path) -> Catalog:
    return Scanner([Root(path=str(root))]).scan(time.time())


def _start(root: Path, state: Path) -> tuple[Counter[Kind], DirectoryMeasurer]:
    """Read the records and measure what is not remembered; how many inodes were looked at, by kind."""
    memory = open_memory(str(state))
    measurer = DirectoryMeasurer(memory, monotonic=time.monotonic, full_interval=300.0)
    measurer.expect(_catalog(root).stores)
    inodes: Counter[Kind] = Counter()
    while (step := measurer.step()) is not None:
        inodes[step.kind] += step.inodes
    memory.close()
    return inodes, measurer


def _areas(root: Path, catalog: Catalog) -> Figure:
    def ours() -> None:
        measurer = AreaMeasurer(monotonic=time.monotonic, full_interval=300.0)
        measurer.expect(catalog.stores)
        measurer.step()

    taken, theirs = in_turn(ours, lambda: du(str(root)))
    return Figure(
        what="areas, storage directories known",
        value=taken / theirs,
        unit="times du",
        reference=f"{taken:.2f} s; du -s of the whole root {theirs:.2f} s",
    )
