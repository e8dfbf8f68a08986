"""A Docker host with containerd's image store: 1,000 images, 5,000 snapshots, 500 containers."""

import time
from pathlib import Path

from exporter.store.detect import Root
from exporter.survey import RecordSurvey
from tests.bench.figures import Figure, seconds
from tests.store.containerd_roots import ContainerdRootBuilder
from tests.unit.store.containerd.hosts import write_container

IMAGES, CONTAINERS = 1000, 500
BASES, BASE_LAYERS, OWN_LAYERS = 100, 5, 3
"""Images lie on one of so many bases; with two snapshots for each container there are 5,000 in all."""
SETTLED = 2.5


def figures(directory: Path) -> list[Figure]:
    """The catalog with its contradictions and the owners of directories, as the daemon reads it: the first time, while
    nothing changes, and after a commit."""
    root = directory / "docker"
    builder = build(root)
    size = sum(path.stat().st_size for path in (builder.metadata, builder.database))
    told = (
        f"{IMAGES:,} images, {len(builder.rows):,} snapshots, {CONTAINERS} containers; databases of {size / 1e6:.1f} MB"
    )
    known = [Root(path=str(root))]
    first = seconds(lambda: RecordSurvey(known).catalog(), times=5)
    time.sleep(SETTLED)
    records = RecordSurvey(known)
    catalog = records.catalog()
    unchanged = seconds(records.catalog, times=25)
    (store,) = catalog.stores
    assert (len(store.images), len(store.directories), len(store.containers)) == (IMAGES, len(builder.rows), CONTAINERS)
    assert store.problems == ()

    taken: list[float] = []
    for _ in range(5):
        builder.write()
        taken.append(seconds(records.catalog, times=1))
    return [
        Figure(what="containerd: first catalog", value=first, unit="s", limit=2.0, reference=told),
        Figure(
            what="containerd: catalog, nothing committed",
            value=unchanged * 1e3,
            unit="ms",
            limit=100,
            reference="median of 25",
        ),
        Figure(
            what="containerd: catalog after a commit",
            value=sorted(taken)[2],
            unit="s",
            reference="to both databases, which are then read anew; median of 5",
        ),
    ]


def build(root: Path) -> ContainerdRootBuilder:
    """The host."""
    builder = ContainerdRootBuilder(root / "containerd/daemon")
    tops: list[tuple[str, str]] = []
    for number in range(IMAGES):
        base = [f"base {number % BASES} layer {layer}" for layer in range(BASE_LAYERS)]
        own = [f"image {number} layer {layer}" for layer in range(OWN_LAYERS if number % 2 else OWN_LAYERS + 1)]
        target, chain = builder.pulled("moby", f"registry.example/team/image{number}:1.{number}", *base, *own)
        tops.append((target, chain[-1]))
    for number in range(CONTAINERS):
        target, top = tops[number]
        container = f"{number:064x}"
        builder.dockers_container(container, parent=top)
        write_container(root, container, image=target)
    return builder.write()
