"""``buildkit/``: the build cache of the builder inside of the engine, where the engine stores layers by a graph driver.

Two bolt databases, which are changed one after the other, so that either may be ahead of the other:

``snapshots.db`` says which storage directories the builder has. One top-level bucket a row, its values ASCII text:

- a directory: the row's key is the directory's name. ``parent`` names the row below; ``iscommitted`` (empty) is there
  once it is read-only.
- a committed snapshot: ``committed`` names the directory; ``chainid`` the layer, once the directory became one, which
  layerdb then knows by the same directory.
- a reference to a layer that the builder did not make: ``sha256:<chain ID>`` as key, or another one with nothing but
  ``chainid``. Such rows stay when what needed them is pruned.

``metadata_v2.db`` says what the cache has to offer: ``_main/<record>/<key>``, each value JSON, ``{"value": …}``, or
empty where it was taken back. A record's snapshot is ``cache.snapshot``, or the row of the record's own id. A record
with ``cache.equalMutable`` has the same content as that other record, which keeps the directory until somebody needs
the two apart; the engine counts such a pair once.

The row is written after its directory was made, and deleted before the directory is.

Source: moby ``builder/builder-next/adapters/snapshot``; BuildKit ``cache/metadata.go``, ``cache/metadata/metadata.go``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from exporter.store import bolt
from exporter.store.boltfile import Limits
from exporter.store.boltrecords import Faults, Parsed, Records
from exporter.store.catalog import Problem
from exporter.store.documents import Document, parse
from exporter.store.entries import CacheID, ChainID
from exporter.store.layerdb import cache_id
from exporter.store.records import DIGEST, Malformed, ascii_text, digest, quoted

T = TypeVar("T")

REGULAR: Final = "regular"
"""The type of a record that tells none, as the engine's API gives it."""

_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSnapshot:
    """One row of ``snapshots.db``."""

    key: str
    """The name of a directory, of a committed snapshot, or ``sha256:`` and a chain ID."""
    directory: CacheID | None
    """The storage directory; None for a reference to a layer, whose record names it."""
    committed: bool
    """Read-only. A directory's own row and the row that names it say so one after the other."""
    chain_id: ChainID | None
    """The layer that it became or refers to."""
    parent: str | None
    """The key of the row below, or ``sha256:`` and a chain ID; None on a base and where another row tells it."""
    size: int | None
    """Apparent bytes, once the engine was asked for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """One record of ``metadata_v2.db``: what ``docker system df -v`` calls a build cache entry."""

    record_id: str
    snapshot: str
    """The key of its row in ``snapshots.db``."""
    equal_mutable: str | None
    """The record that keeps the directory for both; None where this one has its own."""
    parents: tuple[str, ...]
    """The records that it is made on: one mostly, none on a base, several where layers are merged (``COPY --link``)."""
    description: str
    """What made it: an instruction of a Dockerfile, chosen by whoever wrote that."""
    record_type: str
    """``regular``, ``source.local``, ``exec.cachemount``, ``frontend``, ``source.git.checkout``, ``internal``."""
    created: float | None
    """Unix seconds."""
    last_used: float | None
    """Unix seconds; None if it never was."""
    usage_count: int
    size: int | None
    """Apparent bytes; None until the engine was asked for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCache:
    """All that the builder's two databases say."""

    snapshots: Mapping[str, CacheSnapshot] = field(default_factory=dict)
    records: Mapping[str, CacheRecord] = field(default_factory=dict)
    complete: bool = True
    """Whether both databases were read, and every row in them; not so beside an engine that commits all the time. If
    not, what is not named here may be the builder's all the same."""
    problems: tuple[Problem, ...] = ()
    has_rows: bool = True
    """Whether there is a ``snapshots.db``. The engine makes it when it starts, whether or not anything is built."""

    @property
    def known_directories(self) -> set[CacheID]:
        """Every name that could be a directory of the builder's: the keys that are no chain IDs, and what rows name."""
        keys = {CacheID(key) for key in self.snapshots if not _is_chain_id(key)}
        return keys | {row.directory for row in self.snapshots.values() if row.directory is not None}

    @property
    def chain_ids(self) -> set[ChainID]:
        """The layers that the cache uses; those below them it needs as well."""
        rows = self._rows_in_use()
        own = {row.chain_id for row in rows if row.chain_id is not None}
        return own | {ChainID(row.parent) for row in rows if row.parent is not None and _is_chain_id(row.parent)}

    @property
    def stale_chain_ids(self) -> set[ChainID]:
        """The layers that only rows refer to which nothing leads to any more."""
        named = {row.chain_id for row in self.snapshots.values() if row.chain_id is not None}
        return named - self.chain_ids

    def _rows_in_use(self) -> list[CacheSnapshot]:
        led_to = {record.snapshot for record in self.records.values()} | set(self.records)
        return [row for key, row in self.snapshots.items() if row.directory is not None or key in led_to]

    def row_of(self, record: CacheRecord) -> CacheSnapshot | None:
        """The row of a record's snapshot, which it may share with the record that it is equal to."""
        keeper = record if record.equal_mutable is None else self.records.get(record.equal_mutable, record)
        return self.snapshots.get(keeper.snapshot)

    def size_of(self, record: CacheRecord) -> int | None:
        """Apparent bytes of a record, wherever they are written."""
        if record.size is not None:
            return record.size
        row = self.row_of(record)
        return None if row is None else row.size


