"""Who grew in the last looks at an upper layer: few, however many looks there were. Pure but for what it remembers."""

from collections.abc import Iterable, Sequence
from heapq import nlargest

from exporter.measure.growers import KEPT, Grower

_Found = list[tuple[float, int]]
"""When a look began, and the bytes that it found to be new."""


class Lately:
    """The largest growers of the last looks, and how much each look found of them."""

    __slots__ = ("_apart", "_found")

    def __init__(self, *, apart: float) -> None:
        """Looks of which more than two began within *apart* seconds are not told apart."""
        self._apart = apart
        self._found: dict[tuple[str, bool], _Found] = {}

    def looked(self, growers: Sequence[Grower], *, began: float, after: float) -> None:
        """Take down what a look found that *began* then, and forget those that did not begin *after* a time."""
        late = {what: _after(found, after) for what, found in self._found.items()}
        for grower in growers:
            found = late.setdefault((grower.path, grower.is_directory), [])
            grown = grower.grown
            if len(found) > 1 and began - found[-2][0] < self._apart:
                grown += found.pop()[1]
            found.append((began, grown))
        # The paths may be long, as a container chose them: no more of them are kept than one look tells.
        kept = nlargest(KEPT, late.items(), key=lambda item: _sum(item[1]))
        self._found = {what: found for what, found in kept if found}

    def since(self, began: float) -> tuple[Grower, ...]:
        """What grew in the looks that began after a time, the largest first."""
        growers = (
            Grower(grown=_sum(_after(found, began)), path=path, is_directory=is_directory)
            for (path, is_directory), found in self._found.items()
        )
        return tuple(sorted((grower for grower in growers if grower.grown), reverse=True))


def _after(found: Iterable[tuple[float, int]], time: float) -> _Found:
    return [(began, grown) for began, grown in found if began > time]


def _sum(found: _Found) -> int:
    return sum(grown for _, grown in found)
