"""The catalog: what an engine's own records say lies on this host, as frozen values.

Every value here is engine-neutral, so that each later room (measure, account, export) reads a Docker graphdriver and a
containerd snapshotter alike. Nothing here touches a disk.

Identities keep the form that the engine writes (``sha256:`` and 64 hex digits where it has it), and each has its
own type, so that the type checker stops a diff ID from being used where a chain ID is meant.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

ChainID = NewType("ChainID", str)
"""``sha256:<hex>``: identifies a layer *and all layers below it* (OCI image specification, "Layer ChainID")."""

DiffID = NewType("DiffID", str)
"""``sha256:<hex>`` of one layer's uncompressed tar, whatever lies below it."""

CacheID = NewType("CacheID", str)
"""The name of a storage directory (``overlay2/<cache-id>``); random, so the same layer has another one on every
host."""

ImageID = NewType("ImageID", str)
"""``sha256:<hex>`` of the image's configuration."""

ContainerID = NewType("ContainerID", str)
"""64 hex digits, without a prefix."""


def short_id(identity: str) -> str:
    """The first 12 hex digits of an identity, without its algorithm: as engines print it."""
    return identity.removeprefix("sha256:")[:12]


class Source(enum.StrEnum):
    """What the engine's records are read from. One that was not read whole leaves questions open."""

    DIRECTORIES = "directories"
    """The storage directories themselves, and what lies below each."""
    LAYERS = "layers"
    MOUNTS = "mounts"
    """The records of writable layers."""
    OVERLAYS = "overlays"
    """The kernel's own list of what is mounted."""
    CACHE = "cache"
    """The builder's databases."""
    IMAGES = "images"
    REFERENCES = "references"
    CONTAINERS = "containers"


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
class Layer:
    """A read-only layer: ``image/<driver>/layerdb/sha256/<hex>/``."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    """The layer below; None on a base layer."""
    cache_id: CacheID | None
    """The storage directory; None where the record is missing or empty (a problem says so)."""
    size: int | None
    """Apparent bytes as the engine recorded them when it made the layer; None where unknown."""
    chain_id_recomputes: bool
    """Whether ``sha256(parent + " " + diff_id)`` gives the name that the layer is stored by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One step of an image's history; the k-th that is not ``empty_layer`` made the k-th layer."""

    created: float | None
    created_by: str
    comment: str
    empty_layer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image's configuration: ``imagedb/content/sha256/<hex>``, with ``imagedb/metadata/sha256/<hex>/``."""

    image_id: ImageID
    diff_ids: tuple[DiffID, ...]
    """Base first."""
    chain_ids: tuple[ChainID, ...]
    """The layers that the diff IDs name, base first: computed, never read."""
    created: float | None
    """Unix seconds; None where the configuration does not say."""
    parent: ImageID | None
    """The image that this one was built on; only classic builds and commits record it."""
    platform: str
    """``os/architecture``, as the configuration says; empty where it does not."""
    history: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reference:
    """One name of an image, from ``repositories.json``: a tag or a manifest digest, never both."""

    repository: str
    tag: str
    """Empty for a reference by digest."""
    digest: str
    """``sha256:<hex>`` of the manifest; empty for a reference by tag."""
    image_id: ImageID


