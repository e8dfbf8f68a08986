"""One containerd, in the order that keeps moving records consistent.

The directories are listed first, so that one that appears meanwhile cannot look as if no row named it. Docker's
containers come before their snapshots, which go before them. containerd's own records come before the snapshotters'
rows: a row is made before the record that names it, and removed after it. What remains is told apart by a second look
(``exporter/survey.py``).

What is read first, by ``look``, tells which namespaces hold anything; then ``stores`` makes a store of each. Where
nothing changed it is the very object that was made last, so what follows from it need not be worked out again.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from math import inf
from typing import Generic, TypeVar

from exporter.store.boltfile import Limits
from exporter.store.boltrecords import Contents
from exporter.store.buildkit import BuildCache, BuildCacheReader
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.containerd.build import Gone, Namesake, Reading, build_store
from exporter.store.containerd.containers import StatusReader
from exporter.store.containerd.content import ConfigurationReader, configurations_named
from exporter.store.containerd.directories import SnapshotDirectories
from exporter.store.containerd.metadata import Metadata, MetadataReader, Namespace
from exporter.store.containerd.roots import MEASURABLE, ContainerdRoot, cache_database
from exporter.store.containerd.snapshotter import BackendSnapshot, Kind, SnapshotterReader
from exporter.store.containers import ContainerReader
from exporter.store.engine import BACKING_DEVICE, EngineClock, boot_time
from exporter.store.imageconfig import Configuration
from exporter.store.overlays import Overlays, read_overlays
from exporter.store.records import NO_FILE, Folder, Scan, modified

T = TypeVar("T")

SOCKET = "/run/containerd/containerd.sock"
"""containerd makes it anew when it is started."""


class ContainerdReader:
    """Reads one containerd's root again and again, parsing only what changed."""

    def __init__(self, *, proc: str = "/proc", limits: Limits | None = None, socket: str = SOCKET) -> None:
        """*proc* is where the kernel tells of processes and mounts."""
        self._proc = proc
        self._socket = socket
        self._booted = boot_time()
        self._engines = EngineClock(proc=proc, name="containerd", flags=("--root",))
        self._dockers = EngineClock(proc=proc)
        self._metadata: _Latest[Metadata] = _Latest(MetadataReader(limits=limits).read)
        self._rows: _Latest[Mapping[str, BackendSnapshot]] = _Latest(SnapshotterReader(limits=limits).read)
        self._directories = SnapshotDirectories()
        self._containers = ContainerReader()
        self._statuses = StatusReader()
        self._cache = BuildCacheReader()
        self._configurations = ConfigurationReader()
        self._gone = Gone(directories={}, rows={})
        self._built: dict[str, tuple[Namesake, Reading, Store]] = {}
        self._reading: Reading | None = None

    def look(self, root: ContainerdRoot, scan: Scan) -> None:
        """Read what is at *root* now."""
        # Its problems are those of the store that speaks for all.
        told, scan = scan, scan.apart()
        snapshotter = root.snapshotter(MEASURABLE)
        with ExitStack() as stack:

            def folder(path: str) -> Folder | None:
                return scan.folder(path, stack)

            snapshots = folder(f"{snapshotter}/snapshots")
            directories = self._directories.read(snapshots, scan)
            before = len(scan.problems)
            containers = self._containers.read(folder(f"{root.docker}/containers") if root.docker else None, scan)
            containers_complete = len(scan.problems) == before
            statuses = self._statuses.read(folder(root.statuses), scan)
            metadata = self._metadata.read(root.metadata)
            database = f"{snapshotter}/metadata.db"
            rows = self._rows.read(database)
            mounted = self._directories.mounted(snapshots, _writable(rows.value), scan)
        if not metadata.found and (rows.value or directories):
            metadata = _lost(root.metadata, metadata)
        if not rows.found and any(space.snapshots.get(MEASURABLE) for space in metadata.value.namespaces.values()):
            rows = _lost(database, rows)
        cache = self._cache.read_records(cache_database(root.docker, MEASURABLE)) if root.docker else BuildCache()
        scan.problems += (*metadata.problems, *rows.problems, *cache.problems)
        started = self._started(root)
        overlays = self._read_overlays(root, scan)
        if metadata.complete and rows.complete:
            changed = modified(database, otherwise=scan.now), modified(root.metadata, otherwise=scan.now)
            self._gone = _gone(self._gone, directories, rows.value, metadata.value, changed)
        self._reading = Reading(
            root=root,
            metadata=metadata,
            rows=rows,
            directories=directories,
            mounted=mounted,
            internal=self._directories.internal,
            containers=containers,
            containers_complete=containers_complete,
            statuses=statuses,
            cache=cache,
            overlaid=overlays.inside(f"{snapshotter}/snapshots") & directories.keys(),
            overlays_seen=overlays.seen and not overlays.unreadable,
            started=started,
            gone=self._gone,
            leases=frozenset(_holding(metadata.value, scan.now)),
            problems=tuple(scan.problems),
        )
        told.vanished += scan.vanished

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was wrong with what was read last."""
        return () if self._reading is None else self._reading.problems

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """The namespaces that hold images or snapshots. In that of a Docker that keeps its images elsewhere are only
        containers, in that of its builds' history only content."""
        if self._reading is None:
            return {}
        found = self._reading.metadata.value.namespaces
        return {name: space for name, space in found.items() if space.images or any(space.snapshots.values())}

    def stores(self, namesakes: Iterable[Namesake], scan: Scan) -> list[Store]:
        """The stores that *namesakes* name, of what was read last."""
        reading = self._reading
        if reading is None:
            return []
        stores: list[Store] = []
        before, self._built = self._built, {}
        for namesake in namesakes:
            known = before.get(namesake.name)
            if known is None or known[:2] != (namesake, reading):
                known = (namesake, reading, self._build(reading, namesake, scan))
            self._built[namesake.name] = known
            stores.append(known[2])
        return stores

    def _build(self, reading: Reading, namesake: Namesake, scan: Scan) -> Store:
        own = scan.apart()
        with ExitStack() as stack:
            blobs = own.folder(reading.root.blobs, stack)
            with self._configurations.reading(namesake.name) as read:

                def configuration(digest: str) -> Configuration | None:
                    return read(blobs, digest, own)

                store = build_store(
                    reading,
                    namesake,
                    configuration,
                    configurations_of=lambda digest: configurations_named(blobs, digest),
                    now=scan.now,
                )
        return dataclasses.replace(store, problems=(*store.problems, *own.problems))

    def _started(self, root: ContainerdRoot) -> float:
        """A moment not after the last start of this containerd: Docker starts its own when it is started itself; else
        the socket tells, or the process; where neither is to be seen, the machine cannot have been started later."""
        sign = modified(f"{root.docker}/{BACKING_DEVICE}" if root.own else self._socket, otherwise=inf)
        started = self._engines.started_with(root.path, None if sign == inf else sign)
        return self._booted if started is None else started

    def _read_overlays(self, root: ContainerdRoot, scan: Scan) -> Overlays:
        engines = list(self._engines.processes(root.path))
        if root.docker is not None:
            # Docker mounts its containers' roots itself.
            self._dockers.started(root.docker)
            engines += self._dockers.processes(root.docker)
        overlays = read_overlays(self._proc, root=root.path, engines=engines)
        for path, error in overlays.unreadable:
            scan.unreadable(path, error)
        return overlays


