"""Whether the directories of a tree are moved out of the way of those who look at it, and what is missing for that.

A directory that is moved, while a look lasts, from where it was still to come by to where it had been, is not found,
just as if it had been removed; only another look may tell. So each look says whether anything moved under it, and what
is missing after one under which something did is remembered until it comes up again, or nothing moves any more.
"""

import heapq
import math
from collections.abc import Mapping

from exporter.measure.listing import LARGE
from exporter.measure.table import Directory

MOVER_FOR = 600.0
"""Seconds for which a tree is known for its moves, from the last one that was found out."""

_MOST = 1000
"""Missing directories remembered, those with the most blocks."""


class Moves:
    """What is known of one tree."""

    __slots__ = ("_missing", "_moved_at")

    def __init__(self) -> None:
        self._missing: dict[int, Directory] = {}
        self._moved_at = math.inf

    def looked(self, directories: Mapping[int, Directory], *, look: int, now: float) -> None:
        """Note which of the missing ones the look with this number came by; *now* in Unix seconds."""
        for inode in self._missing.keys() & directories.keys():
            found = directories[inode]
            if found.seen == look and _is_same(self._missing.pop(inode), found):
                self._moved_at = now

    def missed(self, missing: Mapping[int, Directory]) -> None:
        """Remember what was not found by a look under which something moved."""
        together = {**self._missing, **missing}
        self._missing = dict(heapq.nlargest(_MOST, together.items(), key=lambda item: item[1].blocks))

    def rested(self) -> None:
        """Note a look under which nothing moved: what is missing is gone."""
        self._missing.clear()

    def lacks(self, now: float) -> bool:
        """Whether something of weight may be in the tree that was not found.

        Only in a tree that is known for its moves: everywhere else directories that are missing were removed.
        """
        is_mover = self._moved_at <= now < self._moved_at + MOVER_FOR
        return is_mover and is_weighty(self._missing)


def is_weighty(directories: Mapping[int, Directory]) -> bool:
    """Whether so much is missing, hard links left out, that it is worth another look, or a word."""
    return sum(directory.blocks for directory in directories.values()) >= LARGE


def _is_same(before: Directory, now: Directory) -> bool:
    """Whether it is the directory that was missing, and not a new one that was given its inode number."""
    if before.changed == now.changed:
        return True
    # The time of change of a directory that was moved itself is another one.
    return now.files > 0 and (before.size, before.blocks, before.files) == (now.size, now.blocks, now.files)
