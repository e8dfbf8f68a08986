"""Two processes that share the work find what one finds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.measure.bound import Bound
from exporter.measure.descent import Descent
from exporter.measure.pair import measure_all
from exporter.measure.usage import EMPTY
from exporter.measure.walk import Part, Walk, Walked, measure
from tests.unit.measure.trees import by_system, descriptors, make_deep


def grow(top: Path, *, directories: int, files: int = 3) -> None:
    for number in range(directories):
        below = top / f"a{number % 7}" / f"b{number % 11}" / f"c{number}"
        below.mkdir(parents=True)
        for file in range(files):
            (below / f"file{file}").write_bytes(b"x" * number)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree for many examples."""
    top = tmp_path_factory.mktemp("forest")
    grow(top, directories=100)
    return top


def both(*tops: Path) -> list[Walked | OSError]:
    """Measured with a second process from the very beginning."""
    return measure_all([str(top) for top in tops], patience=0.0)


def children() -> list[int]:
    """The process identifiers of the other sides that run."""
    found = [int(pid) for entry in Path("/proc/self/task").glob("*/children") for pid in entry.read_text().split()]
    return [pid for pid in found if b"exporter.measure.pair" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_one_large_tree_is_shared(top: Path) -> None:
    """Whoever has nothing left asks for half of what the other still has."""
    grow(top, directories=600)
    slow_down = 0.001
    entries = 0

    def pace(looked: int) -> None:
        nonlocal entries
        entries += looked
        time.sleep(slow_down)

    (walked,) = measure_all([str(top)], pace=pace, patience=0.0)
    assert walked == measure(str(top))
    assert isinstance(walked, Walked)
    assert by_system(top) == walked.usage
    assert entries < 0.9 * walked.usage.inodes


def test_many_trees_are_shared(root: Path) -> None:
    """Each has its own figure, in the order asked for."""
    tops = [root / f"tree{number}" for number in range(20)]
    for number, top in enumerate(tops):
        grow(top, directories=5 * number + 1)
    assert both(*tops) == [measure(str(top)) for top in tops]


def test_files_with_names_on_both_sides_count_once(top: Path) -> None:
    """Every file has a name in every directory."""
    grow(top, directories=300, files=1)
    files = [top / "a0" / f"hidden{number}" for number in range(20)]
    for file in files:
        file.write_bytes(b"x" * 10_000)
        for number in range(300):
            os.link(file, top / f"a{number % 7}" / f"b{number % 11}" / f"c{number}" / file.name)
    (walked,) = both(top)
    assert walked == measure(str(top))


def test_a_deep_tree_is_shared_too(top: Path) -> None:
    """Parts are named by their way from the top."""
    make_deep(top, levels=500)
    grow(top, directories=100)
    assert both(top) == [measure(str(top))]


def test_a_tree_that_cannot_be_measured_harms_no_other(root: Path) -> None:
    """Its place is taken by the reason."""
    tops = [root / name for name in ("a", "missing", "b")]
    grow(tops[0], directories=10)
    grow(tops[2], directories=10)
    first, missing, last = both(*tops)
    assert isinstance(missing, FileNotFoundError)
    assert [first, last] == [measure(str(tops[0])), measure(str(tops[2]))]


def test_names_may_be_any_bytes(top: Path) -> None:
    """On the way to the other process too."""
    for number in range(300):
        name = os.fsencode(top) + b'/\xff\n"' + str(number).encode()
        os.mkdir(name)
        os.mkdir(name + b"/\xfe\x01")
    assert both(top) == [measure(str(top))]


def test_without_another_process_one_does_it_all(top: Path) -> None:
    """Where there is one processor, or little to do."""
    grow(top, directories=10)
    before = children()
    assert measure_all([str(top)]) == measure_all([str(top)], alone=True) == [measure(str(top))]
    assert children() == before == []


def test_if_the_other_process_is_lost_one_does_it_all(top: Path) -> None:
    """Somebody may kill it; the figure is right all the same."""
    grow(top, directories=600)
    killed: list[int] = []

    def pace(_: int) -> None:
        time.sleep(0.001)
        if not killed:
            killed.extend(children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    assert measure_all([str(top)], pace=pace, patience=0.0) == [measure(str(top))]
    assert len(killed) == 1


def test_a_stop_ends_both(top: Path) -> None:
    """What the pace raises is passed on; no process and no descriptor is left behind."""
    grow(top, directories=500)
    before = descriptors()

    def pace(_: int) -> None:
        time.sleep(0.001)
        if children():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_all([str(top)], pace=pace, patience=0.0)
    assert (descriptors(), children()) == (before, [])


@pytest.mark.parametrize("alone", [True, False])
def test_it_tells_which_tree_is_begun(root: Path, alone: bool) -> None:
    """Each once, whichever process does it: so that a person sees progress."""
    begun: list[int] = []
    tops = [root / f"tree{number}" for number in range(30)]
    for top in tops:
        grow(top, directories=20)
    measure_all([str(top) for top in tops], begins=begun.append, alone=alone, patience=0.0)
    assert sorted(begun) == list(range(30))


def test_standing_alone_it_needs_no_installed_package(top: Path, root: Path) -> None:
    """The other process finds the program where this one did."""
    grow(top, directories=300)
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from exporter.measure.pair import measure_all
print(measure_all([{str(top)!r}], patience=0.0)[0].usage.inodes)
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) == by_system(top).inodes


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_tree_may_be_given_away_in_any_parts(forest: Path, chance: random.Random) -> None:
    """The parts, each walked on its own, and what was kept are together the whole."""
    parts: list[Part] = []
    total = EMPTY

    def do(part: Part | None) -> None:
        nonlocal total

        def pace(_: int) -> None:
            if chance.random() < 0.3:
                parts.extend(walk.give())

        with Descent(str(forest)) as descent:
            walk = Walk(descent, Bound(pace, limit=10_000))
            walk.run(part)
            total += walk.result.usage

    do(None)
    while parts:
        do(parts.pop())
    assert total == measure(str(forest)).usage
