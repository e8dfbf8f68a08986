"""What a path means in one store: the image, container, layer or storage directory that it belongs to. Pure.

A path is told by its parts, not by where it begins: ``/var/lib/docker/overlay2/<id>/diff/tmp/core`` may be seen as
``/host/docker/overlay2/<id>/…`` from within a container, or through a symlink.
"""

import posixpath
from collections.abc import Callable, Iterator, Sequence

from exporter.account.inspect.candidates import Kind, Target
from exporter.account.inspect.index import StoreIndex
from exporter.store.catalog import Store

Meaning = Callable[[StoreIndex, str], tuple[Target, ...]]
"""What a name means in the directory that it was found in; nothing where the store has no such thing."""


def owning_stores(indexes: Sequence[StoreIndex], path: str) -> Sequence[StoreIndex]:
    """The stores that *path* lies in, those of the innermost root; all, where it lies below none of the roots."""
    inside = [
        (root, index)
        for index in indexes
        for root in _roots(index.store)
        if f"{path}/".startswith(f"{root.rstrip('/')}/")
    ]
    innermost = max((root for root, _ in inside), key=len, default=None)
    return [index for root, index in inside if root == innermost] if innermost is not None else indexes


def _roots(store: Store) -> tuple[str, ...]:
    """The directories that a store has its parts in."""
    if store.places is None:
        return (store.root,)
    # A snapshotter may be elsewhere.
    return tuple(dict.fromkeys((*store.places.roots, store.directory_root)))


def targets_at(index: StoreIndex, path: str) -> tuple[Target, ...]:
    """Whose the file or directory at *path* is, by the outermost part of it that tells."""
    parts = posixpath.normpath(path).split("/")
    for place, name in enumerate(parts):
        for above, meaning in _meanings(index):
            if parts[max(0, place - len(above)) : place] == list(above) and (found := meaning(index, name)):
                return found
    return ()


def _meanings(index: StoreIndex) -> Iterator[tuple[Sequence[str], Meaning]]:
    """Below which directories of the engine's a name means what."""
    storage = index.store.directory_root.rpartition("/")[2]
    layer_store = ("image", index.store.driver)
    yield (storage,), _directory
    yield (storage, "l"), _short_name
    yield ("containers",), _container
    yield (*layer_store, "layerdb", "sha256"), _layer
    yield (*layer_store, "layerdb", "mounts"), _mount
    yield (*layer_store, "imagedb", "content", "sha256"), _image
    yield (*layer_store, "imagedb", "metadata", "sha256"), _image


def _directory(index: StoreIndex, name: str) -> tuple[Target, ...]:
    return (Target(Kind.DIRECTORY, name),) if name in index.directories() else ()


def _short_name(index: StoreIndex, name: str) -> tuple[Target, ...]:
    return tuple(Target(Kind.DIRECTORY, directory) for directory in index.directories_called(name))


def _container(index: StoreIndex, name: str) -> tuple[Target, ...]:
    return (Target(Kind.CONTAINER, name),) if name in index.store.containers else ()


def _layer(index: StoreIndex, name: str) -> tuple[Target, ...]:
    chain_id = f"sha256:{name}"
    return (Target(Kind.LAYER, chain_id),) if chain_id in index.store.layers else ()


def _image(index: StoreIndex, name: str) -> tuple[Target, ...]:
    image_id = f"sha256:{name}"
    return (Target(Kind.IMAGE, image_id),) if image_id in index.store.images else ()


def _mount(index: StoreIndex, name: str) -> tuple[Target, ...]:
    """The container of a writable layer; else the directories of a writable layer without a container."""
    mount = index.store.mounts.get(name)
    if name in index.store.containers or mount is None:
        return _container(index, name)
    return tuple(Target(Kind.DIRECTORY, directory) for directory in (mount.mount_id, mount.init_id) if directory)
