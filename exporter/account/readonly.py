"""Whose the read-only storage directories are: layers, and what lies between them. Pure."""

from collections.abc import Iterable, Iterator

from exporter.account.owners import Owner
from exporter.account.sharing import chain
from exporter.store.catalog import Store
from exporter.store.entries import CacheID, ChainID


def named_read_only(store: Store) -> Iterator[tuple[CacheID, Owner]]:
    """Those of layers, and of what lies between them, by who needs them."""
    used, cached = used_layers(store), with_parents(store, store.cache_layers)
    needed, kept = set[CacheID | None](), set[CacheID | None]()
    for chain_id, layer in store.layers.items():
        if chain_id in used:
            needed.add(layer.cache_id)
        elif chain_id in cached:
            kept.add(layer.cache_id)
    if store.stages:
        needed |= {mount.mount_id for mount in store.mounts.values()}
        needed, kept = needed | _below(store, needed), kept | _below(store, kept | store.cache_directories)
    for name in (*(layer.cache_id for layer in store.layers.values()), *store.stages):
        if name is None:
            continue
        if name in needed:
            yield name, Owner.IMAGE_LAYER
        elif name in kept:
            yield name, Owner.BUILD_CACHE
        else:
            yield name, Owner.IN_FLIGHT if name in store.leased else Owner.UNREFERENCED_LAYER


def _below(store: Store, names: Iterable[CacheID | None]) -> set[CacheID]:
    """What lies below these directories of a snapshotter."""
    directories = (store.directories.get(name) for name in names if name is not None)
    return {CacheID(lower) for directory in directories if directory is not None for lower in directory.lower or ()}


def used_layers(store: Store) -> set[ChainID]:
    """The layers that an image or a writable layer is built on."""
    used = {chain_id for image in store.images.values() for chain_id in image.chain_ids}
    return used | with_parents(store, {mount.parent for mount in store.mounts.values() if mount.parent is not None})


def with_parents(store: Store, tops: Iterable[ChainID]) -> set[ChainID]:
    """Layers, and those below them."""
    found: set[ChainID] = set()
    for top in tops:
        for chain_id in chain(store.layers, top):
            if chain_id in found:
                break
            found.add(chain_id)
    return found
