"""Where the disk went, as rows that add up to the filesystem, and as a table of them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from exporter.account.owners import DRIVER_DIRECTORY, Owner, Ownership
from exporter.account.report import StoreReport
from exporter.export.text.diskrows import RootRow, root_rows
from exporter.export.text.glance import print_report
from exporter.measure.areas import Area
from exporter.measure.filesystem import Filesystem
from exporter.store.catalog import Layout
from exporter.store.entries import CacheID
from tests.unit.account.records import ROOT, Records
from tests.unit.export.text.screens import pipe, report_of

NONE = dict.fromkeys((area.value for area in Area), 0)
AREAS = {**NONE, "layers": 700, "containers": 30, "volumes": 200, "build": 5, "metadata": 60, "other": 5}
FILESYSTEM = Filesystem(size=10_000, available=4_000, files=None, files_free=None)
OWNERS = {
    DRIVER_DIRECTORY: Owner.INTERNAL,
    CacheID("a"): Owner.IMAGE_LAYER,
    CacheID("b"): Owner.IMAGE_LAYER,
    CacheID("c"): Owner.ORPHAN,
}
MEASURED = {DRIVER_DIRECTORY: 10, CacheID("a"): 400, CacheID("b"): 100, CacheID("c"): 190}


def store(*, driver: str = "overlay2", root: str = ROOT, **changes: object) -> StoreReport:
    """A store of which everything is known."""
    known: dict[str, object] = {
        "ownership": Ownership(owners=OWNERS),
        "directory_allocated": MEASURED,
        "areas": AREAS,
        "volumes": {"data": 150, "small": 10},
        "filesystem": FILESYSTEM,
        "reclaimable": {"orphans": 190, "dangling_images": 0},
    }
    return replace(Records(driver=driver, root=root).report(), **{**known, **changes})  # type: ignore[arg-type]


def row_of(*stores: StoreReport) -> RootRow:
    (row,) = root_rows(stores)
    return row


def table(*stores: StoreReport) -> list[list[str]]:
    """The cells of the lines below the table's title, by at least two spaces apart."""

    def show(console: Console) -> None:
        print_report(report_of(*stores), console, top=10)

    lines = pipe(show).splitlines()
    below = lines[next(place for place, line in enumerate(lines) if line.startswith("Where the disk went")) + 1 :]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in below]


def owned(row: RootRow) -> Mapping[Owner, tuple[int | None, int | None]]:
    return {owner.owner: (owner.directories, owner.allocated) for owner in row.owners}


def test_everything_adds_up() -> None:
    """Owners to the area ``layers``, areas to the root, the root and all else to the filesystem."""
    row = row_of(store())
    assert AREAS["layers"] == sum(owner.allocated or 0 for owner in row.owners)
    assert row.untold == 0
    assert row.allocated == sum(AREAS.values())
    assert row.allocated + (row.elsewhere or 0) + FILESYSTEM.available == FILESYSTEM.size
    assert (2, 500) == owned(row)[Owner.IMAGE_LAYER]
    # The driver's directory has blocks of its own, and is no entry of itself.
    assert (0, 10) == owned(row)[Owner.INTERNAL]


def test_owners_that_cannot_be_told() -> None:
    """What no owner's figure has is told in sum, so the table adds up all the same."""
    ownership = Ownership(owners=OWNERS, untold=frozenset({Owner.ORPHAN}))
    row = row_of(store(ownership=ownership))
    assert (None, None) == owned(row)[Owner.ORPHAN]
    assert row.untold == 190
    assert ["storage directories of the owners that are not known", "190B"] in table(store(ownership=ownership))


def test_what_is_not_measured_yet() -> None:
    """A directory without a figure takes its owner's away, and leaves its bytes in what is not told."""
    measured = {name: size for name, size in MEASURED.items() if name != "b"}
    row = row_of(store(directory_allocated=measured))
    assert ((2, None), 500) == (owned(row)[Owner.IMAGE_LAYER], row.untold)


