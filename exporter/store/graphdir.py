"""The graph directory ``<root>/overlay2`` (or ``fuse-overlayfs``): one storage directory for each layer, init layer
and upper.

``<id>/diff`` holds the layer's files, ``link`` its short name, ``lower`` the short names below it (nearest first;
absent on a base), ``work`` overlayfs' own (absent on a base), ``merged`` is there while mounted, ``committed`` once
it has been a parent. ``l/<short name>`` is a symlink to ``../<id>/diff``, so that a chain of 128 fits in one page
of mount options. Source: moby ``daemon/graphdriver/overlay2/overlay.go``.
"""

import os
import stat
from collections.abc import Mapping

from exporter.store.entries import CacheID, Directory
from exporter.store.records import LOST_AND_FOUND, Folder, Reading, Scan, Stamp, damaged_by, read_line, stamp_of
from exporter.store.shelf import Shelf

SHORT_LINKS = "l"
_SCRATCH = ("check-overlayfs-support", "opaque-bug-check", "metacopy-check")
"""What the engine makes to try out the kernel, and removes."""


class DirectoryReader:
    """Reads the graph directory."""

    def __init__(self) -> None:
        self._directories: Shelf[Directory] = Shelf()
        self._links: Shelf[str] = Shelf()
        self._tables: Shelf[Mapping[str, str]] = Shelf()
        self.internal: frozenset[str] = frozenset()
        """The entries of the last reading that are no storage directories: the engine's own, and the filesystem's."""
        self.links_changed: float | None = None
        """When a short name last came or went before the last reading of them, Unix seconds."""

    def read(self, folder: Folder | None, scan: Scan) -> dict[CacheID, Directory]:
        """All storage directories, by name."""
        if folder is None:
            self.internal = frozenset()
            return {}
        names = scan.names(folder)
        internal = {name for name in names if name == SHORT_LINKS or name.startswith(_SCRATCH)}
        if folder.exists(LOST_AND_FOUND):
            internal.add(LOST_AND_FOUND)

        def stamp(name: str) -> Stamp | None:
            # The same as folder.status; called for every directory at every scan, which makes it most of a scan's cost.
            status = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return stamp_of(status)
            internal.add(name)
            return None

        directories = self._directories.read_all(
            folder,
            (name for name in names if name not in internal),
            scan=scan,
            stamp=stamp,
            read=lambda name: _read_directory(folder, name),
        )
        self.internal = frozenset(internal)
        return {CacheID(name): directory for name, directory in directories.items()}

    def read_short_links(self, folder: Folder | None, scan: Scan) -> Mapping[str, str]:
        """All short names and their targets as stored.

        A symlink cannot be changed in place, and one that comes or goes touches the directory. So while the directory
        stays as it was, the links do too.
        """
        self.links_changed = None if folder is None else os.fstat(folder.descriptor).st_mtime
        if folder is None:
            return {}
        return self._tables.read_all(
            folder, ["."], scan=scan, stamp=folder.stamp, read=lambda _name: self._read_links(folder, scan)
        ).get(".", {})

    def _read_links(self, folder: Folder, scan: Scan) -> Reading[Mapping[str, str]]:
        try:
            inodes = folder.symlinks()
        except OSError as error:
            return damaged_by(error, folder.path)
        already = len(scan.problems)
        targets = self._links.read_all(
            folder,
            inodes,
            scan=scan,
            # A target never changes while the inode stays.
            stamp=lambda name: (inodes[name], 0, 0, 0),
            read=lambda name: Reading(value=folder.target(name)),
        )
        return Reading(value=targets, complete=len(scan.problems) == already)


def _read_directory(folder: Folder, name: str) -> Reading[Directory]:
    with folder.inside(name) as inside:
        modified = os.fstat(inside.descriptor).st_mtime
        entries = inside.directories()
        link = read_line(inside, "link", str)
        lower = read_line(inside, "lower", _lower)
        linked = _written(inside, "link")
    directory = Directory(
        name=CacheID(name),
        link=link.value,
        lower=lower.value,
        committed="committed" in entries,
        has_diff=entries.get("diff", False),
        has_work=entries.get("work", False),
        has_merged=entries.get("merged", False),
        modified=modified,
        linked=linked,
    )
    return Reading(
        value=directory,
        problems=link.problems + lower.problems,
        # Both are written in place, and empty for a moment.
        complete=link.value != "" and lower.value != (),
    )


def _written(folder: Folder, name: str) -> float | None:
    try:
        return folder.status(name).st_mtime
    except FileNotFoundError:
        return None


def _lower(text: str) -> tuple[str, ...]:
    """Short names from ``l/A:l/B``. What does not begin with ``l/`` is kept as it stands: it will name nothing."""
    return tuple(part.removeprefix("l/") for part in text.split(":")) if text else ()
