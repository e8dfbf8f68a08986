"""A whole Docker graphdriver store, concept by concept, in the order that keeps a moving store consistent.

The engine makes a layer, then the image, then the name; it removes in the opposite order. The storage directories
are listed before all records, so that a directory that appears meanwhile cannot look as if no record named it.
Reading the names first, then the images, then the layers, means that what a name leads to was there when the name
was read, unless it is being removed. What remains is told apart by a second look (``exporter/survey.py``).
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from exporter.store.catalog import Container, ContainerID, Mount, ProblemKind, Store
from exporter.store.containers import CONFIG, ContainerReader
from exporter.store.detect import Location
from exporter.store.graphdir import SHORT_LINKS, DirectoryReader
from exporter.store.imagedb import ImageReader
from exporter.store.layerdb import LayerReader, MountReader
from exporter.store.records import NO_FILE, Folder, Scan, open_folder
from exporter.store.repositories import NAME, RepositoriesReader


class StoreReader:
    """Reads one store again and again, parsing only what changed."""

    def __init__(self) -> None:
        self._directories = DirectoryReader()
        self._repositories = RepositoriesReader()
        self._images = ImageReader()
        self._mounts = MountReader()
        self._layers = LayerReader()
        self._containers = ContainerReader()

    def read(self, location: Location, scan: Scan) -> Store:
        """The store at *location* as its records stand now. Its problems are those of this store alone."""
        already = len(scan.problems)
        # One directory holds the containers of all drivers: what is wrong with their records is said once.
        shared = scan if location.speaks else Scan(now=scan.now, turn=scan.turn)
        with ExitStack() as stack:

            def folder(path: str, told: Scan = scan) -> Folder | None:
                return _open(stack, path, told)

            graph = folder(location.directory_root) if location.measurable else None
            directories = self._directories.read(graph, scan)
            short_links = self._directories.read_short_links(graph and folder(graph.path_of(SHORT_LINKS)), scan)
            references = self._repositories.read(folder(location.layer_store), scan)
            containers = self._containers.read(folder(location.containers, shared), shared)
            images = self._images.read(folder(location.image_contents), folder(location.image_metadata), scan)
            mounts = self._mounts.read(folder(location.mounts), scan)
            layers = self._layers.read(folder(location.layers), scan)
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
        )
        for path in (*lost, *_missing(location, store)):
            scan.problem(ProblemKind.MISSING_RECORD, path, NO_FILE)
        return dataclasses.replace(store, problems=tuple(scan.problems[already:]))


def _open(stack: ExitStack, path: str, scan: Scan) -> Folder | None:
    """The directory of records at *path*, or None where the engine has not made it; one that cannot be listed is
    a problem."""
    try:
        return stack.enter_context(open_folder(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        scan.unreadable(path, error)
        return None


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
