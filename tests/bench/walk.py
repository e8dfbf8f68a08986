"""One tree, walked by us and by du in turn."""

from pathlib import Path

from exporter.measure.walk import measure
from exporter.sample.large import build_tree
from tests.bench.figures import Figure, du, in_turn

INODES = 200_000


def figures(directory: Path) -> list[Figure]:
    """The walk of issue-sized trees beside ``du -s``."""
    tree = directory / "tree"
    build_tree(tree, files=INODES, directories=INODES // 40, seed=1)
    ours, theirs = in_turn(lambda: measure(str(tree)), lambda: du(str(tree)))
    return [
        Figure(
            what=f"walk of {INODES:,} files",
            value=ours / theirs,
            unit="times du",
            limit=2.0,
            reference=f"{ours:.2f} s; du -s {theirs:.2f} s",
        )
    ]
