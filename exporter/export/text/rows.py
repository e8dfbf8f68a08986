"""The host at a glance as rows, largest first: what the tables show in part and the JSON in full. Pure.

The names of the fields are the keys of ``report --json``. None stands for what no record tells or nothing measured.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exporter.account.inspect.index import StoreIndex
from exporter.account.inspect.views import ImageName
from exporter.account.report import LayerTotal, Report
from exporter.export.text.diskrows import RootRow, root_rows
from exporter.measure.growers import Grower
from exporter.store.catalog import Catalog, Problem, ProblemKind
from exporter.store.entries import (
    CacheID,
    ChainID,
    ContainerID,
    ContainerState,
    DiffID,
    Image,
    ImageID,
    MountPoint,
    Workload,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperTotal:
    """All measured upper layers of a store together; the sums are None where there are containers and none was
    measured."""

    measured: int
    size: int | None
    allocated: int | None
    inodes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRow:
    """One store in sum."""

    store: str
    engine: str
    driver: str
    root: str
    active: bool
    measurable: bool
    images: Mapping[str, int]
    """By ``tagged``, ``dangling``, ``intermediate``."""
    layers: Mapping[str, LayerTotal]
    """By ``shared``, ``exclusive``, ``unreferenced``: each layer once."""
    container_count: int
    containers: Mapping[str, int]
    """By state; those whose state no record tells are in none."""
    uppers: UpperTotal
    log_allocated: int | None
    """Bytes of the containers' logs that are known; None where none is."""
    problems: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRow:
    """A container and what it wrote."""

    store: str
    container_id: ContainerID
    name: str
    image: str
    """What the user asked for."""
    image_id: ImageID | None
    state: ContainerState | None
    created: float | None
    upper_directory: CacheID | None
    upper_size: int | None
    upper_allocated: int | None
    upper_inodes: int | None
    upper_measured_at: float | None
    upper_exact: bool | None
    """False where the three figures are lower bounds: something could not be read, or grew while it was walked."""
    upper_limit: int | None
    """None where no limit is set."""
    growers: tuple[Grower, ...]
    """What grew most between two measurements; none where there was one."""
    log_driver: str
    log_allocated: int | None
    workload: Workload
    mount_points: tuple[MountPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """A layer and who shares it."""

    store: str
    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: CacheID | None
    chain_id_recomputes: bool
    size: int | None
    images: tuple[ImageName, ...]
    """The head images whose chain contains it."""
    containers: int
    """Containers whose chain contains it, in any state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """An image and what it costs."""

    store: str
    image_id: ImageID
    names: tuple[str, ...]
    state: str
    created: float | None
    platform: str
    size: int
    unique: int | None
    """None, as ``shared`` is, for an intermediate image: it costs nothing beside the image built on it."""
    shared: int | None
    containers: int
    layers: tuple[ChainID, ...]
    """Base first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRow:
    """Something wrong with a record."""

    store: str | None
    """None for what belongs to no store."""
    kind: ProblemKind
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The whole host."""

    taken_at: float
    stores: tuple[StoreRow, ...]
    storeless: tuple[str, ...]
    """Roots that could be read and have no store."""
    containers: tuple[ContainerRow, ...]
    """Most allocated first; those that were not measured last."""
    layers: tuple[LayerRow, ...]
    """Largest first."""
    images: tuple[ImageRow, ...]
    """Most unique bytes first, then largest; intermediate images last."""
    problems: tuple[ProblemRow, ...]
    disk: tuple[RootRow, ...]
    """Where the disk went, by the engines' roots."""


def glance(report: Report) -> Glance:
    """*report* as rows."""
    indexes = [StoreIndex(store_report) for store_report in report.stores]
    containers = [row for index in indexes for row in _container_rows(index)]
    layers = [row for index in indexes for row in _layer_rows(index)]
    images = [_image_row(index, image) for index in indexes for image in index.store.images.values()]
    return Glance(
        taken_at=report.catalog.taken_at,
        stores=tuple(map(_store_row, indexes)),
        storeless=report.catalog.storeless,
        containers=tuple(
            sorted(containers, key=lambda row: (*_descending(row.upper_allocated), row.name, row.container_id))
        ),
        layers=tuple(sorted(layers, key=lambda row: (*_descending(row.size), row.chain_id, row.store))),
        images=tuple(sorted(images, key=lambda row: (*_descending(row.unique), -row.size, row.image_id, row.store))),
        problems=problem_rows(report.catalog),
        disk=root_rows(report.stores),
    )


def _descending(value: int | None) -> tuple[bool, int]:
    """A sort key: large values first, unknown ones last."""
    return value is None, -(value or 0)


def _store_row(index: StoreIndex) -> StoreRow:
    store, report = index.store, index.report
    usages = [upper.usage for upper in report.uppers.values()]
    known = bool(usages) or not store.containers
    states = Counter(container.state for container in store.containers.values())
    return StoreRow(
        store=store.name,
        engine=store.engine,
        driver=store.driver,
        root=store.root,
        active=store.active,
        measurable=store.measurable,
        images=report.image_states,
        layers=report.layer_usage,
        container_count=len(store.containers),
        containers={state.value: states[state] for state in ContainerState},
        uppers=UpperTotal(
            measured=len(usages),
            size=sum(usage.size for usage in usages) if known else None,
            allocated=sum(usage.allocated for usage in usages) if known else None,
            inodes=sum(usage.inodes for usage in usages) if known else None,
        ),
        log_allocated=sum(report.logs.values()) if report.logs or not store.containers else None,
        problems=len(store.problems),
    )


def _container_rows(index: StoreIndex) -> Iterator[ContainerRow]:
    for container_id, container in index.store.containers.items():
        upper = index.report.uppers.get(container_id)
        yield ContainerRow(
            store=index.store.name,
            container_id=container_id,
            name=container.name,
            image=container.image_reference,
            image_id=container.image_id,
            state=container.state,
            created=container.created,
            upper_directory=index.store.upper_of(container_id),
            upper_size=None if upper is None else upper.usage.size,
            upper_allocated=None if upper is None else upper.usage.allocated,
            upper_inodes=None if upper is None else upper.usage.inodes,
            upper_measured_at=None if upper is None else upper.measured_at,
            upper_exact=None if upper is None else upper.exact,
            upper_limit=index.store.limit_of(container),
            growers=() if upper is None else upper.growers,
            log_driver=container.log_driver,
            log_allocated=index.report.logs.get(container_id),
            workload=container.workload,
            mount_points=container.mount_points,
        )


def _layer_rows(index: StoreIndex) -> Iterator[LayerRow]:
    for chain_id, layer in index.store.layers.items():
        yield LayerRow(
            store=index.store.name,
            chain_id=chain_id,
            diff_id=layer.diff_id,
            parent=layer.parent,
            cache_id=layer.cache_id,
            chain_id_recomputes=layer.chain_id_recomputes,
            size=layer.size,
            images=index.images_sharing(chain_id),
            containers=index.report.layer_use[chain_id].containers,
        )


def _image_row(index: StoreIndex, image: Image) -> ImageRow:
    layers, use = index.store.layers, index.report.image_use.get(image.image_id)
    known = [layers[chain_id].size or 0 for chain_id in image.chain_ids if chain_id in layers]
    return ImageRow(
        store=index.store.name,
        image_id=image.image_id,
        names=index.names.get(image.image_id, ()),
        state=index.image_state(image.image_id),
        created=image.created,
        platform=image.platform,
        size=sum(known),
        unique=None if use is None else use.unique,
        shared=None if use is None else use.shared,
        containers=len(index.containers_from(image.image_id)),
        layers=image.chain_ids,
    )


def problem_rows(catalog: Catalog) -> tuple[ProblemRow, ...]:
    """What is wrong, that which belongs to no store first."""
    return (
        *(_problem_row(None, problem) for problem in catalog.problems),
        *(_problem_row(store.name, problem) for store in catalog.stores for problem in store.problems),
    )


def _problem_row(store: str | None, problem: Problem) -> ProblemRow:
    return ProblemRow(store=store, kind=problem.kind, path=problem.path, reason=problem.reason)
