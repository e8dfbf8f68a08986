"""Measures one tree in parts: each directory is in the part of the one above it, unless it begins a part of its own.

As in one run of ``du``, a file with several names counts once for all parts together, in the part where it is met
first. Hostile trees are walked by the same means as in `walk`, and bounded in the same ways.
"""

import errno
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.measure.backlog import MOST, Backlog, Listing
from exporter.measure.bound import Bound, OutgrownError, honest_limit
from exporter.measure.descent import Descent, is_gone
from exporter.measure.inodes import InodeSet
from exporter.measure.listing import BLOCK, Entries, Found, Pace, unhurried
from exporter.measure.usage import Usage

P = TypeVar("P", bound=Hashable)

Names = tuple[str, ...]
"""The way from the top to a directory, its own name last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Generic[P]):
    """What one walk found."""

    usage: Mapping[P, Usage]
    """Of every part of which a directory was met, the top's included."""
    vanished: int
    """Entries listed and gone when looked at: normal in a tree that is in use."""
    unreadable: int
    """Directories and entries that may not be read, or that the disk fails to give: the usage lacks what they hold."""
    cut: bool
    """The tree outgrew the walk or what waited to be entered, or was moved around it: the usage is a lower bound."""

    @property
    def inodes(self) -> int:
        """All that were counted."""
        return sum(usage.inodes for usage in self.usage.values())

    @property
    def is_whole(self) -> bool:
        """Whether nothing was missed."""
        return not (self.vanished or self.unreadable or self.cut)


def measure_parts(
    path: str,
    *,
    top: P,
    part_of: Callable[[Names, P], P | None],
    levels: int,
    pace: Pace = unhurried,
    limit: int | None = None,
    most_names: int = MOST,
) -> Parts[P]:
    """Measure the tree at ``path``, part by part.

    The sum of all parts is what ``du -x`` says of the tree, less the directories that were left out.

    Args:
        path: The top directory. Its own filesystem is not left.
        top: The part of the top directory and the files in it.
        part_of: Tells the part of a directory, of its names and its parent's part; None leaves the directory out.
        levels: How far down it is asked; what lies below is in its parent's part.
        pace: Told of the progress; see `Pace`. What it raises ends the walk and is passed on.
        limit: Entries after which the tree is taken to outgrow the walk; by default `honest_limit`.
        most_names: Of subdirectories, that may wait at a time; see `Backlog`.

    Raises:
        OSError: As `measure` does.
    """
    with Descent(path) as descent:
        bound = Bound(pace, limit=honest_limit(descent.fd) if limit is None else limit)
        walk = _Walk(descent, bound, part_of, levels, Backlog(most=most_names))
        try:
            walk.run(top)
        except OutgrownError:
            return walk.result(cut=True)
        return walk.result(cut=False)


class _Part:
    """What was found of one part."""

    __slots__ = ("directories", "found")

    def __init__(self) -> None:
        self.found = Found()
        self.directories = 0

    @property
    def usage(self) -> Usage:
        found = self.found
        return Usage(size=found.size, allocated=found.blocks * BLOCK, inodes=found.files + self.directories)


class _Level(Listing, Generic[P]):
    """A directory on the way down: its part, and what of it is still to be done."""

    __slots__ = ("part", "path")

    def __init__(self, part: P, path: Names | None, entries: Entries | None) -> None:
        super().__init__(entries)
        self.part = part
        self.path = path
        """None where its subdirectories begin no parts."""


class _Walk(Generic[P]):
    __slots__ = (
        "_backlog", "_bound", "_deepest", "_descent", "_levels", "_linked", "_part_of", "_parts", "_visited",
    )  # fmt: skip

    def __init__(
        self,
        descent: Descent,
        bound: Bound,
        part_of: Callable[[Names, P], P | None],
        deepest: int,
        backlog: Backlog,
    ) -> None:
        self._backlog = backlog
        self._descent = descent
        self._bound = bound
        self._part_of = part_of
        self._deepest = deepest
        self._parts: dict[P, _Part] = {}
        self._levels: list[_Level[P]] = []
        self._linked = InodeSet()
        # A directory that is moved while the walk lasts may come up twice, or without end.
        self._visited = InodeSet()

    def run(self, top: P) -> None:
        levels = self._levels
        self._arrive(top, () if self._deepest else None, self._descent.top)
        try:
            while levels:
                level = levels[-1]
                if level.names:
                    self._backlog.kept -= 1
                    self._enter(level, level.names.pop())
                elif level.entries is not None:
                    self._look(level, level.entries)
                else:
                    self._leave()
        finally:
            for level in levels:
                level.close()

    def result(self, *, cut: bool) -> Parts[P]:
        return Parts(
            usage={key: part.usage for key, part in self._parts.items()},
            vanished=sum(part.found.vanished for part in self._parts.values()),
            unreadable=sum(part.found.unreadable for part in self._parts.values()),
            cut=cut or self._backlog.is_cut or self._descent.is_torn,
        )

    def _part(self, key: P) -> _Part:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part()
        return part

    def _arrive(self, key: P, path: Names | None, status: os.stat_result) -> None:
        """Count the directory that the descent now stands in, and begin to list it."""
        entries = None
        if self._visited.add(status.st_ino):
            part = self._count(key, status)
            try:
                entries = os.scandir(self._descent.fd)
            except OSError as error:
                part.found.miss(error)
        self._levels.append(_Level(key, path, entries))

    def _look(self, level: _Level[P], entries: Entries) -> None:
        found, depth = self._part(level.part).found, self._descent.depth
        self._backlog.look(level, entries, found, depth=depth, pace=self._bound, is_counted=self._is_first_name)

    def _enter(self, level: _Level[P], name: str) -> None:
        key, path = level.part, None
        if level.path is not None:
            names = (*level.path, name)
            told = self._part_of(names, key)
            if told is None:
                return
            key, path = told, names if len(names) < self._deepest else None
        try:
            status = self._descent.enter(name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                self._part(level.part).found.miss(error)
                if not is_gone(error):
                    self._count_unread(key, name)
            return
        self._arrive(key, path, status)

    def _leave(self) -> None:
        left = self._levels.pop()
        if not self._levels:
            return
        for _ in range(self._descent.leave(self._bound)):
            lost = self._levels.pop()
            self._part(left.part).found.vanished += len(lost.names)
            self._backlog.kept -= len(lost.names)

    def _count_unread(self, key: P, name: str) -> None:
        """Count a directory that was not entered: its own blocks are known all the same."""
        status = self._descent.peek(name)
        if status is not None:
            self._count(key, status)

    def _count(self, key: P, status: os.stat_result) -> _Part:
        part = self._part(key)
        part.directories += 1
        part.found.blocks += status.st_blocks
        return part

    def _is_first_name(self, status: os.stat_result) -> bool:
        if not self._linked.add(status.st_ino):
            return False
        self._bound.allow(status.st_nlink)
        return True
