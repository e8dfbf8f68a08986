"""Random operations that the quick passes of a tracker see, in and beside a part of the tree that rests."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.engine.scribble import Scribbler

RESTED = Path("/rested")
FILES = 20
"""In each of its directories."""

ACTIVE_FOR = 2.0
"""Seconds in which a new file is appended to; after that it may count as rested, and is never changed in place."""

MOST_RESTED = 20
"""How often one life takes a file or a directory from the part that rests: each keeps passes busy for a while."""


class Stirrer(Scribbler):
    """Makes, links, moves and deletes files, and appends to new ones."""

    places = ("/attack",)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._left = MOST_RESTED
        self._born: dict[int, tuple[Path, float]] = {}
        """By inode: where a file was made, and when; monotonic seconds."""

    def act(self) -> Callable[[], object]:
        return partial(self._random.choice(_ACTS), self)

    def file(self) -> Path:
        rested = self._rested()
        return super().file() if rested is None else rested / f"file{self._random.randrange(FILES)}"

    def directory(self) -> Path:
        return self._rested() or super().directory()

    def create(self) -> None:
        """Make a file, or room for one."""
        if self.is_crowded():
            self.delete_tree()
        path = self.new()
        with path.open("xb") as file:
            self._born[os.fstat(file.fileno()).st_ino] = path, time.monotonic()
            self._write(file.fileno())

    def append(self) -> None:
        """Append to a new file, wherever that is now."""
        young = [path for path, born in self._born.values() if time.monotonic() < born + ACTIVE_FOR]
        with self._pick(young).open("ab") as file:
            _, born = self._born.get(os.fstat(file.fileno()).st_ino, (None, 0.0))
            if time.monotonic() < born + ACTIVE_FOR:
                self._write(file.fileno())

    def _write(self, file: int) -> None:
        os.write(file, b"x" * self.length())
        # What the file system allocates later would be a change in place of a file that rests.
        os.fsync(file)

    def _rested(self) -> Path | None:
        """Now and then, a directory that rests."""
        if not self._left or self._random.random() > 0.05:
            return None
        self._left -= 1
        return self._pick(sorted(RESTED.iterdir()))


def lay_down(directories: int) -> None:
    """Make what is going to rest."""
    for directory in range(directories):
        (RESTED / f"directory{directory}").mkdir(parents=True)
        for file in range(FILES):
            (RESTED / f"directory{directory}" / f"file{file}").write_bytes(b"x" * 300 * file)
    os.sync()


_ACTS: tuple[Callable[[Stirrer], object], ...] = (
    Stirrer.create,
    Stirrer.create,
    Stirrer.create,
    Stirrer.append,
    Stirrer.append,
    Stirrer.append,
    Stirrer.delete_tree,
    lambda life: life.file().unlink(),
    lambda life: life.new().mkdir(),
    lambda life: life.new().mkdir(),
    lambda life: life.new().mkdir(),
    lambda life: life.file().rename(life.new()),
    lambda life: life.file().replace(life.file()),
    lambda life: life.directory().rename(life.new()),
    lambda life: os.link(life.file(), life.new(), follow_symlinks=False),
    lambda life: os.link(life.file(), life.new(), follow_symlinks=False),
    lambda life: life.new().symlink_to(life.file()),
    lambda life: life.directory().chmod(0o711),
)
