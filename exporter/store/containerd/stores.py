"""Which stores there are in containerds, what each is called, and which of them Docker uses now.

A store is a namespace of one containerd, ``containerd/<namespace>``; what it has in a second snapshotter is another
one, ``containerd/<namespace>/<snapshotter>``. Docker keeps its images in its namespace ``moby`` or with a graph driver
of its own; a switch leaves the other store as it is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from exporter.store.catalog import Store
from exporter.store.containerd.build import Namesake
from exporter.store.containerd.metadata import Namespace
from exporter.store.containerd.reader import ContainerdReader
from exporter.store.containerd.roots import (
    DOCKERS,
    KUBERNETES,
    MEASURABLE,
    ContainerdRoot,
    builds_in_containerd,
    cache_database,
)
from exporter.store.detect import Location, daemon_options, touched
from exporter.store.engine import BACKING_DEVICE
from exporter.store.records import Scan, modified

_RANKS = {KUBERNETES: 0, DOCKERS: 1, "default": 2}
"""Which of the namespaces that are in use has what belongs to none: the first of these."""
_SLACK = 1.0
"""Seconds that an engine takes from one of its parts to the next when it is started."""


class Containerds:
    """Reads all containerds again and again."""

    def __init__(self, *, proc: str) -> None:
        self._proc = proc
        self._readers: dict[str, ContainerdReader] = {}
        self._roots: tuple[ContainerdRoot, ...] = ()

    def look(self, roots: Sequence[ContainerdRoot], scan: Scan) -> None:
        """Read what is at these roots now."""
        # Readers of what is gone are dropped, with all that they remember.
        self._readers = {root.path: self._readers.get(root.path) or ContainerdReader(proc=self._proc) for root in roots}
        self._roots = tuple(roots)
        for root in roots:
            self._readers[root.path].look(root, scan)

    def stores(self, is_in_use: Callable[[ContainerdRoot], bool], scan: Scan) -> list[Store]:
        """The stores of what was read last; *is_in_use* tells of each root whether the Docker that it belongs to keeps
        its images there now."""
        taken: set[str] = set()
        found: list[Store] = []
        for root in self._roots:
            reader = self._readers[root.path]
            namesakes = list(_namesakes(root, reader.namespaces, taken, active=is_in_use(root)))
            taken.update(namesake.name for namesake in namesakes)
            found += reader.stores(namesakes, scan)
            if not any(namesake.speaks for namesake in namesakes):
                scan.problems += reader.problems
        return found

    def users(self) -> Mapping[str, tuple[ContainerdRoot, ...]]:
        """By Docker root, where that Docker has images or snapshots in containerds, or has once been started to have
        them there: a new one has none yet."""
        found: dict[str, tuple[ContainerdRoot, ...]] = {}
        for root in self._roots:
            if root.docker is not None and (
                DOCKERS in self._readers[root.path].namespaces or builds_in_containerd(root.docker)
            ):
                found[root.docker] = (*found.get(root.docker, ()), root)
        return found


def _namesakes(
    root: ContainerdRoot, namespaces: Mapping[str, Namespace], taken: Collection[str], *, active: bool
) -> Iterator[Namesake]:
    """The stores of one containerd, the one that speaks for all first. Docker's is among them where Docker uses it,
    also while it is empty: nothing of its figures is unknown then."""
    if active:
        namespaces = {DOCKERS: Namespace(name=DOCKERS), **namespaces}

    def is_active(name: str) -> bool:
        return active if name == DOCKERS and root.docker is not None else True

    order = sorted(namespaces, key=lambda name: (not is_active(name), _RANKS.get(name, len(_RANKS)), name))
    speaking = True
    for name in order:
        snapshotters = list(_snapshotters(namespaces[name]))
        for place, snapshotter in enumerate(snapshotters):
            plain = f"{root.prefix}containerd/{name}" + (f"/{snapshotter}" if place else "")
            yield Namesake(
                name=f"{root.path}/{plain}" if plain in taken else plain,
                namespace=name,
                snapshotter=snapshotter,
                main=place == 0,
                active=is_active(name),
                speaks=speaking and snapshotter == MEASURABLE,
            )
            speaking = speaking and snapshotter != MEASURABLE


def _snapshotters(namespace: Namespace) -> Iterable[str]:
    """The snapshotters that a namespace uses: the one that can be measured first, if it is among them or there is
    none, else the one with most snapshots."""
    used = {name: len(records) for name, records in namespace.snapshots.items() if records}
    if not used:
        return (MEASURABLE,)
    return sorted(used, key=lambda name: (name != MEASURABLE, -used[name], name))


# Which store Docker uses


def with_active(locations: Iterable[Location], idle: Collection[str]) -> tuple[Location, ...]:
    """*locations*, of which those at Docker's roots in *idle* are not in use."""
    return tuple(replace(place, active=place.active and place.root not in idle) for place in locations)


def newest(roots: Iterable[ContainerdRoot]) -> ContainerdRoot:
    """Of several containerds that one Docker used, the one that it used last."""
    return max(roots, key=lambda root: modified(root.metadata))


def uses_graph_driver(place: Location, root: ContainerdRoot, daemon_config: str) -> bool:
    """Whether the Docker that has been at *place* and at *root* uses that graph driver now, and not the containerd.

    When it is started, it makes a device anew, and tries out the graph driver, which touches the driver's directory, if
    it is to use it: so a driver that was not touched since the start is not in use. Without such a device its
    configuration tells, and without that what was touched last.
    """
    used = touched(place.root, place.driver)
    # Where users are remapped, or were once, the two need not lie in the same directory.
    started = max(modified(f"{base}/{BACKING_DEVICE}") for base in {place.root, root.docker or place.root})
    if started:
        return used >= started - _SLACK
    options = daemon_options(daemon_config)
    features = options.get("features")
    chosen = features.get("containerd-snapshotter") if isinstance(features, dict) else None
    if isinstance(chosen, bool):
        return not chosen
    if isinstance(named := options.get("storage-driver"), str):
        return named == place.driver
    database = f"{root.snapshotter(MEASURABLE)}/metadata.db"
    return used >= max(modified(database), modified(cache_database(place.root, MEASURABLE)))


def has_left(place: Location) -> bool:
    """Whether the Docker at *place* keeps its images in some containerd now, by the signs in its own root: its builder
    has once worked there, and its graph driver was not touched when it was started."""
    started = modified(f"{place.root}/{BACKING_DEVICE}")
    return builds_in_containerd(place.root) and 0 < touched(place.root, place.driver) < started - _SLACK
