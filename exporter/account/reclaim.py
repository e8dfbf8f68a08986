"""What removing all of a kind would free, by true reference counts. Pure.

Each figure is the fall of ``du`` of the engine's root after the prune that it goes by, if nothing else happens: storage
directories, their short names, and records. Directories that lose entries stay as large as they are, and so do the
engine's databases, which may even grow by what a prune writes.

- ``dangling_images``: ``docker image prune --force``
- ``unused_images``: ``docker image prune --all --force``, the dangling ones included
- ``exited_containers``: ``docker container prune --force``: all that are not running, paused or restarting, with upper
  and init layer, logs and records; not their volumes
- ``build_cache``: ``docker builder prune --all --force``, while no build is running
- ``orphans``: deleting them and their short names by hand, as no command does

A layer goes when nothing refers to it any more: no image that stays, no writable layer that stays, no build cache, and
no layer on top of it. So layers that only images of the kind share go with them, and layers that somebody else needs
stay. A layer that nobody refers to now stays as well, with those below it: the engine removes a layer only when
somebody lets go of it.

With containerd content goes as well, the compressed copies beside the layers, unless a lease or another namespace keeps
it. Its records are in databases, which do not shrink. An image that Kubernetes' plug-in has pinned is not among them.

Source: moby ``layer/layer_store.go`` (``releaseLayer``), ``daemon/images/image_prune.go``, ``image_delete.go``.
"""

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.account.owners import Owner, Ownership
from exporter.account.ownership import mounts_of_containers
from exporter.account.sharing import tagged_images
from exporter.store.catalog import Layout, Source, Store
from exporter.store.entries import CacheID, ChainID, ContainerState, ImageID


