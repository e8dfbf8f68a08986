"""Who makes a tree grow: the few files and directories that explain most of what one pass found to be new."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

KEPT = 10
_LONGEST = 4096
_MOST_NAMES = 64
"""Names in a path; the middle of a longer one is not even looked at, since there may be very many."""


class Named(Protocol):
    """A directory on the way down."""

    @property
    def name(self) -> str:
        """Its own name; empty for the top."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Grower:
    """A file, or a directory with all that lies below it."""

    grown: int
    """Bytes on disk that it grew by since the last pass; of a file that was not watched before, at most."""
    path: str
    """Relative to the tree's top, which is empty; the middle is left out of a very long one.

    A container chose it: it may hold any character, and surrogates for bytes that are no UTF-8.
    """
    is_directory: bool

    @property
    def place(self) -> str:
        """The path from the tree's top, ``/`` itself, with a ``/`` behind a directory."""
        return f"/{self.path}/" if self.is_directory and self.path else f"/{self.path}"


class Growers:
    """Keeps the largest."""

    __slots__ = ("_largest",)

    def __init__(self) -> None:
        self._largest: list[Grower] = []

    def offer(self, grown: int, above: Sequence[Named], names: Sequence[str], *, is_directory: bool) -> None:
        """Consider what grew by ``grown`` bytes and lies, by these names, below the directories *above*.

        What it costs does not depend on how many those are: a pass may offer as many things as it meets directories.
        """
        largest = self._largest
        if grown <= 0 or (len(largest) == KEPT and grown <= largest[0].grown):
            return
        grower = Grower(grown=grown, path=_path(above, names), is_directory=is_directory)
        if len(largest) < KEPT:
            heapq.heappush(largest, grower)
        else:
            heapq.heapreplace(largest, grower)

    def ranked(self) -> tuple[Grower, ...]:
        """The largest first. What was offered again, as a pass does that goes on where another was interrupted, is
        one."""
        together: dict[tuple[str, bool], int] = {}
        for grower in self._largest:
            what = grower.path, grower.is_directory
            together[what] = together.get(what, 0) + grower.grown
        merged = (
            Grower(grown=grown, path=path, is_directory=is_directory)
            for (path, is_directory), grown in together.items()
        )
        return tuple(sorted(merged, reverse=True))


def _path(above: Sequence[Named], names: Sequence[str]) -> str:
    half = _MOST_NAMES // 2
    if len(above) + len(names) <= _MOST_NAMES:
        parts = [*(level.name for level in above), *names]
    else:
        end = [*(level.name for level in above[-half:]), *names][-half:]
        parts = [*(level.name for level in above[:half]), "…", *end]
    path = "/".join(filter(None, parts))
    return path if len(path) <= _LONGEST else f"{path[: _LONGEST // 2]}…{path[-_LONGEST // 2 :]}"
