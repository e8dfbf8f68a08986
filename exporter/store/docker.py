"""A whole Docker graphdriver store, concept by concept, in the order that keeps a moving store consistent.

The engine makes a layer, then the image, then the name; it removes in the opposite order. The storage directories
are listed before all records, so that a directory that appears meanwhile cannot look as if no record named it.
Reading the names first, then the images, then the layers, means that what a name leads to was there when the name
was read, unless it is being removed. What remains is told apart by a second look (``exporter/survey.py``).

A layer's record is renamed before its storage directory goes, so what is being removed is read after the layers, and
the builder's databases are read before them: it lets go of what became a layer.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from operator import is_

from exporter.store.buildkit import BuildCache, BuildCacheReader
from exporter.store.catalog import Problem, ProblemKind, Source, Store
from exporter.store.containers import CONFIG, ContainerReader, engine_limit
from exporter.store.detect import Location
from exporter.store.engine import EngineClock
from exporter.store.entries import Container, ContainerID, Mount
from exporter.store.graphdir import SHORT_LINKS, DirectoryReader
from exporter.store.imagedb import ImageReader
from exporter.store.layerdb import LayerReader, MountReader
from exporter.store.overlays import Overlays, read_overlays
from exporter.store.records import NO_FILE, Folder, Scan
from exporter.store.remains import read_removals, read_write_sets
from exporter.store.repositories import NAME, RepositoriesReader


class StoreReader:
    """Reads one store again and again, parsing only what changed."""

    def __init__(self, *, proc: str = "/proc") -> None:
        """*proc* is where the kernel tells of processes and mounts."""
        self._proc = proc
        self._engines = EngineClock(proc=proc)
        self._cache = BuildCacheReader()
        self._directories = DirectoryReader()
        self._repositories = RepositoriesReader()
        self._images = ImageReader()
        self._mounts = MountReader()
        self._layers = LayerReader()
        self._containers = ContainerReader()
        self._last: Store | None = None

    def read(self, location: Location, scan: Scan) -> Store:
        """The store at *location* as its records stand now. Its problems are those of this store alone.

        Where nothing changed it is the very object that was returned last, so what follows from it need not be worked
        out again.
        """
        already = len(scan.problems)
        # One directory holds the containers of all drivers: what is wrong with their records is said once.
        shared = scan if location.speaks else scan.apart()
        with ExitStack() as stack:

            def folder(path: str, told: Scan = scan) -> Folder | None:
                return told.folder(path, stack)

            graph = folder(location.directory_root) if location.measurable else None
            directories = self._directories.read(graph, scan)
            short_links = self._directories.read_short_links(graph and folder(graph.path_of(SHORT_LINKS)), scan)
            references = self._repositories.read(folder(location.layer_store), scan)
            containers = self._containers.read(folder(location.containers, shared), shared)
            images = self._images.read(folder(location.image_contents), folder(location.image_metadata), scan)
            mounts = self._mounts.read(folder(location.mounts), scan)
            cache = self._read_cache(location, shared)
            layer_folder = folder(location.layers)
            layers = self._layers.read(layer_folder, scan)
            removals = read_removals(layer_folder, scan)
            write_sets = read_write_sets(folder(location.write_sets), scan)
        started = self._engines.started(location.root)
        overlays = self._read_overlays(location, shared)
        # The mount goes before the container's directory does: these are not being removed.
        lost = [f"{location.containers}/{name}/{CONFIG}" for name in self._containers.nameless & mounts.keys()]
        store = Store(
            name=location.name,
            engine=location.engine,
            driver=location.driver,
            root=location.root,
            active=location.active,
            measurable=location.measurable,
            directory_root=location.directory_root,
            layers=layers,
            images=images,
            references=references,
            containers=_of_driver(containers, location, mounts),
            mounts=mounts,
            directories=directories,
            short_links=short_links,
            short_links_changed=self._directories.links_changed,
            internal=self._directories.internal,
            removals=removals,
            write_sets=write_sets,
            cache_directories=frozenset(cache.known_directories),
            cache_layers=frozenset(cache.chain_ids),
            has_cache_rows=cache.has_rows,
            overlaid=overlays.directories(short_links, directories),
            lost_images=self._images.lost,
            engine_started=started,
            engine_limit=self._engine_limit(location),
        )
        for path in (*lost, *_missing(location, store)):
            scan.problem(ProblemKind.MISSING_RECORD, path, NO_FILE)
        problems = tuple(scan.problems[already:])
        unread = set(_unread(location, (*problems, *(() if shared is scan else shared.problems))))
        if not cache.complete:
            unread.add(Source.CACHE)
        if overlays.unreadable or not overlays.seen:
            unread.add(Source.OVERLAYS)
        store = dataclasses.replace(store, problems=problems, unread=frozenset(unread))
        if self._last is None or not _is_same(self._last, store):
            self._last = store
        return self._last

    def _read_cache(self, location: Location, scan: Scan) -> BuildCache:
        """The build cache of the engine, whichever of its drivers holds it."""
        cache = self._cache.read(location.root)
        scan.problems += cache.problems
        return cache

    def _engine_limit(self, location: Location) -> int | None:
        """What the engine that uses the store would tell a container of this driver."""
        if not location.active:
            return None
        return engine_limit(location.driver, (*location.storage_options, *self._engines.storage_options(location.root)))

    def _read_overlays(self, location: Location, scan: Scan) -> Overlays:
        """What is mounted, as far as it can be seen."""
        overlays = read_overlays(self._proc, root=location.root, engines=self._engines.processes(location.root))
        for path, error in overlays.unreadable:
            scan.unreadable(path, error)
        return overlays


def _is_same(old: Store, new: Store) -> bool:
    """Whether two readings of a store say the same; what its mappings hold are the same objects then (``Shelf``)."""

    def same(one: object, other: object) -> bool:
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            # Directories that rest are listed in the same order each time.
            return list(one) == list(other) and all(map(is_, one.values(), other.values()))
        return one == other

    return all(same(getattr(old, field.name), getattr(new, field.name)) for field in dataclasses.fields(Store))


def _unread(location: Location, problems: Iterable[Problem]) -> Iterator[Source]:
    """What the reading of which went wrong, as its problems tell by their paths."""
    sources = {
        location.directory_root: Source.DIRECTORIES,
        location.layers: Source.LAYERS,
        location.mounts: Source.MOUNTS,
        location.image_contents: Source.IMAGES,
        location.image_metadata: Source.IMAGES,
        location.containers: Source.CONTAINERS,
        f"{location.layer_store}/{NAME}": Source.REFERENCES,
    }
    for problem in problems:
        for path, source in sources.items():
            if f"{problem.path}/".startswith(f"{path}/"):
                yield source


def _missing(location: Location, store: Store) -> Iterator[str]:
    """The records and directories of records that are not there though what was read needs them."""
    needed = {
        location.directory_root: location.measurable and store.layers,
        f"{location.directory_root}/{SHORT_LINKS}": store.directories,
        f"{location.layer_store}/{NAME}": store.images,
        location.image_contents: store.references,
        location.mounts: store.containers,
        location.layers: any(image.chain_ids for image in store.images.values()),
    }
    for path, needs in needed.items():
        if needs:
            try:
                os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                yield path
            except OSError:
                continue  # said where it was opened


def _of_driver(
    containers: Mapping[ContainerID, Container], location: Location, mounts: Mapping[str, Mount]
) -> dict[ContainerID, Container]:
    """The containers of this store: ``containers/`` is one directory for all drivers, and each record names its own.

    One whose record is damaged belongs where its upper layer is.
    """
    return {
        container_id: container
        for container_id, container in containers.items()
        if container.driver == location.driver or (not container.driver and container_id in mounts)
    }
