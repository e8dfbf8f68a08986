"""The graph directory ``<root>/overlay2`` (or ``fuse-overlayfs``): one storage directory for each layer, init layer
and upper.

``<id>/diff`` holds the layer's files, ``link`` its short name, ``lower`` the short names below it (nearest first;
absent on a base), ``work`` overlayfs' own (absent on a base), ``merged`` is there while mounted, ``committed`` once
it has been a parent. ``l/<short name>`` is a symlink to ``../<id>/diff``, so that a chain of 128 fits in one page
of mount options. Source: moby ``daemon/graphdriver/overlay2/overlay.go``.
"""

import os
import stat

from exporter.store.catalog import CacheID, Directory
from exporter.store.records import Folder, Reading, Scan, Shelf, Stamp, ascii_text, stamp_of

SHORT_LINKS = "l"
_SCRATCH = ("check-overlayfs-support", "opaque-bug-check", "metacopy-check")
"""What the engine makes to try out the kernel, and removes."""


class DirectoryReader:
    """Reads the graph directory."""

    def __init__(self) -> None:
        self._directories: Shelf[Directory] = Shelf()
        self._links: Shelf[str] = Shelf()

    def read(self, folder: Folder | None, scan: Scan) -> dict[CacheID, Directory]:
        """All storage directories, by name."""
        if folder is None:
            return {}

        def stamp(name: str) -> Stamp | None:
            status = folder.status(name)
            return stamp_of(status) if stat.S_ISDIR(status.st_mode) else None

        names = (name for name in folder.names() if name != SHORT_LINKS and not name.startswith(_SCRATCH))
        directories = self._directories.read_all(
            folder, names, scan=scan, stamp=stamp, read=lambda name: _read_directory(folder, name)
        )
        return {CacheID(name): directory for name, directory in directories.items()}

    def read_short_links(self, folder: Folder | None, scan: Scan) -> dict[str, str]:
        """All short names and their targets as stored. A symlink's target never changes, so its inode number
        tells all."""
        if folder is None:
            return {}
        with os.scandir(folder.descriptor) as entries:
            inodes = {entry.name: entry.inode() for entry in entries if entry.is_symlink()}
        return self._links.read_all(
            folder,
            inodes,
            scan=scan,
            stamp=lambda name: (inodes[name], 0, 0, 0),
            read=lambda name: Reading(value=os.readlink(name, dir_fd=folder.descriptor)),
        )


def _read_directory(folder: Folder, name: str) -> Reading[Directory]:
    status = folder.status(name)
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.descriptor)
    try:
        inside = Folder(folder.path_of(name), descriptor)
        entries = set(inside.names())
        link = inside.read_optional("link") if "link" in entries else None
        lower = inside.read_optional("lower") if "lower" in entries else None
    finally:
        os.close(descriptor)
    directory = Directory(
        name=CacheID(name),
        link=None if link is None else ascii_text(link),
        lower=None if lower is None else _lower(ascii_text(lower)),
        committed="committed" in entries,
        has_diff="diff" in entries,
        has_work="work" in entries,
        has_merged="merged" in entries,
        modified=status.st_mtime,
    )
    return Reading(value=directory)


def _lower(text: str) -> tuple[str, ...]:
    """Short names from ``l/A:l/B``. What does not begin with ``l/`` is kept as it stands: it will name nothing."""
    return tuple(part.removeprefix("l/") for part in text.split(":")) if text else ()
