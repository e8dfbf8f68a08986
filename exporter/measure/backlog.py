"""The subdirectories that a walk has listed and not entered yet, and how many names it keeps of them at most.

Names take memory, up to 600 bytes each where a container chose them, and while a walk is deep inside one subdirectory
all others wait, at every level. So the listing of one of the outer directories waits too once it gave `ROOM` names.
Below, where that would hold one more descriptor for each level, names are kept until all levels have `MOST` of them,
and what would be more is not entered: no honest tree has so many subdirectories side by side, so deep.
"""

import os
from collections.abc import Callable

from exporter.measure.descent import HELD
from exporter.measure.listing import Entries, Found, Pace, look

ROOM = 1024
MOST = 100_000


class Listing:
    """What is still to be done of one directory on the way down."""

    __slots__ = ("entries", "names")

    def __init__(self, entries: Entries | None) -> None:
        self.entries = entries
        """Those not looked at yet; None where all were."""
        self.names: list[str] = []
        """Subdirectories to enter."""

    def close(self) -> None:
        """Give up what was not looked at."""
        if self.entries is not None:
            self.entries.close()
            self.entries = None


class Backlog:
    """Counts the names that the levels of one walk keep."""

    __slots__ = ("_most", "is_cut", "kept")

    def __init__(self, *, most: int = MOST) -> None:
        """*most* is how many names deep levels may find kept, themselves included."""
        self._most = most
        self.kept = 0
        """By all levels; whoever takes one away tells of it."""
        self.is_cut = False
        """Whether subdirectories were dropped."""

    def look(
        self,
        listing: Listing,
        entries: Entries,
        found: Found,
        *,
        depth: int,
        pace: Pace,
        is_counted: Callable[[os.stat_result], bool],
    ) -> None:
        """Look at a directory's entries, until there are enough names of subdirectories or no entries any more.

        It has no names left from before. What is *found* counts all entries looked at, whether they are dropped or not.
        """
        names = found.names = listing.names
        may_wait = depth < HELD
        room = ROOM if may_wait else max(0, self._most - self.kept)
        while not (is_done := look(entries, found, pace=pace, is_counted=is_counted, room=room)) and not may_wait:
            self._drop(names, room)
        if not may_wait:
            self._drop(names, room)
        self.kept += len(names)
        if is_done:
            listing.close()

    def _drop(self, names: list[str], room: int) -> None:
        if len(names) > room:
            del names[room:]
            self.is_cut = True
