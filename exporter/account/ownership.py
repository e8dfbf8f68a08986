"""Whose each entry of the driver's directory is: exactly one owner for every one of them. Pure.

Nothing is called an orphan that could be anything else, for people delete orphans. A storage directory is one only if

- its name is one that the engine gives;
- no record names it: no layer, no layer that is being removed, no writable layer, no row of the build cache. The
  directories are listed before the records are read, so a record that is older than its directory cannot be missed;
- the running engine is not removing it, as far as can be seen: it deletes records and short names first;
- it is in the lower chain of no directory that may be somebody's;
- no overlay mount uses it, and the mounts where the engine mounts can be seen;
- it was made before the running engine was started, for what the engine holds in memory alone (a pull, a build step)
  does not outlive it;
- all this was so at the scan before, too;
- and everything that could have named it was read, and nothing that should be there is missing.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.account.owners import DRIVER_DIRECTORY, Doubt, Owner, Ownership
from exporter.account.readonly import named_read_only
from exporter.store.catalog import Layout, Source, Store
from exporter.store.entries import CacheID, ContainerID, ContainerState, Directory, Mount

MARGIN = 1.0
"""Seconds that a directory must be older than the engine's start."""
YOUNG = 60.0
"""Seconds within which what is made is recorded. It takes milliseconds, but a disk that does not keep up may hold up a
write for long."""
LASTING = 86_400.0
"""Seconds after which something that only lasts as long as a step of the engine's work is left over, whether or not the
engine was started since: no build step and no layer takes a day."""

_NAMES = {
    Layout.GRAPHDRIVER: re.compile(r"[0-9a-f]{64}(-init)?|[0-9a-z]{25}"),
    Layout.SNAPSHOTTER: re.compile(r"[0-9]+|new-[0-9]+"),
}
"""What engines call storage directories."""
_OF_BUILDER = 25
"""Characters of those names that BuildKit gives."""


def classify(store: Store, *, now: float, previous: Ownership | None = None) -> Ownership:
    """The owner of each entry of the store's driver's directory.

    Args:
        store: what was read at *now*, Unix seconds.
        now: when.
        previous: what the scan before gave; None where there was none.
    """
    names = dict(_named(store, now))
    complete = knows_all_names(store, now)
    named, released = _remembered(store, names, now=now, complete=complete, previous=previous)
    owners: dict[CacheID, Owner] = {CacheID(name): Owner.INTERNAL for name in (*store.internal, DRIVER_DIRECTORY)}
    unnamed = {}
    for name, directory in store.directories.items():
        if (owner := names.get(name)) is None:
            unnamed[name] = directory
        else:
            owners[name] = owner
    view = _View(store=store, named=names, unnamed=unnamed, released=released, now=now, complete=complete)
    doubts = dict(_doubts(view, frozenset() if previous is None else previous.candidates))
    owners.update((name, _owner_in(doubt)) for name, doubt in doubts.items())
    doubts.update((name, Doubt.STEP) for name in store.directories if names.get(name) is Owner.IN_FLIGHT)
    return Ownership(
        owners=owners,
        doubts=doubts,
        candidates=frozenset(name for name, doubt in doubts.items() if doubt in {Doubt.FIRST, Doubt.NONE}),
        named=named,
        released=released,
        untold=frozenset(_untold(store, complete, doubts.values(), first=previous is None)),
    )


def _remembered(
    store: Store, names: Collection[CacheID], *, now: float, complete: bool, previous: Ownership | None
) -> tuple[frozenset[CacheID], Mapping[CacheID, float]]:
    """What has been named, and what the running engine seems to be removing, since when.

    It is removing what a record named and does not name any more, and what has lost its short name in ``l/``: of a
    directory it deletes that first, and the files may take it long. But what lost it before anything came or went
    there under this engine was left by another one.
    """
    before = previous or Ownership(owners={})
    named = frozenset(name for name in store.directories if name in names)
    removing = {name: at for name, at in before.released.items() if not is_left(store, at, now)}
    if not complete:
        named |= before.named
    else:
        let_go = {name for name in before.named if name not in names}
        if store.short_links_changed is not None and not _is_older(store, store.short_links_changed):
            let_go |= set(_unlinked(store, names)) - before.candidates - before.released.keys()
        removing = dict.fromkeys(let_go, now) | removing
    return named, {name: at for name, at in removing.items() if name in store.directories and name not in names}


def _unlinked(store: Store, names: Collection[CacheID]) -> Iterator[CacheID]:
    """The directories without a record whose short name leads nowhere."""
    for name, directory in store.directories.items():
        if name not in names and directory.link and directory.link not in store.short_links:
            yield name


# What records name


def _named(store: Store, now: float) -> Iterator[tuple[CacheID, Owner]]:
    """The owner of every directory that a record names, on disk or not. Where several name one, the last holds: what
    somebody wrote comes before what can be had again."""
    for removal in store.removals:
        if removal.cache_id is not None:
            yield removal.cache_id, Owner.REMOVING
    for name in store.cache_directories:
        yield name, Owner.BUILD_CACHE
    yield from named_read_only(store)
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
    old is left over, unless a lease keeps it. None, where it is not known which containers there are.
    """
    if Source.CONTAINERS in store.unread:
        return
    of_containers = mounts_of_containers(store)
    for mount in store.mounts.values():
        if mount.name in of_containers or mount.mount_id in store.leased or _is_mounted(store, mount):
            continue
        if is_left(store, mount.modified, now):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A store, and what is known of its storage directories."""

    store: Store
    named: Collection[CacheID]
    unnamed: Mapping[CacheID, Directory]
    released: Collection[CacheID]
    now: float
    complete: bool


