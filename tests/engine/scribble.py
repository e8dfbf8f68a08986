"""Random operations on a container's files, such as any program in it might do, by a seed that brings them again."""

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

PLACES = ("/attack", "/srv", "/bin")
"""One directory of the container's own, and two of the image's, whose files are copied up or hidden by a change."""

MOST_FILES = 400


class Scribbler:
    """Works on the tree that it finds below its places."""

    places: tuple[str, ...] = PLACES

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a story to be told again, no secret
        self._made = seed * 1_000_000
        self.done = 0
        """Operations that the kernel did not refuse."""

    def step(self) -> None:
        """Do one thing."""
        act = self.act()
        # A directory of the image cannot be renamed, none can be moved into itself, and so on.
        with contextlib.suppress(OSError):
            act()
            self.done += 1

    def act(self) -> Callable[[], object]:
        """What to do next."""
        return partial(self._random.choice(_ACTS), self)

    def file(self) -> Path:
        """Any file; one that is not there, where there is none."""
        return self._pick([Path(parent, name) for parent, _, names in self._walk() for name in names])

    def directory(self) -> Path:
        """Any directory."""
        return self._pick([Path(parent) for parent, _, _ in self._walk()])

    def new(self) -> Path:
        """A name that there is not yet, in any directory."""
        self._made += 1
        return self.directory() / f"entry{self._made}"

    def length(self) -> int:
        """Bytes: none, few, or up to more than a file system allocates at once."""
        return self._random.choice([0, 1, 4096, self._random.randrange(100_000), self._random.randrange(3 << 20)])

    def is_crowded(self) -> bool:
        """Whether there are so many files that it is time to delete some."""
        return sum(len(names) for _, _, names in self._walk()) > MOST_FILES

    def delete_tree(self) -> None:
        """Delete a directory with all that is in it."""
        directory = self.directory()
        if str(directory) not in self.places:
            shutil.rmtree(directory)

    def offset(self, path: Path) -> int:
        """A place in a file."""
        return self._random.randrange(path.lstat().st_size + 1)

    def mode(self) -> int:
        """Permissions."""
        return self._random.choice([0o600, 0o644, 0o755])

    def _walk(self) -> list[tuple[str, list[str], list[str]]]:
        # In the order of the names: that of the file system is not of the seed.
        found = [entry for place in self.places for entry in os.walk(place)]
        return sorted((parent, directories, sorted(names)) for parent, directories, names in found)

    def _pick(self, paths: list[Path]) -> Path:
        return self._random.choice(paths) if paths else Path("/attack/none")


def _create(life: Scribbler) -> None:
    if life.is_crowded():
        life.delete_tree()
    life.new().write_bytes(b"x" * life.length())


def _append(life: Scribbler) -> None:
    _write(life.file(), os.O_APPEND, b"y" * life.length(), 0)


def _overwrite(life: Scribbler) -> None:
    path = life.file()
    _write(path, 0, b"z" * life.length(), life.offset(path))


def _write(path: Path, flags: int, content: bytes, offset: int) -> None:
    # Without blocking: a fifo has no reader here.
    file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags)
    try:
        os.pwrite(file, content, offset)
    finally:
        os.close(file)


_ACTS: tuple[Callable[[Scribbler], object], ...] = (
    _create,
    _create,
    _create,
    _create,
    _create,
    _append,
    _overwrite,
    Scribbler.delete_tree,
    lambda life: life.file().unlink(),
    lambda life: life.new().mkdir(),
    lambda life: life.new().mkdir(),
    lambda life: life.new().mkdir(),
    lambda life: life.new().mkdir(),
    lambda life: os.truncate(life.file(), life.length()),
    lambda life: os.truncate(life.file(), life.length() * 1000),
    lambda life: life.file().rename(life.new()),
    lambda life: life.file().replace(life.file()),
    lambda life: life.directory().rename(life.new()),
    lambda life: os.link(life.file(), life.new(), follow_symlinks=False),
    lambda life: os.link(life.file(), life.new(), follow_symlinks=False),
    lambda life: life.new().symlink_to(life.file()),
    lambda life: os.mkfifo(life.new()),
    lambda life: os.chmod(life.file(), life.mode(), follow_symlinks=True),
    lambda life: life.directory().chmod(0o711),
    lambda life: os.utime(life.file(), (0, 0)),
)
