"""``image/<driver>/layerdb``: the layers, and what is mounted on them.

``sha256/<chain ID>/`` holds ``diff`` (diff ID), ``size`` (decimal bytes), ``cache-id`` and, but on a base layer,
``parent`` (chain ID); it appears whole, by one rename. ``mounts/<name>/`` holds ``mount-id``, ``init-id`` and
``parent``, written one after the other in place, so each may be missing for a moment.

Source: moby ``layer/filestore.go``, ``layer/layer_store.go``; the chain ID as in the OCI image specification.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from exporter.store.catalog import ProblemKind
from exporter.store.entries import CacheID, ChainID, DiffID, Layer, Mount
from exporter.store.records import FILLED_IN, Folder, Malformed, Reading, Scan, digest, quoted, read_line, required
from exporter.store.shelf import Shelf

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
        layers = self._shelf.read_all(
            folder,
            scan.identities(folder, passing=_passing),
            scan=scan,
            stamp=folder.stamp,
            read=lambda name: _read_layer(folder, name),
        )
        return {layer.chain_id: layer for layer in layers.values()}


def _passing(name: str) -> bool:
    return name.startswith(".tmp-") or REMOVING.fullmatch(name) is not None


def _read_layer(folder: Folder, name: str) -> Reading[Layer]:
    stored = ChainID("sha256:" + name)
    with folder.inside(name) as record:
        parent = read_line(record, "parent", _parent)
        diff_id = required(
            read_line(record, "diff", lambda text: DiffID(digest(text, "diff"))),
            ProblemKind.MISSING_RECORD,
            record.path_of("diff"),
        )
        directory = required(
            read_line(record, "cache-id", cache_id, kind=ProblemKind.MISSING_CACHE_ID),
            ProblemKind.MISSING_CACHE_ID,
            record.path_of("cache-id"),
        )
        size = required(read_line(record, "size", _byte_count), ProblemKind.MISSING_RECORD, record.path_of("size"))
    problems = parent.problems + diff_id.problems + directory.problems + size.problems
    if diff_id.value is None or parent.problems:
        # Without knowing which layer it is, the rest of the record means nothing.
        return Reading(value=None, problems=problems[:1])
    layer = Layer(
        chain_id=stored,
        diff_id=diff_id.value,
        parent=parent.value,
        cache_id=directory.value,
        size=size.value,
        chain_id_recomputes=chain_id(parent.value, diff_id.value) == stored,
    )
    return Reading(value=layer, problems=problems)


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
        return self._shelf.read_all(
            folder,
            scan.names(folder),
            scan=scan,
            stamp=folder.stamp,
            read=lambda name: _read_mount(folder, name, scan.now),
        )


def _read_mount(folder: Folder, name: str, now: float) -> Reading[Mount]:
    with folder.inside(name) as record:
        modified = os.fstat(record.descriptor).st_mtime
        waiting = now - modified < FILLED_IN
        empty: list[str] = []

        def line(file: str, parse: Callable[[str], T], *, wait: bool = waiting) -> Reading[T]:
            def unless_empty(text: str) -> T | None:
                if text or not wait:
                    return parse(text)
                empty.append(file)
                return None

            return read_line(record, file, unless_empty)

        # Without a mount ID there is no writable layer, which is said of the container, whether the file is empty or
        # missing (``exporter/account/integrity.py``).
        mount_id = line("mount-id", cache_id, wait=True)
        init_id = line("init-id", cache_id)
        parent = line("parent", _parent)
    mount = Mount(
        name=name,
        mount_id=mount_id.value,
        init_id=init_id.value,
        parent=parent.value,
        modified=modified,
    )
    return Reading(value=mount, problems=mount_id.problems + init_id.problems + parent.problems, complete=not empty)


def _parent(text: str) -> ChainID:
    return ChainID(digest(text, "parent"))
