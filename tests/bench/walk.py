"""Walks of one tree: beside du, and as deep as a hostile container makes it."""

import statistics
import subprocess
import sys
from pathlib import Path

from exporter.measure.walk import measure
from exporter.sample.large import build_tree
from tests.bench.figures import Figure, du, in_turn
from tests.unit.measure.trees import make_deep, remove

INODES = 200_000
LEVELS = 10_000

_PROGRAM = """
import sys, time
from exporter.confine.renounce import Confinement, renounce_writing
from exporter.measure.walk import measure

if sys.argv[2] == "confined":
    assert renounce_writing(but_in=None) == Confinement(landlock="", seccomp="")
before = time.process_time()
measure(sys.argv[1])
print(time.process_time() - before)
"""


def figures(directory: Path) -> list[Figure]:
    """The walk of issue-sized trees beside ``du -s``, and that of a deep one by a process that gave up writing."""
    return [_wide(directory / "wide"), _deep(directory / "deep")]


def _wide(tree: Path) -> Figure:
    build_tree(tree, files=INODES, directories=INODES // 40, seed=1)
    ours, theirs = in_turn(lambda: measure(str(tree)), lambda: du(str(tree)))
    return Figure(
        what=f"walk of {INODES:,} files",
        value=ours / theirs,
        unit="times du",
        limit=2.0,
        reference=f"{ours:.2f} s; du -s {theirs:.2f} s",
    )


def _deep(tree: Path) -> Figure:
    tree.mkdir()
    make_deep(tree, levels=LEVELS)
    try:
        pairs = [(_walk(tree, "confined"), _walk(tree, "free")) for _ in range(5)]
    finally:
        remove(tree)
    confined, free = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Figure(
        what=f"walk {LEVELS:,} deep, confined, CPU",
        value=confined / free,
        unit="times unconfined",
        limit=1.5,
        reference=f"{confined:.2f} s; without having given up writing {free:.2f} s",
    )


def _walk(tree: Path, manner: str) -> float:
    """CPU seconds."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, tree, manner], check=True, capture_output=True, text=True)
    return float(done.stdout)
