"""``StoreBuilder``: a small Docker engine root on disk, as dockerd's graph drivers leave it, without a dockerd.

Every record has the form and every operation the order of steps that moby gives them, so whatever reads a real engine's
root reads this one, and dockerd itself can be started on it. The same seed and the same calls give the same identities.
"""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.sample.bolt import database
from exporter.sample.containers import ContainerDirectories, ContainerRecord
from exporter.sample.disk import hex_id, make_directory, write_record
from exporter.sample.graphdir import graph_driver
from exporter.sample.imagedb import ImageDatabase, automatic_history, image_config, with_tag
from exporter.sample.layerdb import LayerDatabase, LayerRecord, chain_id
from exporter.sample.tree import Executable, File, Folder, Symlink, allocate, archive, beneath, write_tree
from exporter.store.entries import CacheID, ChainID, ContainerID, ContainerState, DiffID, ImageID, MountPoint

CREATED = "2026-01-01T00:00:00Z"
"""When everything was created whose creation time nobody gives."""

_INIT_FILES: Mapping[str, File] = {
    ".dockerenv": Executable(content=b""),
    "dev/console": Executable(content=b""),
    "dev/pts": Folder(),
    "dev/shm": Folder(),
    "etc/hostname": Executable(content=b""),
    "etc/hosts": Executable(content=b""),
    "etc/mtab": Symlink(target="/proc/mounts"),
    "etc/resolv.conf": Executable(content=b""),
    "proc": Folder(),
    "sys": Folder(),
}
"""What the engine lays between image and upper, so that mounts find a place (moby ``daemon/initlayer``)."""

