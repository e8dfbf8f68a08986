"""Measures one directory tree, whatever a hostile container does inside it meanwhile.

The work is depth first and without recursion, on a `Descent`. What it costs is bounded in every direction:
descriptors by the descent, names kept by `_ROOM` a level, inode numbers by `InodeSet`, depth by `DEEPEST`, and all of
it by a number of entries that the tree could not honestly have: so a walk ends even where the tree grows faster than
it is walked.
"""

import errno
import os
from dataclasses import dataclass

from exporter.measure.bound import Bound, OutgrownError, honest_limit
from exporter.measure.descent import HELD, Descent, is_gone
from exporter.measure.inodes import InodeSet
from exporter.measure.listing import BLOCK, NEVER, Entries, Found, Pace, look, unhurried
from exporter.measure.usage import Usage

_ROOM = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What one walk found."""

    usage: Usage
    directories: int
    """How many of the inodes are directories, the top directory included."""
    links: int
    """How many names the files have that have several."""
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
        limit: Entries after which the tree is taken to outgrow the walk; by default `honest_limit`.

    Raises:
        OSError: The top directory is missing, no directory, or may not be read; or this process lacks descriptors or
            memory.
    """
    with Descent(path) as descent:
        bound = Bound(pace, limit=honest_limit(descent.fd) if limit is None else limit)
        walk = _Walk(descent, bound)
        try:
            walk.run()
        except OutgrownError:
            return walk.result(cut=True)
        return walk.result(cut=False)


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
    __slots__ = ("_bound", "_descent", "_directories", "_found", "_levels", "_linked", "_links", "_visited")

    def __init__(self, descent: Descent, bound: Bound) -> None:
        self._descent = descent
        self._bound = bound
        self._found = Found()
        self._directories = 0
        self._levels: list[_Level] = []
        self._links = 0
        self._linked = InodeSet()
        # A directory that is moved while the walk lasts may come up twice, or without end.
        self._visited = InodeSet()

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
            links=self._links,
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
        if look(entries, self._found, pace=self._bound, is_counted=self._is_first_name, room=room):
            level.close()

    def _enter(self, name: str) -> None:
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
        status = self._descent.peek(name)
        if status is not None:
            self._count_directory(status)

    def _count_directory(self, status: os.stat_result) -> None:
        self._directories += 1
        self._found.blocks += status.st_blocks

    def _is_first_name(self, _: "os.DirEntry[str]", status: os.stat_result) -> bool:
        self._links += 1
        if not self._linked.add(status.st_ino):
            return False
        self._bound.allow(status.st_nlink)
        return True
