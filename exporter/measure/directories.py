"""Measures the storage directories (``overlay2/<id>``): those that never change once, all others again and again.

An immutable directory is walked once in its life: its figures go to the `Memory`, and come back from there after a
restart. Of a container's directory the upper layer is the trackers' business; here only the rest is measured. What
nobody knows for immutable (a build under way, a cache that builds write to, what no record names) is walked whole.

Each walk tells the layer's files (``diff``) and the rest apart, so nothing is walked twice to know both.
"""

import enum
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.measure.descent import is_gone, is_shortage
from exporter.measure.listing import BLOCK, Pace, unhurried
from exporter.measure.memory import Identity, Memory, Remembered, identity_of
from exporter.measure.parts import Names, Parts, measure_parts
from exporter.measure.usage import EMPTY, Usage
from exporter.measure.walk import Walked
from exporter.store.catalog import Store
from exporter.store.entries import CacheID, ChainID, Directory

ITSELF = CacheID(".")
"""Stands for the blocks of the driver's directory itself."""


class Kind(enum.Enum):
    """How a storage directory is measured."""

    IMMUTABLE = enum.auto()
    """Once."""
    UPPER = enum.auto()
    """All but the container's upper layer in it, when it changes."""
    LOOSE = enum.auto()
    """Whole, when it changes and each full interval."""


def kinds(store: Store) -> Mapping[CacheID, Kind]:
    """How to measure each entry of the driver's directory.

    Immutable are: what a layer's record names; whatever else was a parent (``committed``: the engine mounts it
    read-only from then on), which all init layers were and most cached snapshots; and what no record names, nothing has
    mounted and is older than the running engine, where all records could be read.
    """
    uppers = {store.upper_of(container) for container in store.containers}
    layers = {layer.cache_id for layer in store.layers.values()}
    named = _named(store)
    found: dict[CacheID, Kind] = {}
    for name, directory in store.directories.items():
        if name in uppers:
            found[name] = Kind.UPPER
        elif name in layers or directory.committed or (name not in named and _rests(store, directory)):
            found[name] = Kind.IMMUTABLE
        else:
            found[name] = Kind.LOOSE
    return found | {CacheID(name): Kind.LOOSE for name in store.internal}


def _named(store: Store) -> frozenset[CacheID | None]:
    """The directories that something may write to: those of mounts, and of the build cache."""
    mounts = store.mounts.values()
    return frozenset(
        (*(mount.mount_id for mount in mounts), *(mount.init_id for mount in mounts), *store.cache_directories)
    )


