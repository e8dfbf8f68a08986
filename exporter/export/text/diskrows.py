"""Where the disk went, as rows that add up. Pure.

The names of the fields are the keys of ``report --json``. None stands for what is not known or was not measured.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.account.freeing import way_of
from exporter.account.owners import Owner
from exporter.account.reclaim import Kind
from exporter.account.report import StoreReport
from exporter.measure.areas import Area
from exporter.measure.filesystem import Filesystem


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRow:
    """What one owner has in the driver's directory of one store."""

    store: str
    owner: Owner
    directories: int | None
    """None where it cannot be told which are the owner's."""
    allocated: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeableRow:
    """What removing all of a kind would free in one store, and how."""

    store: str
    kind: Kind
    allocated: int
    command: str | None
    """What frees it on the engine that the store belongs to; None where nothing can be run for it."""
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRow:
    """One engine's root, all stores in it."""

    root: str
    stores: tuple[str, ...]
    owners: tuple[OwnerRow, ...]
    """What the area ``layers`` is made of."""
    untold: int | None
    """Bytes of the area ``layers`` that no owner's figure has: of owners that cannot be told or are not measured."""
    areas: Mapping[str, int | None]
    """Allocated bytes; they add up to ``allocated``."""
    volumes: Mapping[str, int]
    """Of the area ``volumes``, those that are known."""
    allocated: int | None
    """What ``du -sx`` says of the root."""
    elsewhere: int | None
    """Bytes of the filesystem that anything else has, what is reserved for root included:
    ``allocated + elsewhere + available = size``."""
    filesystem: Filesystem | None
    reclaimable: Mapping[str, int]
    """What removing all of a kind would free in all stores; the kinds overlap."""
    freeable: tuple[FreeableRow, ...]
    """The same, store by store."""


def root_rows(reports: Iterable[StoreReport]) -> tuple[RootRow, ...]:
    """The roots of all stores."""
    by_root: dict[str, list[StoreReport]] = defaultdict(list)
    for report in reports:
        by_root[report.store.root].append(report)
    return tuple(_root_row(root, inside) for root, inside in by_root.items())


def _root_row(root: str, reports: list[StoreReport]) -> RootRow:
    owners = tuple(row for report in reports for row in _owner_rows(report))
    areas = {area.value: _sum(report.areas.get(area) for report in reports if report.areas) for area in Area}
    allocated = _sum(areas.values())
    filesystem = next((report.filesystem for report in reports if report.filesystem is not None), None)
    told, layers = sum(row.allocated or 0 for row in owners), areas[Area.LAYERS]
    return RootRow(
        root=root,
        stores=tuple(report.store.name for report in reports),
        owners=owners,
        untold=None if layers is None else max(0, layers - told),
        areas=areas,
        volumes={name: size for report in reports for name, size in report.volumes.items()},
        allocated=allocated,
        elsewhere=None
        if allocated is None or filesystem is None
        else max(0, filesystem.size - filesystem.available - allocated),
        filesystem=filesystem,
        reclaimable=_reclaimable(reports),
        freeable=tuple(row for report in reports for row in _freeable_rows(report)),
    )


def _owner_rows(report: StoreReport) -> Iterable[OwnerRow]:
    if report.ownership is None:
        return
    counts, sizes = report.ownership.counts(), report.ownership.allocated(report.directory_allocated)
    for owner in Owner:
        yield OwnerRow(store=report.store.name, owner=owner, directories=counts.get(owner), allocated=sizes.get(owner))


def _sum(values: Iterable[int | None]) -> int | None:
    """None where there are none, or any is."""
    total = None
    for value in values:
        if value is None:
            return None
        total = value + (total or 0)
    return total


def _reclaimable(reports: Iterable[StoreReport]) -> Mapping[str, int]:
    sums: dict[str, int] = {}
    for report in reports:
        for kind, size in report.reclaimable.items():
            sums[kind] = sums.get(kind, 0) + size
    return sums


def _freeable_rows(report: StoreReport) -> Iterator[FreeableRow]:
    for kind in Kind:
        if kind in report.reclaimable:
            way = way_of(report.store, kind)
            yield FreeableRow(
                store=report.store.name,
                kind=kind,
                allocated=report.reclaimable[kind],
                command=way.command,
                remark=way.remark,
            )
