"""Where the disk went below an engine's root, by area, and by local volume.

Together the areas are what ``du -sx`` says of the root. What belongs to which:

- ``layers``: the storage drivers' directories (``overlay2``, …);
- ``containers``: ``containers`` (records and logs), and ``rootfs``, where containerd's snapshots are mounted;
- ``volumes``: ``volumes``, in which each ``<name>/_data`` is a local volume;
- ``build``: ``buildkit``, and ``builder`` of the builder before;
- ``metadata``: the records of images, networks and swarms: ``image``, ``network``, ``swarm``, ``trust``, ``runtimes``;
- ``content``: of containerd, what came from registries as it came, compressed: ``io.containerd.content.v1.content``;
- ``other``: everything else, such as ``plugins`` and ``tmp``; the files in the root, and the root itself.

Below a containerd's root, which may lie in Docker's (``containerd/daemon``), ``layers`` are the snapshotters'
directories of snapshots, ``metadata`` their databases and ``io.containerd.metadata.v1.bolt``, and ``containers`` what
its plug-ins for Kubernetes and for running containers keep of each. A Docker that uses a containerd elsewhere has both
roots.

What lies on another filesystem is left out. So is what is an engine's root of its own (with userns-remap each mapping
has one below the plain root): it has areas of its own. The storage directories are measured elsewhere, so the drivers'
directories that hold them are not walked here.

A file with several names counts once below one root, as with ``du``, in the area where it is met first. Storage
directories are by themselves: no engine links files across them, and the kernel lets no container do it.
"""

import enum
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from exporter.measure.listing import Pace, unhurried
from exporter.measure.parts import Names, measure_parts
from exporter.store.catalog import Store


class Area(enum.StrEnum):
    """What a root is divided into. Values are label values: part of the metrics contract."""

    LAYERS = "layers"
    CONTAINERS = "containers"
    VOLUMES = "volumes"
    BUILD = "build"
    METADATA = "metadata"
    CONTENT = "content"
    OTHER = "other"


DRIVERS = frozenset({"overlay2", "fuse-overlayfs", "overlay", "aufs", "btrfs", "zfs", "vfs", "devicemapper"})
"""Each has a directory of its name."""

_AREAS: Mapping[str, Area] = {
    **dict.fromkeys(DRIVERS, Area.LAYERS),
    "containers": Area.CONTAINERS,
    "rootfs": Area.CONTAINERS,
    "volumes": Area.VOLUMES,
    "buildkit": Area.BUILD,
    "builder": Area.BUILD,
    **dict.fromkeys(("image", "network", "swarm", "trust", "runtimes"), Area.METADATA),
}
_CONTAINERD: Mapping[str, Area] = {
    "io.containerd.content.v1.content": Area.CONTENT,
    "io.containerd.metadata.v1.bolt": Area.METADATA,
    "io.containerd.grpc.v1.cri": Area.CONTAINERS,
    "io.containerd.sandbox.controller.v1.shim": Area.CONTAINERS,
    "io.containerd.runtime.v1.linux": Area.CONTAINERS,
    "io.containerd.runtime.v2.task": Area.CONTAINERS,
}
_OPAQUE = frozenset({"btrfs", "zfs"})
"""Drivers that give each layer a filesystem of its own: what it holds cannot be seen from the root."""
_LEVELS = 4
"""Levels down to the deepest that is told apart:
``containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots``."""
_VOLUME_DATA = "_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one walk tells apart."""

    area: Area
    driver: str = ""
    """Whose directory it is, by its path."""
    volume: str = ""


