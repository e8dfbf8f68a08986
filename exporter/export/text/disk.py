"""Where the disk went, as a table that adds up to the filesystem, and what could be freed."""

from collections.abc import Iterator

from rich.console import RenderableType

from exporter.account.owners import Owner
from exporter.account.reclaim import Kind
from exporter.export.text.diskrows import FreeableRow, RootRow
from exporter.export.text.listing import Column, Role, listing
from exporter.export.text.page import Page, Part, amount, number
from exporter.measure.areas import Area

_OWNERS = {
    Owner.IMAGE_LAYER: "layers of images",
    Owner.CONTAINER_UPPER: "upper layers of containers",
    Owner.CONTAINER_INIT: "init layers of containers",
    Owner.BUILD_CACHE: "build cache",
    Owner.UNREFERENCED_LAYER: "layers that nothing uses",
    Owner.LEAKED_MOUNT: "writable layers without a container, left over",
    Owner.REMOVING: "layers that are being removed, or could not be",
    Owner.IN_FLIGHT: "being made or used right now",
    Owner.SUSPECT: "no record names it; may be an orphan",
    Owner.ORPHAN: "orphans",
    Owner.INTERNAL: "the driver's own",
}
_AREAS = {
    Area.CONTAINERS: "containers' logs and records",
    Area.VOLUMES: "volumes",
    Area.BUILD: "the builder's records",
    Area.METADATA: "records of images, layers, networks",
    Area.CONTENT: "images' content as it came, compressed",
    Area.OTHER: "everything else in the root",
}
_KINDS = {
    Kind.DANGLING_IMAGES: "dangling images",
    Kind.UNUSED_IMAGES: "images without a container",
    Kind.EXITED_CONTAINERS: "containers that ended",
    Kind.BUILD_CACHE: "build cache",
    Kind.ORPHANS: "orphans",
}
_TOP = 5
"""Volumes that are told one by one."""


def disk_tables(page: Page, row: RootRow) -> Iterator[RenderableType]:
    """One root: everything in it, largest first, then the filesystem's sums; then what could be freed."""
    yield page.text(("Where the disk went", "bold"), (f"  {row.root}", "dim"))
    columns = (Column("what", Role.NAME), Column("allocated", Role.FIGURE), Column("directories", Role.FIGURE))
    yield listing(page, columns, [*_parts(row), *_sums(row)])
    if row.freeable:
        yield page.text()
        yield page.text(("What could be freed", "bold"), ("  layers that others need stay; the kinds overlap", "dim"))
        columns = (Column("what", Role.NAME), Column("frees", Role.FIGURE), Column("how"))
        yield listing(page, columns, [_freeable(row, freeable) for freeable in row.freeable])


def _freeable(row: RootRow, freeable: FreeableRow) -> tuple[Part, ...]:
    how = freeable.command or freeable.remark
    if freeable.command and freeable.remark:
        how = f"{freeable.command} ({freeable.remark})"
    return _name(row, _KINDS[freeable.kind], freeable.store), (amount(freeable.allocated), "bold"), how


def _parts(row: RootRow) -> Iterator[tuple[Part, ...]]:
    """What takes space in the root; what takes none is left out."""
    parts: list[tuple[str, int | None, int | None]] = [
        (_name(row, _OWNERS[owned.owner], owned.store), owned.allocated, owned.directories)
        for owned in row.owners
        if owned.allocated or owned.directories or (owned.allocated is None and row.untold)
    ]
    if row.untold and any(owned.allocated is None for owned in row.owners):
        parts.append(("storage directories of the owners that are not known", row.untold, None))
    elif row.untold:
        parts.append(("drivers whose storage directories are not told apart", row.untold, None))
    parts += [(name, row.areas.get(area), None) for area, name in _AREAS.items() if row.areas.get(area) != 0]
    for what, allocated, directories in sorted(parts, key=lambda part: (part[1] is None, -(part[1] or 0))):
        yield what, (amount(allocated), "bold"), "" if directories is None else number(directories)
        if what == _AREAS[Area.VOLUMES]:
            yield from _volumes(row)


def _name(row: RootRow, what: str, store: str) -> str:
    return f"{what} ({store})" if len(row.stores) > 1 else what


def _volumes(row: RootRow) -> Iterator[tuple[Part, ...]]:
    largest = sorted(row.volumes.items(), key=lambda volume: (-volume[1], volume[0]))
    for name, allocated in largest[:_TOP]:
        yield (f"  of these {name}", "dim"), (amount(allocated), "dim"), ""


def _sums(row: RootRow) -> Iterator[tuple[Part, ...]]:
    yield ("= the root", "bold"), (amount(row.allocated), "bold"), ""
    filesystem = row.filesystem
    if filesystem is None:
        return
    yield "+ everything else on its filesystem", amount(row.elsewhere), ""
    yield "+ available", amount(filesystem.available), ""
    yield ("= the filesystem", "bold"), (amount(filesystem.size), "bold"), ""
