"""From what was read of one containerd to the store of one namespace: pure, but for the configurations that are asked
for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.store.boltrecords import Contents
from exporter.store.buildkit import BuildCache
from exporter.store.catalog import Layout, Places, Problem, ProblemKind, Source, Store
from exporter.store.containerd.containers import read_containers, upper_keys
from exporter.store.containerd.directories import Found
from exporter.store.containerd.images import Content, Images, content_of, read_images
from exporter.store.containerd.metadata import Metadata, Namespace
from exporter.store.containerd.roots import DOCKERS, MEASURABLE, ContainerdRoot, cache_database
from exporter.store.containerd.snapshots import Backend, Snapshots, directory_found, directory_of, is_layer
from exporter.store.containerd.snapshotter import BackendSnapshot
from exporter.store.entries import CacheID, ChainID, Container, ContainerID, ContainerState, Directory, Removal
from exporter.store.imageconfig import Configuration

ENGINE = "containerd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Since when what is being removed has been without a record, or longer; Unix seconds."""

    directories: Mapping[str, float]
    """Directories without a row, by name."""
    rows: Mapping[str, float]
    """The snapshotter's rows that no record of containerd's goes with, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that was read of one containerd."""

    root: ContainerdRoot
    metadata: Contents[Metadata]
    rows: Contents[Mapping[str, BackendSnapshot]]
    """Those of the snapshotter that can be measured."""
    directories: Mapping[str, Found]
    mounted: Mapping[str, float]
    """When those that may be written to were last mounted for that, or made, Unix seconds; by name."""
    internal: frozenset[str]
    containers: Mapping[ContainerID, Container]
    """Docker's."""
    containers_complete: bool
    statuses: Mapping[str, ContainerState]
    cache: BuildCache
    overlaid: frozenset[str]
    """The directories that overlay mounts use."""
    overlays_seen: bool
    started: float
    gone: Gone
    leases: frozenset[tuple[str, str]]
    """Those that hold something now, by namespace and ID."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Namesake:
    """One store: what it is called, and which part of a containerd it is."""

    name: str
    namespace: str
    snapshotter: str
    main: bool
    """Whether it has what belongs to the namespace as a whole: content, and images that are unpacked nowhere."""
    active: bool
    speaks: bool
    """Whether it is the one that has what belongs to no namespace."""


def build_store(
    reading: Reading,
    namesake: Namesake,
    configuration: Callable[[str], Configuration | None],
    *,
    configurations_of: Callable[[str], Iterable[str]] = lambda _: (),
    now: float,
) -> Store:
    """The store that *namesake* names; *configuration* gives an image's, by its digest, and *configurations_of* the
    digests that a manifest names. It has the problems that follow here, and, if it speaks, those of the reading."""
    return _Builder(reading, namesake, configuration, configurations_of, now).store()


class _Builder:
    def __init__(
        self,
        reading: Reading,
        namesake: Namesake,
        configuration: Callable[[str], Configuration | None],
        configurations_of: Callable[[str], Iterable[str]],
        now: float,
    ) -> None:
        self._configurations_of = configurations_of
        self._reading = reading
        self._namesake = namesake
        self._configuration = configuration
        self._now = now
        # Docker's is not recorded before there is anything in it.
        recorded = reading.metadata.value.namespaces
        self._namespace = recorded.get(namesake.namespace) or Namespace(name=namesake.namespace)
        self._measurable = namesake.snapshotter == MEASURABLE
        rows = reading.rows.value if self._measurable else {}
        backend = Backend(rows=rows, directories=reading.directories, mounted=reading.mounted)
        self._snapshots = Snapshots(self._namespace, namesake.snapshotter, backend)
        self._docker = reading.root.docker if namesake.namespace == DOCKERS else None
        self._cached = frozenset(_cached_keys(reading.cache)) if self._docker is not None else frozenset[str]()
        self._places = _places(reading.root, namesake, self._docker)

    def store(self) -> Store:
        reading, namesake, snapshots = self._reading, self._namesake, self._snapshots
        content = Content(self._namespace)
        found = self._images(content)
        keys = self._upper_keys()
        mounts = snapshots.mounts(keys, self._cached)
        uppers = {container: mount.mount_id for container, mount in mounts.items()}
        directories = dict(snapshots.directories())
        if namesake.speaks:
            directories.update(self._rowless())
        return Store(
            name=namesake.name,
            engine=ENGINE,
            driver=namesake.snapshotter,
            root=self._places.roots[0],
            active=namesake.active,
            measurable=self._measurable,
            directory_root=self._directory_root(),
            diff_name="fs",
            layout=Layout.SNAPSHOTTER,
            namespace=namesake.namespace,
            places=self._places,
            speaks=namesake.speaks,
            layers=snapshots.layers(found.diff_ids),
            images=found.images,
            references=found.references,
            containers=self._containers(keys, lambda container: uppers.get(container) in reading.overlaid),
            mounts=mounts,
            directories=directories,
            internal=reading.internal if namesake.speaks else frozenset(),
            stages=frozenset(snapshots.stages(mounts, self._cached)),
            leased=frozenset(snapshots.leased(self._now)),
            content=content_of(self._namespace, content, self._others(), self._now) if namesake.main else {},
            removals=tuple(self._removals()),
            cache_directories=frozenset(
                directory_of(row) for key, row in snapshots.named.items() if key in self._cached and not is_layer(key)
            ),
            cache_layers=frozenset(ChainID(key) for key in self._cached if is_layer(key)),
            overlaid=frozenset(map(CacheID, reading.overlaid & directories.keys())),
            engine_started=reading.started,
            unread=frozenset(self._unread()),
            problems=(*(reading.problems if namesake.speaks else ()), *self._problems()),
        )

    def _images(self, content: Content) -> Images:
        namesake = self._namesake
        found = read_images(
            self._namespace,
            content,
            namesake.snapshotter,
            self._configuration,
            configurations_of=self._configurations_of,
            chain_below=self._snapshots.layers_up_to,
            familiar=namesake.namespace == DOCKERS,
        )
        if namesake.main:
            return found
        images = {image_id: image for image_id, image in found.images.items() if image.chain_ids}
        named = tuple(reference for reference in found.references if reference.image_id in images)
        return Images(images=images, references=named, diff_ids=found.diff_ids)

    def _upper_keys(self) -> Mapping[str, str]:
        keys = dict(upper_keys(self._namespace, self._namesake.snapshotter))
        if self._docker is not None:
            keys.update((name, name) for name in self._of_docker())
        return keys

    def _of_docker(self) -> Iterator[ContainerID]:
        """Docker's containers of this store: those whose upper layer is here, and of those that have none anywhere,
        which is damage, the ones that say so, if Docker uses this store: it may have left another containerd behind."""
        for name, container in self._reading.containers.items():
            is_here = name in self._snapshots.records
            if (container.driver == self._namesake.snapshotter and (is_here or self._namesake.active)) or (
                is_here and not container.driver
            ):
                yield name

    def _containers(
        self, keys: Mapping[str, str], is_mounted: Callable[[str], bool]
    ) -> Mapping[ContainerID, Container]:
        if self._docker is not None:
            return {name: self._reading.containers[name] for name in self._of_docker()}
        statuses = self._reading.statuses
        return read_containers(self._namespace, keys, self._namesake.snapshotter, statuses, is_mounted)

    def _others(self) -> Iterator[Namespace]:
        namespaces = self._reading.metadata.value.namespaces
        return (other for name, other in namespaces.items() if name != self._namesake.namespace)

    def _directory_root(self) -> str:
        snapshotter = self._reading.root.snapshotter(self._namesake.snapshotter)
        return f"{snapshotter}/snapshots" if self._measurable else snapshotter

    def _rowless(self) -> Iterator[tuple[CacheID, Directory]]:
        """The directories that no row of any namespace names."""
        numbers = {str(row.number) for row in self._reading.rows.value.values()}
        since = self._reading.gone.directories
        for name, seen in self._reading.directories.items():
            if name not in numbers:
                yield CacheID(name), directory_found(name, seen, rowless_since=since.get(name))

    def _removals(self) -> Iterator[Removal]:
        above = self._directory_root().removesuffix("/snapshots")
        for row in self._snapshots.unnamed():
            record = f"{above}/metadata.db/v1/snapshots/{row.name}"
            since = self._reading.gone.rows.get(row.name, self._now)
            yield Removal(record=record, cache_id=directory_of(row), renamed=since)

    def _unread(self) -> Iterator[Source]:
        reading = self._reading
        if not reading.metadata.complete:
            yield from (Source.LAYERS, Source.MOUNTS, Source.IMAGES, Source.REFERENCES, Source.CONTAINERS)
        if not reading.rows.complete:
            yield from (Source.LAYERS, Source.MOUNTS)
        if any(f"{problem.path}/".startswith(f"{self._directory_root()}/") for problem in reading.problems):
            yield Source.DIRECTORIES
        unknown = self._docker is None and self._namesake.namespace == DOCKERS
        if unknown or (self._docker is not None and not reading.containers_complete):
            yield Source.CONTAINERS
        if not reading.cache.complete:
            yield Source.CACHE
        if not reading.overlays_seen:
            yield Source.OVERLAYS

    def _problems(self) -> Iterator[Problem]:
        for image in self._namespace.images.values():
            if self._namesake.main and image.digest not in self._namespace.blobs:
                path = f"{self._reading.root.metadata}/v1/{self._namespace.name}/images/{image.name}"
                reason = f"its content {ascii(image.digest)[1:-1][:80]} is not there"
                yield Problem(kind=ProblemKind.MISSING_RECORD, path=path, reason=reason)
        # Records that could not be read now are those of before, and rows may have gone with them since.
        if self._measurable and self._reading.rows.complete and not self._reading.metadata.is_busy:
            for record in self._snapshots.rowless():
                path = f"{self._places.snapshots}/{record.key}"
                reason = f"the snapshotter has no row {ascii(record.name)[:200]}"
                yield Problem(kind=ProblemKind.MISSING_RECORD, path=path, reason=reason)


def _cached_keys(cache: BuildCache) -> Iterator[str]:
    """The keys of the build cache's snapshots, and of the views of them that the builder keeps (BuildKit,
    ``cache/refs.go``)."""
    for record in cache.records.values():
        for key in (record.snapshot, record.record_id):
            yield key
            yield f"{key}-view"


def _places(root: ContainerdRoot, namesake: Namesake, docker: str | None) -> Places:
    rows = f"{root.metadata}/v1/{namesake.namespace}"
    if root.own and root.docker is not None:
        roots: tuple[str, ...] = (root.docker,)
    else:
        roots = (root.path,) if docker is None else (docker, root.path)
    return Places(
        roots=roots,
        containerd=root.path,
        snapshots=f"{rows}/snapshots/{namesake.snapshotter}",
        blobs=root.blobs,
        containers=f"{rows}/containers" if docker is None else f"{docker}/containers",
        logs=None if docker is None else f"{docker}/containers",
        cache="" if docker is None else cache_database(docker, namesake.snapshotter),
    )