def _rests(store: Store, directory: Directory) -> bool:
    started = store.engine_started
    return (
        not store.unread
        and started is not None
        and directory.made < started
        and not directory.has_merged
        and directory.name not in store.overlaid
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What measuring one directory took."""

    kind: Kind
    inodes: int
    """Looked at; 0 where it was remembered."""
    vanished: int = 0
    unreadable: int = 0


class _Part(enum.Enum):
    FILES = enum.auto()
    REST = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What is known of one directory."""

    kind: Kind
    seen: "Seen"
    """What was known of it when it was measured."""
    at: float
    """When it was measured; monotonic seconds."""
    rest: int
    files: Usage | None = None
    """None where they are not measured here, or there are none."""
    remembered: Remembered | None = None
    """Holds for good, with the rest as long as the catalog sees the same; None where it has to be measured again."""

    @property
    def allocated(self) -> int:
        return self.rest + (self.files or EMPTY).allocated


Key = tuple[str, CacheID]
Seen = Directory | int | None
"""Tells whether an entry changed: what the catalog says of a storage directory; of the engine's own entries the time of
change (``st_ctime_ns``), None where it is gone."""


class DirectoryMeasurer:
    """The storage directories of all stores, and what is known of them.

    ``expect`` after each catalog; ``step`` until it gives None; then ``layer_allocated`` and ``directory_allocated``
    for the report. For one thread, but ``expect`` may be called by the pace of a step: a walk may take long, and the
    catalog does not wait for it.
    """

    def __init__(self, memory: Memory, *, monotonic: Callable[[], float], full_interval: float) -> None:
        """Prepare.

        Args:
            memory: Where the figures of immutable directories come from and go to.
            monotonic: The time, in seconds that never go back.
            full_interval: Seconds after which what is not immutable is measured again.
        """
        self._memory = memory
        self._monotonic = monotonic
        self._full_interval = full_interval
        self._stores: dict[str, Store] = {}
        self._kinds: dict[str, Mapping[CacheID, Kind]] = {}
        self._seen: dict[Key, Seen] = {}
        self._held: dict[Key, _Held] = {}
        self._own: dict[str, int] = {}
        self._due: dict[Key, None] = {}
        """In their order."""
        self._failed: dict[Key, float] = {}
        """When they could not be measured; monotonic seconds."""
        self._beforehand: Mapping[str, Walked] = {}

    @property
    def due(self) -> int:
        """How many directories wait to be measured."""
        return len(self._due)

    @property
    def trees(self) -> list[str]:
        """The directories of files that wait to be measured whole."""
        return [
            self._stores[store].diff_path(name)
            for store, name in self._due
            if self._kinds[store][name] is not Kind.UPPER and name in self._stores[store].directories
        ]

    def take(self, measured: Mapping[str, Walked]) -> None:
        """Walk none of these in the steps to come: the trees, by path, were *measured* at once by other means."""
        self._beforehand = measured

    def expect(self, stores: Iterable[Store]) -> None:
        """Measure the directories of these stores from now on, and forget all others; what was measured since the last
        time is written to the memory."""
        self._memory.flush()
        self._stores = {store.name: store for store in stores if store.measurable}
        self._kinds = {name: kinds(store) for name, store in self._stores.items()}
        self._seen = {
            (name, entry): _seen(store, entry) for name, store in self._stores.items() for entry in self._kinds[name]
        }
        self._own = {name: own for name, store in self._stores.items() if (own := _own(store)) is not None}
        self._held = {key: held for key, held in self._held.items() if self._is_same(key, held)}
        self._failed = {key: at for key, at in self._failed.items() if self._kind(key) is not None}
        self._due = dict.fromkeys(sorted(self._all_due(), key=self._rank))

    def step(self, pace: Pace = unhurried) -> Step | None:
        """Measure the directory that is due next; None where none is.

        What *pace* raises ends the walk and is passed on, and the directory stays due.

        Raises:
            OSError: This process lacks descriptors or memory.
        """
        key = next(iter(self._due), None)
        if key is None:
            return None
        kind, seen = self._kinds[key[0]][key[1]], self._seen[key]
        try:
            held, step = self._measure(key, kind, seen, pace)
        except OSError as error:
            if is_shortage(error):
                raise
            held, step = None, _missed(kind, error)
        # It may not be expected any more.
        if self._kind(key) is kind:
            self._due.pop(key, None)
            self._keep(key, held)
        return step

    def layer_allocated(self, store: str) -> Mapping[ChainID, int]:
        """Allocated bytes of each layer's files, by what ``du`` says of ``diff`` in the layer's storage directory. Only
        of the layers measured so far."""
        known = self._stores.get(store)
        if known is None:
            return {}
        return {
            chain_id: held.files.allocated
            for chain_id, layer in known.layers.items()
            if layer.cache_id is not None
            and (held := self._held.get((store, layer.cache_id))) is not None
            and held.files is not None
        }

    def directory_allocated(self, store: str, uppers: Mapping[CacheID, int]) -> Mapping[CacheID, int]:
        """Allocated bytes of each entry of the driver's directory that is known, and of that directory itself under
        `ITSELF`: together what ``du`` says of it, once all are known.

        *uppers* are the allocated bytes of the upper layers of containers, by their storage directories.
        """
        found: dict[CacheID, int] = {}
        for name, kind in self._kinds.get(store, {}).items():
            held = self._held.get((store, name))
            if held is None:
                continue
            if kind is not Kind.UPPER:
                found[name] = held.allocated
            elif name in uppers:
                found[name] = held.rest + uppers[name]
        if store in self._own:
            found[ITSELF] = self._own[store]
        return found

    def total(self, store: str, uppers: Mapping[CacheID, int]) -> int | None:
        """Allocated bytes of the driver's directory; None where not all that lies in it is known."""
        known = self.directory_allocated(store, uppers)
        if store not in self._own or known.keys() != self._kinds[store].keys() | {ITSELF}:
            return None
        return sum(known.values())

    def _kind(self, key: Key) -> Kind | None:
        return self._kinds.get(key[0], {}).get(key[1])

    def _is_same(self, key: Key, held: _Held) -> bool:
        """Whether it is still the directory that was measured: changed perhaps, but not made anew."""
        if self._kind(key) is not held.kind:
            return False
        seen = self._seen[key]
        if isinstance(seen, Directory) and isinstance(held.seen, Directory):
            return seen.linked == held.seen.linked
        return seen is not None

    def _all_due(self) -> Iterator[Key]:
        long_ago = self._monotonic() - self._full_interval
        for store, entries in self._kinds.items():
            for name in entries:
                key = store, name
                held = self._held.get(key)
                if held is None:
                    if self._failed.get(key, long_ago) <= long_ago:
                        yield key
                elif held.seen != self._seen[key] or (held.remembered is None and held.at <= long_ago):
                    yield key

    def _rank(self, key: Key) -> tuple[int, str, str]:
        """What is cheap to know comes first, so that most figures are back soon."""
        return (Kind.UPPER, Kind.IMMUTABLE, Kind.LOOSE).index(self._kinds[key[0]][key[1]]), *key

    def _keep(self, key: Key, held: _Held | None) -> None:
        """Hold what was measured; what could not be measured is left alone for a full interval."""
        if held is None:
            self._held.pop(key, None)
            self._failed[key] = self._monotonic()
        else:
            self._held[key] = held

    def _measure(self, key: Key, kind: Kind, seen: Seen, pace: Pace) -> tuple[_Held, Step]:
        store = self._stores[key[0]]
        path = f"{store.directory_root}/{key[1]}"
        if kind is Kind.IMMUTABLE:
            return self._measure_immutable(key, seen, path, store.diff_name, pace)
        if not isinstance(seen, Directory) and not _is_directory(path):
            return _Held(kind=kind, seen=seen, at=self._monotonic(), rest=_blocks(path)), Step(kind=kind, inodes=1)
        parts = self._walk(path, store.diff_name, pace, files=kind is not Kind.UPPER)
        held = _Held(kind=kind, seen=seen, at=self._monotonic(), rest=_rest(parts), files=parts.usage.get(_Part.FILES))
        return held, _step(kind, parts)

    def _measure_immutable(self, key: Key, seen: Seen, path: str, diff: str, pace: Pace) -> tuple[_Held, Step]:
        try:
            identity, changed = identity_of(path, diff)
        except FileNotFoundError:
            # A damaged layer has no files, and what has no identity is not remembered.
            identity, changed = None, 0
        known = None if identity is None else self._recall(key, path, identity)
        if known is not None and known.changed == changed:
            return self._held_from(known, seen), Step(kind=Kind.IMMUTABLE, inodes=0)
        # A directory that became a parent has one more file in it, and its layer's files are still what they were.
        parts = self._walk(path, diff, pace, files=known is None)
        step = _step(Kind.IMMUTABLE, parts)
        files = parts.usage.get(_Part.FILES) if known is None else known.diff
        if identity is not None and files is not None and parts.is_whole and identity_of(path, diff)[0] == identity:
            remembered = Remembered(identity=identity, changed=changed, diff=files, rest=_rest(parts))
            self._memory.remember(path, remembered)
            return self._held_from(remembered, seen), step
        held = _Held(kind=Kind.IMMUTABLE, seen=seen, at=self._monotonic(), rest=_rest(parts), files=files)
        return held, step

    def _walk(self, path: str, diff: str, pace: Pace, *, files: bool) -> Parts[_Part]:
        """Walk a storage directory, with the layer's files in it or without."""
        walked = self._beforehand.get(f"{path}/{diff}") if files else None
        if walked is None:
            return _measured(path, diff, pace, files=files)
        rest = _measured(path, diff, pace, files=False)
        return Parts(
            usage={**rest.usage, _Part.FILES: walked.usage},
            vanished=rest.vanished + walked.vanished,
            unreadable=rest.unreadable + walked.unreadable,
            cut=rest.cut or walked.cut,
        )

    def _recall(self, key: Key, path: str, identity: Identity) -> Remembered | None:
        held = self._held.get(key)
        if held is not None and held.remembered is not None and held.remembered.identity == identity:
            return held.remembered
        return self._memory.recall(path, identity)

    def _held_from(self, known: Remembered, seen: Seen) -> _Held:
        return _Held(
            kind=Kind.IMMUTABLE,
            seen=seen,
            at=self._monotonic(),
            rest=known.rest,
            files=known.diff,
            remembered=known,
        )


def _measured(path: str, diff: str, pace: Pace, *, files: bool) -> Parts[_Part]:
    """Walk a storage directory, with the layer's files in it or without, and tell them from the rest."""
    inside = _Part.FILES if files else None

    def part_of(names: Names, _: _Part) -> _Part | None:
        return inside if names == (diff,) else _Part.REST

    return measure_parts(path, top=_Part.REST, part_of=part_of, levels=1, pace=pace)


def _rest(parts: Parts[_Part]) -> int:
    return parts.usage[_Part.REST].allocated


def _missed(kind: Kind, error: OSError) -> Step:
    gone = is_gone(error)
    return Step(kind=kind, inodes=0, vanished=int(gone), unreadable=int(not gone))


def _step(kind: Kind, parts: Parts[_Part]) -> Step:
    return Step(kind=kind, inodes=parts.inodes, vanished=parts.vanished, unreadable=parts.unreadable)


def _own(store: Store) -> int | None:
    """Allocated bytes of the driver's directory itself, if the store has what several share; None where it is none, or
    cannot be read."""
    try:
        if not store.speaks:
            return 0
        return _blocks(store.directory_root) if _is_directory(store.directory_root) else None
    except OSError:
        return None


def _seen(store: Store, entry: CacheID) -> Seen:
    directory = store.directories.get(entry)
    if directory is not None:
        return directory
    try:
        return os.stat(f"{store.directory_root}/{entry}", follow_symlinks=False).st_ctime_ns
    except OSError:
        return None


def _blocks(path: str) -> int:
    return os.stat(path, follow_symlinks=False).st_blocks * BLOCK


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
