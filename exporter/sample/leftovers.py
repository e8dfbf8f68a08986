"""What engines leave in a store besides images and containers: build cache, others' mounts, and remains of a crash."""

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

from exporter.sample.bolt import database
from exporter.sample.builder import StoreBuilder
from exporter.sample.disk import hex_id, write_record
from exporter.sample.tree import File, archive
from exporter.store.entries import CacheID, ChainID, ContainerID, ImageID

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class BuildCache:
    """BuildKit's snapshots on a graph driver: ``buildkit/snapshots.db`` and one storage directory for each."""

    def __init__(self, store: StoreBuilder) -> None:
        self._store = store
        self._buckets: dict[str, dict[str, str]] = {}

    def add(self, files: Mapping[str, File], *, parent: CacheID | None = None, committed: bool = True) -> CacheID:
        """Cache a step's result; the storage directory, which is named by the snapshot's key.

        Args:
            files: what the step made.
            parent: the storage directory of the step before.
            committed: whether the step has ended; one that runs is the snapshot of its own key.
        """
        directory = buildkit_key(self._store.rng)
        self._store.graph.create(directory, parent)
        self._store.graph.apply(directory, files)
        size = str(archive(files).size)
        if committed:
            self._buckets[directory] = {"parent": parent or "", "iscommitted": ""}
            self._buckets[buildkit_key(self._store.rng)] = {"committed": directory, "size": size}
        else:
            self._buckets[directory] = {"parent": parent or "", "size": size}
        self._save()
        return directory

    def prune(self) -> None:
        """Delete all of it: the records first, as BuildKit does, then the directories, children before parents."""
        directories = [name for name, values in self._buckets.items() if "committed" not in values]
        self._buckets.clear()
        self._save()
        for directory in reversed(directories):
            self._store.graph.remove(CacheID(directory))

    def _save(self) -> None:
        write_record(self._store.root / "buildkit" / "snapshots.db", database(self._buckets), 0o600)


def buildkit_key(rng: random.Random) -> CacheID:
    """25 characters of base 36, as BuildKit names snapshots."""
    return CacheID("".join(rng.choices(_BASE36, k=25)))


def builder_mount(store: StoreBuilder, top: ChainID | None) -> str:
    """The writable layer of a classic build's step: 64 hex digits that are no container. Left over, it is a leak."""
    name = hex_id(store.rng)
    store.mount(name, top, init=False)
    return name


def buildkit_mount(store: StoreBuilder, top: ChainID) -> str:
    """The view that BuildKit opens on an image's layers while a step runs."""
    name = buildkit_key(store.rng)
    store.mount(name, top, init=False)
    return name


def image_mount(store: StoreBuilder, container: ContainerID, image: ImageID, destination: str) -> str:
    """An image mounted into a container (``--mount type=image``)."""
    name = hashlib.sha256(f"{container}-src={image}-dst={destination}".encode()).hexdigest()
    store.mount(name, store.images[image].top, init=False)
    return name


def orphan(store: StoreBuilder, files: Mapping[str, File], *, parent: ChainID | None = None) -> CacheID:
    """A storage directory that no record names: a pull that ended with the engine's death."""
    directory = CacheID(hex_id(store.rng))
    store.graph.create(directory, None if parent is None else store.layers[parent].cache_id)
    store.graph.apply(directory, files)
    return directory


def half_pulled(
    store: StoreBuilder, files: Mapping[str, File], *, parent: ChainID | None = None
) -> tuple[CacheID, Path]:
    """A pull in flight, or killed there: a storage directory, and a write set in ``layerdb/tmp`` that names nothing."""
    return orphan(store, files, parent=parent), store.layerdb.begin(archive(files))


def half_removed(store: StoreBuilder, chain: ChainID) -> Path:
    """A layer whose removal failed after its record was renamed; its storage directory is still there."""
    del store.layers[chain]
    return store.layerdb.begin_removal(chain)


def remapped(root: Path, *, uid: int = 100_000, gid: int = 100_000, seed: int = 0) -> StoreBuilder:
    """The store of an engine with ``userns-remap``, in its own directory below the root."""
    return StoreBuilder(root / f"{uid}.{gid}", seed=seed)
