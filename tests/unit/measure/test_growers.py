"""Who made a tree grow: what is kept of what a pass offers, at a cost that a container cannot raise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from exporter.measure.growers import KEPT, Grower, Growers


@dataclass(frozen=True, slots=True)
class Level:
    name: str


class Counted(Sequence[Level]):
    """Directories on the way down, and how many of them anybody asked for."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self._levels = levels
        self.asked = 0

    def __len__(self) -> int:
        return len(self._levels)

    @overload
    def __getitem__(self, at: int) -> Level: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Level]: ...
    def __getitem__(self, at: int | slice) -> Level | Sequence[Level]:
        found = self._levels[at]
        self.asked += 1 if isinstance(found, Level) else len(found)
        return found


def test_the_largest_are_kept_by_their_paths() -> None:
    """The top itself has no name."""
    growers = Growers()
    top, below = Level(""), Level("var")
    growers.offer(1, [], ("",), is_directory=True)
    for size in range(2, 2 * KEPT):
        growers.offer(size, [top, below], ("log", f"file{size}"), is_directory=False)
    ranked = growers.ranked()
    assert len(ranked) == KEPT
    assert ranked[0] == Grower(grown=2 * KEPT - 1, path=f"var/log/file{2 * KEPT - 1}", is_directory=False)


def test_the_top_itself_has_an_empty_path() -> None:
    """Where no one thing in it explains what it grew by."""
    growers = Growers()
    growers.offer(1, [], ("",), is_directory=True)
    assert growers.ranked()[0].path == ""


def test_what_an_offer_costs_does_not_depend_on_the_depth() -> None:
    """In a tree of 100,000 levels each of 100,000 directories at the bottom may have grown."""
    above = Counted([Level(""), *(Level(f"level{number}") for number in range(100_000))])
    growers = Growers()
    growers.offer(1, above, ("bottom", "file"), is_directory=False)
    assert above.asked <= 64
    path = growers.ranked()[0].path
    assert path.startswith("level0/level1/")
    assert path.endswith("/level99999/bottom/file")
    for _ in range(KEPT):
        growers.offer(2, [], ("large",), is_directory=False)
    above.asked = 0
    growers.offer(1, above, ("bottom", "file"), is_directory=False)
    assert above.asked == 0


def test_a_place_tells_a_directory_from_a_file() -> None:
    """By what stands behind its path; the tree's top is a place too."""
    growers = [("", True), ("cache", True), ("var/log", False)]
    places = [Grower(grown=1, path=path, is_directory=is_directory).place for path, is_directory in growers]
    assert places == ["/", "/cache/", "/var/log"]