class Kind(enum.StrEnum):
    """What can be removed together. Values are label values: part of the metrics contract."""

    DANGLING_IMAGES = "dangling_images"
    UNUSED_IMAGES = "unused_images"
    EXITED_CONTAINERS = "exited_containers"
    BUILD_CACHE = "build_cache"
    ORPHANS = "orphans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """What would go."""

    directories: frozenset[CacheID]
    """Storage directories that are there."""
    records: frozenset[str] = frozenset()
    """Absolute paths of records, files or directories, which may be gone already."""


def removable(store: Store, ownership: Ownership | None) -> Mapping[Kind, Removable]:
    """What would go with each kind; without the kinds of which that cannot be told."""
    found: dict[Kind, Removable] = {}
    if _are_told(store):
        whole = _Whole(store)
        found[Kind.DANGLING_IMAGES] = whole.without(images=_dangling_images(store))
        found[Kind.UNUSED_IMAGES] = whole.without(images=_unused_images(store))
        found[Kind.BUILD_CACHE] = whole.without(cache=True)
        if all(container.state is not None for container in store.containers.values()):
            found[Kind.EXITED_CONTAINERS] = whole.without(mounts=_exited_mounts(store))
    if ownership is not None and Owner.ORPHAN not in ownership.untold:
        found[Kind.ORPHANS] = _removable(store, ownership.of(Owner.ORPHAN))
    return found


def reclaimable(
    found: Mapping[Kind, Removable], directories: Mapping[CacheID, int], records: Mapping[str, int]
) -> Mapping[str, int]:
    """The bytes of what would go, with what was measured of directories and records; without the kinds of which
    anything was not measured."""
    sums: dict[str, int] = {}
    for kind, what in found.items():
        if directories.keys() >= what.directories and records.keys() >= what.records:
            sums[kind.value] = sum(map(directories.__getitem__, what.directories)) + sum(
                map(records.__getitem__, what.records)
            )
    return sums


def _are_told(store: Store) -> bool:
    """Whether all records were read that refer to layers, and no layer is missing: an engine that lacks one does not
    know the image any more."""
    return (
        store.measurable
        and not store.unread & _REFERRING
        and all(store.layers.keys() >= set(image.chain_ids) for image in store.images.values())
        and all(layer.cache_id is not None for layer in store.layers.values())
    )


_REFERRING = frozenset(Source) - {Source.OVERLAYS}


# What each kind is made of


def _dangling_images(store: Store) -> frozenset[ImageID]:
    """The images that ``docker image prune`` removes: without a tag, without children, without a container; then those
    that they were built on, where nothing at all names them and the same holds."""
    tagged = tagged_images(store)
    named = {reference.image_id for reference in store.references}
    return _removed_images(store, first=store.images.keys() - tagged, then=store.images.keys() - named)


def _unused_images(store: Store) -> frozenset[ImageID]:
    """The images that ``docker image prune --all`` removes: without a container, and on which no image that stays was
    built."""
    return _removed_images(store, first=store.images.keys(), then=store.images.keys())


def _removed_images(store: Store, *, first: Iterable[ImageID], then: Iterable[ImageID]) -> frozenset[ImageID]:
    """The images that go of *first*, and of *then* what goes after a child of its has gone. In containerd every one of
    *first* goes that no container was made from, whatever was built on it, but for what is pinned."""
    used = {container.image_id for container in store.containers.values()}
    if store.layout is Layout.SNAPSHOTTER:
        return frozenset(first) - used - {image.image_id for image in store.images.values() if image.pinned}
    children: dict[ImageID, set[ImageID]] = defaultdict(set)
    for image in store.images.values():
        if image.parent is not None:
            children[image.parent].add(image.image_id)
    may_follow, removed = set(then), set[ImageID]()
    for image_id in first:
        at: ImageID | None = image_id
        while (
            at is not None and at in store.images and at not in removed and at not in used and children[at] <= removed
        ):
            removed.add(at)
            parent = store.images[at].parent
            at = parent if parent in may_follow else None
    return frozenset(removed)


_ALIVE = frozenset({ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING})


def _exited_mounts(store: Store) -> frozenset[str]:
    """The writable layers of containers that are not running, and those of images mounted into them; of one that has
    none its name."""
    exited = {name for name, container in store.containers.items() if container.state not in _ALIVE}
    return frozenset(exited) | {mount for mount, owner in mounts_of_containers(store).items() if owner in exited}


# What goes with it


def _removable(store: Store, directories: Iterable[CacheID], records: Iterable[str] = ()) -> Removable:
    """Those storage directories that are there, with their short names, and records."""
    there = frozenset(name for name in directories if name in store.directories)
    links = (link for name in there if (link := store.directories[name].link) and store.directory_called(link) == name)
    short_names = (f"{store.directory_root}/l/{link}" for link in links)
    return Removable(directories=there, records=frozenset((*records, *short_names)))


class _Whole:
    """A store, and who refers to which layer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._above: dict[ChainID, set[ChainID]] = defaultdict(set)
        for layer in store.layers.values():
            if layer.parent is not None:
                self._above[layer.parent].add(layer.chain_id)

    def without(
        self,
        *,
        images: frozenset[ImageID] = frozenset(),
        mounts: frozenset[str] = frozenset(),
        cache: bool = False,
    ) -> Removable:
        """What goes with these images, with the containers and image mounts of these names, or with the cache."""
        store = self._store
        directories: set[CacheID | None] = set()
        for mount in (store.mounts[name] for name in mounts if name in store.mounts):
            directories |= {mount.mount_id, mount.init_id}
        layers = self._layers_without(images, mounts, cache)
        directories |= {store.layers[chain_id].cache_id for chain_id in layers}
        if cache:
            kept = {layer.cache_id for layer in store.layers.values() if layer.chain_id not in layers}
            directories |= store.cache_directories - kept
        gone = {name for name in directories if name is not None}
        if store.layout is Layout.SNAPSHOTTER:
            records = (*self._container_records(mounts), *self._blobs_without(images, cache))
            return _removable(store, gone | self._stages_without(gone), records)
        mount_records = (store.mount_record(name) for name in mounts if name in store.mounts)
        layer_records = map(store.layer_record, layers)
        records = (*self._image_records(images), *mount_records, *self._container_records(mounts), *layer_records)
        return _removable(store, gone, records)

    def _stages_without(self, gone: Collection[CacheID]) -> set[CacheID]:
        """What lies between layers and goes with them: that on which nothing else lies any more."""
        needed = {
            lower
            for name, directory in self._store.directories.items()
            if name not in gone and name not in self._store.stages
            for lower in directory.lower or ()
        }
        above = {
            lower
            for name in gone
            if (directory := self._store.directories.get(name)) is not None
            for lower in directory.lower or ()
        }
        return {name for name in self._store.stages if name in above and name not in needed}

    def _blobs_without(self, images: frozenset[ImageID], cache: bool) -> Iterator[str]:
        """The content that goes: what only these images, or only the cache's leases, keep."""
        store = self._store
        kept = {blob for image in store.images.values() if image.image_id not in images for blob in image.blobs}
        gone = {blob for image_id in images for blob in store.images[image_id].blobs}
        for digest, blob in store.content.items():
            goes = digest in gone and (cache or not blob.leased)
            if blob.elsewhere or digest in kept or not (goes or (cache and blob.leased)):
                continue
            yield store.image_record(ImageID(digest))

    def _layers_without(self, images: frozenset[ImageID], mounts: frozenset[str], cache: bool) -> set[ChainID]:
        """The layers that go, each after all that are on top of it."""
        store = self._store
        gone: list[ChainID] = list(store.cache_layers) if cache else []
        kept: set[ChainID] = set() if cache else set(store.cache_layers)
        for image in store.images.values():
            for top in image.tops:
                (gone.append if image.image_id in images else kept.add)(top)
        for mount in store.mounts.values():
            if mount.parent is not None:
                (gone.append if mount.name in mounts else kept.add)(mount.parent)
        found: set[ChainID] = set()
        for top in gone:
            at: ChainID | None = top
            while (
                at is not None
                and at in store.layers
                and at not in kept
                and at not in found
                and self._above[at] <= found
            ):
                found.add(at)
                at = store.layers[at].parent
        return found

    def _image_records(self, images: Iterable[ImageID]) -> Iterable[str]:
        for image_id in images:
            for part in ("content", "metadata"):
                yield f"{self._store.layer_store}/imagedb/{part}/sha256/{image_id.removeprefix('sha256:')}"

    def _container_records(self, mounts: Iterable[str]) -> Iterable[str]:
        """The directories that Docker has of the containers among these."""
        if self._store.log_directory is not None:
            yield from (self._store.container_record(name) for name in mounts if name in self._store.containers)
