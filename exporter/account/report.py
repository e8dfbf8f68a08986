"""The report: one moment's whole answer, as frozen values. What ``export`` turns into metrics, pages and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.account.content import ContentTotal, Keeper
from exporter.account.growth import Growth
from exporter.account.owners import Ownership
from exporter.measure.filesystem import Filesystem
from exporter.measure.growers import Grower
from exporter.measure.usage import Usage
from exporter.store.catalog import Catalog, Problem, Store
from exporter.store.entries import CacheID, ChainID, ContainerID, ImageID


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """Who uses a layer."""

    images: int
    """Head images whose chain contains it."""
    containers: int
    """Containers whose chain contains it, in any state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUse:
    """What a head image costs. ``unique + shared == size``."""

    size: int
    """Bytes of all its layers, as the engine recorded them."""
    unique: int
    """Bytes of the layers that no other head image uses."""
    shared: int
    containers: int
    """Containers made from it, in any state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """A container's upper layer as last measured."""

    usage: Usage
    measured_at: float
    """When the measurement ended, Unix seconds."""
    growth: Growth | None = None
    """What it grew and lost since it was first measured; None from a command that measures once."""
    growers: tuple[Grower, ...] = ()
    """The files and directories that grew most between the last two measurements, the largest first."""
    exact: bool = True
    """False where the figure is a lower bound: something could not be read, or the tree outgrew its walk."""
    read_since: float | None = None
    """Every file in it has been looked at since then, Unix seconds; None where that is not known. Measurements between
    look at what shows a change: bytes written in place to a file long untouched wait until it is read again."""
    tracked: bool = True
    """False where it has more directories than are remembered, so that every measurement reads all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """One store: its records, and what follows from them."""

    store: Store
    layer_use: Mapping[ChainID, LayerUse]
    """Every layer of the store."""
    image_use: Mapping[ImageID, ImageUse]
    """The *head* images only: those with a reference, or without children."""
    image_states: Mapping[str, int]
    """How many images are ``tagged``, ``dangling``, ``intermediate``: always all three keys."""
    layer_usage: Mapping[str, "LayerTotal"]
    """Totals by ``shared``, ``exclusive``, ``unreferenced``: always all three keys."""
    uppers: Mapping[ContainerID, Upper] = field(default_factory=dict)
    """Absent until measured."""
    logs: Mapping[ContainerID, int] = field(default_factory=dict)
    """Allocated bytes of a container's log files, rotated ones too; absent where they could not be read."""
    directory_allocated: Mapping[CacheID, int] = field(default_factory=dict)
    """Allocated bytes of each storage directory (all of it: ``diff``, ``work``, ``link``, …) that was measured. The
    engine's own entries beside them (``l``, ``backingFsBlockDev``: ``Store.internal``) stand under their names, the
    blocks of the driver's directory itself under ``.``; so the sum of all is ``du`` of the driver's directory."""
    ownership: Ownership | None = None
    """Whose each storage directory is; None where the driver's directories cannot be read."""
    reclaimable: Mapping[str, int] = field(default_factory=dict)
    """Bytes of allocation that removing all of a kind would free, by ``exporter.account.reclaim.Kind``; absent where
    anything that tells it is not known or not measured."""
    layer_allocated: Mapping[ChainID, int] = field(default_factory=dict)
    """Allocated bytes of each layer's files: of ``diff`` in its storage directory. Absent until measured."""
    content: Mapping[Keeper, ContentTotal] = field(default_factory=dict)
    """The content of a store in containerd, by what keeps it: always all keys; empty for others."""
    areas: Mapping[str, int] = field(default_factory=dict)
    """Allocated bytes of the engine's root by area, as far as they are known; all together are ``du -x`` of the root.
    Of several stores in one root, one has what belongs to none alone."""
    volumes: Mapping[str, int] = field(default_factory=dict)
    """Allocated bytes of each local volume's directory ``_data``, where that is on the root's filesystem."""
    filesystem: Filesystem | None = None
    """The one that the storage directories lie on; None where it does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTotal:
    """How many layers, and their bytes of size (a layer of unknown size counts 0 bytes)."""

    layers: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the host looked like at one moment."""

    catalog: Catalog
    stores: tuple[StoreReport, ...]
    problems: tuple[Problem, ...] = ()
    """Problems that belong to no store."""