def _lost(path: str, contents: Contents[T]) -> Contents[T]:
    """A database that is not there, though what is there needs it."""
    problem = Problem(kind=ProblemKind.MISSING_RECORD, path=path, reason=NO_FILE)
    return dataclasses.replace(contents, complete=False, problems=(problem,))


class _Latest(Generic[T]):
    """Reads a database; while the engine commits to it all the time, gives what was read last, as incomplete."""

    def __init__(self, read: Callable[[str], Contents[T]]) -> None:
        self._read = read
        self._last: tuple[str, T] | None = None

    def read(self, path: str) -> Contents[T]:
        contents = self._read(path)
        if contents.is_busy and self._last is not None and self._last[0] == path:
            return Contents(value=self._last[1], complete=False)
        self._last = (path, contents.value)
        return contents


def _gone(
    before: Gone,
    directories: Iterable[str],
    rows: Mapping[str, BackendSnapshot],
    metadata: Metadata,
    changed: tuple[float, float],
) -> Gone:
    """What has no record any more, or not yet. What was not so before has been since the databases last *changed*, that
    of the snapshotter and containerd's own, or longer."""
    numbers = {str(row.number) for row in rows.values()}
    named = {
        record.name
        for namespace in metadata.namespaces.values()
        for records in namespace.snapshots.values()
        for record in records.values()
    }
    return Gone(
        directories={name: before.directories.get(name, changed[0]) for name in directories if name not in numbers},
        rows={name: before.rows.get(name, changed[1]) for name in rows if name not in named},
    )


def _writable(rows: Mapping[str, BackendSnapshot]) -> Iterable[str]:
    """The directories that something may write to: few, and the others are not looked into at each scan."""
    return (str(row.number) for row in rows.values() if row.kind is Kind.ACTIVE)


def _holding(metadata: Metadata, now: float) -> Iterable[tuple[str, str]]:
    """The leases that hold something now."""
    for namespace in metadata.namespaces.values():
        for lease in namespace.leases.values():
            if lease.holds(now):
                yield namespace.name, lease.lease_id
