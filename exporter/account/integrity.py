"""What does not fit between records: pure, each anomaly a named value.

What is wrong inside one record is found where it is read (``store``). Here are the contradictions between records.
An engine at work passes through many for a moment, so nothing found here counts before a second look finds it again
(``exporter/survey.py``), and what is being removed is left alone.
"""

from collections.abc import Callable, Iterator

from exporter.store.catalog import CacheID, ChainID, Directory, Layer, Problem, ProblemKind, Store, short_id


def find_problems(store: Store) -> tuple[Problem, ...]:
    """All contradictions between the records of one store."""
    return tuple(problem for check in _CHECKS for problem in check(store))


def _layer_path(store: Store, chain_id: ChainID) -> str:
    return f"{store.root}/image/{store.driver}/layerdb/sha256/{chain_id.removeprefix('sha256:')}"


def _parents(store: Store) -> Iterator[Problem]:
    """Layers whose parent is not there, or that are their own ancestor."""
    sound: set[ChainID] = set()
    for layer in store.layers.values():
        path = _layer_path(store, layer.chain_id)
        if layer.parent is not None and layer.parent not in store.layers:
            reason = f"its parent {layer.parent} is not there"
            yield Problem(kind=ProblemKind.MISSING_PARENT, path=path, reason=reason)
        elif _loops(store, layer, sound):
            reason = f"following the parents from {short_id(layer.chain_id)} comes back to it"
            yield Problem(kind=ProblemKind.PARENT_LOOP, path=path, reason=reason)


def _loops(store: Store, layer: Layer, sound: set[ChainID]) -> bool:
    """Whether *layer* is its own ancestor. *sound* gathers the layers that are known to lead to an end."""
    trail: dict[ChainID, None] = {}
    at: Layer | None = layer
    while at is not None and at.chain_id not in sound:
        if at.chain_id in trail:
            return at.chain_id == layer.chain_id
        trail[at.chain_id] = None
        at = None if at.parent is None else store.layers.get(at.parent)
    sound.update(trail)
    return False


def _images(store: Store) -> Iterator[Problem]:
    """Images whose layers are not all there, and names of images that are not there."""
    base = f"{store.root}/image/{store.driver}"
    for image in store.images.values():
        missing = [chain_id for chain_id in image.chain_ids if chain_id not in store.layers]
        if missing:
            path = f"{base}/imagedb/content/sha256/{image.image_id.removeprefix('sha256:')}"
            reason = f"{len(missing)} of its {len(image.chain_ids)} layers are not there, the lowest is {missing[0]}"
            yield Problem(kind=ProblemKind.IMAGE_LAYER_MISSING, path=path, reason=reason)
    unknown = sorted({reference.image_id for reference in store.references} - store.images.keys())
    for image_id in unknown:
        reason = f"it names image {image_id}, which is not there"
        yield Problem(kind=ProblemKind.REFERENCE_IMAGE_MISSING, path=f"{base}/repositories.json", reason=reason)


def _used_directories(store: Store) -> Iterator[tuple[CacheID, str]]:
    """The storage directories that a layer or a living container needs, each with the path of the record that
    says so."""
    for layer in store.layers.values():
        if layer.cache_id is not None:
            yield layer.cache_id, _layer_path(store, layer.chain_id)
    for container_id, container in store.containers.items():
        mount = store.mounts.get(container_id)
        if mount is None or container.removing:
            continue
        for directory in (mount.mount_id, mount.init_id):
            if directory is not None:
                yield directory, f"{store.root}/image/{store.driver}/layerdb/mounts/{mount.name}"


def _directories(store: Store) -> Iterator[Problem]:
    """Storage directories that records need and that are missing or damaged: after a power loss ``link`` and
    ``lower`` are empty."""
    if not store.measurable:
        return
    for name, record in _used_directories(store):
        directory = store.directories.get(name)
        path = f"{store.directory_root}/{name}"
        if directory is None or not directory.has_diff:
            reason = f"its files should be in {path}/{store.diff_name}, which is not there"
            yield Problem(kind=ProblemKind.MISSING_DIFF_DIRECTORY, path=record, reason=reason)
            continue
        yield from _short_names(store, directory, path)


def _short_names(store: Store, directory: Directory, path: str) -> Iterator[Problem]:
    if not directory.link:
        reason = "it holds no short name" if directory.link == "" else "there is no such file"
        yield Problem(kind=ProblemKind.EMPTY_LINK, path=f"{path}/link", reason=reason)
    elif (target := store.short_links.get(directory.link)) is None:
        reason = f"l/{directory.link} is not there"
        yield Problem(kind=ProblemKind.SHORT_LINK_DANGLING, path=f"{path}/link", reason=reason)
    elif target != f"../{directory.name}/{store.diff_name}":
        reason = f"l/{directory.link} leads to {ascii(target)[:120]}"
        yield Problem(kind=ProblemKind.SHORT_LINK_MISMATCH, path=f"{path}/link", reason=reason)
    if directory.lower is None:
        return
    if not directory.lower:
        yield Problem(kind=ProblemKind.EMPTY_LOWER, path=f"{path}/lower", reason="it names no layer")
    missing = [short for short in directory.lower if _directory_of(store, short) not in store.directories]
    if missing:
        reason = f"{len(missing)} of the {len(directory.lower)} layers it names are not there: {ascii(missing[0])[:60]}"
        yield Problem(kind=ProblemKind.LOWER_DANGLING, path=f"{path}/lower", reason=reason)


def _directory_of(store: Store, short: str) -> CacheID | None:
    """The storage directory that a short name leads to; None where it leads nowhere or out of the graph directory."""
    parts = store.short_links.get(short, "").split("/")
    return CacheID(parts[1]) if len(parts) == 3 and parts[0] == ".." and parts[2] == store.diff_name else None


def _containers(store: Store) -> Iterator[Problem]:
    """Containers without a writable layer."""
    for container_id, container in store.containers.items():
        mount = store.mounts.get(container_id)
        if container.removing or (mount is not None and mount.mount_id is not None):
            continue
        reason = "no record tells where its writable layer is" if mount is None else "its mount-id is missing or empty"
        path = f"{store.root}/image/{store.driver}/layerdb/mounts/{container_id}"
        yield Problem(kind=ProblemKind.CONTAINER_MOUNT_MISSING, path=path, reason=reason)


_CHECKS: tuple[Callable[[Store], Iterator[Problem]], ...] = (_parents, _images, _directories, _containers)
