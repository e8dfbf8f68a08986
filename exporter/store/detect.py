"""Which stores there are below an engine's root.

Docker keeps one layer store for each graph driver that it ever used (``image/<driver>``); a switch of drivers
leaves the old one behind. With userns-remap everything lies one level down, in ``<root>/<uid>.<gid>``.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = "/var/lib/docker"
DAEMON_CONFIG = "/etc/docker/daemon.json"
MEASURABLE = frozenset({"overlay2", "fuse-overlayfs"})
"""Drivers with one directory of plain files for each layer, laid out as overlay2 does."""
_USERNS = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An engine's root, as the user named it."""

    path: str
    engine: str = "docker"
    prefix: str = ""
    """What the names of its stores begin with, so that stores of several roots stay apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where one store lies."""

    name: str
    """The label ``store``."""
    engine: str
    root: str
    driver: str
    active: bool

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
    def record_directories(self) -> tuple[str, ...]:
        """The directories whose entries mean something: an entry that comes or goes means that the catalog changed."""
        return (
            self.layer_store,
            f"{self.layer_store}/imagedb/content/sha256",
            f"{self.layer_store}/layerdb/sha256",
            f"{self.layer_store}/layerdb/mounts",
            self.directory_root,
            f"{self.root}/containers",
        )


def default_root(daemon_config: str = DAEMON_CONFIG) -> str:
    """The engine's root where the user names none: ``data-root`` of the engine's own configuration, else its default.

    A configuration that is missing or cannot be read is no obstacle: the default is then what the engine would use
    too, or the root that is tried and reported.
    """
    configured = _daemon_options(daemon_config).get("data-root")
    return configured if isinstance(configured, str) and configured.startswith("/") else DEFAULT_ROOT


def roots(paths: Iterable[str]) -> tuple[Root, ...]:
    """The roots that the user named. The first one's stores have plain names; those of others begin with their
    root's path."""
    plain = [os.path.normpath(path) for path in paths]
    return tuple(
        Root(path=path, prefix="" if index == 0 else f"{path}/") for index, path in enumerate(dict.fromkeys(plain))
    )


def locate(root: Root, *, daemon_config: str = DAEMON_CONFIG) -> tuple[Location, ...]:
    """All stores below *root*, those of userns-remap's sub-roots included.

    Raises OSError where the root itself cannot be listed.
    """
    preferred = _daemon_options(daemon_config).get("storage-driver")
    found = []
    for base, prefix in _bases(root):
        drivers = _drivers(base)
        current = preferred if preferred in drivers else _last_used(base, drivers)
        found += [
            Location(
                name=f"{root.prefix}{prefix}{driver}",
                engine=root.engine,
                root=base,
                driver=driver,
                active=driver == current,
            )
            for driver in drivers
        ]
    return tuple(found)


def _bases(root: Root) -> list[tuple[str, str]]:
    """The root and its userns-remap sub-roots, each with what its stores' names begin with."""
    with os.scandir(root.path) as entries:
        remapped = sorted(
            entry.name for entry in entries if _USERNS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        )
    return [(root.path, ""), *((f"{root.path}/{name}", f"{name}/") for name in remapped)]


def _drivers(base: str) -> list[str]:
    """The drivers that have a layer store below *base*."""
    try:
        with os.scandir(f"{base}/image") as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if os.path.isdir(f"{base}/image/{name}/layerdb"))


def _last_used(base: str, drivers: Iterable[str]) -> str | None:
    """The driver that the engine used last.

    At every start the engine tries the kernel's overlayfs in scratch directories of the driver that it starts with,
    which touches the driver's directory; and each image, layer or container touches the layer store.
    """

    def touched(driver: str) -> float:
        paths = (f"{driver}", f"image/{driver}", f"image/{driver}/layerdb/sha256", f"image/{driver}/layerdb/mounts")
        return max(_modified(f"{base}/{path}") for path in paths)

    return max(drivers, key=touched, default=None)


def _modified(path: str) -> float:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _daemon_options(path: str) -> dict[str, object]:
    try:
        with Path(path).open("rb") as file:
            options = json.loads(file.read(1 << 20))
    except (OSError, ValueError):
        return {}
    return options if isinstance(options, dict) else {}
