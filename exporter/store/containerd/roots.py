"""Where containerd keeps its stores: its ``root``, and what its configuration moves elsewhere.

``/etc/containerd/config.toml`` names ``root``, ``state``, and for a snapshotter ``root_path``. Docker has a containerd
of its own, with its root in ``<docker root>/containerd/daemon``, where it finds none running when it starts.

Source: containerd ``docs/man/containerd-config.toml.5.md``, ``plugins/snapshots/overlay/plugin``; moby
``cmd/dockerd/daemon_unix.go``.
"""

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from exporter.store.detect import CONTAINERD, Root

DEFAULT_ROOT: Final = "/var/lib/containerd"
CONFIG: Final = "/etc/containerd/config.toml"
OWN: Final = "containerd/daemon"
"""Where below Docker's root its own containerd has its root."""
DOCKERS: Final = "moby"
"""Docker's namespace."""
KUBERNETES: Final = "k8s.io"
"""Kubernetes' namespace."""
MEASURABLE: Final = "overlayfs"
"""The snapshotter whose directories are laid out as is known here."""

_SNAPSHOTTER: Final = "io.containerd.snapshotter.v1."
_LONGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is taken from containerd's own configuration."""

    root: str = DEFAULT_ROOT
    snapshotters: Mapping[str, str] = field(default_factory=dict)
    """Where those snapshotters are that are not in the root, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerdRoot:
    """One containerd's root."""

    path: str
    prefix: str = ""
    """What the names of its stores begin with, so that stores of several roots stay apart."""
    snapshotters: Mapping[str, str] = field(default_factory=dict)
    """Where those snapshotters are that are not below it, by name."""
    docker: str | None = None
    """The root of the Docker that uses it; None where there is none, or it is not to be told."""
    own: bool = False
    """Whether it lies in that Docker's root."""

    @property
    def metadata(self) -> str:
        """The database of all namespaces."""
        return f"{self.path}/io.containerd.metadata.v1.bolt/meta.db"

    @property
    def blobs(self) -> str:
        """The directory that holds content."""
        return f"{self.path}/io.containerd.content.v1.content/blobs/sha256"

    @property
    def statuses(self) -> str:
        """Where the plug-in for Kubernetes keeps the status of each container."""
        return f"{self.path}/io.containerd.grpc.v1.cri/containers"

    @property
    def record_directories(self) -> tuple[str, ...]:
        """The directories whose entries mean something: content that comes or goes, snapshots, containers."""
        inside = (self.path, self.blobs, f"{self.snapshotter(MEASURABLE)}/snapshots", self.statuses)
        return inside if self.docker is None else (*inside, f"{self.docker}/containers")

    def snapshotter(self, name: str) -> str:
        """The directory of a snapshotter."""
        return self.snapshotters.get(name) or f"{self.path}/{_SNAPSHOTTER}{name}"


def read_configuration(path: str = CONFIG) -> Configuration:
    """The configuration at *path*; the defaults where it is missing, cannot be read, or makes no sense: containerd
    would not start with it then."""
    try:
        # Without blocking: it could be a fifo.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            options = tomllib.loads(os.read(descriptor, _LONGEST).decode())
        finally:
            os.close(descriptor)
    except (OSError, ValueError, RecursionError):
        return Configuration()
    plugins = options.get("plugins")
    moved: dict[str, str] = {}
    for plugin, chosen in plugins.items() if isinstance(plugins, dict) else ():
        name = plugin.removeprefix(_SNAPSHOTTER)
        place = chosen.get("root_path") if isinstance(chosen, dict) else None
        if name != plugin and isinstance(place, str) and place.startswith("/"):
            moved[name] = os.path.normpath(place)
    root = options.get("root")
    if not isinstance(root, str) or not root.startswith("/"):
        root = DEFAULT_ROOT
    return Configuration(root=os.path.normpath(root), snapshotters=moved)


def containerd_roots(paths: Iterable[str], *, config: str = CONFIG) -> tuple[Root, ...]:
    """The roots of containerds that the user named, else the one that containerd's own configuration names, which may
    be missing. Stores of all but the first have names that begin with their root's path."""
    found = read_configuration(config)
    named = [os.path.normpath(path) for path in paths]
    return tuple(
        Root(
            path=path,
            engine=CONTAINERD,
            prefix="" if place == 0 else f"{path}/",
            followed=not named,
            snapshotters=tuple(found.snapshotters.items()) if path == found.root else (),
        )
        for place, path in enumerate(dict.fromkeys(named or (found.root,)))
    )


def own_root(docker: str, prefix: str) -> ContainerdRoot | None:
    """The root of Docker's own containerd below the Docker root *docker*; None where there is none."""
    path = f"{docker}/{OWN}"
    return ContainerdRoot(path=path, prefix=prefix, docker=docker, own=True) if _is_directory(path) else None


def user_of(candidates: Iterable[str]) -> str | None:
    """The first of these Docker roots whose engine keeps images in a containerd that is not its own; None where none
    does. It makes ``buildkit/containerd-<snapshotter>`` when it is started so."""
    without_own = (path for path in candidates if not _is_directory(f"{path}/{OWN}"))
    return next(filter(builds_in_containerd, without_own), None)


def cache_database(docker: str, snapshotter: str) -> str:
    """The database that names what the build cache of the Docker at *docker* has in a snapshotter."""
    return f"{docker}/buildkit/containerd-{snapshotter}/metadata_v2.db"


def builds_in_containerd(docker: str) -> bool:
    """Whether the builder of the Docker at *docker* works in containerd, or did once."""
    try:
        return any(name.startswith("containerd-") for name in os.listdir(f"{docker}/buildkit"))
    except OSError:
        return False


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
    except OSError:
        return False
