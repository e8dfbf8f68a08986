"""A process in a container's own file system that does what a hostile container would, faster than a shell can.

Run as ``python -m tests.engine.attacker PID ATTACK AMOUNT``, it takes the root directory of that process, a container's
first one, for its own, so that each of its writes goes through the container's overlay mount. It says that it is ready
when the attack is on, ends it when its standard input ends, and then prints how much it did.
"""

import ctypes
import errno
import mmap
import os
import random
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.scribble import Scribbler
from tests.engine.stir import Stirrer, lay_down

READY = b"ready\n"
MOST_LINKS = 60_000
"""Names that one inode may have: ext4 allows 65,000, other file systems more."""

LARGEST = ((1 << 63) - 1, (1 << 44) - 4096)
"""The largest size that any file may have, 8 EiB - 1, and that of ext4."""

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_AT_FDCWD, _EXCHANGE = -100, 2
_PAGE = 4096
_MEGABYTE = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


class Stage:
    """How an attack speaks with the test."""

    def __init__(self) -> None:
        self._has_begun = False

    def begin(self) -> None:
        """Say that the attack is on."""
        if not self._has_begun:
            self._has_begun = True
            sys.stdout.buffer.write(READY)
            sys.stdout.buffer.flush()

    def is_over(self) -> bool:
        """Whether the test has seen enough."""
        return bool(select.select([sys.stdin], [], [], 0)[0])


def nest(_: Stage, amount: int) -> int:
    """Directories in directories, the whole path far longer than ``PATH_MAX``."""
    for _level in range(amount):
        os.mkdir("n" * 100)
        os.chdir("n" * 100)
    Path("bottom").write_bytes(b"x" * 10_000)
    return amount


def link(_: Stage, amount: int) -> int:
    """Names of one file, in several directories."""
    source = ""
    for number in range(amount):
        if number % 10_000 == 0:
            os.mkdir(f"d{number}")
        if number % MOST_LINKS == 0:
            source = f"file{number}"
            Path(source).write_bytes(b"x" * 5000)
        os.link(source, f"d{number - number % 10_000}/{number}")
    return amount


def inflate(_: Stage, amount: int) -> int:
    """A file of the largest size that there can be, with nothing in it."""
    del amount
    with Path("sparse").open("wb") as file:
        for size in LARGEST:
            try:
                os.truncate(file.fileno(), size)
            except OSError as error:
                if error.errno != errno.EFBIG:
                    raise
            else:
                return size
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def crumble(_: Stage, amount: int) -> int:
    """Files of one byte, a few in each of many directories."""
    for number in range(amount):
        if number % 100 == 0:
            os.mkdir(f"d{number}")
        _touch(f"d{number - number % 100}/{number}", b"x")
    return amount


def crowd(_: Stage, amount: int) -> int:
    """One directory with everything in it."""
    for number in range(amount):
        _touch(f"{number:x}", b"")
    return amount


def name(_: Stage, amount: int) -> int:
    """Names of 255 bytes that are no text, of files, directories and symlinks."""
    rng = random.Random(3)  # noqa: S311 - any bytes do
    choice = [byte for byte in (*range(1, 32), *range(127, 256)) if byte != ord("/")]
    for number in range(amount):
        made = bytes(rng.choices(choice, k=251)) + b"%04d" % number
        (os.mkdir, lambda path: _touch(path, b"named"), lambda path: os.symlink(path, path))[number % 3](made)
    return amount


def mislead(_: Stage, amount: int) -> int:
    """Symlinks that lead out of the tree, up it, in a circle, and through the kernel."""
    targets = ("/", "..", "/proc/self/fd", "/proc/self/root", ".", "itself", "/dev/zero", "../" * 500)
    for number in range(amount):
        os.mkdir(f"d{number}")
        for index, target in enumerate(targets):
            os.symlink(target, f"d{number}/{index}")
    return amount * len(targets)


def lurk(_: Stage, amount: int) -> int:
    """Fifos that block who opens them, sockets, and devices that act when they are opened."""
    os.mkdir("sockets")
    for number in range(amount):
        os.mkfifo(f"fifo{number}")
        os.mknod(f"console{number}", stat.S_IFCHR | 0o666, os.makedev(5, 1))
        os.mknod(f"watchdog{number}", stat.S_IFCHR | 0o666, os.makedev(10, 130))
        os.mknod(f"disk{number}", stat.S_IFBLK | 0o666, os.makedev(7, 200))
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"sockets/{number}")
    return 5 * amount


def swap(stage: Stage, amount: int) -> int:
    """Directories and symlinks that change places as fast as they can, at all levels of the tree."""
    pairs = []
    for number in range(amount):
        for level in ("", "d/", "d/d/"):
            base = f"{number}/{level}"
            os.makedirs(f"{base}d")
            for index in range(5):
                _touch(f"{base}file{index}", b"x" * 1000)
            os.symlink(("/", "/bin", "..", "/proc/self/fd")[number % 4], f"{base}link")
            pairs.append((f"{base}d".encode(), f"{base}link".encode()))
    stage.begin()
    rng = random.Random(1)  # noqa: S311 - any order does
    swaps = 0
    while not stage.is_over():
        for one, other in rng.choices(pairs, k=200):
            swaps += _exchange(one, other)
    return swaps


