"""Whose each entry of the driver's directory is: exactly one owner for every one of them. Pure.

Nothing is called an orphan that could be anything else, for people delete orphans. A storage directory is one only if

- no record names it: no layer, no layer that is being removed, no writable layer, no row of the build cache. The
  directories are listed before the records are read, so a record that is older than its directory cannot be missed;
- it is in the lower chain of no directory that a record names;
- no overlay mount uses it;
- it was made before the running engine was started, for what the engine holds in memory alone (a pull, a build step)
  does not outlive it;
- all this was so at the scan before, too;
- and everything that could have named it was read, and nothing that should be there is missing.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from exporter.account.owners import DRIVER_DIRECTORY, Doubt, Owner, Ownership
from exporter.account.sharing import chain
from exporter.store.catalog import CacheID, ChainID, ContainerID, Directory, Mount, Source, Store

MARGIN = 1.0
"""Seconds that a directory must be older than the engine's start."""
YOUNG = 60.0
"""Seconds within which what is made is recorded. It takes milliseconds, but a disk that does not keep up may hold up a
write for long."""
LASTING = 86_400.0
"""Seconds after which something that only lasts as long as a step of the engine's work is left over, whether or not the
engine was started since: no build step and no layer takes a day."""


def classify(store: Store, *, now: float, previous: frozenset[CacheID] | None = None) -> Ownership:
    """The owner of each entry of the store's driver's directory.

    Args:
        store: what was read at *now*, Unix seconds.
        now: when.
        previous: the candidates of the scan before; None where there was none.
    """
    named = dict(_named(store, now))
    owners: dict[CacheID, Owner] = {CacheID(name): Owner.INTERNAL for name in (*store.internal, DRIVER_DIRECTORY)}
    unnamed = {}
    for name, directory in store.directories.items():
        if (owner := named.get(name)) is None:
            unnamed[name] = directory
        else:
            owners[name] = owner
    complete = knows_all_names(store, now)
    doubts = dict(_doubts(store, unnamed, named, now=now, complete=complete, previous=previous or frozenset()))
    owners.update((name, _owner_in(doubt)) for name, doubt in doubts.items())
    doubts.update((name, Doubt.STEP) for name in store.directories if named.get(name) is Owner.IN_FLIGHT)
    return Ownership(
        owners=owners,
        doubts=doubts,
        candidates=frozenset(name for name, doubt in doubts.items() if doubt in {Doubt.FIRST, Doubt.NONE}),
        untold=frozenset(_untold(store, complete, doubts.values(), first=previous is None)),
    )


# What records name


def _named(store: Store, now: float) -> Iterator[tuple[CacheID, Owner]]:
    """The owner of every directory that a record names, on disk or not. Where several name one, the last holds: what
    somebody wrote comes before what can be had again."""
    for removal in store.removals:
        if removal.cache_id is not None:
            yield removal.cache_id, Owner.REMOVING
    for name in store.cache_directories:
        yield name, Owner.BUILD_CACHE
    used, cached = used_layers(store), _with_parents(store, store.cache_layers)
    for chain_id, layer in store.layers.items():
        if layer.cache_id is not None:
            kept = Owner.BUILD_CACHE if chain_id in cached else Owner.UNREFERENCED_LAYER
            yield layer.cache_id, Owner.IMAGE_LAYER if chain_id in used else kept
    leaked, of_containers = set(leaked_mounts(store, now)), mounts_of_containers(store)
    for mount in sorted(store.mounts.values(), key=lambda mount: mount.name in of_containers):
        upper, init = Owner.CONTAINER_UPPER, Owner.CONTAINER_INIT
        if mount.name not in of_containers:
            upper = init = Owner.LEAKED_MOUNT if mount.name in leaked else Owner.IN_FLIGHT
        if mount.init_id is not None:
            yield mount.init_id, init
        if mount.mount_id is not None:
            yield CacheID(f"{mount.mount_id}-init"), init
            yield mount.mount_id, upper