def _doubts(view: _View, candidates: Collection[CacheID]) -> Iterator[tuple[CacheID, Doubt]]:
    """What is known of each directory that no record names; *candidates* are those of the scan before."""
    if not view.unnamed:
        return
    certain = {name: doubt for name in view.unnamed if (doubt := _doubt_of(view, name)) is not None}
    needed, unclear = _needed(view, (*view.named, *certain))
    writing = _being_written(view)
    for name, directory in view.unnamed.items():
        if name in needed:
            yield name, Doubt.NEEDED
        elif name in certain:
            may_be_written = name in writing and certain[name] in {Doubt.YOUNGER, Doubt.START_UNKNOWN}
            yield name, Doubt.WRITING if may_be_written else certain[name]
        elif not view.complete or unclear(directory):
            yield name, Doubt.UNREAD
        else:
            yield name, Doubt.NONE if name in candidates else Doubt.FIRST


def _doubt_of(view: _View, name: CacheID) -> Doubt | None:
    """Why a directory that no record names may be somebody's, by itself; None where nothing about it says so."""
    store, directory = view.store, view.unnamed[name]
    if _is_in_use(store, directory):
        return Doubt.MOUNTED
    since = directory.rowless_since
    if name in view.released or (since is not None and view.now - since < YOUNG <= view.now - directory.made):
        return Doubt.RELEASED
    if not _is_older(store, directory.made):
        if view.now - directory.made < YOUNG:
            return Doubt.YOUNG
        return Doubt.START_UNKNOWN if store.engine_started is None else Doubt.YOUNGER
    if _NAMES[store.layout].fullmatch(name) is None:
        return Doubt.FOREIGN
    return Doubt.UNREAD if not store.has_cache_rows and len(name) == _OF_BUILDER else None


def _owner_in(doubt: Doubt) -> Owner:
    match doubt:
        case Doubt.NEEDED:
            return Owner.IMAGE_LAYER
        case Doubt.MOUNTED | Doubt.YOUNG | Doubt.WRITING:
            return Owner.IN_FLIGHT
        case Doubt.RELEASED:
            return Owner.REMOVING
        case Doubt.NONE:
            return Owner.ORPHAN
        case _:
            return Owner.SUSPECT


def _needed(view: _View, known: Iterable[CacheID]) -> tuple[set[CacheID], Callable[[Directory], bool]]:
    """The directories in the lower chains of those that are or may be somebody's, and what tells whether another one
    could be in one that cannot be told: a power cut empties ``lower`` and ``link``."""
    store = view.store
    short_names: set[str] = set()
    lost = False
    for name in known:
        directory = store.directories.get(name)
        if directory is not None and directory.lower:
            short_names.update(directory.lower)
        elif directory is not None and directory.has_work and store.layout is Layout.GRAPHDRIVER:
            lost = True  # only what lies on another has a work directory there
    needed = {name for name, directory in store.directories.items() if directory.link in short_names}
    dangling = False
    for short in short_names - {directory.link for directory in store.directories.values()}:
        led_to = store.directory_called(short)
        if led_to is not None and led_to in store.directories:
            needed.add(led_to)
        else:
            dangling = True
    return needed, lambda directory: lost or (dangling and not directory.link)


def _is_in_use(store: Store, directory: Directory) -> bool:
    """Whether it is mounted: the kernel says so, or ``merged`` is there. An engine that is gone may have left that, but
    who cannot see the mounts cannot know."""
    if directory.name in store.overlaid:
        return True
    return directory.has_merged and (Source.OVERLAYS in store.unread or not _is_older(store, directory.modified))


def _being_written(view: _View) -> set[CacheID]:
    """The directories whose layers' records are being written: nothing says which they are, so of the youngest as many
    as there are such records."""
    live = sum(not is_left(view.store, write_set.modified, view.now) for write_set in view.store.write_sets)
    youngest = sorted(view.unnamed.values(), key=lambda directory: directory.made, reverse=True)
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
    record that an image or another layer needs, or the record of a container's writable layer; and whether the mounts
    are seen that running containers must have.

    A record of a writable layer that the engine died over names none: it is left over itself.
    """
    if store.unread & _NAMING or _mounts_are_hidden(store):
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


def _mounts_are_hidden(store: Store) -> bool:
    """Whether containers run, and nothing of any is mounted as far as mounts can be seen: so they cannot be. Those of a
    sample run nowhere."""
    if store.engine == "sample":
        return False
    uppers = (store.upper_of(name) for name, container in store.containers.items() if container.state in _MOUNTED)
    directories = (store.directories.get(upper) for upper in uppers if upper is not None)
    mounted = {directory.name for directory in directories if directory is not None and directory.has_merged}
    return bool(mounted) and mounted.isdisjoint(store.overlaid)


_MOUNTED = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})


def _untold(store: Store, complete: bool, doubts: Collection[Doubt], *, first: bool) -> Iterator[Owner]:
    for owner, sources in _SOURCES.items():
        if sources & store.unread:
            yield owner
    if not complete:
        yield from (Owner.IN_FLIGHT, Owner.SUSPECT, Owner.ORPHAN)
    # That there is no orphan is known where there is nothing that could be one.
    if Doubt.START_UNKNOWN in doubts or (first and Doubt.FIRST in doubts):
        yield Owner.ORPHAN