def test_nothing_is_known() -> None:
    """Before anything is measured the sums are not known, never 0."""
    row = row_of(store(areas={}, directory_allocated={}, ownership=None, filesystem=None))
    assert (None, None, None) == (row.allocated, row.elsewhere, row.untold)
    assert dict.fromkeys((area.value for area in Area), None) == row.areas


def test_volumes_that_were_not_measured() -> None:
    """Without one area the root's sum is not known."""
    areas = {name: size for name, size in AREAS.items() if name != "volumes"}
    row = row_of(store(areas=areas, volumes={}))
    assert (None, None) == (row.areas["volumes"], row.allocated)


def test_two_drivers_in_one_root() -> None:
    """A store that a switch left behind has its directories in the same sum, under its own name."""
    old = store(
        driver="vfs",
        ownership=None,
        directory_allocated={},
        areas={**NONE, "layers": 50},
        volumes={},
        reclaimable={},
    )
    row = row_of(store(), old)
    assert (sum(AREAS.values()) + 50, 50) == (row.allocated, row.untold)
    assert ("overlay2", "vfs") == row.stores
    assert ["drivers whose storage directories are not told apart", "50B"] in table(store(), old)


def test_roots_are_apart() -> None:
    """What lies in another root is in another table."""
    other = store(root="/srv/docker")
    assert [ROOT, "/srv/docker"] == [row.root for row in root_rows([store(), other])]


def test_the_table() -> None:
    """The largest first, volumes by name below their sum, then the sums up to the filesystem."""
    assert [
        ["what", "allocated", "directories"],
        ["layers of images", "500B", "2"],
        ["volumes", "200B"],
        ["of these data", "150B"],
        ["of these small", "10B"],
        ["orphans", "190B", "1"],
        ["records of images, layers, networks", "60B"],
        ["containers' logs and records", "30B"],
        ["the driver's own", "10B", "0"],
        ["the builder's records", "5B"],
        ["everything else in the root", "5B"],
        ["= the root", "1kB"],
        ["+ everything else on its filesystem", "5kB"],
        ["+ available", "4kB"],
        ["= the filesystem", "10kB"],
    ] == table(store())[:15]


def freeable(*stores: StoreReport) -> list[list[str]]:
    """The cells of the table of what could be freed."""
    lines = table(*stores)
    first = next(place for place, line in enumerate(lines) if line and line[0].startswith("What could be freed"))
    return lines[first + 1 : lines.index([], first)]


def namespace(name: str, **reclaimable: int) -> StoreReport:
    """A namespace of containerd."""
    report = store(root="/var/lib/containerd", reclaimable=reclaimable)
    changed = replace(report.store, name=f"containerd/{name}", namespace=name, layout=Layout.SNAPSHOTTER)
    return replace(report, store=changed)


def test_what_could_be_freed() -> None:
    """Each kind with the command that frees it; a kind that cannot be told is left out."""
    assert [
        ["what", "frees", "how"],
        ["dangling images", "0B", "docker image prune"],
        ["orphans", "190B", "by hand, after inspect has told of each"],
    ] == freeable(store())


def test_stores_that_share_a_root_are_freed_one_by_one() -> None:
    """Each namespace's images are another engine's to remove; the sums of all stay as they were."""
    both = namespace("k8s.io", dangling_images=70), namespace("default", dangling_images=5, unused_images=9)
    assert [
        ["what", "frees", "how"],
        [
            "dangling images (containerd/k8s.io)",
            "70B",
            "crictl rmi --prune (takes all unused images, not only these)",
        ],
        ["dangling images (containerd/default)", "5B", "ctr --namespace default images rm NAME (one by one)"],
        [
            "images without a container (containerd/default)",
            "9B",
            "ctr --namespace default images prune --all (since containerd 1.7)",
        ],
    ] == freeable(*both)
    assert {"dangling_images": 75, "unused_images": 9} == row_of(*both).reclaimable


@pytest.mark.parametrize("size", [9_999_999, 0])
def test_a_filesystem_that_is_smaller_than_its_parts(size: int) -> None:
    """While things move, or on a filesystem that shares blocks, nothing is less than nothing."""
    row = row_of(store(areas={**AREAS, "layers": size + 20_000}))
    assert row.elsewhere == 0