# Directories that any dockerd leaves in its root, empty where it does nothing with them.
_ROOT_DIRECTORIES = {
    "buildkit": 0o711,
    "containers": 0o710,
    "image": 0o700,
    "network/files": 0o750,
    "plugins/tmp": 0o700,
    "plugins/storage": 0o755,
    "runtimes": 0o700,
    "swarm": 0o700,
    "tmp": 0o700,
    "trust": 0o700,
    "volumes": 0o701,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What the sample keeps of an image."""

    top: ChainID | None
    labels: Mapping[str, str]
    parent: ImageID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    upper: CacheID
    init: CacheID | None
    top: ChainID | None


class StoreBuilder:
    """An engine root that grows by calls.

    ``layers``, ``images`` and ``containers`` are what is in it, in the order of creation. ``graph``, ``layerdb`` and
    ``imagedb`` write the parts, for whoever wants a store that no engine would leave whole; ``rng`` names things.
    """

    def __init__(self, root: Path, *, driver: str = "overlay2", seed: int = 0, beside: bool = False) -> None:
        """Make the empty root.

        Args:
            root: the engine's root (``--data-root``); made if need be.
            driver: ``overlay2``, ``fuse-overlayfs`` or ``vfs``.
            seed: what identities that are random in an engine are drawn from.
            beside: the root holds the sample of another driver already: an engine that was switched leaves both.

        Raises:
            FileExistsError: the root is not empty: it may be a real engine's.
            ValueError: the driver is none of these.
        """
        if root.is_dir() and any(root.iterdir()) and (not beside or (root / "image" / driver).exists()):
            raise FileExistsError(f"not an empty directory: {root}")
        self.root = root
        self.driver = driver
        self.rng = random.Random(f"{driver} {seed}")  # noqa: S311 - identities of a sample, no secrets
        root.parent.mkdir(parents=True, exist_ok=True)
        make_directory(root, 0o710)
        for name, mode in _ROOT_DIRECTORIES.items():
            make_directory(root / name, mode)
        make_directory(root / "image" / driver / "layerdb", 0o700)
        if not (root / "buildkit" / "snapshots.db").exists():
            write_record(root / "buildkit" / "snapshots.db", database({}), 0o600)
        self.graph = graph_driver(driver, root, self.rng)
        self.layerdb = LayerDatabase(root / "image" / driver / "layerdb", self.rng)
        self.imagedb = ImageDatabase(root / "image" / driver, self.rng)
        self.container_directories = ContainerDirectories(root / "containers", self.rng)
        self.layers: dict[ChainID, LayerRecord] = {}
        self.containers: dict[ContainerID, ContainerRecord] = {}
        self.images: dict[ImageID, ImageRecord] = {}
        self._mounts: dict[str, _Mount] = {}

    # Layers

    def layer(self, files: Mapping[str, File], *, parent: ChainID | None = None) -> ChainID:
        """Register a layer of these files on top of ``parent``; one that exists already is returned as it is."""
        tar = archive(files)
        chain = chain_id(parent, tar.diff_id)
        if chain in self.layers:
            return chain
        below = None if parent is None else self.layers[parent].cache_id
        cache_id = CacheID(hex_id(self.rng))
        self.graph.create(cache_id, below)
        write_set = self.layerdb.begin(tar)
        self.graph.apply(cache_id, files)
        record = LayerRecord(chain_id=chain, diff_id=tar.diff_id, cache_id=cache_id, parent=parent, size=tar.size)
        self.layerdb.commit(write_set, record)
        self.layers[chain] = record
        return chain

    # Images

    def image(
        self,
        top: ChainID | None,
        *,
        tags: Sequence[str] = (),
        digests: Sequence[str] = (),
        parent: ImageID | None = None,
        created: str = CREATED,
        labels: Mapping[str, str] | None = None,
        history: Sequence[Mapping[str, object]] | None = None,
    ) -> ImageID:
        """Store an image of the chain that ends in ``top``.

        Args:
            top: the topmost layer; None for an image without any.
            tags: familiar names (``nginx:1.27``); without a tag they get ``latest``.
            digests: references by digest (``nginx@sha256:<hex>``).
            parent: the image that a classic build made this one from.
            created: creation time, RFC 3339.
            labels: of the image's configuration.
            history: steps as in the configuration; by default one for each layer and one that made none.
        """
        diff_ids = self._diff_ids(top)
        steps = automatic_history(len(diff_ids), created) if history is None else history
        config = image_config(diff_ids, created=created, labels=labels or {}, history=steps)
        image = self.imagedb.add(config, parent)
        self.images[image] = ImageRecord(top=top, labels=labels or {}, parent=parent)
        references = [with_tag(tag) for tag in tags] + list(digests)
        if references:
            self.imagedb.tag(image, references, updated=created)
        return image

    def tag(self, image: ImageID, reference: str, *, updated: str = CREATED) -> None:
        """Give an image one more name, by tag or by digest, taking it from the image that had it."""
        self.imagedb.tag(image, [with_tag(reference)], updated=updated)

    def untag(self, reference: str) -> None:
        """Drop a name; the image stays, dangling if it was the last one.

        Raises:
            KeyError: no image has the name.
        """
        self.imagedb.untag([with_tag(reference)])

    def remove_image(self, image: ImageID, *, force: bool = False) -> None:
        """Remove an image with its names, then untagged parents without children, and the layers that nobody needs.

        Args:
            image: what goes.
            force: also when stopped containers are made from it; they keep its layers.

        Raises:
            ValueError: a container or another image is made from it.
        """
        if not force and any(container.image_id == image for container in self.containers.values()):
            raise ValueError(f"a container uses {image}")
        if any(other.parent == image for other in self.images.values()):
            raise ValueError(f"another image is built on {image}")
        self.imagedb.untag(self.imagedb.references_of(image))
        self.imagedb.remove(image)
        removed = self.images.pop(image)
        self._release(removed.top)
        if removed.parent is not None and not self._needed(removed.parent):
            self.remove_image(removed.parent)

    # Containers

    def container(
        self,
        image: ImageID,
        *,
        name: str,
        state: str = "running",
        files: Mapping[str, File] | None = None,
        labels: Mapping[str, str] | None = None,
        log_driver: str = "json-file",
        log_bytes: int = 0,
        log_options: Mapping[str, str] | None = None,
        storage_opt_size: str | None = None,
        mount_points: Sequence[MountPoint] = (),
        image_reference: str | None = None,
        pid: int = 4711,
        exit_code: int = 0,
        created: str = CREATED,
    ) -> ContainerID:
        """Create a container in any state, in the engine's order: init layer, upper, mount record, container records.

        Args:
            image: what it is made from.
            name: without the leading slash.
            state: one of :class:`~exporter.store.entries.ContainerState`.
            files: what it wrote into its upper layer.
            labels: the container's own, besides those of the image.
            log_driver: ``json-file``, ``local``, or any other.
            log_bytes: how much log it has, to the byte.
            log_options: the log driver's options (``max-size``).
            storage_opt_size: the limit of the upper layer, as ``--storage-opt size=`` takes it (``10G``).
            mount_points: volumes without a source are made below the root.
            image_reference: what the user asked for; by default one of the image's names, or its ID.
            pid: its main process while it runs.
            exit_code: what it ended with.
            created: creation time, RFC 3339.
        """
        container = ContainerID(hex_id(self.rng))
        upper = self.mount(str(container), self.images[image].top)
        references = self.imagedb.references_of(image)
        record = ContainerRecord(
            container_id=container,
            name=name,
            image_id=image,
            image_reference=image_reference or (references[0] if references else image),
            driver=self.driver,
            state=ContainerState(state),
            created=created,
            mount_id=upper,
            pid=pid,
            exit_code=exit_code,
            labels={**self.images[image].labels, **(labels or {})},
            log_driver=log_driver,
            log_options=log_options or {},
            storage_opt_size=storage_opt_size,
            mount_points=[self._with_source(point) for point in mount_points],
        )
        self.container_directories.create(record)
        self.containers[container] = record
        self.graph.apply(upper, files or {})
        if record.mounted:
            self.graph.mount(upper)
        if log_bytes:
            self.container_directories.append_log(record, log_bytes)
        return container

    def set_state(self, container: ContainerID, state: str, *, pid: int | None = None, exit_code: int = 0) -> None:
        """Let a container start, pause, end or die: its record, and whether it is mounted."""
        old = self.containers[container]
        new = replace(old, state=ContainerState(state), pid=old.pid if pid is None else pid, exit_code=exit_code)
        (self.graph.mount if new.mounted else self.graph.unmount)(new.mount_id)
        self.container_directories.save(new)
        self.containers[container] = new

    def write(self, container: ContainerID, path: str, size: int, *, append: bool = False) -> None:
        """Let a container write a file of ``size`` bytes into its upper layer, or add so many to it."""
        target = beneath(self.upper_path(container), path)
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (0 if append else os.O_TRUNC)
        descriptor = os.open(target, flags, 0o644)
        try:
            allocate(descriptor, os.fstat(descriptor).st_size, size)
        finally:
            os.close(descriptor)

    def append_log(self, container: ContainerID, size: int) -> None:
        """Let a container log exactly so many bytes."""
        self.container_directories.append_log(self.containers[container], size)

    def rotate_log(self, container: ContainerID, *, keep: int = 4, compress: bool = False) -> None:
        """Rotate a container's log as its driver would, keeping so many old files."""
        self.container_directories.rotate_log(self.containers[container], keep=keep, compress=compress)

    def remove_container(self, container: ContainerID) -> None:
        """Remove a container: marked dead, then upper, init layer, mount record, and its own directory last."""
        self.set_state(container, "dead")
        self.unmount(str(container))
        self.container_directories.remove(container)
        del self.containers[container]

    def upper_path(self, container: ContainerID) -> Path:
        """The directory of a container's upper layer."""
        return self.graph.files(self.containers[container].mount_id)

    def container_path(self, container: ContainerID) -> Path:
        """``containers/<id>``."""
        return self.container_directories.path(container)

    def log_path(self, container: ContainerID) -> Path | None:
        """The file that a container's log goes to; None for a driver that keeps none here."""
        return self.container_directories.log_path(self.containers[container])

    def volume(self, name: str, files: Mapping[str, File] | None = None) -> Path:
        """Make a local volume; the path of its files."""
        directory = make_directory(self.root / "volumes" / name, 0o701)
        data = make_directory(directory / "_data", 0o755)
        write_tree(data, files or {})
        return data

    # Writable layers

    def mount(self, name: str, top: ChainID | None, *, init: bool = True) -> CacheID:
        """Record a writable layer on top of a chain, a container's or any other's; its storage directory's name.

        Args:
            name: a container ID; classic builds, BuildKit and image mounts use names of their own.
            top: the chain's topmost layer.
            init: whether an init layer lies between, as it does below a container.
        """
        upper = CacheID(hex_id(self.rng))
        below = None if top is None else self.layers[top].cache_id
        init_id = CacheID(f"{upper}-init") if init else None
        if init_id is not None:
            self.graph.create(init_id, below)
            self.graph.mount(init_id)
            self.graph.apply(init_id, _INIT_FILES)
            self.graph.unmount(init_id)
            below = init_id
        self.graph.create(upper, below)
        self.graph.mount(upper)
        self.graph.unmount(upper)
        self.layerdb.add_mount(name, upper, init_id, top)
        self._mounts[name] = _Mount(upper=upper, init=init_id, top=top)
        return upper

    def unmount(self, name: str) -> None:
        """Remove a writable layer: upper, init layer, record; then the layers below that nobody needs any more."""
        mount = self._mounts.pop(name)
        self.graph.remove(mount.upper)
        if mount.init is not None:
            self.graph.remove(mount.init)
        self.layerdb.remove_mount(name)
        self._release(mount.top)

    def _with_source(self, point: MountPoint) -> MountPoint:
        if point.kind == "volume" and not point.source:
            return replace(point, source=str(self.volume(point.name)))
        return point

    def _diff_ids(self, top: ChainID | None) -> list[DiffID]:
        diff_ids = []
        while top is not None:
            diff_ids.append(self.layers[top].diff_id)
            top = self.layers[top].parent
        return diff_ids[::-1]

    def _needed(self, image: ImageID) -> bool:
        """Whether an untagged parent stays when its child goes."""
        return (
            bool(self.imagedb.references_of(image))
            or any(other.parent == image for other in self.images.values())
            or any(container.image_id == image for container in self.containers.values())
        )

    def _release(self, top: ChainID | None) -> None:
        """Delete a chain from its top down, as far as no image, writable layer or other layer needs it."""
        while top is not None and not self._in_use(top):
            record = self.layers.pop(top)
            removing = self.layerdb.begin_removal(top)
            self.graph.remove(record.cache_id)
            self.layerdb.finish_removal(removing)
            top = record.parent

    def _in_use(self, chain: ChainID) -> bool:
        return (
            any(image.top == chain for image in self.images.values())
            or any(mount.top == chain for mount in self._mounts.values())
            or any(layer.parent == chain for layer in self.layers.values())
        )
