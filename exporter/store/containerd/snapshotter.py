"""``io.containerd.snapshotter.v1.<name>/metadata.db``: the snapshots that have a directory, whoever they belong to.

``v1/snapshots/<name>``, a bucket each: ``id`` (unsigned varint: the directory ``snapshots/<id>``), ``kind`` (one byte),
``parent`` (a name), ``createdat``, ``updatedat``, ``labels``; of a committed one also ``size`` and ``inodes`` (signed
varints), as measured when it was committed. A name is ``<namespace>/<number>/<key>``, where containerd's own
``meta.db`` has the key; whoever uses a snapshotter without that may choose any.

A directory is made, and renamed to its number, before its row is committed; a row is deleted before its directory is,
which by default is left to a later collection of garbage.

Source: containerd ``core/snapshots/storage/bolt.go``, ``core/metadata/snapshot.go``.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.store import bolt
from exporter.store.boltfile import Limits
from exporter.store.boltrecords import Contents, Faults, Parsed, Records
from exporter.store.containerd.encoding import Fields, text, unsigned
from exporter.store.records import Malformed


class Kind(enum.IntEnum):
    """What a snapshot is for."""

    VIEW = 1
    """To look at its parent; nothing is written to it."""
    ACTIVE = 2
    """To write to: a container's upper layer, a build's step, a layer that is being unpacked."""
    COMMITTED = 3
    """Read-only: an image's layer, or what containers start from."""


_KINDS = {bytes([kind]): kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSnapshot:
    """One row of the snapshotter's database."""

    name: str
    number: int
    """Names its directory: ``snapshots/<number>``."""
    kind: Kind
    parent: str | None
    """The name of the snapshot below; None on a base."""
    size: int | None
    """Bytes on disk, directories included, as measured when it was committed; None on what is not."""
    inodes: int | None
    created: float | None
    """Unix seconds; of a committed one, when it was committed."""
    labels: Mapping[str, str]

    @property
    def namespace(self) -> str:
        """The namespace of containerd that it belongs to; empty where the name tells none."""
        parts = self.name.split("/", 2)
        return parts[0] if len(parts) == 3 else ""

    @property
    def key(self) -> str:
        """What the namespace calls it."""
        return self.name.split("/", 2)[-1]


class SnapshotterReader:
    """Reads a snapshotter's ``metadata.db``, anew only after something was committed to it."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._records: Records[Mapping[str, BackendSnapshot]] = Records(_snapshots, empty={}, limits=limits)

    def read(self, path: str) -> Contents[Mapping[str, BackendSnapshot]]:
        """The snapshots in the database at *path*, by name."""
        return self._records.read(path)


def _snapshots(tx: bolt.Transaction, faults: Faults) -> Mapping[str, BackendSnapshot]:
    schema = tx.bucket(b"v1")
    if schema is None:
        for name, _ in tx.buckets():
            faults.lost(f"schema {text(name)!a}, not 'v1'")
        return {}
    rows = schema.bucket(b"snapshots")
    if rows is None:
        return {}
    return faults.parsed(rows.buckets(), lambda name, row: parse_snapshot(name, row.contents()))


def parse_snapshot(name: str, row: bolt.Tree) -> Parsed[BackendSnapshot]:
    """A row of the snapshotter's database.

    Raises:
        Malformed: its directory or its kind is not to be told.
    """
    fields = Fields(row)
    kind, number = fields.raw("kind"), fields.raw("id")
    if kind is None or number is None:
        raise Malformed(f"{'kind' if kind is None else 'id'} is not there")
    if kind not in _KINDS:
        raise Malformed(f"kind is 0x{kind[:16].hex()}, which is none")
    snapshot = BackendSnapshot(
        name=name,
        number=unsigned(number),
        kind=_KINDS[kind],
        parent=fields.text("parent") or None,
        size=fields.count("size"),
        inodes=fields.count("inodes"),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    return Parsed(record=snapshot, remarks=tuple(fields.remarks))