def named_directories(store: Store) -> Iterator[CacheID]:
    """Every directory that a record names, on disk or not."""
    return (name for name, _ in _named(store, now=0.0))


def used_layers(store: Store) -> set[ChainID]:
    """The layers that an image or a writable layer is built on."""
    used = {chain_id for image in store.images.values() for chain_id in image.chain_ids}
    return used | _with_parents(store, {mount.parent for mount in store.mounts.values() if mount.parent is not None})


def _with_parents(store: Store, tops: Iterable[ChainID]) -> set[ChainID]:
    """Layers, and those below them."""
    found: set[ChainID] = set()
    for top in tops:
        for chain_id in chain(store.layers, top):
            if chain_id in found:
                break
            found.add(chain_id)
    return found


def mounts_of_containers(store: Store) -> Mapping[str, ContainerID]:
    """The writable layers that belong to containers, by name: their own, and those of images that are mounted into
    them (``--mount type=image``), named by container, source and destination (moby ``daemon/mounts.go``)."""
    found: dict[str, ContainerID] = {}
    for container_id, container in store.containers.items():
        found[container_id] = container_id
        for point in container.mount_points:
            if point.kind == "image":
                text = f"{container_id}-src={point.source}-dst={point.destination}"
                found[hashlib.sha256(text.encode(errors="replace")).hexdigest()] = container_id
    return {name: owner for name, owner in found.items() if name in store.mounts}


def leaked_mounts(store: Store, now: float) -> Iterator[str]:
    """The names of writable layers that are left over.

    Builders make some for a step, mount them, and remove them when the step has ended; so what is not mounted and is
    old is left over. None, where it is not known which containers there are.
    """
    if Source.CONTAINERS in store.unread:
        return
    of_containers = mounts_of_containers(store)
    for mount in store.mounts.values():
        if mount.name not in of_containers and not _is_mounted(store, mount) and is_left(store, mount.modified, now):
            yield mount.name


def _is_mounted(store: Store, mount: Mount) -> bool:
    directory = None if mount.mount_id is None else store.directories.get(mount.mount_id)
    return directory is not None and _is_in_use(store, directory)


def is_left(store: Store, touched: float, now: float, lasting: float = LASTING) -> bool:
    """Whether what was last touched then is left over from a step of the engine's work: it is older than the running
    engine, or nothing happened to it for so many seconds."""
    return _is_older(store, touched) or now - touched > lasting


def _is_older(store: Store, moment: float) -> bool:
    """Whether a moment was before the running engine was started."""
    return store.engine_started is not None and moment < store.engine_started - MARGIN


# What no record names


def _doubts(
    store: Store,
    unnamed: Mapping[CacheID, Directory],
    named: Iterable[CacheID],
    *,
    now: float,
    complete: bool,
    previous: frozenset[CacheID],
) -> Iterator[tuple[CacheID, Doubt]]:
    if not unnamed:
        return
    in_use = (name for name, directory in unnamed.items() if _is_in_use(store, directory))
    needed = _needed(store, (*named, *in_use))
    writing = _being_written(store, unnamed, now)
    for name, directory in unnamed.items():
        if name in needed:
            yield name, Doubt.NEEDED
        elif _is_in_use(store, directory):
            yield name, Doubt.MOUNTED
        elif not _is_older(store, directory.made):
            yield name, _doubt_of_young(store, directory, now, writing)
        elif not complete:
            yield name, Doubt.UNREAD
        else:
            yield name, Doubt.NONE if name in previous else Doubt.FIRST


def _doubt_of_young(store: Store, directory: Directory, now: float, writing: set[CacheID]) -> Doubt:
    """What is known of a directory that is not known to be older than the running engine."""
    if now - directory.made < YOUNG:
        return Doubt.YOUNG
    if directory.name in writing:
        return Doubt.WRITING
    return Doubt.START_UNKNOWN if store.engine_started is None else Doubt.YOUNGER


