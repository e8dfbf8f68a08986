"""Where the disk went below an engine's root, by area, and by local volume.

Together the areas are what ``du -sx`` says of the root. What belongs to which:

- ``layers``: the storage drivers' directories (``overlay2``, …);
- ``containers``: ``containers`` (records and logs), and ``rootfs``, where containerd's snapshots are mounted;
- ``volumes``: ``volumes``, in which each ``<name>/_data`` is a local volume;
- ``build``: ``buildkit``, and ``builder`` of the builder before;
- ``metadata``: the records of images, networks and swarms: ``image``, ``network``, ``swarm``, ``trust``, ``runtimes``;
- ``other``: everything else, such as ``plugins``, ``tmp`` and ``containerd`` (the engine's own containerd: a store by
  itself where it holds images); the files in the root, and the root itself.

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
_OPAQUE = frozenset({"btrfs", "zfs"})
"""Drivers that give each layer a filesystem of its own: what it holds cannot be seen from the root."""
_VOLUME_DATA = "_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one walk tells apart."""

    area: Area
    driver: str = ""
    """Whose directory it is."""
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
    """Of its stores; the first has what does not belong to one of them alone."""
    composed: frozenset[str]
    """Directories in it that are known by their storage directories."""
    foreign: frozenset[str]
    """Roots of their own below it."""


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
        self._roots: dict[str, _Root] = {}
        self._stores: dict[str, Store] = {}
        self._began: dict[_Root, float] = {}
        self._found: dict[_Root, Mapping[_Part, int]] = {}
        self._layers: dict[str, int] = {}

    def expect(self, stores: Iterable[Store]) -> None:
        """Measure the roots of these stores from now on, and forget all others."""
        self._stores = {store.name: store for store in stores}
        self._roots = {name: root for root in _roots(self._stores.values()) for name in root.names}
        roots = set(self._roots.values())
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
        for root in dict.fromkeys(self._roots.values()):
            if now - self._began.get(root, -self._full_interval) >= self._full_interval:
                return self._measure(root, now, pace)
        return None

    def of(self, store: str, layers: int | None) -> StoreAreas:
        """The areas of one store, and its volumes.

        *layers* are the allocated bytes of the driver's directory. Where they are not known for the moment, because
        some directory in it is new, they are what they were last.
        """
        root = self._roots.get(store)
        found = None if root is None else self._found.get(root)
        if root is None or found is None:
            return NOTHING
        is_first = root.names[0] == store
        areas: dict[str, int] = dict.fromkeys(Area, 0)
        volumes: dict[str, int] = {}
        for part, allocated in found.items():
            if self._owner(root, part) == store:
                areas[part.area] += allocated
                if part.volume:
                    volumes[part.volume] = allocated
        if is_first and not self._volumes:
            del areas[Area.VOLUMES]
        driver = self._stores[store].driver
        if driver in _OPAQUE:
            del areas[Area.LAYERS]
        elif driver in root.composed:
            total = self._layers.get(store) if layers is None else layers
            if total is None:
                del areas[Area.LAYERS]
            else:
                areas[Area.LAYERS] += total
                self._layers[store] = total
        return StoreAreas(areas=areas, volumes=volumes)

    def _owner(self, root: _Root, part: _Part) -> str:
        """Whose a part is: that of the store whose driver it is, else the first one's."""
        for name in root.names:
            if part.driver and self._stores[name].driver == part.driver:
                return name
        return root.names[0]

    def _measure(self, root: _Root, now: float, pace: Pace) -> AreaStep:
        try:
            parts = measure_parts(root.path, top=_OTHER, part_of=self._asking(root), levels=3, pace=pace)
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
            name = names[-1]
            if "/".join((root.path, *names)) in root.foreign:
                return None
            if len(names) == 1:
                area = _AREAS.get(name, Area.OTHER)
                if name in root.composed or (area is Area.VOLUMES and not self._volumes):
                    return None
                return _Part(area=area, driver=name if name in DRIVERS else "")
            if len(names) == 3 and above.area is Area.VOLUMES and name == _VOLUME_DATA:
                return _Part(area=Area.VOLUMES, volume=names[1])
            return above

        return part_of


def _roots(stores: Iterable[Store]) -> Iterable[_Root]:
    by_path: dict[str, list[Store]] = {}
    for store in stores:
        by_path.setdefault(os.path.realpath(store.root), []).append(store)
    for path, inside in by_path.items():
        # What an engine uses now comes first, so that it has what belongs to no driver.
        inside.sort(key=lambda store: (not store.active, store.name))
        yield _Root(
            path=path,
            names=tuple(store.name for store in inside),
            composed=frozenset(
                store.driver
                for store in inside
                if store.measurable and _is_within(path, store.driver, store.directory_root)
            ),
            foreign=frozenset(other for other in by_path if other.startswith(f"{path}/")),
        )


def _is_within(root: str, driver: str, directory: str) -> bool:
    """Whether the driver's directory is the one that ``du -x`` of the root would come by: neither a symlink nor a
    mount."""
    try:
        return os.path.realpath(directory) == f"{root}/{driver}" and os.stat(directory).st_dev == os.stat(root).st_dev
    except OSError:
        return False
