"""Measures one directory tree, whatever a hostile container does inside it meanwhile.

The work is depth first and without recursion, on a `Descent`. What it costs is bounded in every direction:
descriptors by the descent, names kept by `Backlog`, inode numbers by `InodeSet`, depth by `DEEPEST`, and all of it by a
number of entries that the tree could not honestly have: so a walk ends even where the tree grows faster than it is
walked.
"""

import errno
import os
from dataclasses import dataclass

from exporter.measure.backlog import MOST, Backlog, Listing
from exporter.measure.bound import Bound, OutgrownError, honest_limit
from exporter.measure.descent import HELD, Descent, is_gone
from exporter.measure.inodes import InodeSet
from exporter.measure.listing import BLOCK, Entries, Found, Pace, unhurried
from exporter.measure.usage import Usage


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
    """The tree outgrew the walk or what waited to be entered, or was moved around it: the usage is a lower bound."""


def measure(path: str, *, pace: Pace = unhurried, limit: int | None = None, most_names: int = MOST) -> Walked:
    """Measure the tree at ``path``.

    In a tree at rest the usage equals that of ``du -x`` to the byte. In one that changes, each entry counts as it was
    when it was looked at; what is moved to where the walk has been is missed, as by every walk.

    Args:
        path: The top directory. Its own filesystem is not left.
        pace: Told of the progress; see `Pace`. What it raises ends the walk and is passed on.
        limit: Entries after which the tree is taken to outgrow the walk; by default `honest_limit`.
        most_names: Of subdirectories, that may wait at a time; see `Backlog`.

    Raises:
        OSError: The top directory is missing, no directory, or may not be read; or this process lacks descriptors or
            memory.
    """
    with Descent(path) as descent:
        bound = Bound(pace, limit=honest_limit(descent.fd) if limit is None else limit)
        walk = Walk(descent, bound, most_names=most_names)
        walk.run()
        return walk.result


class _Level(Listing):
    """A directory on the way down, and what of it is still to be done."""

    __slots__ = ("name",)

    def __init__(self, name: str, entries: Entries | None) -> None:
        super().__init__(entries)
        self.name = name


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a tree: subdirectories of one directory, with all that lies below them."""

    components: tuple[str, ...]
    """The names that lead from the top to the directory."""
    names: tuple[str, ...]


class Walk:
    """One walk over a tree, or over parts of it."""

    __slots__ = (
        "_backlog", "_bound", "_cut", "_descent", "_directories", "_found", "_levels", "_linked", "_links", "_visited",
    )  # fmt: skip

    def __init__(self, descent: Descent, bound: Bound, *, most_names: int = MOST) -> None:
        """Prepare a walk; the descent stands at the top."""
        self._backlog = Backlog(most=most_names)
        self._descent = descent
        self._bound = bound
        self._cut = False
        self._found = Found()
        self._directories = 0
        self._levels: list[_Level] = []
        self._links = 0
        self._linked = InodeSet()
        # A directory that is moved while the walk lasts may come up twice, or without end.
        self._visited = InodeSet()

    @property
    def result(self) -> Walked:
        """What was found so far."""
        found = self._found
        usage = Usage(size=found.size, allocated=found.blocks * BLOCK, inodes=found.files + self._directories)
        return Walked(
            usage=usage,
            directories=self._directories,
            links=self._links,
            vanished=found.vanished,
            unreadable=found.unreadable,
            cut=self._cut or self._backlog.is_cut or self._descent.is_torn,
        )

    def run(self, part: Part | None = None) -> None:
        """Walk the whole tree, or a part of it."""
        if part is None:
            self._arrive("", self._descent.top)
        else:
            self._go_to(part)
        levels = self._levels
        try:
            while levels:
                level = levels[-1]
                if level.names:
                    self._backlog.kept -= 1
                    self._enter(level.names.pop())
                elif level.entries is not None:
                    self._look(level, level.entries)
                else:
                    self._leave()
        except OutgrownError:
            self._cut = True
        finally:
            for level in levels:
                level.close()

    def give(self) -> list[Part]:
        """Give away half of what is still to be done, to be walked by somebody else.

        Only of the outer levels: each part has to tell the whole way to it, and whoever takes it has to go there.
        """
        parts, start = [], 0
        for depth, level in enumerate(self._levels[: HELD + 1]):
            names = tuple(level.names[start::2])
            del level.names[start::2]
            self._backlog.kept -= len(names)
            if (len(names) + len(level.names)) % 2:
                # The larger half goes and stays in turn, or else all single names would go.
                start = 1 - start
            if names:
                parts.append(Part(tuple(above.name for above in self._levels[1 : depth + 1]), names))
        return parts

    def _go_to(self, part: Part) -> None:
        self._levels.append(_Level("", None))
        for name in part.components:
            try:
                self._descent.enter(name)
            except OSError as error:
                self._found.miss(error)
                return
            self._levels.append(_Level(name, None))
        self._levels[-1].names.extend(part.names)
        self._backlog.kept += len(part.names)

    def _arrive(self, name: str, status: os.stat_result) -> None:
        """Count the directory that the descent now stands in, and begin to list it."""
        entries = None
        if self._visited.add(status.st_ino):
            self._count_directory(status)
            try:
                entries = os.scandir(self._descent.fd)
            except OSError as error:
                self._found.miss(error)
        self._levels.append(_Level(name, entries))

    def _look(self, level: _Level, entries: Entries) -> None:
        self._backlog.look(
            level, entries, self._found, depth=self._descent.depth, pace=self._bound, is_counted=self.is_first_name
        )

    def _enter(self, name: str) -> None:
        try:
            status = self._descent.enter(name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                self._found.miss(error)
                if not is_gone(error):
                    self._count_unread(name)
            return
        self._arrive(name, status)

    def _leave(self) -> None:
        self._levels.pop()
        if not self._levels:
            return
        for _ in range(self._descent.leave(self._bound)):
            lost = self._levels.pop()
            self._found.vanished += len(lost.names)
            self._backlog.kept -= len(lost.names)

    def _count_unread(self, name: str) -> None:
        """Count a directory that was not entered: its own blocks are known all the same."""
        status = self._descent.peek(name)
        if status is not None:
            self._count_directory(status)

    def _count_directory(self, status: os.stat_result) -> None:
        self._directories += 1
        self._found.blocks += status.st_blocks

    def is_first_name(self, status: os.stat_result) -> bool:
        """Whether a file with several names comes up for the first time."""
        self._links += 1
        if not self._linked.add(status.st_ino):
            return False
        self._bound.allow(status.st_nlink)
        return True
