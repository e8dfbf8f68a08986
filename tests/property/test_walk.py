"""The walk: for any tree it says what the system's own tools say."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.measure.inodes import InodeSet
from exporter.measure.walk import measure
from tests.unit.measure.trees import by_system

Step = tuple[str, int, int, int]
"""What to make, in which of the directories made so far, of what length, under which name."""

KINDS = st.sampled_from(["directory", "file", "sparse", "symlink", "fifo", "link"])
LENGTHS = st.sampled_from([0, 1, 4095, 4096, 4097, 100_000])
STEPS = st.lists(st.tuples(KINDS, st.integers(0, 1000), LENGTHS, st.integers(1, 255)), max_size=40)


@contextmanager
def built(steps: Sequence[Step]) -> Iterator[Path]:
    """A tree made by these steps."""
    top = Path(tempfile.mkdtemp(prefix="walk-"))
    directories, files = [top], [top / "first"]
    files[0].touch()
    try:
        for number, (kind, pick, length, byte) in enumerate(steps):
            name = f"{number}-{os.fsdecode(bytes([byte])) if byte != 47 else ''}"
            path = directories[pick % len(directories)] / name
            make(kind, path, length, files[pick % len(files)])
            if kind == "directory":
                directories.append(path)
            elif kind != "fifo":
                files.append(path)
        yield top
    finally:
        shutil.rmtree(top)


def make(kind: str, path: Path, length: int, other: Path) -> None:
    match kind:
        case "directory":
            path.mkdir()
        case "file":
            path.write_bytes(b"x" * length)
        case "sparse":
            path.touch()
            os.truncate(path, length * 1_000_000)
        case "symlink":
            path.symlink_to("t" * (1 + length % 4000))
        case "fifo":
            os.mkfifo(path)
        case "link":
            os.link(other, path, follow_symlinks=False)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_walk_equals_du(steps: list[Step]) -> None:
    """Allocated bytes and inodes as ``du``, size as the sum of what ``lstat`` says, each inode once."""
    with built(steps) as top:
        assert measure(str(top)).usage == by_system(top)


@settings(max_examples=30, deadline=None)
@given(STEPS, st.integers())
def test_order_does_not_matter(steps: list[Step], seed: int) -> None:
    """The same entries made in another order, so listed in another order, are the same usage."""
    flat = [(kind, 0, length, byte) for kind, _, length, byte in steps if kind != "link"]
    shuffled = random.Random(seed).sample(flat, len(flat))  # noqa: S311 (no secret)
    with built(flat) as one, built(shuffled) as other:
        assert measure(str(one)).usage == measure(str(other)).usage


@given(st.lists(st.integers(0, 50) | st.integers(0, (1 << 64) - 1), max_size=300), st.integers(1, 20))
def test_an_inode_set_is_a_set(numbers: list[int], room: int) -> None:
    """However few numbers it holds in a plain set, it knows each that was added."""
    inodes, known = InodeSet(room=room), set[int]()
    for number in numbers:
        assert inodes.add(number) == (number not in known)
        known.add(number)
    assert len(inodes) == len(known)


@pytest.mark.parametrize("room", [1, 1000])
def test_an_inode_set_is_small(room: int) -> None:
    """Numbers that come in any order end up in few sorted runs."""
    inodes = InodeSet(room=room)
    for number in random.Random(1).sample(range(10_000), 3000):  # noqa: S311 (no secret)
        inodes.add(number)
    assert len(inodes) == 3000
    assert inodes.runs <= 12