class ContainerState(enum.StrEnum):
    """The engine's own six states (``docker ps --filter status=``)."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """A volume, bind or tmpfs inside a container: bytes written there are *not* in its upper layer."""

    destination: str
    kind: str
    """``volume``, ``bind`` or ``tmpfs``."""
    name: str
    """The volume's name; empty for others."""
    source: str
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who a container belongs to, from its labels: Compose's, and Kubernetes' as a CRI shim sets them. Empty
    where unset."""

    compose_project: str = ""
    compose_service: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container in any state: ``containers/<id>/config.v2.json`` and ``hostconfig.json``."""

    container_id: ContainerID
    name: str
    """Without the leading slash that the engine stores."""
    image_reference: str
    """What the user asked for (``Config.Image``): a name or an ID."""
    image_id: ImageID | None
    driver: str
    state: ContainerState | None
    """None where the record that tells it cannot be read."""
    pid: int
    created: float | None
    removing: bool
    """The engine is removing it: parts of it may be gone already, which is no damage."""
    log_driver: str
    upper_limit: int | None
    """Bytes that the engine lets the upper layer hold (``StorageOpt.size``); None where no limit is set."""
    workload: Workload
    mount_points: tuple[MountPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A writable layer: ``layerdb/mounts/<name>/``. The name is a container ID, or a builder's or an image
    mount's own."""

    name: str
    mount_id: CacheID | None
    """The upper layer's storage directory; None where the record is not written yet or is damaged."""
    init_id: CacheID | None
    """The init layer's: what the engine lays between image and upper (hostname, hosts, resolv.conf)."""
    parent: ChainID | None
    """The topmost read-only layer below; None on a container from scratch."""
    modified: float
    """When the record's directory last changed, Unix seconds: a young one may be half written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One storage directory: ``overlay2/<name>/``."""

    name: CacheID
    link: str | None
    """Its short name in ``l/``; empty where the record is (power loss), None where there is no record."""
    lower: tuple[str, ...] | None
    """Short names of the layers below, nearest first; empty where the record is, None where there is none (a base)."""
    committed: bool
    """Has been a parent at least once. An unused top layer lacks it, so it is no type marker."""
    has_diff: bool
    has_work: bool
    has_merged: bool
    """Mounted now: the engine makes ``merged`` when it mounts and removes it after."""
    modified: float
    """When the directory's own entries last changed, Unix seconds."""
    linked: float | None = None
    """When its ``link`` was written, Unix seconds: the engine does that once, when it makes the directory. None where
    there is no such record."""

    @property
    def made(self) -> float:
        """When the engine made it, Unix seconds; without a ``link`` not before its entries last changed."""
        return self.modified if self.linked is None else self.linked

    @property
    def is_init(self) -> bool:
        """Whether it is the init layer of a container."""
        return self.name.endswith("-init")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A layer that the engine is removing, or failed to: ``layerdb/sha256/<hex>-<random>-removing/``. It is no layer
    any more; its storage directory goes before its record does."""

    record: str
    """The record's absolute path."""
    cache_id: CacheID | None
    """The storage directory, which may be gone; None where the record does not name it any more."""
    renamed: float
    """When its removal was begun, Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSet:
    """A layer's record while its files are unpacked: ``layerdb/tmp/write-set-<random>/``. The last step of a pull, load
    or build renames it to the layer's record; one that the engine died over stays for good."""

    record: str
    """The record's absolute path."""
    modified: float
    """When anything in it was last written, Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One engine's storage on this host, read as a whole.

    Mappings go by identity. What is absent from them was not on disk, or could not be read: then ``problems`` says so.
    """

    name: str
    """The label ``store``: ``overlay2``, ``100000.100000/overlay2``, ``containerd/moby``."""
    engine: str
    """``docker``, ``sample``, later ``containerd``."""
    driver: str
    root: str
    """The engine's root: what ``docker info`` calls Docker Root Dir, userns-remap's sub-root included."""
    active: bool
    """Whether the engine uses it now; False for what a switch of drivers left behind."""
    measurable: bool
    """Whether this exporter can measure the driver; False for vfs, btrfs and zfs, which are named and not
    guessed at."""
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
    internal: frozenset[str] = frozenset()
    """Entries of the directory root that are no storage directories: the short links, what the engine tries out."""
    removals: tuple[Removal, ...] = ()
    write_sets: tuple[WriteSet, ...] = ()
    cache_directories: frozenset[CacheID] = frozenset()
    """Every storage directory that the build cache's records name; those of cached layers may be among them."""
    cache_layers: frozenset[ChainID] = frozenset()
    """The layers that the build cache uses itself; it needs those below them as well."""
    overlaid: frozenset[CacheID] = frozenset()
    """Storage directories that an overlay mount uses now, as upper, work or lower, as far as mounts can be seen."""
    lost_images: frozenset[ImageID] = frozenset()
    """Images whose configuration is gone while the engine's notes on them are there: it removes those first."""
    engine_started: float | None = None
    """When the engine that uses the store was last started, Unix seconds, or a moment before; None where nothing
    tells."""
    unread: frozenset[Source] = frozenset()
    """What was not read whole: what it would have named cannot be told from what nobody names."""
    problems: tuple[Problem, ...] = ()

    def diff_path(self, directory: CacheID) -> str:
        """The absolute path of a storage directory's files: for a container's directory, its upper layer."""
        return f"{self.directory_root}/{directory}/{self.diff_name}"

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
    vanished: int = 0
    """Records that were listed and gone when opened: normal beside a working engine."""
