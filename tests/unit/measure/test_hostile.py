"""Walks and passes beside a process that rearranges the tree as fast as it can."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.measure.tracker import Tracker
from exporter.measure.usage import Usage
from exporter.measure.walk import measure
from tests.unit.measure.trees import by_system, fill

SECONDS = 1.5
SECRET = 1 << 40
"""Size of a file outside of the tree: a figure above it means that something led there."""

SWAP = """
while True:
    for name in ("a", "b"):
        os.rename(name, "spare")
        os.symlink("../outside", name)
        os.unlink(name)
        os.rename("spare", name)
    os.rename("a/below", "b/moved")
    os.rename("b/moved", "a/below")
"""

GROW = """
number = 0
while True:
    number += 1
    os.makedirs(f"grown/{number % 1000}/{number}", exist_ok=True)
    with open(f"grown/{number % 1000}/{number}/file", "w") as file:
        file.write("x" * 5000)
"""

CHURN = """
number = 0
while True:
    number += 1
    with open(f"a/file{number}", "w") as file:
        file.write("x")
    os.link(f"a/file{number}", f"b/link{number}")
    if number > 50:
        os.unlink(f"a/file{number - 50}")
        os.unlink(f"b/link{number - 50}")
"""

APPEND = """
log = os.open("a/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    os.write(log, b"x" * 100)
"""


@contextlib.contextmanager
def attacked(top: Path, program: str) -> Iterator[None]:
    """While a process does this in the tree, over and over; it has no business in what is there already."""
    (top.parent / "outside").mkdir()
    with (top.parent / "outside" / "secret").open("wb") as file:
        file.truncate(SECRET)
    for name in ("a/below/c", "b/below/c"):
        (top / name).mkdir(parents=True)
        (top / name / "file").write_bytes(b"x" * 100)
    with subprocess.Popen([sys.executable, "-c", f"import os\n{program}"], cwd=top) as attacker:
        try:
            time.sleep(0.2)
            yield
            assert attacker.poll() is None
        finally:
            attacker.kill()


def settle(top: Path) -> None:
    """Have the blocks of large files allocated for good: until then their number may still change."""
    for path in top.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 1 << 20:
            with path.open("rb") as file:
                os.fsync(file)


def is_within(part: Usage, whole: Usage) -> bool:
    return part.size <= whole.size and part.allocated <= whole.allocated and part.inodes <= whole.inodes


@pytest.mark.parametrize("program", [SWAP, GROW, CHURN, APPEND], ids=["swap", "grow", "churn", "append"])
def test_figures_stay_inside_and_are_exact_after(top: Path, program: str) -> None:
    """No walk leads out, each ends, and none lacks what stays in place; once it is quiet, the next quick pass says what
    du says."""
    fill(top, directories=5, files=5)
    os.link(top / "directory0" / "file0", top / "directory1" / "link")
    staying = by_system(top)
    tracker = Tracker(str(top), clock=time.time)
    figures = []
    with attacked(top, program):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            figures += [measure(str(top)).usage, tracker.quick().walked.usage]
    assert figures
    assert all(is_within(staying, usage) for usage in figures)
    assert max(usage.size for usage in figures) < SECRET
    settle(top)
    assert tracker.quick().walked.usage == by_system(top) == measure(str(top)).usage
