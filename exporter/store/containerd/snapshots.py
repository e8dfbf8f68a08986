"""What a namespace has in a snapshotter, out of both databases and the directories: layers, writable layers, the rest.

- A committed snapshot whose key is a chain ID is a layer. Its parent is the next of those below it: in Docker's classic
  builds the init layers of the build's steps lie between.
- An active one is somebody's to write to: a container's, by the key that its record tells or, in Docker, by its ID; or
  a build's or a pull's. A view is to look at.
- ``<key>-init``, committed, is what Docker lays between a container's image and its upper layer.

Pure. Source: containerd ``core/metadata/snapshot.go``, ``core/unpack``; moby ``daemon/containerd/image_snapshot.go``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.store.containerd.directories import Found
from exporter.store.containerd.metadata import Namespace, SnapshotRecord
from exporter.store.containerd.snapshotter import BackendSnapshot, Kind
from exporter.store.entries import CacheID, ChainID, DiffID, Directory, Layer, Mount
from exporter.store.layerdb import chain_id
from exporter.store.records import DIGEST

INIT = "-init"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A snapshotter: its rows, and its directories."""

    rows: Mapping[str, BackendSnapshot]
    directories: Mapping[str, Found]
    mounted: Mapping[str, float]
    """When directories that may be written to were last mounted for that, Unix seconds."""