class BuildCacheReader:
    """Reads ``buildkit/`` below an engine's root, each database anew only after something was committed to it."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._snapshots: Records[Mapping[str, CacheSnapshot]] = Records(_snapshots, empty={}, limits=limits)
        self._records: Records[Mapping[str, CacheRecord]] = Records(_records, empty={}, limits=limits)

    def read(self, root: str) -> BuildCache:
        """The build cache of the engine whose root is *root*; an empty one where there is none."""
        snapshots = self._snapshots.read(f"{root}/buildkit/snapshots.db")
        records = self._records.read(f"{root}/buildkit/metadata_v2.db")
        return BuildCache(
            snapshots=snapshots.value,
            records=records.value,
            complete=snapshots.complete and records.complete,
            problems=snapshots.problems + records.problems,
            has_rows=snapshots.found,
        )

    def read_records(self, path: str) -> BuildCache:
        """The build cache in containerd, whose snapshots are recorded there: only the builder's own records are in the
        database at *path*."""
        records = self._records.read(path)
        return BuildCache(records=records.value, complete=records.complete, problems=records.problems)


def _snapshots(tx: bolt.Transaction, faults: Faults) -> Mapping[str, CacheSnapshot]:
    return faults.parsed(tx.buckets(), lambda key, bucket: parse_snapshot(key, dict(bucket.items())))


def _records(tx: bolt.Transaction, faults: Faults) -> Mapping[str, CacheRecord]:
    main = tx.bucket(b"_main")
    if main is None:
        return {}
    return faults.parsed(main.buckets(), lambda record_id, bucket: parse_record(record_id, dict(bucket.items())))


def parse_snapshot(key: str, values: Mapping[bytes, bytes]) -> Parsed[CacheSnapshot]:
    """A row of ``snapshots.db``.

    Raises:
        Malformed: it cannot be told which directory it names.
    """
    remarks: list[str] = []
    chain_id = _optional(values, b"chainid", _chain_id, remarks)
    named = values.get(b"committed")
    directory = None
    if key.startswith("sha256:"):
        chain_id = _chain_id(key)
    elif named is not None:
        directory = cache_id(ascii_text(named))
    elif b"parent" in values or b"chainid" not in values:
        directory = cache_id(key)
    row = CacheSnapshot(
        key=key,
        directory=directory,
        committed=directory is None or named is not None or b"iscommitted" in values,
        chain_id=chain_id,
        parent=_optional(values, b"parent", _row_key, remarks),
        size=_optional(values, b"size", _byte_count, remarks),
    )
    return Parsed(record=row, remarks=tuple(remarks))


def _optional(
    values: Mapping[bytes, bytes], name: bytes, parse_text: Callable[[str], T], remarks: list[str]
) -> T | None:
    raw = values.get(name)
    if not raw:
        return None
    try:
        return parse_text(ascii_text(raw))
    except Malformed as error:
        remarks.append(f"{name.decode()}: {error}")
        return None


def _chain_id(text: str) -> ChainID:
    return ChainID(digest(text, "chain ID"))


def _row_key(text: str) -> str:
    return text if _is_chain_id(text) else cache_id(text)


def _is_chain_id(text: str) -> bool:
    return text.startswith("sha256:") and DIGEST.fullmatch(text) is not None


def _byte_count(text: str) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise Malformed(f"{quoted(text)} is not a number of bytes")
    return int(text)


def parse_record(record_id: str, values: Mapping[bytes, bytes]) -> Parsed[CacheRecord]:
    """A record of ``metadata_v2.db``."""
    fields = _Fields(values)
    size = fields.number("snapshot.size")
    record = CacheRecord(
        record_id=record_id,
        snapshot=fields.text("cache.snapshot") or record_id,
        equal_mutable=fields.text("cache.equalMutable") or None,
        parents=fields.parents(),
        description=fields.text("cache.description"),
        record_type=fields.text("cache.recordType") or REGULAR,
        created=fields.time("cache.createdAt"),
        last_used=fields.time("cache.lastUsedAt"),
        usage_count=fields.number("cache.usageCount") or 0,
        size=size if size is not None and size >= 0 else None,
    )
    return Parsed(record=record, remarks=tuple(fields.remarks))


class _Fields:
    """The values of one record: each a JSON object that holds the value proper, or empty where it was taken back."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self._values = values
        self.remarks: list[str] = []

    def text(self, key: str) -> str:
        return self._take(key, lambda document: document.text("value")) or ""

    def parents(self) -> tuple[str, ...]:
        single = [self.text(f"cache.{which}") for which in ("parent", "lowerDiffParent", "upperDiffParent")]
        merged = self._take("cache.mergeParents", lambda document: document.texts("value")) or []
        return tuple(parent for parent in (*single, *merged) if parent)

    def number(self, key: str) -> int | None:
        return self._take(key, lambda document: document.number("value"))

    def time(self, key: str) -> float | None:
        nanoseconds = self.number(key)
        return nanoseconds / 1e9 if nanoseconds else None

    def _take(self, key: str, take: Callable[[Document], T]) -> T | None:
        raw = self._values.get(key.encode())
        if not raw:
            return None
        try:
            document = parse(raw)
        except Malformed as error:
            self.remarks.append(f"{key}: {error}")
            return None
        value = take(document)
        self.remarks.extend(f"{key}: {problem.reason}" for problem in document.remarks.problems(""))
        return value
