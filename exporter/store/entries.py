"""What one record says, as frozen values: layers, images, containers, storage directories.

They are engine-neutral, so that each later room (measure, account, export) reads a Docker graphdriver and a containerd
snapshotter alike. All of them together are a ``Store`` (``exporter/store/catalog.py``).

Identities keep the form that the engine writes (``sha256:`` and 64 hex digits where it has it), and each has its
own type, so that the type checker stops a diff ID from being used where a chain ID is meant.
"""

import enum
from dataclasses import dataclass
from typing import NewType

ChainID = NewType("ChainID", str)
"""``sha256:<hex>``: identifies a layer *and all layers below it* (OCI image specification, "Layer ChainID")."""

DiffID = NewType("DiffID", str)
"""``sha256:<hex>`` of one layer's uncompressed tar, whatever lies below it."""

CacheID = NewType("CacheID", str)
"""The name of a storage directory (``overlay2/<cache-id>``); random, so the same layer has another one on every
host."""

ImageID = NewType("ImageID", str)
"""``sha256:<hex>`` of the image's configuration; in containerd of what its name stands for, a manifest or an index of
several."""

ContainerID = NewType("ContainerID", str)
"""64 hex digits, without a prefix; in containerd whatever its client chose."""


def short_id(identity: str) -> str:
    """The first 12 hex digits of an identity, without its algorithm: as engines print it."""
    return identity.removeprefix("sha256:")[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A read-only layer: ``image/<driver>/layerdb/sha256/<hex>/``, or a committed snapshot whose key is a chain ID."""

    chain_id: ChainID
    diff_id: DiffID
    """Empty where no image tells it: a snapshotter does not record it."""
    parent: ChainID | None
    """The layer below; None on a base layer."""
    cache_id: CacheID | None
    """The storage directory; None where the record is missing or empty (a problem says so)."""
    size: int | None
    """Bytes as the engine recorded them when it made the layer: apparent ones; by a snapshotter allocated ones. None
    where unknown."""
    chain_id_recomputes: bool
    """Whether ``sha256(parent + " " + diff_id)`` gives the name that the layer is stored by; True where no diff ID is
    known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One step of an image's history; the k-th that is not ``empty_layer`` made the k-th layer."""

    created: float | None
    created_by: str
    comment: str
    empty_layer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image's configuration: ``imagedb/content/sha256/<hex>``, with ``imagedb/metadata/sha256/<hex>/``.

    In containerd those of all platforms that are unpacked, one after the other; one that is not unpacked has no layers.
    """

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
    uppermost: tuple[ChainID, ...] = ()
    """The topmost layer of each platform, where there are several."""
    config_digests: tuple[str, ...] = ()
    """``sha256:<hex>`` of its configurations, where they are not its ID: what Kubernetes' tools call it."""
    blobs: frozenset[str] = frozenset()
    """The digests of all content that it needs and that is here."""
    pinned: bool = False
    """Whether Kubernetes' plug-in keeps it, whatever uses it: neither the kubelet nor ``crictl rmi --prune`` (since
    1.30) removes it."""

    @property
    def tops(self) -> tuple[ChainID, ...]:
        """Its topmost layers: one, unless it is unpacked for several platforms; none where it has no layers."""
        return self.uppermost or self.chain_ids[-1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Content as it came from a registry or goes to one: a manifest, a configuration, a layer's compressed archive."""

    digest: str
    size: int | None
    """Bytes."""
    leased: bool
    """Whether a lease keeps it, or something that a lease keeps needs it: a pull under way, a build cache."""
    elsewhere: bool
    """Whether another namespace has it too: then it stays when this one lets go of it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reference:
    """One name of an image, from ``repositories.json``: a tag or a manifest digest, never both; neither for a name in
    containerd that holds no tag."""

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
    """Bytes that its upper layer may hold by its own configuration (``StorageOpt.size``); 0 where that says that there
    is no limit, None where it says nothing: `Store.limit_of` tells what holds then."""
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
    """Short names of the layers below, nearest first; empty where the record is, None where there is none (a base). Of
    a snapshotter, which has no short names, the directories themselves."""
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
    mounted: float | None = None
    """Of a snapshotter's directory that may be written to: when it was last mounted for that, or made, Unix seconds. A
    graph driver's shows it by ``merged``, which comes and goes, and so by `modified`."""
    rowless_since: float | None = None
    """Of a snapshotter's directory without a row: since when it has had none, or longer, Unix seconds. The engine
    deletes the row first, and the directory when it gets round to it."""

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
