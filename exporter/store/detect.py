"""Which stores there are below an engine's root.

Docker keeps one layer store for each graph driver that it ever used (``image/<driver>``); a switch of drivers
leaves the old one behind. With userns-remap everything lies one level down, in ``<root>/<uid>.<gid>``, and the engine
sees nothing of what lies above or in another such directory.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from exporter.store.records import LOST_AND_FOUND, modified

DEFAULT_ROOT = "/var/lib/docker"
DAEMON_CONFIG = "/etc/docker/daemon.json"
CONTAINERD = "containerd"
"""The engine of a root that is not Docker's."""
MEASURABLE = frozenset({"overlay2", "fuse-overlayfs"})
"""Drivers with one directory of plain files for each layer, laid out as overlay2 does."""
_USERNS = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An engine's root, as the user named it."""

    path: str
    engine: str = "docker"
    """``docker``, ``sample`` or ``containerd``."""
    prefix: str = ""
    """What the names of its stores begin with, so that stores of several roots stay apart."""
    followed: bool = False
    """Whether nobody named it: it is where the engine's configuration says, and Docker's moves with that. containerd's
    may be missing: not every host has one."""
    snapshotters: tuple[tuple[str, str], ...] = ()
    """Names and paths of containerd's snapshotters that are not below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where one store lies."""

    name: str
    """The label ``store``."""
    engine: str
    root: str
    driver: str
    active: bool
    """Whether the engine uses it now: of all stores below one root it is one."""
    storage_options: tuple[str, ...] = ()
    """What the engine's configuration tells its driver: ``overlay2.size=10G``."""
    speaks: bool = True
    """Whether it is the one store of its directory that tells what is wrong with the records that all of them share."""

    @property
    def measurable(self) -> bool:
        """Whether the driver's directories can be measured."""
        return self.driver in MEASURABLE

    @property
    def directory_root(self) -> str:
        """Where the driver keeps its storage directories."""
        return f"{self.root}/{self.driver}"

    @property
    def layer_store(self) -> str:
        """Where the engine keeps the records of this driver's layers and images."""
        return f"{self.root}/image/{self.driver}"

    @property
    def image_contents(self) -> str:
        """Where the images' configurations are."""
        return f"{self.layer_store}/imagedb/content/sha256"

    @property
    def image_metadata(self) -> str:
        """Where the engine keeps what it knows of images besides."""
        return f"{self.layer_store}/imagedb/metadata/sha256"

    @property
    def layers(self) -> str:
        """Where the layers' records are."""
        return f"{self.layer_store}/layerdb/sha256"

    @property
    def write_sets(self) -> str:
        """Where the layers' records are while they are written."""
        return f"{self.layer_store}/layerdb/tmp"

    @property
    def mounts(self) -> str:
        """Where the records of writable layers are."""
        return f"{self.layer_store}/layerdb/mounts"

    @property
    def containers(self) -> str:
        """Where the containers' records are, those of all drivers."""
        return f"{self.root}/containers"

    @property
    def record_directories(self) -> tuple[str, ...]:
        """The directories whose entries mean something: an entry that comes or goes means that the catalog changed."""
        return (
            self.layer_store,
            self.image_contents,
            self.layers,
            self.mounts,
            self.directory_root,
            self.containers,
        )


def default_root(daemon_config: str = DAEMON_CONFIG) -> str:
    """The engine's root where the user names none: ``data-root`` of the engine's own configuration, else its default.

    A configuration that is missing or cannot be read is no obstacle: the default is then what the engine would use
    too, or the root that is tried and reported.
    """
    configured = daemon_options(daemon_config).get("data-root")
    return configured if isinstance(configured, str) and configured.startswith("/") else DEFAULT_ROOT


def resolve(root: Root, *, daemon_config: str = DAEMON_CONFIG) -> Root:
    """*root*, which if it is followed is where the engine's configuration says now."""
    if root.followed and root.engine != CONTAINERD:
        return replace(root, path=os.path.normpath(default_root(daemon_config)))
    return root


def roots(paths: Iterable[str]) -> tuple[Root, ...]:
    """The roots that the user named. The first one's stores have plain names; those of others begin with their
    root's path."""
    plain = [os.path.normpath(path) for path in paths]
    return tuple(
        Root(path=path, prefix="" if index == 0 else f"{path}/") for index, path in enumerate(dict.fromkeys(plain))
    )


