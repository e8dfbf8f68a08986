"""Trees to measure, and the system's own tools to measure them beside us."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from exporter.measure.listing import Pace
from exporter.measure.tracker import HOT_FOR
from exporter.measure.usage import Usage

MIB = 1 << 20

REST = 3.1
"""Seconds after which a directory counts as one that rests, and so do files that changed in an earlier second."""


class Ahead:
    """A clock that can be put forward, so that files rest without a test waiting for it."""

    def __init__(self) -> None:
        self.seconds = 10 * HOT_FOR

    def __call__(self) -> float:
        return time.time() + self.seconds


def acting_after(calls: int, act: Callable[[], None]) -> Pace:
    """A pace that does something each time, when it was told of progress so many times before."""
    left = calls

    def pace(_: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            act()

    return pace


def stopped_after(calls: int) -> Pace:
    """A pace that ends the pass then, as a signal does."""

    def stop() -> None:
        raise KeyboardInterrupt

    return acting_after(calls, stop)


def du(path: Path, *options: str) -> int:
    done = subprocess.run(["du", "-s", *options, path], check=True, capture_output=True, text=True)
    return int(done.stdout.split("\t")[0])


def by_system(path: Path) -> Usage:
    """What ``du`` says; and as size, what a plain walk with ``lstat`` sums, since ``du`` counts directories too."""
    sizes: dict[int, int] = {}
    for parent, _, _ in os.walk(os.fsencode(path)):
        for entry in os.scandir(parent):
            if not entry.is_dir(follow_symlinks=False):
                sizes[entry.inode()] = entry.stat(follow_symlinks=False).st_size
    return Usage(size=sum(sizes.values()), allocated=du(path, "--block-size=1"), inodes=du(path, "--inodes"))


def descriptors() -> int:
    """How many this process holds open."""
    return len(os.listdir("/proc/self/fd"))


def make_deep(top: Path, *, levels: int, name: str = "d" * 50) -> None:
    """Nest directories, each with a small file in it: too deep for any path."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)


def remove(top: Path) -> None:
    """Remove what is too deep for Python's own way."""
    subprocess.run(["rm", "-rf", "--", top], check=True)


def fill(top: Path, *, directories: int, files: int) -> None:
    """Make directories, each with small files in it."""
    for directory in range(directories):
        (top / f"directory{directory}").mkdir()
        for file in range(files):
            (top / f"directory{directory}" / f"file{file}").write_bytes(b"x" * 100)
    settle()


def lay_down(top: Path, *, directories: int, files: int) -> None:
    """Make directories to put names in, and ``rests`` with files that are going to rest."""
    (top / "rests").mkdir()
    for file in range(files):
        (top / "rests" / f"file{file}").write_bytes(b"x" * 100 * (file + 1))
    for directory in range(directories):
        (top / f"directory{directory}").mkdir()


def settle() -> None:
    """Let a tick of the kernel's clock pass: what comes later has another time of change."""
    time.sleep(0.012)


def grow(path: Path, size: int) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(b"x" * size)
