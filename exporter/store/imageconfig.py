"""An image's configuration, as the OCI image specification gives it: its layers, its history, when it was made.

Docker keeps it as ``imagedb/content/sha256/<image ID>``, containerd among its content. Whoever makes an image chooses
what is in it.
"""

import hashlib
from dataclasses import dataclass

from exporter.store.documents import Document, parse
from exporter.store.entries import DiffID, HistoryEntry
from exporter.store.records import Malformed, digest

MOST_STEPS, LONGEST_STEP = 1000, 1024
"""Steps of an image's history, and characters of each, that are kept. Whoever makes an image chooses them, the catalog
holds them as long as the image is there, and an engine makes no image of more than 127 layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is taken from it."""

    diff_ids: tuple[DiffID, ...]
    """Base first."""
    created: float | None
    """Unix seconds."""
    platform: str
    """``os/architecture``, with the variant where there is one."""
    history: tuple[HistoryEntry, ...]


def checked_document(raw: bytes, hex_digest: str, what: str) -> Document:
    """The JSON object that *raw* holds; a remark where *raw* has another SHA-256 than it should have, which is then
    *what*.

    Raises:
        Malformed: it holds none.
    """
    document = parse(raw)
    if (computed := hashlib.sha256(raw).hexdigest()) != hex_digest:
        document.remark(f"its content has the SHA-256 {computed}, which is {what}")
    return document


def parse_configuration(document: Document) -> Configuration:
    """What *document* says of an image.

    Raises:
        Malformed: it does not say which layers the image has.
    """
    return Configuration(
        diff_ids=_diff_ids(document),
        created=document.time("created"),
        platform="/".join(filter(None, (document.text("os"), document.text("architecture"), document.text("variant")))),
        history=tuple(_history(entry) for entry in document.inners("history")[:MOST_STEPS]),
    )


def _diff_ids(document: Document) -> tuple[DiffID, ...]:
    """The layers, base first. With one of them unknown, none above it could be named, so there is no image then."""
    odd = document.remarks.count
    document.expect("rootfs")
    texts = document.inner("rootfs").texts("diff_ids")
    if document.remarks.count > odd:
        raise Malformed("its rootfs does not say which layers it has")
    return tuple(DiffID(digest(text, "a diff ID")) for text in texts)


def _history(entry: Document) -> HistoryEntry:
    return HistoryEntry(
        created=entry.time("created"),
        created_by=entry.text("created_by")[:LONGEST_STEP],
        comment=entry.text("comment")[:LONGEST_STEP],
        empty_layer=entry.flag("empty_layer"),
    )