class Snapshots:
    """One namespace's snapshots in a snapshotter."""

    def __init__(self, namespace: Namespace, snapshotter: str, backend: Backend) -> None:
        self.records = namespace.snapshots.get(snapshotter, {})
        self._backend = backend
        self._name = namespace.name
        self._leases = namespace.leases.values()
        self._snapshotter = snapshotter
        self._below: dict[str, tuple[str, ...]] = {}
        self.named: dict[str, BackendSnapshot] = {
            key: row for key, record in self.records.items() if (row := backend.rows.get(record.name)) is not None
        }
        """The rows that go with a record, by key."""

    # What lies on what

    def below(self, key: str) -> tuple[str, ...]:
        """The keys of what lies below, nearest first; ends where a record is missing, or where they make a loop."""
        trail: list[str] = []
        at: str | None = key
        while at is not None and at not in self._below and at not in trail:
            trail.append(at)
            record = self.records.get(at)
            at = None if record is None else record.parent
        known = () if at is None or at in trail else (at, *self._below[at])
        for passed in reversed(trail):
            self._below[passed] = known
            known = (passed, *known)
        return self._below[key]

    def parent(self, key: str) -> ChainID | None:
        """The next layer below; a parent without a record by its key, so that it is missed."""
        lowest = key
        for lower in self.below(key):
            if is_layer(lower):
                return ChainID(lower)
            lowest = lower
        record = self.records.get(lowest)
        return None if record is None or record.parent is None else ChainID(record.parent)

    def layers_up_to(self, key: str) -> Sequence[ChainID]:
        """The layers from the base up to the one that *key* is."""
        return [ChainID(at) for at in reversed((key, *self.below(key))) if is_layer(at)]

    # What there is

    def layers(self, diff_ids: Mapping[ChainID, DiffID]) -> Mapping[ChainID, Layer]:
        """The layers, with the diff IDs that images tell."""
        found: dict[ChainID, Layer] = {}
        for key in self.records:
            row = self.named.get(key)
            if is_layer(key) and (row is None or row.kind is Kind.COMMITTED):
                identity, parent = ChainID(key), self.parent(key)
                diff_id = diff_ids.get(identity, DiffID(""))
                found[identity] = Layer(
                    chain_id=identity,
                    diff_id=diff_id,
                    parent=parent,
                    cache_id=None if row is None else directory_of(row),
                    size=None if row is None else row.size,
                    chain_id_recomputes=not diff_id or chain_id(parent, diff_id) == identity,
                )
        return found

    def mounts(self, containers: Mapping[str, str], cached: frozenset[str]) -> Mapping[str, Mount]:
        """The writable layers and the views, but those of the build cache: of containers by their IDs, as *containers*
        tells their keys; all others by their own keys."""
        keys = {key: container for container, key in containers.items()}
        found: dict[str, Mount] = {}
        for key, row in self.named.items():
            if row.kind is not Kind.COMMITTED and (key in keys or key not in cached):
                name = keys.get(key, key)
                found[name] = self._mount(name, key, row)
        return found

    def _mount(self, name: str, key: str, row: BackendSnapshot) -> Mount:
        init = self.named.get(key + INIT)
        made = self._backend.directories.get(str(row.number))
        return Mount(
            name=name,
            mount_id=directory_of(row),
            init_id=None if init is None or self.records[key].parent != key + INIT else directory_of(init),
            parent=self.parent(key),
            modified=(row.created or 0.0) if made is None else made.modified,
        )

    def stages(self, mounts: Mapping[str, Mount], cached: frozenset[str]) -> Iterator[CacheID]:
        """What is committed and is neither a layer, nor a container's init layer, nor the build cache's."""
        inits = {mount.init_id for mount in mounts.values()}
        for key, row in self.named.items():
            if (
                row.kind is Kind.COMMITTED
                and not is_layer(key)
                and key not in cached
                and directory_of(row) not in inits
            ):
                yield directory_of(row)

    def leased(self, now: float) -> Iterator[CacheID]:
        """What leases keep, with all that lies below."""
        keys: set[str] = set()
        for lease in self._leases:
            if lease.snapshots and lease.holds(now):
                for snapshotter, key in lease.snapshots:
                    if snapshotter == self._snapshotter:
                        keys.update((key, *self.below(key)))
        return (directory_of(self.named[key]) for key in keys if key in self.named)

    def directories(self) -> Mapping[CacheID, Directory]:
        """The directories of all the snapshotter's rows that belong to the namespace, as far as they are there."""
        found: dict[CacheID, Directory] = {}
        keys = {record.name: key for key, record in self.records.items()}
        for row in self._backend.rows.values():
            seen = self._backend.directories.get(str(row.number)) if row.namespace == self._name else None
            if seen is not None:
                key = keys.get(row.name)
                lower = () if key is None else [self.named[at] for at in self.below(key) if at in self.named]
                name = directory_of(row)
                found[name] = directory_found(
                    name,
                    seen,
                    lower=tuple(map(directory_of, lower)),
                    committed=row.kind is Kind.COMMITTED,
                    mounted=self._backend.mounted.get(name),
                )
        return found

    def unnamed(self) -> Iterator[BackendSnapshot]:
        """The rows of the namespace that no record goes with: they are being made or removed."""
        names = {record.name for record in self.records.values()}
        return (row for name, row in self._backend.rows.items() if row.namespace == self._name and name not in names)

    def rowless(self) -> Iterator[SnapshotRecord]:
        """The records that the snapshotter has no row for."""
        return (record for key, record in self.records.items() if key not in self.named)


def directory_found(
    name: str,
    seen: Found,
    *,
    lower: tuple[CacheID, ...] = (),
    committed: bool = False,
    mounted: float | None = None,
    rowless_since: float | None = None,
) -> Directory:
    """A directory, as far as looking at it tells, and its row where it has one."""
    return Directory(
        name=CacheID(name),
        link=None,
        lower=lower or None,
        committed=committed,
        has_diff=seen.has_files,
        has_work=seen.has_work,
        has_merged=False,
        modified=seen.modified,
        mounted=mounted,
        rowless_since=rowless_since,
    )


def directory_of(row: BackendSnapshot) -> CacheID:
    """The name of a row's directory."""
    return CacheID(str(row.number))


def is_layer(key: str) -> bool:
    """Whether a key is a chain ID."""
    return DIGEST.fullmatch(key) is not None
