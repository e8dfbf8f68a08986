"""The directories of a snapshotter: ``snapshots/<number>``, with ``fs`` (the files) and, where something may be
written, ``work`` (overlayfs' own).

A directory is made as ``new-<random>`` and renamed before its row is there; a row goes before its directory does. So
what has no row is being made or removed, or was when containerd died. Source: containerd ``plugins/snapshots/overlay``.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from exporter.store.records import LOST_AND_FOUND, Folder, Reading, Scan, Stamp, stamp_of
from exporter.store.shelf import Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One directory, as it was seen."""

    has_files: bool
    has_work: bool
    modified: float
    """When its own entries last changed, Unix seconds: it gets them when it is made."""


class SnapshotDirectories:
    """Reads ``snapshots``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Found] = Shelf()
        self.internal: frozenset[str] = frozenset()
        """The entries of the last reading that are no directories, or the filesystem's own."""

    def read(self, folder: Folder | None, scan: Scan) -> Mapping[str, Found]:
        """All directories, by name."""
        if folder is None:
            self.internal = frozenset()
            return {}
        internal = {LOST_AND_FOUND} if folder.exists(LOST_AND_FOUND) else set()

        def stamp(name: str) -> Stamp | None:
            status = folder.status(name)
            if stat.S_ISDIR(status.st_mode):
                return stamp_of(status)
            internal.add(name)
            return None

        found = self._shelf.read_all(
            folder, scan.names(folder), scan=scan, stamp=stamp, read=lambda name: _read(folder, name)
        )
        self.internal = frozenset(internal)
        return found

    def mounted(self, folder: Folder | None, names: Iterable[str], scan: Scan) -> Mapping[str, float]:
        """When each of these was last mounted to be written to, Unix seconds, or else made; without those that cannot
        be looked at.

        overlayfs makes ``work/work`` anew at each such mount, before anything can be written, and does nothing else to
        ``work``. The directory itself stays as it was made, whatever is mounted and written.
        """
        found: dict[str, float] = {}
        if folder is None:
            return found
        for name in names:
            scan.check()
            with suppress(OSError):
                found[name] = folder.status(f"{name}/work").st_mtime
        return found


def _read(folder: Folder, name: str) -> Reading[Found]:
    with folder.inside(name) as inside:
        entries = inside.directories()
        modified = os.fstat(inside.descriptor).st_mtime
    found = Found(has_files=entries.get("fs", False), has_work=entries.get("work", False), modified=modified)
    return Reading(value=found, complete=found.has_files)
