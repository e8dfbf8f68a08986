"""``io.containerd.metadata.v1.bolt/meta.db``: containerd's own records, by namespace.

``v1/<namespace>/`` holds ``images/<name>``, ``containers/<id>``, ``content/blob/<digest>``, ``sandboxes/<id>``,
``leases/<id>`` and ``snapshots/<snapshotter>/<key>``, a bucket for each record. Before schema 1.4, sandboxes are in
``<namespace>/sandboxes``, beside ``v1``. ``v1/version`` (signed varint) is the schema's minor version.

What needs what is told by labels. A blob's ``containerd.io/gc.ref.content…`` names a blob that it needs (a manifest its
configuration and layers), ``containerd.io/gc.ref.snapshot.<snapshotter>`` a snapshot (a configuration the topmost layer
of its unpacked image). So from an image's target its blobs and its snapshots are reached without opening a blob.

A namespace of its own that nothing else shares (``moby_history``) may hold content only. Blobs and snapshots are
recorded once for each namespace. A blob is stored once for all of them, a snapshot once for each.

Source: containerd ``core/metadata/buckets.go``, ``gc.go``, ``sandbox.go``, ``migrations.go``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from exporter.store import bolt
from exporter.store.boltfile import Limits
from exporter.store.boltrecords import Contents, Faults, Parsed, Records
from exporter.store.containerd.encoding import Fields, signed, text
from exporter.store.records import Malformed

Record = TypeVar("Record")

KNOWN_VERSION: Final = 4
"""The newest minor version of schema 1 whose records are known here."""

_EXPIRES: Final = "containerd.io/gc.expire"
_FLAT: Final = "containerd.io/gc.flat"
_CONTENT_REFERENCE: Final = "containerd.io/gc.ref.content"
_SNAPSHOT_REFERENCE: Final = "containerd.io/gc.ref.snapshot."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """A name, and the blob that it stands for."""

    name: str
    digest: str
    """``sha256:…`` of the manifest, or of an index of manifests."""
    media_type: str
    size: int | None
    """Bytes of that blob alone."""
    created: float | None
    """Unix seconds: when it was pulled or made here."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRecord:
    """A blob of the content store: ``io.containerd.content.v1.content/blobs/sha256/<hex>``."""

    digest: str
    size: int | None
    """Bytes."""
    created: float | None
    labels: Mapping[str, str]

    @property
    def needs_blobs(self) -> Iterator[str]:
        """The digests of the blobs that it needs."""
        # Behind a dot or a slash follows a name that only tells several references apart.
        exact, named = _CONTENT_REFERENCE, (f"{_CONTENT_REFERENCE}.", f"{_CONTENT_REFERENCE}/")
        return (value for name, value in self.labels.items() if name == exact or name.startswith(named))

    def needs_snapshots(self, snapshotter: str) -> Iterator[str]:
        """The keys of the snapshots that it needs."""
        reference = _SNAPSHOT_REFERENCE + snapshotter
        return (value for name, value in self.labels.items() if name == reference or name.startswith(f"{reference}/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """What a namespace calls one of a snapshotter's snapshots."""

    key: str
    """Of an image's layer its chain ID, of a container's upper layer mostly the container's ID."""
    name: str
    """What the snapshotter calls it."""
    parent: str | None
    """The key of the snapshot below; None on a base."""
    created: float | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """A container. Docker's tell neither image nor snapshot: there the snapshot's key is the container's ID."""

    container_id: str
    image: str
    """The image's name; empty where it is not told."""
    snapshotter: str
    snapshot_key: str
    sandbox_id: str
    """The sandbox that it runs in; empty where it is not told."""
    runtime: str
    created: float | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRecord:
    """What the containers of a pod share."""

    sandbox_id: str
    sandboxer: str
    runtime: str
    created: float | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What keeps blobs and snapshots from being collected as garbage."""

    lease_id: str
    blobs: frozenset[str]
    """Digests."""
    snapshots: frozenset[tuple[str, str]]
    """Snapshotters and keys."""
    created: float | None
    labels: Mapping[str, str]

    @property
    def flat(self) -> bool:
        """Whether it holds its blobs without what they need."""
        return _FLAT in self.labels

    def holds(self, now: float) -> bool:
        """Whether it holds them still at *now*, Unix seconds: most expire."""
        try:
            ends = datetime.fromisoformat(self.labels[_EXPIRES])
            return ends.tzinfo is None or now < ends.timestamp()
        except (KeyError, ValueError):
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """What one client of containerd has: Docker (``moby``), Kubernetes (``k8s.io``), ``ctr`` (``default``)."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, ImageRecord] = field(default_factory=dict)
    blobs: Mapping[str, BlobRecord] = field(default_factory=dict)
    """By digest."""
    snapshots: Mapping[str, Mapping[str, SnapshotRecord]] = field(default_factory=dict)
    """By snapshotter, then by key."""
    containers: Mapping[str, ContainerRecord] = field(default_factory=dict)
    sandboxes: Mapping[str, SandboxRecord] = field(default_factory=dict)
    leases: Mapping[str, LeaseRecord] = field(default_factory=dict)

    def blobs_of(self, digest: str) -> set[str]:
        """The blob with this digest and all that it needs, as far as they are here: an image may have been pulled for
        one platform only."""
        found: set[str] = set()
        pending = [digest]
        while pending:
            blob = self.blobs.get(pending.pop())
            if blob is not None and blob.digest not in found:
                found.add(blob.digest)
                pending.extend(blob.needs_blobs)
        return found

    def snapshots_of(self, digest: str, snapshotter: str) -> set[str]:
        """The keys of the topmost layers that the image with this digest is unpacked to: one for each platform."""
        return {key for blob in self.blobs_of(digest) for key in self.blobs[blob].needs_snapshots(snapshotter)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All that containerd records."""

    version: int = 0
    """The schema's minor version; 0 where none is told."""
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)


class MetadataReader:
    """Reads ``meta.db``, anew only after something was committed to it."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._records: Records[Metadata] = Records(parse_metadata, empty=Metadata(), limits=limits)

    def read(self, path: str) -> Contents[Metadata]:
        """The records in the database at *path*."""
        return self._records.read(path)


def parse_metadata(tx: bolt.Transaction, faults: Faults) -> Metadata:
    """The records of one state of the database; none of a schema that is not known."""
    top = dict(tx.buckets())
    schema = top.pop(b"v1", None)
    if schema is None:
        for name in top:
            faults.lost(f"schema {text(name)!a}, not 'v1'")
        return Metadata()
    version = _version(schema, faults)
    if version is None or version > KNOWN_VERSION:
        return Metadata(version=version or 0)
    namespaces = {
        text(name): _namespace(text(name), bucket, top.get(name), faults) for name, bucket in schema.buckets()
    }
    return Metadata(version=version, namespaces=namespaces)


def _version(schema: bolt.Bucket, faults: Faults) -> int | None:
    try:
        version = signed(schema.get(b"version") or b"\0")
    except Malformed as error:
        faults.lost(f"version: {error}")
        return None
    if version > KNOWN_VERSION:
        faults.lost(f"schema 1.{version} is newer than 1.{KNOWN_VERSION}, the newest that is known")
    return version


def _namespace(name: str, bucket: bolt.Bucket, old: bolt.Bucket | None, faults: Faults) -> Namespace:
    labels = bucket.bucket(b"labels")
    snapshotters = bucket.bucket(b"snapshots")
    return Namespace(
        name=name,
        labels={} if labels is None else {text(key): text(value) for key, value in labels.items()},
        images=_records(bucket, b"images", parse=parse_image, faults=faults),
        blobs=_records(bucket, b"content", b"blob", parse=parse_blob, faults=faults),
        snapshots={
            text(snapshotter): _records(rows, parse=parse_snapshot, faults=faults)
            for snapshotter, rows in (() if snapshotters is None else snapshotters.buckets())
        },
        containers=_records(bucket, b"containers", parse=parse_container, faults=faults),
        sandboxes={
            **({} if old is None else _records(old, b"sandboxes", parse=parse_sandbox, faults=faults)),
            **_records(bucket, b"sandboxes", parse=parse_sandbox, faults=faults),
        },
        leases=_records(bucket, b"leases", parse=parse_lease, faults=faults),
    )


def _records(
    bucket: bolt.Bucket, *names: bytes, parse: Callable[[str, bolt.Tree], Parsed[Record]], faults: Faults
) -> Mapping[str, Record]:
    found = bucket.bucket(*names)
    if found is None:
        return {}
    return faults.parsed(found.buckets(), lambda name, record: parse(name, record.contents()))


def parse_image(name: str, record: bolt.Tree) -> Parsed[ImageRecord]:
    """A record of ``images``.

    Raises:
        Malformed: it names no blob.
    """
    fields = Fields(record)
    target = fields.part("target")
    image = ImageRecord(
        name=name,
        digest=target.text("digest"),
        media_type=target.text("mediatype"),
        size=target.count("size"),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    if not image.digest:
        raise Malformed("target.digest is not there")
    return Parsed(record=image, remarks=tuple(fields.remarks))


def parse_blob(digest: str, record: bolt.Tree) -> Parsed[BlobRecord]:
    """A record of ``content/blob``."""
    fields = Fields(record)
    blob = BlobRecord(
        digest=digest,
        size=fields.count("size"),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    return Parsed(record=blob, remarks=tuple(fields.remarks))


def parse_snapshot(key: str, record: bolt.Tree) -> Parsed[SnapshotRecord]:
    """A record of ``snapshots/<snapshotter>``.

    Raises:
        Malformed: it does not tell what the snapshotter calls it.
    """
    fields = Fields(record)
    snapshot = SnapshotRecord(
        key=key,
        name=fields.text("name"),
        parent=fields.text("parent") or None,
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    if not snapshot.name:
        raise Malformed("name is not there")
    return Parsed(record=snapshot, remarks=tuple(fields.remarks))


def parse_container(container_id: str, record: bolt.Tree) -> Parsed[ContainerRecord]:
    """A record of ``containers``."""
    fields = Fields(record)
    container = ContainerRecord(
        container_id=container_id,
        image=fields.text("image"),
        snapshotter=fields.text("snapshotter"),
        snapshot_key=fields.text("snapshotKey"),
        sandbox_id=fields.text("sandboxid"),
        runtime=fields.part("runtime").text("name"),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    return Parsed(record=container, remarks=tuple(fields.remarks))


def parse_sandbox(sandbox_id: str, record: bolt.Tree) -> Parsed[SandboxRecord]:
    """A record of ``sandboxes``."""
    fields = Fields(record)
    sandbox = SandboxRecord(
        sandbox_id=sandbox_id,
        sandboxer=fields.text("sandboxer"),
        runtime=fields.part("runtime").text("name"),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    return Parsed(record=sandbox, remarks=tuple(fields.remarks))


def parse_lease(lease_id: str, record: bolt.Tree) -> Parsed[LeaseRecord]:
    """A record of ``leases``."""
    fields = Fields(record)
    snapshots = fields.part("snapshots")
    lease = LeaseRecord(
        lease_id=lease_id,
        blobs=frozenset(fields.part("content").names()),
        snapshots=frozenset(
            (snapshotter, key) for snapshotter in snapshots.names() for key in snapshots.part(snapshotter).names()
        ),
        created=fields.moment("createdat"),
        labels=fields.texts("labels"),
    )
    return Parsed(record=lease, remarks=tuple(fields.remarks))
