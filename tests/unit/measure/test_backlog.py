"""Subdirectories that wait to be entered: their names take memory, and containers choose how many there are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.measure.bound import Bound
from exporter.measure.descent import HELD, Descent
from exporter.measure.parts import measure_parts
from exporter.measure.usage import Usage
from exporter.measure.walk import Part, Walk, measure
from tests.unit.measure.trees import by_system

LEVELS = HELD + 40
BESIDE = 5
"""Subdirectories at each level beside the one that leads further down."""


def make_comb(top: Path) -> None:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(LEVELS):
        for name in ("down", *(f"beside{number}" for number in range(BESIDE))):
            os.mkdir(name, dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        below = os.open("down", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def walked(top: Path, most_names: int) -> tuple[Usage, bool]:
    found = measure(str(top), most_names=most_names)
    return found.usage, found.cut


def by_part(top: Path, most_names: int) -> tuple[Usage, bool]:
    found = measure_parts(str(top), top="", part_of=lambda _names, part: part, levels=1, most_names=most_names)
    return found.usage[""], found.cut


Measured = Callable[[Path, int], tuple[Usage, bool]]

WAYS = pytest.mark.parametrize("measured", [walked, by_part])


@WAYS
def test_a_deep_comb_is_measured_whole_while_its_names_fit(top: Path, measured: Measured) -> None:
    """At each level others wait while one is entered."""
    make_comb(top)
    assert measured(top, LEVELS * (BESIDE + 1)) == (by_system(top), False)


@WAYS
def test_what_would_be_more_names_is_not_entered(top: Path, measured: Measured) -> None:
    """The figure is a lower bound then, and says so: what is in the directories that were entered counts anyway."""
    make_comb(top)
    usage, cut = measured(top, 0)
    last, its_file = 1, 1
    assert (usage.inodes, cut) == (HELD * (BESIDE + 2) + last + its_file, True)


@WAYS
def test_however_few_may_wait_the_outer_directories_are_measured_whole(top: Path, measured: Measured) -> None:
    """There the listing itself waits, so that any number of subdirectories side by side is no attack."""
    for number in range(1500):
        (top / f"directory{number}").mkdir()
    assert measured(top, 0) == (by_system(top), False)


def test_only_outer_directories_are_given_away(top: Path) -> None:
    """A part tells the way to it, so all parts of a deep comb together would be its depth squared."""
    make_comb(top)
    given: list[Part] = []
    with Descent(str(top)) as descent:

        def pace(_: int) -> None:
            if descent.depth == LEVELS:
                given.extend(walk.give())

        walk = Walk(descent, Bound(pace, limit=10_000))
        walk.run()
    assert given
    assert max(len(part.components) for part in given) <= HELD
