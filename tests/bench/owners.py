"""Whose everything is: the builder's database, the rule, and a restart of the service on a host that was measured."""

import random
import time
from collections import Counter
from pathlib import Path

from exporter.account.owners import Owner
from exporter.account.ownership import classify
from exporter.account.reclaim import removable
from exporter.measure.directories import DirectoryMeasurer, Kind
from exporter.measure.memory import Memory
from exporter.sample.graphdir import graph_driver
from exporter.sample.large import build_large
from exporter.sample.layerdb import LayerDatabase, LayerRecord, chain_id
from exporter.store.buildkit import BuildCacheReader
from exporter.store.catalog import Store
from exporter.store.detect import Root
from exporter.store.entries import CacheID, DiffID, Directory
from exporter.store.scanner import Scanner
from exporter.survey import RecordSurvey
from tests.bench.figures import Figure, seconds
from tests.bench.records import SETTLED
from tests.bench.service import Service, service
from tests.store.bolt_files import encode

ROWS = 100_000
DIRECTORIES = 20_000
NOW = 2_000_000_000.0
BACK = (
    "layerstore_layer_allocated_bytes{",
    'layerstore_directories_allocated_bytes{owner="image_layer"',
    'layerstore_directories_allocated_bytes{owner="container_upper"',
    'layerstore_area_allocated_bytes{area="layers"',
    'layerstore_area_allocated_bytes{area="containers"',
    'layerstore_reclaimable_bytes{by="unused_images"',
)
"""What says, all together, that the figures are back."""


def figures(directory: Path) -> list[Figure]:
    """The database, the rule, the restart."""
    (directory / "bolt").mkdir()
    root = directory / "docker"
    build_large(root, layers=1000, images=300, containers=500, seed=1)
    layers = _layers(directory / "many")
    return [*_bolt(directory / "bolt"), *_classifying(), *layers, *_restart(root, directory / "state")]