def append(stage: Stage, amount: int) -> int:
    """One file that is appended to as fast as the kernel lets one process."""
    del amount
    written = 0
    file = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stage.begin()
    while not stage.is_over():
        for _ in range(1000):
            os.write(file, b"one more line..\n")
        written += 1000
    os.fsync(file)
    os.close(file)
    return written


def grow(stage: Stage, amount: int) -> int:
    """A tree that grows wherever a walk is not yet, in many directories at once, by ``amount`` names at the most.

    Names of files that are there are made faster than files.
    """
    made = 0
    source = ""
    stage.begin()
    while not stage.is_over() and made < amount:
        if made % 10_000 == 0:
            source = f"file{made}"
            _touch(source, b"x" * 5000)
        base = f"{made // 100_000}/{made // 10_000}/{made // 1000}"
        os.makedirs(base, exist_ok=True)
        for number in range(100):
            os.link(source, f"{base}/{made + number}")
        made += 100
    return made


def reshape(stage: Stage, amount: int) -> int:
    """Files that change in place: blocks reserved and given back, cut, and written through memory."""
    files = [os.open(f"file{number}", os.O_RDWR | os.O_CREAT) for number in range(amount)]
    for file in files:
        os.truncate(file, _MEGABYTE)
    stage.begin()
    rng = random.Random(2)  # noqa: S311 - any order does
    done = 0
    while not stage.is_over():
        file = rng.choice(files)
        start, length = rng.randrange(200) * _PAGE, rng.randrange(1, 50) * _PAGE
        rng.choice(_RESHAPES)(file, start, length)
        done += 1
    for file in files:
        os.fsync(file)
        os.close(file)
    return done


def hide(stage: Stage, amount: int) -> int:
    """A file that is deleted while it is open: its blocks stay taken, its name is gone."""
    file = os.open("hidden", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, amount)
    os.fsync(file)
    os.unlink("hidden")
    stage.begin()
    select.select([sys.stdin], [], [])
    os.close(file)
    return amount


def scribble(stage: Stage, amount: int) -> int:
    """Everything that any program might do, at random; the amount is the seed."""
    life = Scribbler(amount)
    stage.begin()
    while not stage.is_over():
        life.step()
    return life.done


def stir(stage: Stage, amount: int) -> int:
    """At random, what quick passes see of it, besides a part that rests; the amount is the seed."""
    life = Stirrer(amount)
    stage.begin()
    while not stage.is_over():
        life.step()
    return life.done


def rest(_: Stage, amount: int) -> int:
    """So many directories with files that nobody changes."""
    lay_down(amount)
    return amount


def _write_through_memory(file: int, start: int, length: int) -> None:
    if os.fstat(file).st_size < start + length:
        os.truncate(file, start + length)
    with mmap.mmap(file, length, offset=start) as view:
        for offset in range(0, length, _PAGE):
            view[offset] = 1


_RESHAPES: tuple[Callable[[int, int, int], object], ...] = (
    os.posix_fallocate,
    lambda file, start, length: _fallocate(file, _KEEP_SIZE, start, length),
    lambda file, start, length: _fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, start, length),
    lambda file, start, _: os.truncate(file, start),
    lambda file, start, length: os.pwrite(file, b"x" * length, start),
    _write_through_memory,
)

ATTACKS: dict[str, Callable[[Stage, int], int]] = {
    made.__name__: made for made in (nest, link, inflate, crumble, crowd, name, mislead, lurk, rest)
} | {moving.__name__: moving for moving in (swap, append, grow, reshape, hide, scribble, stir)}


def _touch(path: str | bytes, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    if content:
        os.write(file, content)
    os.close(file)


def _exchange(one: bytes, other: bytes) -> int:
    """How many were exchanged: none, where a name above now leads elsewhere."""
    return int(_libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE) == 0)


def _fallocate(file: int, mode: int, start: int, length: int) -> None:
    _libc.fallocate(file, mode, ctypes.c_long(start), ctypes.c_long(length))


@contextmanager
def attacking(pid: int, attack: str, amount: int) -> Iterator["Attack"]:
    """An attack that is on, in the root directory of process *pid*, until this is left or it is told to end."""
    command = [sys.executable, "-m", "tests.engine.attacker", str(pid), attack, str(amount)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    # Unbuffered: reading the first line must not take the last one with it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == READY, "the attacker's own words are on standard error"
        running = Attack(process)
        try:
            yield running
        finally:
            running.end()


class Attack:
    """An attack that is on."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._process = process
        self.done = 0
        """How much it did, once it has ended."""

    def end(self) -> None:
        """End it and wait for that."""
        if self._process.returncode is None:
            try:
                output, _ = self._process.communicate(timeout=60)
            finally:
                self._process.kill()
            assert self._process.returncode == 0
            self.done = int(output)


def main() -> None:
    pid, attack, amount = sys.argv[1:]
    os.chroot(f"/proc/{pid}/root")
    Path("/attack").mkdir(exist_ok=True)
    os.chdir("/attack")
    stage = Stage()
    done = ATTACKS[attack](stage, int(amount))
    stage.begin()
    sys.stdout.write(str(done))


if __name__ == "__main__":
    main()
