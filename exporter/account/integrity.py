"""What does not fit between records: pure, each anomaly a named value.

What is wrong inside one record is found where it is read (``store``). Here are the contradictions between records.
An engine at work passes through many for a moment, so nothing found here counts before a second look finds it again
(``exporter/survey.py``), and what is being removed is left alone. What may last, as a build step does, is left over
only when it is older than the running engine, or very old.

One damage is one problem. A record that cannot be read leaves others pointing at nothing, and a directory that is
gone is missed by all layers above it; who mends the one mends the others, so only the first is told.

A container whose image was removed by ``docker rmi --force`` is no damage: it keeps its layers, and runs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from exporter.account.ownership import is_left, leaked_mounts, named_directories
from exporter.store.catalog import Layout, Problem, ProblemKind, Source, Store
from exporter.store.entries import CacheID, ChainID, ContainerID, Directory, Layer, short_id

REMOVED = 3600.0
"""Seconds after which a layer's removal did not just take long, but failed."""


def find_problems(store: Store, *, now: float) -> tuple[Problem, ...]:
    """All contradictions between the records of one store, which was read at *now* (Unix seconds), but those that
    follow from the store's own problems."""
    view = _View(store, now)
    return tuple(problem for check in _CHECKS for problem in check(view))


class _View:
    """A store, and what several checks need to know of it."""

    def __init__(self, store: Store, now: float) -> None:
        self.store = store
        self.now = now
        self.told = _Told(problem.path for problem in store.problems)
        self.missing_parents = {
            layer.parent
            for layer in store.layers.values()
            if layer.parent is not None and self.lacks_layer(layer.parent)
        }

    def layer(self, chain_id: ChainID) -> str:
        """The path of a layer's record."""
        return self.store.layer_record(chain_id)

    def container(self, container_id: str) -> str:
        """The path of a container's directory."""
        return self.store.container_record(container_id)

    def mount(self, name: str) -> str:
        """The path of a mount's record."""
        return self.store.mount_record(name)

    def lacks_layer(self, chain_id: ChainID) -> bool:
        """Whether there is no such layer, and no problem that says why."""
        return chain_id not in self.store.layers and not self.told.about(self.layer(chain_id))

    def directory(self, name: CacheID) -> str:
        """The path of a storage directory."""
        return f"{self.store.directory_root}/{name}"


