"""The bound on how much one measurement looks at, so that it ends even where a tree grows faster than it is walked."""

import os

from exporter.measure.listing import Pace

_UNCOUNTED = 100_000_000


class OutgrownError(Exception):
    """The tree has more entries than it could honestly have: it grows while it is measured."""


class Bound:
    """A `Pace` that counts what is looked at before it passes it on.

    The limit is twice the inodes that are in use on the filesystem, and a million, unless one is given. Names of an
    inode beyond the first are allowed for as they come up, since hard links may outnumber inodes.
    """

    __slots__ = ("_limit", "_pace", "looked")

    def __init__(self, pace: Pace, *, limit: int) -> None:
        self._pace = pace
        self._limit = limit
        self.looked = 0
        """Entries looked at."""

    def __call__(self, entries: int) -> None:
        """Count entries.

        Raises:
            OutgrownError: They are more than the limit.
        """
        self.looked += entries
        self._pace(entries)
        if self.looked > self._limit:
            raise OutgrownError

    def allow(self, names: int) -> None:
        """Let the walk meet so many names on top."""
        self._limit += names


def honest_limit(fd: int) -> int:
    """How many entries a tree on the filesystem of ``fd`` may have before it counts as growing while it is walked."""
    filesystem = os.fstatvfs(fd)
    in_use = filesystem.f_files - filesystem.f_ffree
    # Where inodes are made on demand (btrfs) the filesystem counts none.
    return 2 * in_use + 1_000_000 if filesystem.f_files else _UNCOUNTED
