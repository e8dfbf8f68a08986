"""Directories that are moved while a tracker measures: they are found again, or the figure says that it is a bound."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.measure.listing import LARGE, Pace
from exporter.measure.moves import MOVER_FOR, Moves
from exporter.measure.table import Directory
from exporter.measure.tracker import Tracker
from tests.unit.measure.trees import MIB, Ahead, by_system, fill

LARGEST = Directory(changed=1, size=1, blocks=LARGE, files=1)
PLACES = [f"place{number}" for number in range(6)]


class Mover:
    """Moves the same directory to the next place, while a pass lasts."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self.at = 0
        for place in PLACES:
            (top / place).mkdir()
        moved = top / PLACES[0] / "moved"
        moved.mkdir()
        (moved / "file").write_bytes(b"x" * 2 * MIB)
        os.sync()

    def move(self) -> None:
        """Once."""
        before, self.at = self.at, (self.at + 1) % len(PLACES)
        (self._top / PLACES[before] / "moved").rename(self._top / PLACES[self.at] / "moved")

    def on(self, is_time: Callable[[int], bool]) -> Pace:
        """Moves at those calls of the pace, counted from 0."""
        calls = iter(range(1 << 30))

        def pace(_: int) -> None:
            if is_time(next(calls)):
                self.move()

        return pace


@pytest.fixture
def mover(top: Path) -> Mover:
    return Mover(top)


@pytest.fixture(autouse=True)
def _now(clock: Ahead) -> None:
    """Directories change at the time that passes are made."""
    clock.seconds = 0.0


@pytest.mark.parametrize("places", range(1, len(PLACES)))
@pytest.mark.parametrize("call", range(len(PLACES) + 3))
def test_a_directory_that_is_moved_during_a_pass_is_found(
    top: Path, tracker: Tracker, mover: Mover, call: int, places: int
) -> None:
    """From wherever the pass has still to come by to wherever it was, at whatever time."""
    before = tracker.full().walked
    done = tracker.quick(pace=mover.on(lambda number: call <= number < call + places))
    assert done.walked.usage == before.usage == by_system(top)
    assert not done.walked.cut
    assert not done.growers


@pytest.mark.parametrize("chance", [0.3, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_a_figure_that_lacks_a_directory_on_the_move_is_a_lower_bound(
    tracker: Tracker, mover: Mover, chance: float, seed: int
) -> None:
    """From when it was found out first: it moves so often that not every pass finds it."""
    whole, rng = tracker.full().walked.usage, random.Random(seed)  # noqa: S311 - no secrets
    passes = [tracker.quick(pace=mover.on(lambda _: rng.random() < chance)).walked for _ in range(100)]
    wrong = [walked.usage != whole for walked in passes]
    said = [walked.cut for walked in passes]
    assert any(said)
    assert wrong[said.index(True) :] == said[said.index(True) :]
    after = tracker.quick().walked
    assert (after.usage, after.cut) == (whole, False)


class Build:
    """Directories with an object of 2 MiB each, and one that comes and goes while a pass lasts."""

    def __init__(self, top: Path, *, directories: int) -> None:
        self._top = top
        for number in range(directories):
            (top / f"built{number}").mkdir()
            (top / f"built{number}" / "object").write_bytes(b"x" * 2 * MIB)

    def pace(self, _: int) -> None:
        """A pace, of a pass."""
        new = self._top / "new"
        if new.exists():
            new.rmdir()
        else:
            new.mkdir()

    def remove(self, number: int) -> None:
        """Remove one."""
        (self._top / f"built{number}" / "object").unlink()
        (self._top / f"built{number}").rmdir()


def test_what_was_removed_is_gone_however_much_changes_beside_it(top: Path, tracker: Tracker) -> None:
    """A build makes and removes directories all the time: its figures are no lower bounds."""
    build = Build(top, directories=20)
    tracker.full()
    for number in range(20):
        build.remove(number)
        assert not tracker.quick(pace=build.pace).walked.cut
    assert tracker.quick().walked.usage == by_system(top)


def test_looking_again_costs_by_directories(top: Path, tracker: Tracker) -> None:
    """Files in use, which every pass looks at, were looked at by then."""
    fill(top, directories=10, files=100)
    build = Build(top, directories=1)
    time.sleep(2.1)  # the directories themselves rest
    tracker.full()
    build.remove(0)
    assert 1010 < tracker.quick(pace=build.pace).looked < 1200


def test_a_tree_is_known_for_its_moves_for_a_while() -> None:
    """What is missing in it may be there until nothing moves, or until no move was found out for long."""
    moves = Moves()
    moves.missed({1: LARGEST, 2: LARGEST})
    assert not moves.lacks(0.0)
    moves.looked({2: replace(LARGEST, seen=2)}, look=2, now=0.0)
    assert moves.lacks(0.0)
    assert moves.lacks(MOVER_FOR - 1)
    assert not moves.lacks(MOVER_FOR)
    moves.rested()
    assert not moves.lacks(0.0)


def test_what_comes_up_again_shows_a_move() -> None:
    """It is what it was, but for its time of change."""
    moves = Moves()
    moves.missed({1: LARGEST, 2: LARGEST})
    moves.looked({1: replace(LARGEST, changed=7, seen=2)}, look=2, now=0.0)
    assert moves.lacks(0.0)


def test_a_new_directory_with_the_inode_number_of_a_missing_one_shows_nothing() -> None:
    """Filesystems give them away again at once."""
    moves = Moves()
    moves.missed({1: LARGEST, 2: LARGEST})
    moves.looked({1: replace(LARGEST, changed=7, size=2, seen=2)}, look=2, now=0.0)
    assert not moves.lacks(0.0)


def test_what_is_missing_is_small() -> None:
    """Below a MiB it is not worth a word."""
    moves = Moves()
    moves.missed({1: replace(LARGEST, blocks=LARGE - 1), 2: LARGEST})
    moves.looked({2: replace(LARGEST, seen=2)}, look=2, now=0.0)
    assert not moves.lacks(0.0)