def locate(
    root: Root, *, daemon_config: str = DAEMON_CONFIG, lost: Callable[[OSError], None] | None = None
) -> tuple[Location, ...]:
    """All stores below *root*, those of userns-remap's sub-roots included.

    Raises OSError where the root itself cannot be listed. What cannot be listed below it is told to *lost*, and raised
    where there is nobody to tell.
    """
    options = daemon_options(daemon_config)
    used = []
    for path, prefix in bases(root):
        try:
            used.append(_base(path, prefix, options.get("storage-driver")))
        except OSError as error:
            if lost is None:
                raise
            lost(error)
    active = _active(used, options)
    return tuple(
        Location(
            name=f"{root.prefix}{base.prefix}{driver}",
            engine=root.engine,
            root=base.path,
            driver=driver,
            active=base is active and driver == base.current,
            storage_options=_storage_options(options),
            speaks=driver == base.current,
        )
        for base in used
        for driver in base.drivers
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """A directory that an engine may use as its root: the root itself, or a userns-remap sub-root."""

    path: str
    prefix: str
    """What its stores' names begin with."""
    drivers: tuple[str, ...]
    current: str | None
    """The driver that is used, or was used last."""
    touched: float
    """When it was used last."""


def bases(root: Root) -> list[tuple[str, str]]:
    """The directories that an engine may use as its root, the root itself first, each with what its stores' names begin
    with. Raises OSError where the root cannot be listed."""
    with os.scandir(root.path) as entries:
        remapped = sorted(
            entry.name for entry in entries if _USERNS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        )
    return [(root.path, ""), *((f"{root.path}/{name}", f"{name}/") for name in remapped)]


def is_unused(root: Root) -> bool:
    """Whether no engine has ever kept anything there: it is empty, but for directories that are empty themselves, which
    others make where they mount from (``containers``, as agents that collect logs do on nodes without a Docker). One
    that nobody named may be missing, too."""
    try:
        with os.scandir(root.path) as entries:
            return not any(entry.name != LOST_AND_FOUND and _holds_something(entry) for entry in entries)
    except OSError as error:
        return root.followed and isinstance(error, FileNotFoundError)


def _holds_something(entry: "os.DirEntry[str]") -> bool:
    return not entry.is_dir(follow_symlinks=False) or bool(os.listdir(entry.path))


def _base(path: str, prefix: str, preferred: object) -> _Base:
    drivers = _drivers(path)
    times = {driver: touched(path, driver) for driver in drivers}
    current = preferred if isinstance(preferred, str) and preferred in drivers else None
    return _Base(
        path=path,
        prefix=prefix,
        drivers=drivers,
        current=current or max(drivers, key=times.__getitem__, default=None),
        touched=max(times.values(), default=0.0),
    )


def _active(bases: Iterable[_Base], options: Mapping[str, object]) -> _Base | None:
    """The base that the engine uses: where it is configured to remap users, a sub-root; else what was used last."""
    used = [base for base in bases if base.drivers]
    remapped = [base for base in used if base.prefix] if options.get("userns-remap") else []
    return max(remapped or used, key=lambda base: base.touched, default=None)


def _drivers(base: str) -> tuple[str, ...]:
    """The drivers that have a layer store below *base*. Raises OSError where that cannot be told."""
    try:
        with os.scandir(f"{base}/image") as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(name for name in names if _is_directory(f"{base}/image/{name}/layerdb")))


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def touched(base: str, driver: str) -> float:
    """When the engine whose root is *base* last used the driver, Unix seconds.

    At every start the engine tries the kernel's overlayfs in scratch directories of the driver that it starts with,
    which touches the driver's directory; and each image, layer or container touches the layer store.
    """
    paths = (driver, f"image/{driver}", f"image/{driver}/layerdb/sha256", f"image/{driver}/layerdb/mounts")
    return max(modified(f"{base}/{path}") for path in paths)


def _storage_options(options: Mapping[str, object]) -> tuple[str, ...]:
    told = options.get("storage-opts")
    return tuple(option for option in told if isinstance(option, str)) if isinstance(told, list) else ()


def daemon_options(path: str) -> dict[str, object]:
    """Docker's configuration; an empty one where it is missing or cannot be read."""
    try:
        # Without blocking: it could be a fifo.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            options = json.loads(os.read(descriptor, 1 << 20))
        finally:
            os.close(descriptor)
    except (OSError, ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}
