"""What ``inspect`` tells of one image, container, layer or storage directory: frozen values.

The names of the fields are the keys of ``inspect --json``. None stands for what no record tells or nothing measured:
never 0, never an empty text.
"""

import enum
from dataclasses import dataclass

from exporter.account.owners import Doubt
from exporter.account.owners import Owner as DirectoryOwner
from exporter.measure.growers import Grower
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem
from exporter.store.entries import CacheID, ChainID, ContainerID, ContainerState, DiffID, ImageID, MountPoint, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """An image as others speak of it."""

    image_id: ImageID
    names: tuple[str, ...]
    """``repository:tag`` and ``repository@digest``, tags first; empty where nothing names it (dangling)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerName:
    """A container as others speak of it."""

    container_id: ContainerID
    name: str
    state: ContainerState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryView:
    """One storage directory: ``overlay2/<name>/``."""

    name: CacheID
    path: str
    there: bool
    """Whether it is on disk; what follows is None where it is not."""
    diff_path: str
    """Where the layer's files are, or should be."""
    short_name: str | None
    """As its ``link`` tells; empty where the record is (power loss)."""
    short_name_leads_here: bool | None
    """Whether ``l/<short name>`` points back; None without a short name."""
    lower: tuple[str, ...] | None
    """Short names of the layers below, nearest first; None on a base."""
    committed: bool | None
    mounted: bool | None
    modified: float | None
    """When its own entries last changed, Unix seconds."""

    @property
    def numbered(self) -> bool:
        """Whether it goes by a number, as a snapshotter's directories do, which have no short names."""
        return self.name.isdecimal()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """One read-only layer, from its record to its directory, and who shares it."""

    record: str
    """``image/<driver>/layerdb/sha256/<hex>``."""
    there: bool
    """Whether there is such a record: an image can name layers that are lost."""
    chain_id: ChainID
    diff_id: DiffID | None
    parent: ChainID | None
    chain_id_recomputes: bool | None
    """Whether parent and diff ID give the chain ID; None without a record."""
    size: int | None
    """Apparent bytes as the engine recorded them."""
    directory: DirectoryView | None
    created_by: tuple[str, ...]
    """The steps of images' histories that made it, each told once; empty where none tells."""
    images: tuple[ImageName, ...]
    """The head images whose chain contains it."""
    containers: tuple[ContainerName, ...]
    """The containers whose chain contains it, in any state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """An image: its names, what it costs, its layers."""

    record: str
    """``image/<driver>/imagedb/content/sha256/<hex>``."""
    there: bool
    """Whether there is such a record: a name can point at an image that is lost. What it would tell is then None."""
    image_id: ImageID
    names: tuple[str, ...]
    state: str | None
    """``tagged``, ``dangling`` or ``intermediate``."""
    created: float | None
    platform: str
    """``os/architecture``; empty where unknown."""
    parent: ImageID | None
    size: int | None
    """Σ of the sizes of its layers that are known."""
    unique: int | None
    """Bytes of layers that no other head image uses; None for an image that is no head image."""
    shared: int | None
    layers_of_unknown_size: int
    """How many layers the sizes leave out."""
    containers: tuple[ContainerName, ...]
    """Those made from it, in any state."""
    layers: tuple[LayerView, ...]
    """Base first."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMatch:
    """A layer that was asked for, with its place among the others."""

    layer: LayerView
    below: tuple[LayerView, ...]
    """Its parent, the parent's parent, down to the base."""
    above: tuple[ChainID, ...]
    """The layers whose parent it is."""
    same_files: tuple[ChainID, ...]
    """Other layers with the same diff ID: the same files on another parent, stored once more."""
    problems: tuple[Problem, ...]


