"""Stores as values, made record by record, without a disk."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from exporter.account.report import StoreReport, Upper
from exporter.account.summary import store_report
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem, Store
from exporter.store.entries import (
    CacheID,
    ChainID,
    Container,
    ContainerID,
    ContainerState,
    DiffID,
    Directory,
    HistoryEntry,
    Image,
    ImageID,
    Layer,
    Mount,
    MountPoint,
    Reference,
    Workload,
)

ROOT = "/var/lib/docker"
MOMENT = 1_767_225_600.0
"""2026-01-01T00:00:00Z: when everything here was made and measured."""


def digest(seed: str) -> str:
    """64 hex digits that depend on nothing but *seed*."""
    return hashlib.sha256(seed.encode(errors="surrogatepass")).hexdigest()


def chain_id_of(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The OCI image specification's formula, written out once more: tests do not compare the code with itself."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID("sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode("ascii")).hexdigest())


def step(created_by: str, *, empty: bool = False) -> HistoryEntry:
    return HistoryEntry(created=MOMENT, created_by=created_by, comment="", empty_layer=empty)


class Records:
    """One store that grows by calls, with every record and directory that an engine would have made."""

    def __init__(self, *, driver: str = "overlay2", root: str = ROOT, name: str | None = None) -> None:
        self._driver, self._root, self._name = driver, root, name or driver
        self.layers: dict[ChainID, Layer] = {}
        self.images: dict[ImageID, Image] = {}
        self.references: list[Reference] = []
        self.containers: dict[ContainerID, Container] = {}
        self.mounts: dict[str, Mount] = {}
        self.directories: dict[CacheID, Directory] = {}
        self.short_links: dict[str, str] = {}
        self.uppers: dict[ContainerID, Upper] = {}
        self.logs: dict[ContainerID, int] = {}
        self.problems: list[Problem] = []
        self.overlaid: set[CacheID] = set()
        """The directories that the kernel has mounted."""

    def layer(self, size: int | None, *, parent: ChainID | None = None, files: str | None = None) -> ChainID:
        """A layer of these *files* (by default of files of its own), with its directory; the one that is there already,
        if it has them on the same parent."""
        number = len(self.layers)
        diff_id = DiffID("sha256:" + digest(f"diff {files or number}"))
        chain_id = chain_id_of(parent, diff_id)
        if chain_id in self.layers:
            return chain_id
        cache_id = CacheID(digest(f"cache {number}"))
        self.layers[chain_id] = Layer(
            chain_id=chain_id, diff_id=diff_id, parent=parent, cache_id=cache_id, size=size, chain_id_recomputes=True
        )
        below = None if parent is None else self.layers[parent].cache_id
        self.directory(cache_id, below=below)
        return chain_id

    def directory(self, name: CacheID, *, below: CacheID | None = None, mounted: bool = False) -> None:
        """A storage directory on top of another, with its short name."""
        link = digest(f"link {name}")[:26].upper()
        lower = None
        if below is not None:
            nearest = self.directories[below]
            assert nearest.link is not None
            lower = (nearest.link, *(nearest.lower or ()))
        self.directories[name] = Directory(
            name=name,
            link=link,
            lower=lower,
            committed=False,
            has_diff=True,
            has_work=below is not None,
            has_merged=mounted,
            modified=MOMENT,
        )
        self.short_links[link] = f"../{name}/diff"
        if mounted:
            self.overlaid.add(name)

    def image(
        self,
        top: ChainID | None,
        *,
        tags: Sequence[str] = (),
        digests: Sequence[str] = (),
        parent: ImageID | None = None,
        history: Sequence[HistoryEntry] = (),
    ) -> ImageID:
        """An image of the chain that ends in *top*, named by ``repository:tag`` and ``repository@digest``."""
        image_id = ImageID("sha256:" + digest(f"image {len(self.images)}"))
        chain: list[Layer] = []
        while top is not None:
            chain.insert(0, self.layers[top])
            top = self.layers[top].parent
        self.images[image_id] = Image(
            image_id=image_id,
            diff_ids=tuple(layer.diff_id for layer in chain),
            chain_ids=tuple(layer.chain_id for layer in chain),
            created=MOMENT,
            parent=parent,
            platform="linux/amd64",
            history=tuple(history),
        )
        for name in tags:
            repository, _, tag = name.rpartition(":")
            self.references.append(Reference(repository=repository, tag=tag, digest="", image_id=image_id))
        for name in digests:
            repository, _, manifest = name.partition("@")
            self.references.append(Reference(repository=repository, tag="", digest=manifest, image_id=image_id))
        return image_id

    def container(
        self,
        image: ImageID | None,
        *,
        name: str,
        state: ContainerState | None = ContainerState.RUNNING,
        usage: Usage | None = None,
        log: int | None = None,
        limit: int | None = None,
        workload: Workload | None = None,
        mount_points: Sequence[MountPoint] = (),
        reference: str | None = None,
        mounted: bool = True,
    ) -> ContainerID:
        """A container with its writable layer, in any state; *usage* and *log* are what was measured of it."""
        container_id = ContainerID(digest(f"container {len(self.containers)}"))
        running = state is ContainerState.RUNNING
        self.containers[container_id] = Container(
            container_id=container_id,
            name=name,
            image_reference=reference if reference is not None else str(image),
            image_id=image,
            driver=self._driver,
            state=state,
            pid=4711 if running else 0,
            created=MOMENT,
            removing=False,
            log_driver="json-file",
            upper_limit=limit,
            workload=workload or Workload(),
            mount_points=tuple(mount_points),
        )
        if mounted:
            chain_ids = self.images[image].chain_ids if image is not None else ()
            self.mount(container_id, chain_ids[-1] if chain_ids else None, mounted=running)
        if usage is not None:
            self.uppers[container_id] = Upper(usage=usage, measured_at=MOMENT)
        if log is not None:
            self.logs[container_id] = log
        return container_id

    def mount(self, name: str, parent: ChainID | None, *, mounted: bool = False) -> CacheID:
        """A writable layer with its init layer; the directory of its upper."""
        upper = CacheID(digest(f"upper {name}"))
        init = CacheID(f"{upper}-init")
        self.directory(init, below=None if parent is None else self.layers[parent].cache_id)
        self.directory(upper, below=init, mounted=mounted)
        self.mounts[name] = Mount(name=name, mount_id=upper, init_id=init, parent=parent, modified=MOMENT)
        return upper

    def store(self) -> Store:
        """All of it as one value."""
        return Store(
            name=self._name,
            engine="docker",
            driver=self._driver,
            root=self._root,
            active=True,
            measurable=True,
            directory_root=f"{self._root}/{self._driver}",
            layers=dict(self.layers),
            images=dict(self.images),
            references=tuple(sorted(self.references)),
            containers=dict(self.containers),
            mounts=dict(self.mounts),
            directories=dict(self.directories),
            short_links=dict(self.short_links),
            overlaid=frozenset(self.overlaid),
            problems=tuple(self.problems),
        )

    def report(self) -> StoreReport:
        """What follows from it."""
        return store_report(self.store(), uppers=self.uppers, logs=self.logs)

    def change_layer(self, chain_id: ChainID, **changes: object) -> None:
        """Damage a layer's record."""
        self.layers[chain_id] = replace(self.layers[chain_id], **changes)  # type: ignore[arg-type]

    def change_directory(self, name: CacheID | None, **changes: object) -> None:
        """Damage a storage directory."""
        assert name is not None
        self.directories[name] = replace(self.directories[name], **changes)  # type: ignore[arg-type]
