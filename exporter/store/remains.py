"""What a layer's record is before and after it is one: ``layerdb/tmp`` and ``layerdb/sha256/…-removing``.

While a layer's files are unpacked, its record is a write set, ``tmp/write-set-<random>/``: first
``tar-split.json.gz``, which grows, at the end ``diff``, ``size``, ``cache-id``, ``parent``; then it is renamed to the
layer's own name. A layer that goes is renamed to ``<hex>-<random>-removing/``, its storage directory is deleted, then
the record.

An engine that dies between the steps leaves either behind. It deletes the ``-removing`` ones when it is shut down,
write sets never. Source: moby ``layer/filestore.go``, ``layer/layer_store.go``, ``pkg/ioutils/fswriters.go``.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from exporter.store.entries import Removal, WriteSet
from exporter.store.layerdb import REMOVING, cache_id
from exporter.store.records import Folder, Malformed, Scan, read_line

T = TypeVar("T")

_WRITE_SET = "write-set-"


def read_removals(folder: Folder | None, scan: Scan) -> tuple[Removal, ...]:
    """The records that are being removed, or should have been; *folder* is ``layerdb/sha256``, None where there is
    none."""
    if folder is None:
        return ()

    def read(name: str) -> Removal:
        # A rename does not touch what is renamed, but its inode.
        renamed = folder.status(name).st_ctime
        with folder.inside(name) as record:
            named = read_line(record, "cache-id", cache_id)
        scan.problems += named.problems
        return Removal(record=folder.path_of(name), cache_id=named.value, renamed=renamed)

    names = (name for name in scan.names(folder) if REMOVING.fullmatch(name) is not None)
    return tuple(_read_all(folder, names, scan, read))


def read_write_sets(folder: Folder | None, scan: Scan) -> tuple[WriteSet, ...]:
    """The records that are being written, or were when the engine died; *folder* is ``layerdb/tmp``, None where there
    is none."""
    if folder is None:
        return ()

    def read(name: str) -> WriteSet:
        with folder.inside(name) as record:
            times = [record.status(part).st_mtime for part in (".", *record.names())]
        return WriteSet(record=folder.path_of(name), modified=max(times))

    names = (name for name in scan.names(folder) if name.startswith(_WRITE_SET))
    return tuple(_read_all(folder, names, scan, read))


def _read_all(folder: Folder, names: Iterable[str], scan: Scan, read: Callable[[str], T]) -> Iterator[T]:
    for name in sorted(names):
        try:
            yield read(name)
        except FileNotFoundError:
            scan.vanished += 1
        except Malformed:
            continue  # no directory, so no record
        except OSError as error:
            scan.unreadable(folder.path_of(name), error)
