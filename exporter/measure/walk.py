"""Measures one directory tree, whatever a hostile container does inside it meanwhile.

The work is depth first and without recursion, on a `Descent`. What it costs is bounded in every direction:
descriptors by the descent, names kept by `_ROOM` a level, inode numbers by `InodeSet`, depth by `DEEPEST`, and all of
it by a number of entries that the tree could not honestly have: so a walk ends even where the tree grows faster than
it is walked.
"""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from exporter.measure.descent import HELD, Descent, is_gone
from exporter.measure.inodes import InodeSet
from exporter.measure.listing import NEVER, Entries, Found, Pace, look, unhurried
from exporter.measure.usage import Usage

BLOCK = 512
"""Bytes of one unit of ``st_blocks``, on every Linux filesystem."""

DEEPEST = 100_000
"""Levels entered at most: each costs memory, and nothing but an attack comes near."""

_ROOM = 4096
_UNCOUNTED = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What one walk found."""

    usage: Usage
    directories: int
    """How many of the inodes are directories, the top directory included."""
    linked: int
    """How many of the inodes have more than one name."""
    vanished: int
    """Entries listed and gone when looked at, and directories moved away meanwhile: normal in a tree that is in use."""
    unreadable: int
    """Directories and entries that may not be read, or that the disk fails to give: the usage lacks what they hold."""
    cut: bool
    """The tree outgrew the walk: the usage is a lower bound."""


def measure(path: str, *, pace: Pace = unhurried, limit: int | None = None) -> Walked:
    """Measure the tree at ``path``.

    In a tree at rest the usage equals that of ``du -x`` to the byte. In one that changes, each entry counts as it was
    when it was looked at; what is moved to where the walk has been is missed, as by every walk.

    Args:
        path: The top directory. Its own filesystem is not left.
        pace: Told of the progress; see `Pace`. What it raises ends the walk and is passed on.
        limit: Entries after which the tree is taken to outgrow the walk. By default twice the inodes that are in use on
            the filesystem, and a million. Further names of one inode come on top.

    Raises:
        OSError: The top directory is missing, no directory, or may not be read; or this process lacks descriptors or
            memory.
    """
    with Descent(path) as descent:
        walk = _Walk(descent, pace, _bound(descent.fd) if limit is None else limit)
        try:
            walk.run()
        except _OutgrownError:
            return walk.result(cut=True)
        return walk.result(cut=walk.too_deep)


class _OutgrownError(Exception):
    """There are more entries than the limit."""


def _bound(fd: int) -> int:
    filesystem = os.fstatvfs(fd)
    in_use = filesystem.f_files - filesystem.f_ffree
    # Where inodes are made on demand (btrfs) the filesystem counts none.
    return 2 * in_use + 1_000_000 if filesystem.f_files else _UNCOUNTED


class _Level:
    """A directory on the way down, and what of it is still to be done."""

    __slots__ = ("entries", "names")

    def __init__(self, entries: Entries | None) -> None:
        self.entries = entries
        """Those not looked at yet; None where all were."""
        self.names: list[str] = []
        """Subdirectories to enter."""

    def close(self) -> None:
        if self.entries is not None:
            self.entries.close()
            self.entries = None


class _Walk:
    __slots__ = (
        "_descent",
        "_directories",
        "_found",
        "_levels",
        "_limit",
        "_linked",
        "_pace",
        "_taken",
        "_visited",
        "too_deep",
    )

    def __init__(self, descent: Descent, pace: Pace, limit: int) -> None:
        self._descent = descent
        self._pace = pace
        self._limit = limit
        self._taken = 0
        self._found = Found()
        self._directories = 0
        self._levels: list[_Level] = []
        self._linked = InodeSet()
        # A directory that is moved while the walk lasts may come up twice, or without end.
        self._visited = InodeSet()
        self.too_deep = False

    def run(self) -> None:
        levels = self._levels
        self._arrive(self._descent.top)
        try:
            while levels:
                level = levels[-1]
                if level.names:
                    self._enter(level.names.pop())
                elif level.entries is not None:
                    self._look(level, level.entries)
                else:
                    self._leave()
        finally:
            for level in levels:
                level.close()

    def result(self, *, cut: bool) -> Walked:
        found = self._found
        usage = Usage(size=found.size, allocated=found.blocks * BLOCK, inodes=found.files + self._directories)
        return Walked(
            usage=usage,
            directories=self._directories,
            linked=len(self._linked),
            vanished=found.vanished,
            unreadable=found.unreadable,
            cut=cut,
        )

    def _arrive(self, status: os.stat_result) -> None:
        """Count the directory that the descent now stands in, and begin to list it."""
        entries = None
        if self._visited.add(status.st_ino):
            self._count_directory(status)
            try:
                entries = os.scandir(self._descent.fd)
            except OSError as error:
                self._found.miss(error)
        self._levels.append(_Level(entries))

    def _look(self, level: _Level, entries: Entries) -> None:
        # Entries that wait hold a descriptor, so only the outer levels may let them wait for their subdirectories.
        room = _ROOM if len(self._levels) <= HELD else NEVER
        self._found.names = level.names
        if look(entries, self._found, pace=self._advance, is_counted=self._is_first_name, room=room):
            level.close()

    def _enter(self, name: str) -> None:
        if self._descent.depth >= DEEPEST:
            self.too_deep = True
            self._count_unread(name)
            return
        try:
            status = self._descent.enter(name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                self._found.miss(error)
                if not is_gone(error):
                    self._count_unread(name)
            return
        self._arrive(status)

    def _leave(self) -> None:
        self._levels.pop()
        if not self._levels:
            return
        depth = self._descent.leave()
        while len(self._levels) > depth + 1:
            self._found.vanished += len(self._levels.pop().names)

    def _count_unread(self, name: str) -> None:
        """Count a directory that was not entered: its own blocks are known all the same."""
        with contextlib.suppress(OSError):
            status = os.stat(name, dir_fd=self._descent.fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) and status.st_dev == self._descent.device:
                self._count_directory(status)

    def _count_directory(self, status: os.stat_result) -> None:
        self._directories += 1
        self._found.blocks += status.st_blocks

    def _is_first_name(self, _: "os.DirEntry[str]", status: os.stat_result) -> bool:
        if not self._linked.add(status.st_ino):
            return False
        self._limit += status.st_nlink
        return True

    def _advance(self, entries: int) -> None:
        self._taken += entries
        self._pace(entries)
        if self._taken > self._limit:
            raise _OutgrownError
