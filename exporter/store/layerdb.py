"""``image/<driver>/layerdb``: the layers, and what is mounted on them.

``sha256/<chain ID>/`` holds ``diff`` (diff ID), ``size`` (decimal bytes), ``cache-id`` and, but on a base layer,
``parent`` (chain ID); it appears whole, by one rename. ``mounts/<name>/`` holds ``mount-id``, ``init-id`` and
``parent``, written one after the other in place, so each may be missing for a moment.

Source: moby ``layer/filestore.go``, ``layer/layer_store.go``; the chain ID as in the OCI image specification.
"""

import hashlib
import re
import stat
from collections.abc import Callable, Iterable
from typing import TypeVar

from exporter.store.catalog import CacheID, ChainID, DiffID, Layer, Mount, ProblemKind
from exporter.store.records import (
    SMALL,
    Folder,
    Malformed,
    Reading,
    Scan,
    Shelf,
    Stamp,
    ascii_text,
    damaged,
    digest,
    hex64,
    quoted,
    read_line,
    stamp_of,
)

T = TypeVar("T")

REMOVING = re.compile(r"[0-9a-f]{64}-[0-9a-f]{1,64}-removing")
"""A layer that the engine is removing, or failed to; renamed so that it no longer counts."""


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The chain ID of the layer *diff_id* on *parent*: the diff ID itself on a base, else the SHA-256 of both
    with a space."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID("sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest())


def chain_ids(diff_ids: Iterable[DiffID]) -> tuple[ChainID, ...]:
    """The chain IDs of a stack of layers, base first."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)


def cache_id(text: str) -> CacheID:
    """The name of a storage directory in a record; Malformed where it could be no plain name."""
    if not text:
        raise Malformed("empty")
    if len(text) > 255 or "/" in text or text in {".", ".."} or not text.isprintable():
        raise Malformed(f"{quoted(text)} is not a directory's name")
    return CacheID(text)


class LayerReader:
    """Reads ``layerdb/sha256``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Layer] = Shelf()

    def read(self, folder: Folder | None, scan: Scan) -> dict[ChainID, Layer]:
        """All layers, by chain ID; none where the engine has not made the directory."""
        if folder is None:
            return {}

        def stamp(name: str) -> Stamp | None:
            return None if _transient(name) else stamp_of(folder.status(name))

        layers = self._shelf.read_all(
            folder, folder.names(), scan=scan, stamp=stamp, read=lambda name: _read_layer(folder, name)
        )
        return {layer.chain_id: layer for layer in layers.values()}


def _transient(name: str) -> bool:
    return name.startswith(".tmp-") or REMOVING.fullmatch(name) is not None


def _read_layer(folder: Folder, name: str) -> Reading[Layer]:
    stored = ChainID("sha256:" + hex64(name, "the layer's directory"))
    raw_parent = folder.read_optional(f"{name}/parent")
    parent = None if raw_parent is None else ChainID(digest(ascii_text(raw_parent), "parent"))
    diff_id = DiffID(digest(ascii_text(folder.read(f"{name}/diff", SMALL)), "diff"))
    directory = _required(
        read_line(folder, f"{name}/cache-id", cache_id, kind=ProblemKind.MISSING_CACHE_ID),
        ProblemKind.MISSING_CACHE_ID,
        folder.path_of(f"{name}/cache-id"),
    )
    size = _required(
        read_line(folder, f"{name}/size", _byte_count), ProblemKind.MISSING_RECORD, folder.path_of(f"{name}/size")
    )
    computed = chain_id(parent, diff_id)
    mismatch: Reading[None] = Reading(value=None)
    if computed != stored:
        reason = f"its parent and diff ID give {computed}"
        mismatch = damaged(ProblemKind.CHAIN_ID_MISMATCH, folder.path_of(name), reason)
    layer = Layer(
        chain_id=stored,
        diff_id=diff_id,
        parent=parent,
        cache_id=directory.value,
        size=size.value,
        chain_id_recomputes=computed == stored,
    )
    return Reading(value=layer, problems=directory.problems + size.problems + mismatch.problems)


def _required(reading: Reading[T], kind: ProblemKind, path: str) -> Reading[T]:
    """*reading*, with a problem of *kind* where there was no such record."""
    if reading.value is None and not reading.problems:
        return damaged(kind, path, "there is no such file")
    return reading


def _byte_count(text: str) -> int:
    if not text.isdigit() or len(text) > 19:
        raise Malformed(f"{quoted(text)} is not a number of bytes")
    return int(text)


class MountReader:
    """Reads ``layerdb/mounts``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Mount] = Shelf()

    def read(self, folder: Folder | None, scan: Scan) -> dict[str, Mount]:
        """All mounts, by name: a container's ID, or a name that a builder or an image mount chose."""
        if folder is None:
            return {}

        def stamp(name: str) -> Stamp | None:
            status = folder.status(name)
            return stamp_of(status) if stat.S_ISDIR(status.st_mode) else None

        return self._shelf.read_all(
            folder, folder.names(), scan=scan, stamp=stamp, read=lambda name: _read_mount(folder, name)
        )


def _read_mount(folder: Folder, name: str) -> Reading[Mount]:
    mount_id = read_line(folder, f"{name}/mount-id", _written(cache_id))
    init_id = read_line(folder, f"{name}/init-id", _written(cache_id))
    parent = read_line(folder, f"{name}/parent", _written(lambda text: ChainID(digest(text, "parent"))))
    mount = Mount(
        name=name,
        mount_id=mount_id.value,
        init_id=init_id.value,
        parent=parent.value,
        modified=folder.status(name).st_mtime,
    )
    return Reading(value=mount, problems=mount_id.problems + init_id.problems + parent.problems)


def _written(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """*parse* for a record that is written in place: an empty one is about to be written, and no damage by itself."""
    return lambda text: parse(text) if text else None