_OTHER = _Part(area=Area.OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAreas:
    """What belongs to one store. Both are empty until known."""

    areas: Mapping[str, int]
    """Allocated bytes by `Area`; one that is not known is absent."""
    volumes: Mapping[str, int]
    """Allocated bytes of each local volume's directory ``_data``, by its name."""


NOTHING = StoreAreas(areas={}, volumes={})


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaStep:
    """What measuring one root took."""

    inodes: int
    """Looked at."""
    vanished: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Root:
    """One engine's root, with the stores in it."""

    path: str
    """Without symlinks."""
    names: tuple[str, ...]
    """Of its stores; the first has what does not belong to one of them alone. One may be in two roots."""
    composed: frozenset[str]
    """Directories in it that are known by their storage directories; absolute paths."""
    foreign: frozenset[str]
    """Roots of their own below it."""
    measured: frozenset[str]
    """The stores whose storage directories these are."""
    drivers: tuple[tuple[str, str], ...]
    """Drivers' directories in it, and containerds' roots, each with the name of the store that it belongs to."""
    containerds: frozenset[str]
    """Itself, or directories in it, where they are containerd's roots."""


class AreaMeasurer:
    """Measures the roots of all stores.

    ``expect`` after each catalog; ``step`` until it gives None; then ``of`` for the report. For one thread, but
    ``expect`` may be called by the pace of a step.
    """

    def __init__(self, *, monotonic: Callable[[], float], full_interval: float, volumes: bool = True) -> None:
        """Prepare.

        Args:
            monotonic: The time, in seconds that never go back.
            full_interval: Seconds from the beginning of one walk over a root to that of the next.
            volumes: Whether to walk volumes; without them that area is not known.
        """
        self._monotonic = monotonic
        self._full_interval = full_interval
        self._volumes = volumes
        self._roots: dict[str, tuple[_Root, ...]] = {}
        self._stores: dict[str, Store] = {}
        self._began: dict[_Root, float] = {}
        self._found: dict[_Root, Mapping[_Part, int]] = {}
        self._layers: dict[str, int] = {}

    def expect(self, stores: Iterable[Store]) -> None:
        """Measure the roots of these stores from now on, and forget all others."""
        self._stores = {store.name: store for store in stores}
        found = tuple(_roots(self._stores.values()))
        self._roots = {name: tuple(root for root in found if name in root.names) for name in self._stores}
        roots = set(found)
        self._began = {root: at for root, at in self._began.items() if root in roots}
        self._found = {root: found for root, found in self._found.items() if root in roots}
        self._layers = {name: total for name, total in self._layers.items() if name in self._stores}

    def step(self, pace: Pace = unhurried) -> AreaStep | None:
        """Measure the root that is due; None where none is.

        What *pace* raises ends the walk and is passed on, and the root stays due.

        Raises:
            OSError: The root cannot be opened, or this process lacks descriptors or memory. It is due again after the
                full interval.
        """
        now = self._monotonic()
        for root in dict.fromkeys(root for inside in self._roots.values() for root in inside):
            if now - self._began.get(root, -self._full_interval) >= self._full_interval:
                return self._measure(root, now, pace)
        return None

    def of(self, store: str, layers: int | None) -> StoreAreas:
        """The areas of one store, and its volumes.

        *layers* are the allocated bytes of the driver's directory. Where they are not known for the moment, because
        some directory in it is new, they are what they were last.
        """
        roots = self._roots.get(store, ())
        if not roots or not all(root in self._found for root in roots):
            return NOTHING
        areas: dict[str, int] = dict.fromkeys(Area, 0)
        volumes: dict[str, int] = {}
        for root in roots:
            for part, allocated in self._found[root].items():
                if self._owner(root, part) == store:
                    areas[part.area] += allocated
                    if part.volume:
                        volumes[part.volume] = allocated
            if root.names[0] == store and not self._volumes:
                areas.pop(Area.VOLUMES, None)
        known = self._stores[store]
        if known.driver in _OPAQUE:
            del areas[Area.LAYERS]
        elif any(store in root.measured for root in roots):
            total = self._layers.get(store) if layers is None else layers
            if total is None:
                del areas[Area.LAYERS]
            else:
                areas[Area.LAYERS] += total
                self._layers[store] = total
        return StoreAreas(areas=areas, volumes=volumes)

    def _owner(self, root: _Root, part: _Part) -> str:
        """Whose a part is: that of the store whose driver it is, else the first one's."""
        return next((name for path, name in root.drivers if path == part.driver), root.names[0])

    def _measure(self, root: _Root, now: float, pace: Pace) -> AreaStep:
        try:
            parts = measure_parts(root.path, top=_OTHER, part_of=self._asking(root), levels=_LEVELS, pace=pace)
        except OSError:
            self._began[root] = now
            self._found.pop(root, None)
            raise
        # It may not be expected any more; then it is forgotten with the next catalog.
        self._began[root] = now
        self._found[root] = {part: usage.allocated for part, usage in parts.usage.items()}
        return AreaStep(inodes=parts.inodes, vanished=parts.vanished, unreadable=parts.unreadable)

    def _asking(self, root: _Root) -> Callable[[Names, _Part], _Part | None]:
        def part_of(names: Names, above: _Part) -> _Part | None:
            name, path = names[-1], "/".join((root.path, *names))
            if path in root.foreign or path in root.composed:
                return None
            if path.rpartition("/")[0] in root.containerds:
                return _containerds_part(path, name, root)
            if len(names) == 1 and root.path not in root.containerds:
                area = _AREAS.get(name, Area.OTHER)
                if area is Area.VOLUMES and not self._volumes:
                    return None
                return _Part(area=area, driver=path if name in DRIVERS else "")
            if len(names) == 3 and above.area is Area.VOLUMES and name == _VOLUME_DATA:
                return _Part(area=Area.VOLUMES, volume=names[1])
            return above

        return part_of


def _containerds_part(path: str, name: str, root: _Root) -> _Part:
    """The part that an entry of a containerd's root is. Beside snapshots that are known one by one there is only their
    database."""
    area = _CONTAINERD.get(name, Area.OTHER)
    is_one = any(path == driver for driver, _ in root.drivers)
    if is_one:
        area = Area.LAYERS
    elif f"{path}/snapshots" in root.composed:
        area = Area.METADATA
    return _Part(area=area, driver=path if is_one else path.rpartition("/")[0])


def _roots(stores: Iterable[Store]) -> Iterable[_Root]:
    by_path: dict[str, list[tuple[Store, str]]] = {}
    for store in stores:
        for root in (store.root,) if store.places is None else store.places.roots:
            by_path.setdefault(os.path.realpath(root), []).append((store, root))
    for path, inside in by_path.items():
        # What an engine uses now comes first, so that it has what belongs to no driver; of those, what speaks.
        inside.sort(key=lambda one: (not one[0].active, not one[0].speaks, one[0].name))
        drivers = tuple(
            (real, store.name) for store, root in inside if (real := _within(path, root, store.directory_root))
        )
        containerds = tuple(
            (os.path.realpath(store.places.containerd), store.name) for store, _ in inside if store.places is not None
        )
        measured = frozenset(store.name for store, _ in inside if store.measurable)
        yield _Root(
            path=path,
            names=tuple(store.name for store, _ in inside),
            composed=frozenset(real for real, name in drivers if name in measured),
            foreign=frozenset(other for other in by_path if other.startswith(f"{path}/")),
            measured=measured & {name for _, name in drivers},
            drivers=(*drivers, *containerds),
            containerds=frozenset(real for real, _ in containerds),
        )


def _within(path: str, root: str, directory: str) -> str:
    """The driver's directory as ``du -x`` of the root at *path*, which is *root* without symlinks, comes by it; empty
    where it does not, or where a symlink or a mount is on the way."""
    inside = directory.removeprefix(f"{root.rstrip('/')}/")
    if inside == directory or inside.count("/") >= _LEVELS:
        return ""
    try:
        expected = f"{path.rstrip('/')}/{inside}"
        is_here = os.path.realpath(directory) == expected and os.stat(directory).st_dev == os.stat(path).st_dev
    except OSError:
        return ""
    return expected if is_here else ""
