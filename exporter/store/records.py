"""Reading record files safely.

A record is a small file, or a small directory of them, that the engine wrote. Two things make reading it delicate:

- it may be anything: missing, empty, binary, enormous, a fifo, a symlink. So it is opened without following links
  and without blocking, must be a regular file, and is read up to a limit.
- it may change or vanish at any moment. What vanishes is normal; what changes is seen again by the next scan.

There are thousands of records, and hardly any changed since the last scan: ``exporter/store/shelf.py`` remembers them.
"""

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from exporter.store.catalog import Problem, ProblemKind

T = TypeVar("T")

SMALL = 64 * 1024
"""Bytes that a one-line record may have; the longest honest one is ``lower``, 128 short names of 29 bytes."""
LARGE = 8 * 1024 * 1024
"""Bytes that a JSON record may have; registries refuse configurations over 4 MiB."""

HEX64 = re.compile(r"[0-9a-f]{64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Malformed(ValueError):  # noqa: N818 - an adjective reads better where it is raised
    """A record that does not say what such a record must say; the message says why."""

    path: str | None = None
    """The file, where it is not the record as a whole."""


def _malformed(path: str, reason: str) -> Malformed:
    error = Malformed(reason)
    error.path = path
    return error


def quoted(text: str) -> str:
    """*text* for a problem's reason: printable, and short however long a hostile record is."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def digest(text: str, what: str) -> str:
    """*text* where it is ``sha256:`` and 64 hex digits; else Malformed, naming *what* it should have been."""
    if DIGEST.fullmatch(text) is None:
        raise Malformed(f"{what} is {quoted(text)}, not sha256: and 64 hex digits")
    return text


def ascii_text(raw: bytes) -> str:
    """The text of a one-line record, without the white space around it."""
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Malformed("not ASCII text") from error


Stamp = tuple[int, ...]
"""What tells that a record was not changed: for each inode looked at, its number, size, and the times of content
and of inode."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of one inode as ``stat`` described it."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Folder:
    """A directory of records, held open for the length of one scan.

    Every step below goes by its descriptor, so a directory that is moved or replaced meanwhile is still read as one.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def path_of(self, name: str) -> str:
        """The absolute path of an entry, for people."""
        return f"{self.path}/{name}"

    def names(self) -> list[str]:
        """The names of its entries, in the filesystem's order."""
        return os.listdir(self.descriptor)

    def status(self, name: str) -> os.stat_result:
        """``lstat`` of an entry; *name* may go down into a sub-directory."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def stamp(self, name: str) -> Stamp:
        """The stamp of an entry."""
        return stamp_of(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False))

    def exists(self, name: str) -> bool:
        """Whether there is such an entry now; True also where the system does not tell."""
        try:
            self.status(name)
        except OSError as error:
            return not isinstance(error, FileNotFoundError)
        return True

    def directories(self) -> dict[str, bool]:
        """The names of its entries, each with whether it is a directory itself (a symlink to one is not)."""
        with os.scandir(self.descriptor) as entries:
            return {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}

    def symlinks(self) -> dict[str, int]:
        """The names of the symlinks in it, each with its inode number."""
        with os.scandir(self.descriptor) as entries:
            return {entry.name: entry.inode() for entry in entries if entry.is_symlink()}

    def target(self, name: str) -> str:
        """What the symlink *name* leads to, as stored."""
        return os.readlink(name, dir_fd=self.descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of the regular file *name*.

        Raises FileNotFoundError when it is not there, Malformed when it is no regular file or longer than *limit*,
        OSError when it cannot be read; each says which file.
        """
        descriptor = self._open(name)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _malformed(self.path_of(name), "not a regular file")
            if status.st_size > limit:
                raise _malformed(self.path_of(name), f"longer than the {limit} bytes that are read")
            return _read_up_to(descriptor, limit, self.path_of(name))
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        try:
            return os.open(name, _READ, dir_fd=self.descriptor)
        except OSError as error:
            path = self.path_of(name)
            if error.errno in _NO_FILE:
                raise _malformed(path, _NO_FILE[error.errno]) from error
            error.filename = path
            raise

    def inside(self, name: str) -> Self:
        """Its sub-directory *name*, held open. Raises FileNotFoundError when it is not there, Malformed when it is no
        directory."""
        try:
            descriptor = os.open(name, _LIST, dir_fd=self.descriptor)
        except NotADirectoryError as error:
            raise _malformed(self.path_of(name), "not a directory") from error
        except OSError as error:
            error.filename = self.path_of(name)
            raise
        return type(self)(self.path_of(name), descriptor)

    def read_optional(self, name: str, limit: int = SMALL) -> bytes | None:
        """The bytes of the regular file *name*, or None where it is not there."""
        try:
            return self.read(name, limit)
        except FileNotFoundError:
            return None


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_LIST = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_NO_FILE = {errno.ELOOP: "a symbolic link, which is not followed", errno.ENXIO: "not a regular file"}
"""How the kernel refuses to open a symlink and a socket."""


def _read_up_to(descriptor: int, limit: int, path: str) -> bytes:
    """All that the file holds, in few reads; a file that grew past *limit* since its length was looked up is
    Malformed."""
    parts, length, ask = [], 0, SMALL
    while True:
        part = os.read(descriptor, ask)
        parts.append(part)
        length += len(part)
        if length > limit:
            raise _malformed(path, f"longer than the {limit} bytes that are read")
        if len(part) < ask:
            return b"".join(parts)
        ask = 1 << 20


def open_folder(path: str) -> Folder:
    """The directory *path*, held open; a symlink in its place is not followed."""
    return Folder(path, os.open(path, _LIST))


def modified(path: str, *, otherwise: float = 0.0) -> float:
    """When what is at *path* was last modified, Unix seconds; *otherwise* where the system does not tell."""
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        return otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[T]):
    """What one record said: a value, problems, or both where only a part of it is damaged."""

    value: T | None
    problems: tuple[Problem, ...] = ()
    complete: bool = True
    """False where the engine may yet fill in a file of the record, which the record's times would not show."""