class _Told:
    """What the problems that are known already are about."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._above = frozenset(above for path in self._paths for above in _above(path))

    def about(self, path: str) -> bool:
        """Whether one of them is about the record at *path*, a part of it, or a directory that holds it."""
        if not self._paths:
            return False
        return path in self._paths or path in self._above or not self._paths.isdisjoint(_above(path))


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _parents(view: _View) -> Iterator[Problem]:
    """Layers whose parent is not there, that are their own ancestor, or that have another layer's name: the first of
    these that holds tells the most."""
    loops = _loops(view.store.layers)
    for layer in view.store.layers.values():
        path = view.layer(layer.chain_id)
        if layer.parent in view.missing_parents:
            reason = f"its parent {layer.parent} is not there"
            yield Problem(kind=ProblemKind.MISSING_PARENT, path=path, reason=reason)
        elif layer.chain_id in loops:
            reason = f"following the parents from {short_id(layer.chain_id)} comes back to it"
            yield Problem(kind=ProblemKind.PARENT_LOOP, path=path, reason=reason)
        elif not layer.chain_id_recomputes:
            reason = "its name does not follow from its parent and diff ID"
            yield Problem(kind=ProblemKind.CHAIN_ID_MISMATCH, path=path, reason=reason)


def _loops(layers: Mapping[ChainID, Layer]) -> set[ChainID]:
    """The layers that are their own ancestors by a fault of their own.

    A chain ID is a digest of its parent's, so a loop holds at least one layer whose name does not recompute; the
    others in it are sound.
    """
    walked: set[ChainID] = set()
    found: set[ChainID] = set()
    for start in layers:
        trail: dict[ChainID, int] = {}
        at: ChainID | None = start
        while at is not None and at in layers and at not in walked and at not in trail:
            trail[at] = len(trail)
            at = layers[at].parent
        if at is not None and at in trail:
            loop = list(trail)[trail[at] :]
            found.update([chain_id for chain_id in loop if not layers[chain_id].chain_id_recomputes] or loop)
        walked.update(trail)
    return found


def _images(view: _View) -> Iterator[Problem]:
    """Images whose layers are not all there, and names of images that are not there."""
    store = view.store
    for image in store.images.values():
        absent = [chain_id for chain_id in image.chain_ids if chain_id not in store.layers]
        missing = [chain_id for chain_id in absent if view.lacks_layer(chain_id)]
        if missing and view.missing_parents.isdisjoint(missing):
            path = store.image_record(image.image_id)
            reason = f"{len(missing)} of its {len(image.chain_ids)} layers are not there, the lowest is {missing[0]}"
            yield Problem(kind=ProblemKind.IMAGE_LAYER_MISSING, path=path, reason=reason)
    for image_id in sorted({reference.image_id for reference in store.references} - store.images.keys()):
        if not view.told.about(store.image_record(image_id)):
            path = f"{store.layer_store}/repositories.json"
            reason = f"it names image {image_id}, which is not there"
            yield Problem(kind=ProblemKind.REFERENCE_IMAGE_MISSING, path=path, reason=reason)


def _used_directories(view: _View) -> Iterator[tuple[CacheID, str, bool]]:
    """The storage directories that a layer or a living container needs, each with the path of the record that says
    so, and whether it lies on another."""
    store = view.store
    for layer in store.layers.values():
        if layer.cache_id is not None:
            # A parent that the layer's name contradicts is none to go by.
            yield layer.cache_id, view.layer(layer.chain_id), layer.parent is not None and layer.chain_id_recomputes
    for container_id, container in store.containers.items():
        mount = store.mounts.get(container_id)
        if mount is None or container.removing:
            continue
        if mount.init_id is not None:
            yield mount.init_id, view.mount(mount.name), mount.parent is not None
        if mount.mount_id is not None:
            yield mount.mount_id, view.mount(mount.name), mount.init_id is not None or mount.parent is not None


def _directories(view: _View) -> Iterator[Problem]:
    """Storage directories that records need and that are missing or damaged: after a power loss ``link`` and
    ``lower`` are empty."""
    store = view.store
    if not store.measurable or _lacks_rows(store):
        return
    used = {name: (record, has_parent) for name, record, has_parent in _used_directories(view)}
    known = _known_short_names(store, used)
    for name, (record, has_parent) in used.items():
        directory = store.directories.get(name)
        path = view.directory(name)
        if directory is None or not directory.has_diff:
            if not view.told.about(path):
                reason = f"its files should be in {path}/{store.diff_name}, which is not there"
                yield Problem(kind=ProblemKind.MISSING_DIFF_DIRECTORY, path=record, reason=reason)
            continue
        if store.layout is Layout.GRAPHDRIVER:
            yield from _link(view, directory, path)
            yield from _lower(view, directory, path, known, has_parent)


def _known_short_names(store: Store, used: Iterable[CacheID]) -> set[str]:
    """The short names that a ``lower`` may hold without being wrong itself: those that lead to a directory, those of
    a directory whose link is wrong, and those of a directory that is missed already."""
    there = {*store.directories, *used}
    known = {short for short in store.short_links if store.directory_called(short) in there}
    owners = (store.directories.get(name) for name in used)
    known.update(owner.link for owner in owners if owner is not None and owner.link)
    return known


def _lacks_rows(store: Store) -> bool:
    """Whether the rows of a snapshotter are not known as they are now: those of before may name what went since. What
    is wrong with its database is told of that."""
    return store.layout is Layout.SNAPSHOTTER and Source.MOUNTS in store.unread


def _link(view: _View, directory: Directory, path: str) -> Iterator[Problem]:
    """A directory without a short name, or one whose short name leads elsewhere."""
    store, link = view.store, directory.link
    if not link:
        kind = ProblemKind.EMPTY_LINK
        reason = "it holds no short name" if link == "" else "there is no such file"
    elif (target := store.short_links.get(link)) is None:
        kind, reason = ProblemKind.SHORT_LINK_DANGLING, f"l/{ascii(link)[1:-1][:60]} is not there"
    elif target != f"../{directory.name}/{store.diff_name}":
        kind, reason = ProblemKind.SHORT_LINK_MISMATCH, f"l/{ascii(link)[1:-1][:60]} leads to {ascii(target)[:120]}"
    else:
        return
    if not view.told.about(f"{path}/link") and not (link and view.told.about(f"{store.directory_root}/l/{link}")):
        yield Problem(kind=kind, path=f"{path}/link", reason=reason)


def _lower(view: _View, directory: Directory, path: str, known: set[str], has_parent: bool) -> Iterator[Problem]:
    """A directory that does not name what lies below it."""
    lower = directory.lower
    if lower and known.issuperset(lower):
        return
    if not lower:
        if lower is None and not has_parent:
            return
        kind = ProblemKind.EMPTY_LOWER
        reason = "it names no layer" if lower == () else "there is no such file"
    else:
        links = f"{view.store.directory_root}/l"
        missing = [short for short in lower if short not in known and not view.told.about(f"{links}/{short}")]
        if not missing:
            return
        kind = ProblemKind.LOWER_DANGLING
        reason = f"{len(missing)} of the {len(lower)} layers it names are not there: {ascii(missing[0])[:60]}"
    if not view.told.about(f"{path}/lower"):
        yield Problem(kind=kind, path=f"{path}/lower", reason=reason)


def _short_links(view: _View) -> Iterator[Problem]:
    """Short links to directories that are gone and that no record names."""
    store = view.store
    claimed = {directory.link for directory in store.directories.values()}
    named = set(named_directories(store))
    for short, target in store.short_links.items():
        directory = store.directory_called(short)
        if directory in store.directories or directory in named or short in claimed:
            continue
        path = f"{store.directory_root}/l/{short}"
        if not view.told.about(path):
            reason = f"it leads to {ascii(target)[:120]}, which is not there"
            yield Problem(kind=ProblemKind.SHORT_LINK_DANGLING, path=path, reason=reason)


def _containers(view: _View) -> Iterator[Problem]:
    """Containers without a writable layer, and those whose image the engine lost."""
    if view.store.layout is Layout.SNAPSHOTTER and (not view.store.measurable or _lacks_rows(view.store)):
        return
    named = {reference.image_id for reference in view.store.references}
    for container_id, container in view.store.containers.items():
        mount = view.store.mounts.get(container_id)
        path = view.mount(container_id)
        if container.removing:
            continue
        if (mount is None or mount.mount_id is None) and not view.told.about(path):
            missing = "no record tells where its writable layer is"
            reason = missing if mount is None else "its mount-id is missing or empty"
            yield Problem(kind=ProblemKind.CONTAINER_MOUNT_MISSING, path=path, reason=reason)
        image_id = container.image_id
        # What names point at, too, is told of the names.
        if image_id in view.store.lost_images and image_id not in named:
            reason = f"its image {image_id} is not there, though the engine did not remove it"
            path = f"{view.container(container_id)}/config.v2.json"
            yield Problem(kind=ProblemKind.CONTAINER_IMAGE_MISSING, path=path, reason=reason)


def _mounts(view: _View) -> Iterator[Problem]:
    """Writable layers that are left over, or on a layer that is lost."""
    store = view.store
    told_by_images = {chain_id for image in store.images.values() for chain_id in image.chain_ids}
    leaked = set(leaked_mounts(store, view.now))
    for mount in store.mounts.values():
        path = view.mount(mount.name)
        if mount.name in leaked:
            if not (view.told.about(path) or view.told.about(view.container(mount.name))):
                reason = "it belongs to no container, and nothing mounts it"
                yield Problem(kind=ProblemKind.MOUNT_WITHOUT_CONTAINER, path=path, reason=reason)
            continue
        container = store.containers.get(ContainerID(mount.name))
        if mount.parent is None or container is None or container.removing:
            continue
        lost = mount.parent not in told_by_images | view.missing_parents and view.lacks_layer(mount.parent)
        if lost and not view.told.about(path):
            reason = f"the layer {mount.parent} that it lies on is not there"
            yield Problem(kind=ProblemKind.MISSING_PARENT, path=f"{path}/parent", reason=reason)


def _remains(view: _View) -> Iterator[Problem]:
    """What the engine left half written or half removed."""
    store = view.store
    for write_set in store.write_sets:
        if is_left(store, write_set.modified, view.now):
            reason = "a layer that was never finished: the engine died over it, and never looks at it again"
            yield Problem(kind=ProblemKind.STALE_WRITE_SET, path=write_set.record, reason=reason)
    for removal in store.removals:
        if is_left(store, removal.renamed, view.now, REMOVED) and not view.told.about(removal.record):
            reason = "a layer whose removal was begun and not finished"
            yield Problem(kind=ProblemKind.REMOVING_LEFT_OVER, path=removal.record, reason=reason)


_CHECKS: tuple[Callable[[_View], Iterator[Problem]], ...] = (
    _parents,
    _images,
    _directories,
    _short_links,
    _containers,
    _mounts,
    _remains,
)
