"""The catalog: what an engine's own records say lies on this host, as frozen values.

Nothing here touches a disk. What single records say is in ``exporter/store/entries.py``.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.store.entries import (
    Blob,
    CacheID,
    ChainID,
    Container,
    ContainerID,
    Directory,
    Image,
    ImageID,
    Layer,
    Mount,
    Reference,
    Removal,
    WriteSet,
)


class Source(enum.StrEnum):
    """What the engine's records are read from. One that was not read whole leaves questions open."""

    DIRECTORIES = "directories"
    """The storage directories themselves, and what lies below each."""
    LAYERS = "layers"
    MOUNTS = "mounts"
    """The records of writable layers."""
    OVERLAYS = "overlays"
    """The kernel's own list of what is mounted where the engine mounts."""
    CACHE = "cache"
    """The builder's databases."""
    IMAGES = "images"
    REFERENCES = "references"
    CONTAINERS = "containers"


class Layout(enum.Enum):
    """How an engine lays out its storage."""

    GRAPHDRIVER = enum.auto()
    """Docker's own: a record file for everything; storage directories know each other by short names in ``l/``."""
    SNAPSHOTTER = enum.auto()
    """containerd's: databases; storage directories are numbered, and only the databases tell what lies on what."""


class ProblemKind(enum.StrEnum):
    """What can be wrong with a record, or between two. Values are label values: part of the metrics contract."""

    UNREADABLE_RECORD = "unreadable_record"
    MALFORMED_RECORD = "malformed_record"
    MISSING_RECORD = "missing_record"
    CHAIN_ID_MISMATCH = "chain_id_mismatch"
    MISSING_PARENT = "missing_parent"
    PARENT_LOOP = "parent_loop"
    MISSING_CACHE_ID = "missing_cache_id"
    MISSING_DIFF_DIRECTORY = "missing_diff_directory"
    EMPTY_LINK = "empty_link"
    EMPTY_LOWER = "empty_lower"
    LOWER_DANGLING = "lower_dangling"
    SHORT_LINK_DANGLING = "short_link_dangling"
    SHORT_LINK_MISMATCH = "short_link_mismatch"
    IMAGE_LAYER_MISSING = "image_layer_missing"
    REFERENCE_IMAGE_MISSING = "reference_image_missing"
    CONTAINER_IMAGE_MISSING = "container_image_missing"
    CONTAINER_MOUNT_MISSING = "container_mount_missing"
    MOUNT_WITHOUT_CONTAINER = "mount_without_container"
    STALE_WRITE_SET = "stale_write_set"
    REMOVING_LEFT_OVER = "removing_left_over"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One damaged, inconsistent or unreadable record: data for people and for the count, never an exception."""

    path: str
    """The record's absolute path; what no record says goes by the path of the record that names it."""
    kind: ProblemKind
    reason: str
    """A sentence fragment that says what is wrong, with the offending value cut short where it is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where records are that are not where Docker's graph drivers have them: absolute paths. What lies in a database
    goes by the database's path and the way to it inside."""

    roots: tuple[str, ...]
    """The directories whose disk is that of the engine: containerd's, and Docker's where that is another one."""
    containerd: str
    """containerd's ``root``."""
    snapshots: str
    """Where the rows of layers and writable layers are."""
    blobs: str
    """The directory that holds content, by the digits of its digest."""
    containers: str
    """Where containers are, one a name."""
    logs: str | None
    """Docker's directory ``containers``, which has the logs; None where Docker has no part in it."""
    cache: str
    """The build cache's database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One engine's storage on this host, read as a whole.

    Mappings go by identity. What is absent from them was not on disk, or could not be read: then ``problems`` says so.
    """

    name: str
    """The label ``store``: ``overlay2``, ``100000.100000/overlay2``, ``containerd/moby``."""
    engine: str
    """``docker``, ``sample``, ``containerd``."""
    driver: str
    """A graph driver or a snapshotter."""
    root: str
    """The engine's root: what ``docker info`` calls Docker Root Dir, userns-remap's sub-root included; where Docker has
    no part in it, containerd's ``root``."""
    active: bool
    """Whether the engine uses it now; False for what a switch of drivers left behind."""
    measurable: bool
    """Whether this exporter can measure the driver; False for vfs, btrfs and zfs, and for snapshotters but overlayfs,
    which are named and not guessed at."""
    directory_root: str
    """The absolute path that holds the storage directories."""
    diff_name: str = "diff"
    """The entry of a storage directory that holds the layer's files: ``diff``; ``fs`` for a snapshotter."""
    layers: Mapping[ChainID, Layer] = field(default_factory=dict)
    images: Mapping[ImageID, Image] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    containers: Mapping[ContainerID, Container] = field(default_factory=dict)
    mounts: Mapping[str, Mount] = field(default_factory=dict)
    directories: Mapping[CacheID, Directory] = field(default_factory=dict)
    short_links: Mapping[str, str] = field(default_factory=dict)
    """``l/<short name>`` → the symlink's target, as stored (``../<cache-id>/diff``)."""
    short_links_changed: float | None = None
    """When a short name last came or went, Unix seconds; None where there is no directory of them."""
    internal: frozenset[str] = frozenset()
    """Entries of the directory root that are no storage directories: the short links, what the engine tries out."""
    layout: Layout = Layout.GRAPHDRIVER
    namespace: str = ""
    """The namespace of containerd that it is; empty for a graph driver's."""
    places: Places | None = None
    """Where its records are; None where they are where Docker's graph drivers have them."""
    speaks: bool = True
    """Whether it is the one store of its storage directory that has what belongs to none: directories that nothing
    names, and the directory's own blocks. Several namespaces of containerd share one."""
    stages: frozenset[CacheID] = frozenset()
    """Read-only storage directories that are recorded and are neither layers nor init layers of containers: the init
    layers of a build's steps, on which its layers lie."""
    leased: frozenset[CacheID] = frozenset()
    """Storage directories that a lease keeps: of a pull or a build under way."""
    content: Mapping[str, Blob] = field(default_factory=dict)
    """By digest."""
    removals: tuple[Removal, ...] = ()
    write_sets: tuple[WriteSet, ...] = ()
    cache_directories: frozenset[CacheID] = frozenset()
    """Every storage directory that the build cache's records name; those of cached layers may be among them."""
    has_cache_rows: bool = True
    """Whether the builder's database of storage directories is there. A running engine always has one; it goes on with
    one that somebody deleted."""
    cache_layers: frozenset[ChainID] = frozenset()
    """The layers that the build cache uses itself; it needs those below them as well."""
    overlaid: frozenset[CacheID] = frozenset()
    """Storage directories that an overlay mount uses now, as upper, work or lower, as far as mounts can be seen:
    ``unread`` tells where not all can."""
    lost_images: frozenset[ImageID] = frozenset()
    """Images whose configuration is gone while the engine's notes on them are there: it removes those first."""
    engine_started: float | None = None
    """When the engine that uses the store was last started, Unix seconds, or a moment before; None where nothing
    tells."""
    engine_limit: int | None = None
    """Bytes that the engine lets each upper layer hold of which nothing else is said (``overlay2.size``), by its
    configuration as it is now; None where no limit is set."""
    unread: frozenset[Source] = frozenset()
    """What was not read whole: what it would have named cannot be told from what nobody names."""
    problems: tuple[Problem, ...] = ()

    def diff_path(self, directory: CacheID) -> str:
        """The absolute path of a storage directory's files: for a container's directory, its upper layer."""
        return f"{self.directory_root}/{directory}/{self.diff_name}"

    def layer_record(self, chain_id: ChainID) -> str:
        """The path of a layer's record, there or not."""
        if self.places is not None:
            return f"{self.places.snapshots}/{chain_id}"
        return f"{self.layer_store}/layerdb/sha256/{chain_id.removeprefix('sha256:')}"

    def mount_record(self, name: str) -> str:
        """The path of a writable layer's record, there or not."""
        return f"{self.layer_store}/layerdb/mounts/{name}" if self.places is None else f"{self.places.snapshots}/{name}"

    def image_record(self, image_id: ImageID) -> str:
        """The path of what an image's ID is the digest of, there or not."""
        above = f"{self.layer_store}/imagedb/content/sha256" if self.places is None else self.places.blobs
        return f"{above}/{image_id.removeprefix('sha256:')}"

    def container_record(self, container: str) -> str:
        """The path of a container's directory or row, there or not."""
        return f"{self.root}/containers/{container}" if self.places is None else f"{self.places.containers}/{container}"

    @property
    def layer_store(self) -> str:
        """Where a graph driver's layers and images are recorded."""
        return f"{self.root}/image/{self.driver}"

    @property
    def log_directory(self) -> str | None:
        """Docker's directory ``containers``; None where Docker has no part in it."""
        return f"{self.root}/containers" if self.places is None else self.places.logs

    @property
    def cache_record(self) -> str:
        """The path of the database that names what the build cache has."""
        return f"{self.root}/buildkit/snapshots.db" if self.places is None else self.places.cache

    def directory_called(self, short_name: str) -> CacheID | None:
        """The storage directory that an entry of ``lower`` leads to; None where that is not there, or no storage
        directory."""
        if self.layout is Layout.SNAPSHOTTER:
            return CacheID(short_name) if short_name in self.directories else None
        parts = self.short_links.get(short_name, "").split("/")
        known = len(parts) == 3 and parts[0] == ".." and parts[2] == self.diff_name
        return CacheID(parts[1]) if known and parts[1] not in {"", ".", ".."} else None

    def limit_of(self, container: Container) -> int | None:
        """Bytes that a container's upper layer may hold; None where no limit is set."""
        own = container.upper_limit
        return (self.engine_limit if own is None else own) or None

    def upper_of(self, container: ContainerID) -> CacheID | None:
        """The storage directory of a container's upper layer; None where no record tells."""
        mount = self.mounts.get(container)
        return None if mount is None else mount.mount_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that one scan of the records found."""

    taken_at: float
    """When the scan began, Unix seconds."""
    stores: tuple[Store, ...]
    problems: tuple[Problem, ...] = ()
    """Problems that belong to no store: a root's configuration that cannot be read."""
    storeless: tuple[str, ...] = ()
    """Roots that could be read and have no store; of containerds those that are expected to have one."""
    vanished: int = 0
    """Records that were listed and gone when opened: normal beside a working engine."""
