"""One tree, measured in parts, whatever is in it."""

import os
from pathlib import Path

import pytest

from exporter.measure.listing import Pace
from exporter.measure.parts import Names, Parts, measure_parts
from exporter.measure.usage import EMPTY
from tests.unit.measure.trees import by_system, descriptors, du, make_deep


def by_first_name(top: Path, *, levels: int = 1, pace: Pace = lambda _: None) -> Parts[str]:
    """Each subdirectory of the top a part of its own, and what is not below one in the part without a name."""

    def part_of(names: Names, _: str) -> str | None:
        return None if names[-1] == "left out" else names[0]

    return measure_parts(str(top), top="", part_of=part_of, levels=levels, pace=pace)


def test_each_part_is_what_du_says_of_it(top: Path) -> None:
    """Directories, files in the top directory and the top directory itself each stand where they belong."""
    for name, size in (("a", 5_000), ("b/c/d", 100_000), ("e", 0)):
        (top / name).mkdir(parents=True)
        (top / name / "file").write_bytes(b"x" * size)
    (top / "file").write_bytes(b"x" * 9_000)

    usage = by_first_name(top).usage

    assert {name: du(top / name, "--block-size=1") for name in ("a", "b", "e")} == {
        name: usage[name].allocated for name in ("a", "b", "e")
    }
    assert usage[""].size == 9_000
    assert sum(usage.values(), start=EMPTY) == by_system(top)


def test_a_directory_may_be_left_out(top: Path) -> None:
    """What is left out is not counted, nor looked at: not even where it cannot be read."""
    (top / "a" / "left out" / "below").mkdir(parents=True)
    before = du(top / "a", "--block-size=1", "--exclude=left out")

    assert before == by_first_name(top, levels=2).usage["a"].allocated


def test_deeper_than_it_is_asked_a_directory_is_in_its_parents_part(top: Path) -> None:
    """The number of levels bounds who is asked: what is called like something left out, but lies deeper, counts."""
    (top / "a" / "left out" / "below").mkdir(parents=True)

    assert by_first_name(top, levels=1).usage["a"] == by_system(top / "a")


def test_a_file_with_names_in_two_parts_counts_once(top: Path) -> None:
    """As with ``du``, it counts in one of them."""
    for name in ("a", "b"):
        (top / name).mkdir()
    (top / "a" / "file").write_bytes(b"x" * 70_000)
    os.link(top / "a" / "file", top / "b" / "link")

    assert by_system(top) == sum(by_first_name(top).usage.values(), start=EMPTY)


def test_a_part_is_no_symlink(top: Path, root: Path) -> None:
    """A symlink where a part's directory should be is a link of some bytes, and leads nowhere."""
    (root / "outside").mkdir()
    (root / "outside" / "file").write_bytes(b"x" * 70_000)
    (top / "a").symlink_to(root / "outside")

    assert by_first_name(top).usage == {"": by_system(top)}


def test_a_tree_too_deep_for_any_path(top: Path) -> None:
    """Depth costs no recursion and no more than a bounded number of descriptors."""
    make_deep(top, levels=500)
    before = descriptors()
    held: list[int] = []

    parts = by_first_name(top, pace=lambda _: held.append(descriptors()))

    assert du(top, "--block-size=1") == sum(parts.usage.values(), start=EMPTY).allocated
    assert max(held) - before < 200
    assert descriptors() == before


def test_it_can_be_stopped(top: Path) -> None:
    """What the pace raises ends the walk, and every descriptor is closed."""
    (top / "a" / "b").mkdir(parents=True)
    before = descriptors()

    class StopError(Exception):
        pass

    def stop(_: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        by_first_name(top, pace=stop)
    assert descriptors() == before


def test_a_tree_that_outgrows_the_walk(top: Path) -> None:
    """Beyond the limit the walk ends, and says that its figures are lower bounds."""
    for number in range(200):
        (top / f"d{number}").mkdir()

    parts = measure_parts(str(top), top="", part_of=lambda _, above: above, levels=1, limit=100)

    assert (parts.cut, parts.is_whole) == (True, False)
