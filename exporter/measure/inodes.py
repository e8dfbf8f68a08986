"""A set of inode numbers that stays small however many there are."""

from array import array
from bisect import bisect_left
from heapq import merge

_RECENT = 1 << 16


class InodeSet:
    """Inode numbers seen so far.

    A Python set takes some 70 bytes a number, and a hostile tree may hold millions of directories or hard links. So
    what came first moves to sorted arrays of 8 bytes a number, each at least twice as long as the next: few to
    search, cheap to merge.
    """

    __slots__ = ("_recent", "_room", "_sorted")

    def __init__(self, *, room: int = _RECENT) -> None:
        """Hold the latest ``room`` numbers in a plain set."""
        self._room = room
        self._recent: set[int] = set()
        self._sorted: list[array[int]] = []

    def add(self, inode: int) -> bool:
        """Add a number; return whether it was new."""
        recent = self._recent
        if inode in recent or (self._sorted and self._is_sorted(inode)):
            return False
        recent.add(inode)
        if len(recent) >= self._room:
            self._settle()
        return True

    def __len__(self) -> int:
        return len(self._recent) + sum(map(len, self._sorted))

    @property
    def runs(self) -> int:
        """How many sorted arrays are searched."""
        return len(self._sorted)

    def _is_sorted(self, inode: int) -> bool:
        for numbers in self._sorted:
            at = bisect_left(numbers, inode)
            if at < len(numbers) and numbers[at] == inode:
                return True
        return False

    def _settle(self) -> None:
        numbers = array("Q", sorted(self._recent))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) < 2 * len(numbers):
            numbers = array("Q", merge(self._sorted.pop(), numbers))
        self._sorted.append(numbers)