def _bolt(root: Path) -> list[Figure]:
    chosen = random.Random(1)  # noqa: S311 - the same each time
    keys = ["".join(chosen.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=25)) for _ in range(ROWS)]
    rows = {key.encode(): {b"parent": keys[place // 2].encode(), b"size": b"12345"} for place, key in enumerate(keys)}
    database = root / "buildkit" / "snapshots.db"
    database.parent.mkdir()
    database.write_bytes(encode(rows))
    used = time.process_time()
    taken = seconds(lambda: BuildCacheReader().read(str(root)), times=3)
    used = (time.process_time() - used) / 3
    reader = BuildCacheReader()
    assert len(reader.read(str(root)).snapshots) == ROWS
    again = seconds(lambda: reader.read(str(root)))
    size = f"CPU {used:.2f} s; {ROWS:,} rows, {database.stat().st_size / 1e6:.0f} MB"
    return [
        Figure(what="bolt: all rows of the build cache", value=taken, unit="s", limit=1.0, reference=size),
        Figure(what="bolt: nothing committed since", value=again * 1e3, unit="ms", reference="the meta pages alone"),
    ]


def _classifying() -> list[Figure]:
    store = _crowded()
    first = classify(store, now=NOW)
    taken = seconds(lambda: classify(store, now=NOW + 15, previous=first))
    orphans = len(classify(store, now=NOW + 15, previous=first).of(Owner.ORPHAN))
    reclaiming = seconds(lambda: removable(store, first))
    return [
        Figure(
            what="whose each storage directory is",
            value=taken,
            unit="s",
            limit=1.0,
            reference=f"{DIRECTORIES:,} directories, {orphans:,} orphans among them, nothing walked",
        ),
        Figure(what="what each prune would take", value=reclaiming, unit="s", reference="the same store"),
    ]


def _crowded() -> Store:
    """A store of many directories in chains of ten: half named by the build cache, half by nobody."""
    chosen = random.Random(2)  # noqa: S311 - the same each time
    names = [CacheID("".join(chosen.choices("0123456789abcdef", k=64))) for _ in range(DIRECTORIES)]
    shorts = ["".join(chosen.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=26)) for _ in names]
    directories = {}
    for place, name in enumerate(names):
        below = tuple(reversed(shorts[place - place % 10 : place]))
        directories[name] = Directory(
            name=name,
            link=shorts[place],
            lower=below or None,
            committed=True,
            has_diff=True,
            has_work=bool(below),
            has_merged=False,
            modified=NOW - 1e6,
            linked=NOW - 1e6,
        )
    return Store(
        name="overlay2",
        engine="docker",
        driver="overlay2",
        root="/docker",
        active=True,
        measurable=True,
        directory_root="/docker/overlay2",
        directories=directories,
        short_links={short: f"../{name}/diff" for short, name in zip(shorts, names, strict=True)},
        cache_directories=frozenset(names[: DIRECTORIES // 2]),
        engine_started=NOW - 1e5,
    )


def _layers(root: Path) -> list[Figure]:
    """As many layers, in chains of ten, that no image uses any more: read, checked and told whose they are."""
    graph = graph_driver("overlay2", root, random.Random(3))  # noqa: S311 - the same each time
    records = LayerDatabase(root / "image/overlay2/layerdb", random.Random(4))  # noqa: S311 - the same each time
    parent, below = None, None
    for number in range(DIRECTORIES):
        if number % 10 == 0:
            parent, below = None, None
        name, diff_id = CacheID(f"{number:064x}"), DiffID(f"sha256:{number:064x}")
        chain = chain_id(parent, diff_id)
        graph.create(name, below)
        (records.temporary / "write-set").mkdir()
        layer = LayerRecord(chain_id=chain, diff_id=diff_id, cache_id=name, parent=parent, size=number)
        records.commit(records.temporary / "write-set", layer)
        parent, below = chain, name
    survey = RecordSurvey([Root(path=str(root))], daemon_config="/nonexistent")
    first = seconds(survey.catalog, times=1)
    (ownership,) = survey.ownership.values()
    time.sleep(SETTLED)
    survey.catalog()
    unchanged = seconds(survey.catalog)
    unused = len(ownership.of(Owner.UNREFERENCED_LAYER))
    return [
        Figure(
            what="first catalog with owners and problems",
            value=first,
            unit="s",
            reference=f"{DIRECTORIES:,} layers, of which {unused:,} are told to be unreferenced",
        ),
        Figure(what="the same, nothing changed", value=unchanged, unit="s"),
    ]


def _restart(root: Path, state: Path) -> list[Figure]:
    immutable = _immutable_inodes(root)
    first, measured, _ = _start(root, state)
    back, again, used = _start(root, state)
    return [
        Figure(
            what="restart of the service: all figures back",
            value=back,
            unit="s",
            limit=2.0,
            reference=f"CPU {used:.2f} s, from the start of its process; the first start, which measures everything: "
            f"{first:.2f} s",
        ),
        Figure(
            what="restart of the service: inodes of immutable layers walked",
            value=again - (measured - immutable),
            unit="",
            reference=f"0 is wanted; by walk_inodes_total: {measured:,.0f} at the first start, of which {immutable:,} "
            f"are immutable, and {again:,.0f} now",
        ),
    ]


def _immutable_inodes(root: Path) -> int:
    measurer = DirectoryMeasurer(Memory(), monotonic=time.monotonic, full_interval=300.0)
    measurer.expect(Scanner([Root(path=str(root))]).scan(time.time()).stores)
    inodes: Counter[Kind] = Counter()
    while (step := measurer.step()) is not None:
        inodes[step.kind] += step.inodes
    return inodes[Kind.IMMUTABLE]


def _start(root: Path, state: Path) -> tuple[float, float, float]:
    """Seconds from the start until all figures are there, the inodes that were looked at for them, and CPU seconds."""
    began = time.perf_counter()
    with service(root, "--state.path", str(state), "--layers.limit", "1000") as running:
        while not _is_back(running):
            time.sleep(0.1)  # a scrape costs the service CPU, too
        taken = time.perf_counter() - began
        return taken, running.value("layerstore_walk_inodes_total"), running.cpu()


def _is_back(running: Service) -> bool:
    lines = running.scrape().splitlines()
    return (
        all(any(line.startswith(sample) for line in lines) for sample in BACK)
        and sum(line.startswith(BACK[0]) for line in lines) == 1000
        and sum(line.startswith("layerstore_container_upper_allocated_bytes{") for line in lines) == 500
    )
