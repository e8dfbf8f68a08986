"""Writes containerd's records as containerd does: for databases in tests."""

import struct
from collections.abc import Iterable, Mapping

from exporter.store.bolt import Tree

CREATED = 1_700_000_000.25


def unsigned(value: int) -> bytes:
    """Go's ``binary.PutUvarint``."""
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def signed(value: int) -> bytes:
    """Go's ``binary.PutVarint``."""
    return unsigned(2 * value if value >= 0 else -2 * value - 1)


def moment(seconds: float, *, version: int = 1) -> bytes:
    """Go's ``time.Time.MarshalBinary``, for a time in UTC."""
    whole = int(seconds // 1)
    since_year_one = whole + 62_135_596_800
    return struct.pack(">Bqi", version, since_year_one, round((seconds - whole) * 1e9)) + b"\xff\xff\x00"[: version + 1]


def times() -> dict[bytes, bytes]:
    return {b"createdat": moment(CREATED), b"updatedat": moment(CREATED + 1)}


def labels(texts: Mapping[str, str]) -> dict[bytes, bytes | Tree]:
    return {b"labels": {name.encode(): text.encode() for name, text in texts.items()}} if texts else {}


def image(digest: str, *, size: int = 1284, texts: Mapping[str, str] | None = None) -> Tree:
    target = {b"digest": digest.encode(), b"mediatype": b"application/vnd.oci.image.manifest.v1+json"}
    return {**times(), b"target": {**target, b"size": signed(size)}, **labels(texts or {})}


def blob(size: int, *, needs: Iterable[str] = (), unpacked: Mapping[str, str] | None = None) -> Tree:
    """A blob that needs others, or that is a configuration whose image is unpacked by snapshotters."""
    references = {f"containerd.io/gc.ref.content.l.{place}": digest for place, digest in enumerate(needs)}
    for snapshotter, key in (unpacked or {}).items():
        references[f"containerd.io/gc.ref.snapshot.{snapshotter}"] = key
    return {**times(), b"size": signed(size), **labels(references)}


def snapshot(name: str, *, parent: str = "") -> Tree:
    above = {b"parent": parent.encode()} if parent else {}
    return {**times(), b"name": name.encode(), **above}


def backend(number: int, kind: int, *, parent: str = "", size: int | None = None, inodes: int = 0) -> Tree:
    above = {b"parent": parent.encode()} if parent else {}
    usage = {} if size is None else {b"size": signed(size), b"inodes": signed(inodes)}
    return {**times(), b"id": unsigned(number), b"kind": bytes([kind]), **above, **usage}
