"""The tracker, of a tree that changes while passes last: the next one at rest tells the same as a fresh walk."""

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.measure.tracker import Tracker
from exporter.measure.walk import measure
from tests.unit.measure.trees import REST, lay_down, settle

DIRECTORIES = 5
FILES = 20
ROUNDS = 10
LIVES = 20
STOCK: list[Path] = []
"""Trees that rest, made many at once: no process can set a time of change back."""


class Life:
    """What happens to a tree, at random: files are made, and get and lose names, but never change in place."""

    def __init__(self, top: Path, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - any order does
        self._top = top
        self._made = 0

    def change(self, acts: "Acts") -> None:
        """Do one thing, if it can be done."""
        # What is moved may lie in where it is moved to, or be gone.
        with contextlib.suppress(OSError):
            self.random.choice(acts)(self)

    def file(self) -> Path:
        return self._pick([Path(path) / name for path, _, names in os.walk(self._top) for name in names])

    def rested_file(self) -> Path:
        return self._top / "rests" / f"file{self.random.randrange(FILES)}"

    def moving_file(self) -> Path:
        return self._pick([path for path in self._top.glob("directory*/*") if path.is_file()])

    def directory(self) -> Path:
        return self._pick([Path(path) for path, _, _ in os.walk(self._top)])

    def new(self) -> Path:
        """A name in any directory but the one that rests."""
        self._made += 1
        return self._pick(list(self._top.glob("directory*"))) / f"name{self._made}"

    def remove(self) -> None:
        directory = self.directory()
        if directory != self._top:
            shutil.rmtree(directory)

    def _pick(self, paths: list[Path]) -> Path:
        return self.random.choice(sorted(paths)) if paths else self._top / "none"


Acts = tuple[Callable[[Life], object], ...]
NAMES: Acts = (
    lambda life: os.link(life.rested_file(), life.new()),
    lambda life: os.link(life.moving_file(), life.new()),
    lambda life: life.moving_file().rename(life.new()),
    lambda life: life.moving_file().rename(life.new()),
    lambda life: life.moving_file().unlink(),
)
ANYTHING: Acts = (
    *NAMES,
    lambda life: life.new().write_bytes(b"x" * life.random.randrange(10_000)),
    lambda life: life.file().replace(life.file()),
    lambda life: life.file().rename(life.directory() / "moved"),
    lambda life: life.file().unlink(),
    lambda life: life.new().mkdir(),
    lambda life: life.directory().rename(life.new()),
    lambda life: life.directory().chmod(0o711),
    Life.remove,
)

SEED = given(seed=st.integers(min_value=0, max_value=1 << 32))
FEW = settings(max_examples=LIVES, deadline=None)


@FEW
@SEED
def test_names_that_come_and_go(seed: int) -> None:
    """Each file counts once, wherever a pass found names of it and did not."""
    check(seed, NAMES)


@FEW
@SEED
def test_files_and_directories_that_come_and_go(seed: int) -> None:
    """What is there counts, and nothing else."""
    check(seed, ANYTHING)


def check(seed: int, acts: Acts) -> None:
    """Let these things happen while quick passes last, and make one at rest: round after round."""
    top = rested_tree()
    life = Life(top, seed)
    tracker = Tracker(str(top), clock=time.time, hot_for=0.0)
    tracker.full()

    def pace(_: int) -> None:
        while life.random.random() < 0.3:
            life.change(acts)

    try:
        for _ in range(ROUNDS):
            tracker.quick(pace=pace)
            settle()
            done = tracker.quick()
            assert (done.full, done.walked.usage) == (False, measure(str(top)).usage)
    finally:
        shutil.rmtree(top)


def rested_tree() -> Path:
    if not STOCK:
        for _ in range(LIVES):
            top = Path(tempfile.mkdtemp(prefix="tracker-"))
            lay_down(top, directories=DIRECTORIES, files=FILES)
            STOCK.append(top)
        time.sleep(REST)
    return STOCK.pop()


def teardown_module() -> None:
    """Remove what is left of the stock."""
    while STOCK:
        shutil.rmtree(STOCK.pop())