def _owner_in(doubt: Doubt) -> Owner:
    match doubt:
        case Doubt.NEEDED:
            return Owner.IMAGE_LAYER
        case Doubt.MOUNTED | Doubt.YOUNG | Doubt.WRITING:
            return Owner.IN_FLIGHT
        case Doubt.NONE:
            return Owner.ORPHAN
        case _:
            return Owner.SUSPECT


def _needed(store: Store, known: Iterable[CacheID]) -> set[CacheID]:
    """The directories in the lower chains of those that are known."""
    short_names: set[str] = set()
    for name in known:
        directory = store.directories.get(name)
        if directory is not None and directory.lower:
            short_names.update(directory.lower)
    needed = {name for name, directory in store.directories.items() if directory.link in short_names}
    led_to = map(store.directory_called, short_names)
    return needed | {name for name in led_to if name is not None}


def _is_in_use(store: Store, directory: Directory) -> bool:
    """Whether it is mounted: the kernel says so, or ``merged`` is there, unless an engine that is gone left that."""
    merged = directory.has_merged and not _is_older(store, directory.modified)
    return merged or directory.name in store.overlaid


def _being_written(store: Store, unnamed: Mapping[CacheID, Directory], now: float) -> set[CacheID]:
    """The directories whose layers' records are being written: nothing says which they are, so of the youngest as many
    as there are such records."""
    live = sum(not is_left(store, write_set.modified, now) for write_set in store.write_sets)
    youngest = sorted(unnamed.values(), key=lambda directory: directory.made, reverse=True)
    return {directory.name for directory in youngest[:live]}


# What is not known


_NAMING = frozenset({Source.DIRECTORIES, Source.LAYERS, Source.MOUNTS, Source.OVERLAYS, Source.CACHE})
_LAYERS = frozenset({Source.LAYERS, Source.MOUNTS, Source.CACHE, Source.IMAGES})
_CONTAINERS = frozenset({Source.MOUNTS, Source.CONTAINERS})
_SOURCES: Mapping[Owner, frozenset[Source]] = {
    Owner.IMAGE_LAYER: _LAYERS,
    Owner.CONTAINER_UPPER: _CONTAINERS,
    Owner.CONTAINER_INIT: _CONTAINERS,
    Owner.BUILD_CACHE: _LAYERS,
    Owner.UNREFERENCED_LAYER: _LAYERS,
    Owner.LEAKED_MOUNT: _CONTAINERS,
    Owner.REMOVING: frozenset({Source.LAYERS}),
    Owner.IN_FLIGHT: _CONTAINERS,
    Owner.INTERNAL: frozenset({Source.DIRECTORIES}),
}
"""What must be read whole to tell all directories of an owner."""


def knows_all_names(store: Store, now: float) -> bool:
    """Whether everything that could name a directory was read, and nothing that should name one is missing: a layer's
    record that an image or another layer needs, or the record of a container's writable layer.

    A record of a writable layer that the engine died over names none: it is left over itself.
    """
    if store.unread & _NAMING:
        return False
    layers = store.layers
    return (
        all(layer.parent is None or layer.parent in layers for layer in layers.values())
        and all(layer.cache_id is not None for layer in layers.values())
        and all(layers.keys() >= set(image.chain_ids) for image in store.images.values())
        and all(mount.mount_id is not None or is_left(store, mount.modified, now) for mount in store.mounts.values())
        and all(mount.parent is None or mount.parent in layers for mount in store.mounts.values())
        and all(container.removing or store.upper_of(name) is not None for name, container in store.containers.items())
    )


def _untold(store: Store, complete: bool, doubts: Collection[Doubt], *, first: bool) -> Iterator[Owner]:
    for owner, sources in _SOURCES.items():
        if sources & store.unread:
            yield owner
    if not complete:
        yield from (Owner.IN_FLIGHT, Owner.SUSPECT, Owner.ORPHAN)
    # That there is no orphan is known where there is nothing that could be one.
    if Doubt.START_UNKNOWN in doubts or (first and Doubt.FIRST in doubts):
        yield Owner.ORPHAN