class Scan:
    """What one scan gathers beside the values: its problems, and how much vanished under its hands."""

    def __init__(self, *, now: float, turn: int, check: Callable[[], None] = lambda: None) -> None:
        self.now = now
        """When it began, Unix seconds."""
        self.turn = turn
        """Its number; decides whose turn it is to be read again though nothing seems to have changed."""
        self.check = check
        """Called between records. What it raises ends the scan."""
        self.problems: list[Problem] = []
        self.vanished = 0

    def apart(self) -> Self:
        """The same scan, for what has its problems told elsewhere: with none yet."""
        return type(self)(now=self.now, turn=self.turn, check=self.check)

    def problem(self, kind: ProblemKind, path: str, reason: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(kind=kind, path=path, reason=reason))

    def unreadable(self, path: str, error: OSError) -> None:
        """Note that the system did not let us read something."""
        self.problem(ProblemKind.UNREADABLE_RECORD, path, reason_of(error))

    def folder(self, path: str, stack: ExitStack) -> Folder | None:
        """The directory of records at *path*, held open by *stack*, or None where the engine has not made it; one that
        cannot be listed is a problem."""
        try:
            return stack.enter_context(open_folder(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            if os.path.islink(path):
                self.problem(ProblemKind.UNREADABLE_RECORD, path, _SYMLINK)
            else:
                self.unreadable(path, error)
            return None

    def names(self, folder: Folder) -> list[str]:
        """The names in *folder*; none, and a problem, where it cannot be listed."""
        try:
            return [name for name in folder.names() if name != LOST_AND_FOUND]
        except OSError as error:
            self.unreadable(folder.path, error)
            return []

    def identities(self, folder: Folder, *, passing: Callable[[str], object]) -> list[str]:
        """The names in *folder* that are 64 hex digits.

        Other names are one problem together, however many they are; but those that the engine uses in *passing* are
        none.
        """
        names, strange = [], []
        for name in self.names(folder):
            if HEX64.fullmatch(name):
                names.append(name)
            elif not passing(name):
                strange.append(name)
        if strange:
            more = f", nor are those of {len(strange) - 1} more entries there" if len(strange) > 1 else ""
            path = folder.path_of(min(strange))
            self.problem(ProblemKind.MALFORMED_RECORD, path, f"its name is not 64 hex digits{more}")
        return names


_SYMLINK = "a symbolic link, which is not followed: mount the directory here instead (mount --bind)"
"""How people move a part of a root to another disk."""

LOST_AND_FOUND = "lost+found"
"""The filesystem's own, where the directory is a mount point."""


def reason_of(error: OSError) -> str:
    """The system's own words, without the path."""
    return error.strerror or type(error).__name__


FILLED_IN = 60
"""Seconds after which a record that the engine began to write should be there. It takes milliseconds, but a disk that
does not keep up may hold up a write for long."""


def guarded(read: Callable[[str], Reading[T]], name: str, folder: Folder) -> Reading[T]:
    """What *read* makes of the record *name*; what is wrong with it becomes a problem.

    Raises FileNotFoundError where the record vanished; one whose directory stays and lacks a file is damaged.
    """
    try:
        reading = read(name)
    except FileNotFoundError as error:
        reading = damaged(ProblemKind.MISSING_RECORD, _file_of(error) or folder.path_of(name), NO_FILE)
    except (Malformed, OSError) as error:
        reading = damaged_by(error, folder.path_of(name))
    if reading.problems and not folder.exists(name):
        raise FileNotFoundError(errno.ENOENT, NO_FILE, folder.path_of(name))
    return reading


NO_FILE = "there is no such file"


def _file_of(error: OSError) -> str | None:
    return error.filename if isinstance(error.filename, str) else None


def damaged_by(error: Malformed | OSError, path: str) -> Reading[T]:
    """A reading that *error* kept from giving anything, of the file that it names, else of *path*."""
    if isinstance(error, Malformed):
        return damaged(ProblemKind.MALFORMED_RECORD, error.path or path, str(error))
    return damaged(ProblemKind.UNREADABLE_RECORD, _file_of(error) or path, reason_of(error))


def damaged(kind: ProblemKind, path: str, reason: str) -> Reading[T]:
    """A reading that gave nothing but one problem."""
    return Reading(value=None, problems=(Problem(kind=kind, path=path, reason=reason),))


def read_line(
    folder: Folder, name: str, parse: Callable[[str], T | None], *, kind: ProblemKind = ProblemKind.MALFORMED_RECORD
) -> Reading[T]:
    """What *parse* makes of the text of a one-line record; nothing where it is missing, a problem of *kind*
    where it is Malformed, and one where it cannot be read."""
    try:
        raw = folder.read_optional(name)
        return Reading(value=None if raw is None else parse(ascii_text(raw)))
    except Malformed as error:
        return damaged(kind, folder.path_of(name), str(error))
    except OSError as error:
        return damaged_by(error, folder.path_of(name))


def required(reading: Reading[T], kind: ProblemKind, path: str) -> Reading[T]:
    """*reading*, with a problem of *kind* where there was no such record."""
    if reading.value is None and not reading.problems:
        return damaged(kind, path, NO_FILE)
    return reading