class EntryKind(enum.StrEnum):
    """What an entry of a directory is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry found below a directory of the engine's, not opened and not followed."""

    path: str
    """Relative to the directory that was looked at."""
    kind: EntryKind
    size: int
    """Apparent bytes."""
    allocated: int
    target: str | None = None
    """Where a symlink points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFiles:
    """What was really found of a container outside its upper layer. None where it could not be looked at."""

    own: tuple[Entry, ...] | None
    """Below ``containers/<id>``: records, logs, and the files that are mounted into it."""
    init: tuple[Entry, ...] | None
    """Below the init layer's ``diff``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """One path that the init layer gives to a container."""

    path: str
    """As the container sees it."""
    kind: EntryKind
    target: str | None
    """Where a symlink points."""
    source: str | None
    """The file in ``containers/<id>`` that the engine mounts over it while the container runs; None where there is
    none."""
    source_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperView:
    """A container's upper (write) layer."""

    directory: DirectoryView
    usage: Usage | None
    """None until measured."""
    measured_at: float | None
    exact: bool | None
    """False where the usage is a lower bound; None until measured."""
    growers: tuple[Grower, ...] = ()
    """What grew most between two measurements, the largest first; none where there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitView:
    """What the engine lays between image and upper layer."""

    directory: DirectoryView
    supplies: tuple[Supply, ...] | None
    """None where the directory could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerStep:
    """One place in the lower chain of an upper layer, as overlayfs is given it."""

    short_name: str
    directory: DirectoryView | None
    """None where the short name leads nowhere."""
    init: bool
    """Whether it is the container's init layer."""
    layer: LayerView | None
    """The read-only layer that lies there; None for the init layer, and where no record names the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """A container's log on this host."""

    driver: str
    """Empty where the record does not tell."""
    allocated: int | None
    files: tuple[Entry, ...] | None
    """Below ``containers/<id>``; None where it could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """A container, from its image down to what it wrote."""

    record: str
    """``containers/<id>``."""
    mount_record: str
    """``image/<driver>/layerdb/mounts/<id>``."""
    container_id: ContainerID
    name: str
    state: ContainerState | None
    removing: bool
    pid: int | None
    """Of its main process while it runs."""
    created: float | None
    image_reference: str
    """What the user asked for."""
    image: ImageName | None
    image_there: bool
    workload: Workload
    upper: UpperView | None
    upper_limit: int | None
    """Bytes that the engine lets the upper layer hold; None where no limit is set."""
    init: InitView | None
    lower: tuple[LowerStep, ...]
    """Nearest first, as in the mount's options."""
    merged: str | None
    """Where the container's root is, while it is mounted; None where no record tells."""
    mounted: bool | None
    config: str | None
    """Docker's own records; None for what Docker has no part in."""
    host_config: str | None
    log: LogView
    mount_points: tuple[MountPoint, ...]
    """What is *not* in the upper layer."""
    problems: tuple[Problem, ...]

    @property
    def is_dockers(self) -> bool:
        """Whether Docker has records of it; what containerd alone has no log nor mount points in any that are read."""
        return self.config is not None


class Owner(enum.StrEnum):
    """Whose a storage directory is."""

    IMAGE_LAYER = "image_layer"
    UNREFERENCED_LAYER = "unreferenced_layer"
    """A layer that neither image nor writable layer is built on; a build cache may still hold it."""
    CONTAINER_UPPER = "container_upper"
    CONTAINER_INIT = "container_init"
    OTHER_MOUNT = "other_mount"
    """A writable layer without a container: a builder's, an image mount's, or a left-over."""
    BUILD_CACHE = "build_cache"
    REMOVING = "removing"
    """A layer that the engine is removing, or failed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A record that names a storage directory."""

    owner: Owner
    record: str
    """The path of the record's file."""
    mount: str | None
    """The writable layer's name, for one."""
    layer: LayerMatch | None
    container: ContainerView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryMatch:
    """A storage directory that was asked for, and whose it is."""

    directory: DirectoryView
    claims: tuple[Claim, ...]
    """The records that name it: one, but for cached layers, unless records are damaged; none for what is being made
    and for orphans."""
    owner: DirectoryOwner | None
    """Whose it counts as; None for what is not on disk."""
    doubt: Doubt | None
    """Why it counts as that, where no record names it, or none that tells whose it is."""
    allocated: int | None
    """Bytes on disk, all of it; None until measured."""
    needed_by: tuple[CacheID, ...]
    """The directories in whose lower chain it is."""
    problems: tuple[Problem, ...]


class MatchedBy(enum.StrEnum):
    """What the text that was looked for turned out to be."""

    IMAGE_REFERENCE = "image reference"
    IMAGE_ID = "image ID"
    MANIFEST_DIGEST = "manifest digest"
    CONTAINER_NAME = "container name"
    CONTAINER_ID = "container ID"
    CHAIN_ID = "chain ID"
    DIFF_ID = "diff ID"
    CACHE_ID = "cache-id"
    SHORT_NAME = "short name"
    PATH = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One thing that was found."""

    store: str
    matched_by: MatchedBy
    subject: ImageView | ContainerView | LayerMatch | DirectoryMatch

    @property
    def kind(self) -> str:
        """``image``, ``container``, ``layer`` or ``directory``."""
        return _KINDS[type(self.subject)]

    @property
    def identity(self) -> str:
        """The whole ID, by which it is found without ambiguity."""
        match self.subject:
            case ImageView(image_id=identity):
                return identity
            case ContainerView(container_id=identity):
                return identity
            case LayerMatch(layer=layer):
                return layer.chain_id
            case DirectoryMatch(directory=directory):
                return directory.name


_KINDS: dict[type, str] = {
    ImageView: "image",
    ContainerView: "container",
    LayerMatch: "layer",
    DirectoryMatch: "directory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one ``inspect``. True where anything was found."""

    needle: str
    """What was looked for, as given."""
    stores: tuple[str, ...]
    """Where it was looked for."""
    matches: tuple[Match, ...]
    near: tuple[str, ...] = ()
    """Names much like it, where nothing was found."""

    def __bool__(self) -> bool:
        return bool(self.matches)
