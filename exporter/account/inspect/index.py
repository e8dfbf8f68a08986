"""Ways to look into one store's records from any side: what an image, a layer or a directory has to do with others."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from exporter.account.inspect.views import ContainerName, ImageName, Owner
from exporter.account.report import StoreReport
from exporter.account.sharing import container_chain, head_images, parents_of_images, tagged_images
from exporter.store.catalog import Layout, Problem, Store
from exporter.store.entries import CacheID, ChainID, ContainerID, Image, ImageID, Reference

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


def reference_name(reference: Reference) -> str:
    """A reference as people write it."""
    if reference.tag:
        return f"{reference.repository}:{reference.tag}"
    return f"{reference.repository}@{reference.digest}"


def names_by_image(store: Store) -> Mapping[ImageID, tuple[str, ...]]:
    """The names of every image that has any: tags first, then digests."""
    found: dict[ImageID, list[str]] = defaultdict(list)
    for reference in sorted(store.references, key=lambda reference: (not reference.tag, reference)):
        found[reference.image_id].append(reference_name(reference))
    return {image_id: tuple(names) for image_id, names in found.items()}


def made_by(image: Image) -> tuple[str | None, ...]:
    """The step that made each layer of *image*, base first: the k-th entry of the history that is no ``empty_layer``
    made the k-th layer. None for layers that the history, which may be shorter, does not reach."""
    steps = [entry.created_by for entry in image.history if not entry.empty_layer]
    return tuple(steps[place] if place < len(steps) else None for place in range(len(image.chain_ids)))


class StoreIndex:
    """One store, looked into from all sides."""

    def __init__(self, report: StoreReport) -> None:
        self.report = report
        self.store = report.store
        store = report.store
        self.names = names_by_image(store)
        self._tagged, self._parents = tagged_images(store), parents_of_images(store)
        self._heads_of_layer = _gathered(
            (chain_id, image.image_id) for image in head_images(store) for chain_id in image.chain_ids
        )
        self._containers_of_layer = _gathered(
            (chain_id, container.container_id)
            for container in store.containers.values()
            for chain_id in container_chain(store, container.container_id, container.image_id)
        )
        self._containers_of_image = _gathered(
            (container.image_id, container.container_id)
            for container in store.containers.values()
            if container.image_id is not None
        )
        self.steps_of_layer = _gathered(
            (chain_id, step)
            for image in store.images.values()
            for chain_id, step in zip(image.chain_ids, made_by(image), strict=True)
            if step
        )
        self.layers_of_directory = _gathered(
            (layer.cache_id, layer.chain_id) for layer in store.layers.values() if layer.cache_id is not None
        )
        self.mounts_of_directory = _gathered(
            (directory, mount.name)
            for mount in store.mounts.values()
            for directory in (mount.mount_id, mount.init_id)
            if directory is not None
        )
        self.links_to_directory = _gathered(
            (directory.link, directory.name) for directory in store.directories.values() if directory.link
        )

    # Names

    def image_name(self, image_id: ImageID) -> ImageName:
        """An image, with all that it is called."""
        return ImageName(image_id=image_id, names=self.names.get(image_id, ()))

    def container_name(self, container_id: ContainerID) -> ContainerName:
        """A container, with its name and state."""
        container = self.store.containers[container_id]
        return ContainerName(container_id=container_id, name=container.name, state=container.state)

    def images_sharing(self, chain_id: ChainID) -> tuple[ImageName, ...]:
        """The head images whose chain contains a layer, in order of their names, nameless ones last."""
        images = map(self.image_name, self._heads_of_layer.get(chain_id, ()))
        return tuple(sorted(images, key=lambda image: (not image.names, image.names, image.image_id)))

    def containers_on(self, chain_id: ChainID) -> tuple[ContainerName, ...]:
        """The containers whose chain contains a layer, in order of their names."""
        return self._containers(self._containers_of_layer.get(chain_id, ()))

    def containers_from(self, image_id: ImageID) -> tuple[ContainerName, ...]:
        """The containers made from an image, in order of their names."""
        return self._containers(self._containers_of_image.get(image_id, ()))

    def _containers(self, container_ids: Iterable[ContainerID]) -> tuple[ContainerName, ...]:
        containers = map(self.container_name, container_ids)
        return tuple(sorted(containers, key=lambda container: (container.name, container.container_id)))

    def image_state(self, image_id: ImageID) -> str:
        """``tagged``, ``dangling`` or ``intermediate``."""
        if image_id in self._tagged:
            return "tagged"
        return "intermediate" if image_id in self._parents else "dangling"

    # Records

    def problems_at(self, paths: Iterable[str]) -> tuple[Problem, ...]:
        """The store's problems with these records and directories, and with all that is in them."""
        wanted = set(paths)
        return tuple(
            problem for problem in self.store.problems if not wanted.isdisjoint(_path_and_parents(problem.path))
        )

    # Directories

    def directories(self) -> set[CacheID]:
        """All storage directories that are on disk or that a record names."""
        return {*self.store.directories, *self.layers_of_directory, *self.mounts_of_directory}

    def directories_called(self, short_name: str) -> tuple[CacheID, ...]:
        """The directories that a short name stands for: where it leads, and those whose own record says so. They are
        one, unless damaged."""
        if self.store.layout is Layout.SNAPSHOTTER:
            return ()
        target = self.store.directory_called(short_name)
        named = self.links_to_directory.get(short_name, ())
        return tuple(dict.fromkeys((*(() if target is None else (target,)), *named)))

    def needed_by(self, directory: CacheID) -> tuple[CacheID, ...]:
        """The directories in whose lower chain *directory* is."""
        return tuple(
            sorted(
                other.name
                for other in self.store.directories.values()
                if any(self.store.directory_called(short_name) == directory for short_name in other.lower or ())
            )
        )

    def layer_owner(self, chain_id: ChainID) -> Owner:
        """Whether anything is built on a layer."""
        used = (
            any(chain_id in image.chain_ids for image in self.store.images.values())
            or chain_id in self._containers_of_layer
            or any(chain_id in container_chain(self.store, name, None) for name in self.store.mounts)
        )
        return Owner.IMAGE_LAYER if used else Owner.UNREFERENCED_LAYER


def _path_and_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _gathered(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    """All values of each key, each value once, in their order."""
    found: dict[K, dict[V, None]] = defaultdict(dict)
    for key, value in pairs:
        found[key][value] = None
    return {key: tuple(values) for key, values in found.items()}
