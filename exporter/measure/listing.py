"""Looks at the entries of one open directory: the inner loop of every measurement.

It takes most of the time that measuring takes, so it is written for speed: statuses are read by position where that is
faster, and all that is rare goes through a callback.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Protocol

from exporter.measure.descent import is_gone, is_shortage

Pace = Callable[[int], None]
"""Called often while a tree is measured, with the number of entries looked at since the last call: at least once a
directory and once for each `BATCH` entries. It may sleep, to keep to a budget of CPU, or raise, to stop the
measurement."""

BATCH = 64
"""Few enough that even a cold disk with a seek for each entry lets `Pace` stop it within about a second."""

BLOCK = 512
"""Bytes of one unit of ``st_blocks``, on every Linux filesystem."""

NEVER = 1 << 62
"""A time of change, in Unix seconds, that no file reaches."""

LARGE = (1 << 20) // BLOCK
"""Blocks of a file that is worth a name: nobody asks who the smaller ones are, and there may be very many."""

_NLINK: Final = 3
_SIZE: Final = 6
_CTIME: Final = 9
"""Positions in ``os.stat_result``; the time is in whole seconds there."""


def unhurried(_: int) -> None:
    """Pace without rest."""


class Entries(Iterator["os.DirEntry[str]"], Protocol):
    """What ``os.scandir`` gives."""

    def close(self) -> None:
        """Give up the descriptor that it holds."""


class Found:
    """What was found in one directory, the directory itself left out."""

    __slots__ = ("blocks", "files", "has_recent", "large", "names", "size", "unreadable", "vanished")

    def __init__(self) -> None:
        self.size = 0
        self.blocks = 0
        """Of 512 bytes."""
        self.files = 0
        """Whatever is no directory: files, symlinks, fifos, sockets, devices, whiteouts."""
        self.names: list[str] = []
        """Of subdirectories."""
        self.has_recent = False
        """Whether a file changed lately."""
        self.large: list[tuple[int, str]] = []
        """Blocks and names of files that changed lately and have at least `LARGE`. They may be very many, too: whoever
        asks for them keeps the list short, each time that `Pace` is called."""
        self.vanished = 0
        self.unreadable = 0

    def miss(self, error: OSError) -> None:
        """Count an entry that could not be looked at.

        Raises:
            OSError: The error given, where it tells nothing about the tree.
        """
        if is_shortage(error):
            raise error
        if is_gone(error):
            self.vanished += 1
        else:
            self.unreadable += 1


def look(
    entries: Entries,
    found: Found,
    *,
    pace: Pace,
    is_counted: Callable[[os.stat_result], bool],
    recent: int = NEVER,
    room: int = NEVER,
) -> bool:
    """Add entries to what was found, and return whether they are exhausted.

    Each file with more than one name is counted only if ``is_counted`` says so. What changed at ``recent`` (Unix
    seconds) or later is noted. It ends early once ``room`` names of subdirectories are at hand.
    """
    names = found.names
    while True:
        try:
            batch = list(islice(entries, BATCH))
        except OSError as error:
            found.miss(error)
            return True
        size = blocks = files = 0
        for entry in batch:
            try:
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                found.miss(error)
                continue
            file_blocks = status.st_blocks
            if status[_CTIME] >= recent:
                found.has_recent = True
                if file_blocks >= LARGE:
                    found.large.append((file_blocks, entry.name))
            if status[_NLINK] > 1 and not is_counted(status):
                continue
            size += status[_SIZE]
            blocks += file_blocks
            files += 1
        found.size += size
        found.blocks += blocks
        found.files += files
        pace(len(batch))
        is_exhausted = len(batch) < BATCH
        if is_exhausted or len(names) >= room:
            return is_exhausted
