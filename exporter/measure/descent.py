"""One way down a directory tree, by descriptors alone: it can be measured while a hostile process rearranges it.

Every step names a single path component relative to an open directory, and refuses symlinks, anything that is no
directory, and other filesystems. So a directory that is swapped for a symlink between two steps leads nowhere, paths
may be longer than ``PATH_MAX``, and no file, fifo or device is ever opened.

Descriptors are bounded. The outermost `HELD` directories stay open; of those below only the innermost does. The way
back up to a directory that was closed is ``..``, which counts only if it is the very inode that was left: a tree that
was moved meanwhile is given up, up to the innermost directory that is still open.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import Self

HELD = 64
"""Directories kept open at once, at most; real trees are seldom half as deep."""

DEEPEST = 100_000
"""Levels entered at most: each costs memory, and nothing but an attack comes near."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})


def is_gone(error: OSError) -> bool:
    """Whether an error means that a name is no longer what it was listed as: normal in a tree that is in use."""
    return error.errno in _GONE


def is_shortage(error: OSError) -> bool:
    """Whether an error says something about this process or host, not about the tree: then no figure may be given."""
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Descent:
    """Where a walk stands in one tree. A context manager: leaving it closes every descriptor."""

    __slots__ = ("_flags", "_inodes", "_open", "device", "fd", "is_torn", "top")

    def __init__(self, path: str) -> None:
        """Open the top directory.

        The components above the last are followed as usual: they are the engine's own, not a container's.

        Raises:
            OSError: It is missing, no directory, a symlink, or may not be read.
        """
        # Without O_NOATIME a walk writes: it dirties each directory's inode. But only an owner or CAP_FOWNER may ask
        # for it.
        self._flags = _DIRECTORY | os.O_NOATIME
        self.fd = self._open_directory(path, None)
        try:
            self.top = os.fstat(self.fd)
        except OSError:
            os.close(self.fd)
            raise
        self.device = self.top.st_dev
        self._inodes = [self.top.st_ino]
        self._open = [self.fd]
        self.is_torn = False
        """Whether the tree was moved around the descent, so that some of it was given up."""

    @property
    def depth(self) -> int:
        """How many directories lie between the top and here; 0 at the top."""
        return len(self._inodes) - 1

    def enter(self, name: str) -> os.stat_result:
        """Go down into a subdirectory of the current one, and return its status.

        Raises:
            OSError: The descent stays where it is. `is_gone` holds where the name is no directory any more; the error
                number is ``EXDEV`` where another filesystem is mounted there, ``ENAMETOOLONG`` below `DEEPEST`.
        """
        if len(self._inodes) > DEEPEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            fd = os.open(name, self._flags, dir_fd=self.fd)
        except PermissionError:
            fd = self._open_directory(name, self.fd)
        try:
            status = self._own(fd)
        except OSError:
            os.close(fd)
            raise
        if len(self._inodes) > HELD:
            os.close(self._open.pop())
        self._open.append(fd)
        self._inodes.append(status.st_ino)
        self.fd = fd
        return status

    def peek(self, name: str) -> os.stat_result | None:
        """The status of a subdirectory that cannot be entered; None where it is none, or on another filesystem."""
        with contextlib.suppress(OSError):
            status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) and status.st_dev == self.device:
                return status
        return None

    def leave(self, pace: Callable[[int], None]) -> int:
        """Go up to the parent directory; where the tree was moved, further up, to the innermost that is held open.

        Where the way up costs system calls it may be long, too: *pace* is told, so that it rests and ends like the way
        down.

        Returns:
            How many directories were given up, the parent among them; 0 where the descent stands in the parent now.
        """
        self._inodes.pop()
        left = self._open.pop()
        is_held = len(self._inodes) <= HELD
        try:
            given_up = 0 if is_held else self._climb(left)
        finally:
            os.close(left)
        self.fd = self._open[-1]
        if not is_held:
            pace(0)
        return given_up

    def _climb(self, left: int) -> int:
        """Open the parent again that was closed; where it is another one now, give up all that is not held open."""
        parent = self._parent(left)
        if parent is not None:
            self._open.append(parent)
            return 0
        self.is_torn = True
        given_up = len(self._inodes) - HELD
        del self._inodes[HELD:]
        return given_up

    def _parent(self, left: int) -> int | None:
        try:
            fd = self._open_directory("..", left)
        except OSError as error:
            if is_shortage(error):
                raise
            return None
        with contextlib.suppress(OSError):
            if self._own(fd).st_ino == self._inodes[-1]:
                return fd
        os.close(fd)
        return None

    def _own(self, fd: int) -> os.stat_result:
        status = os.fstat(fd)
        if status.st_dev != self.device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return status

    def _open_directory(self, name: str, parent: int | None) -> int:
        try:
            return os.open(name, self._flags, dir_fd=parent)
        except PermissionError:
            if not self._flags & os.O_NOATIME:
                raise
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        self._flags = _DIRECTORY
        return fd

    def close(self) -> None:
        """Close every descriptor."""
        while self._open:
            os.close(self._open.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
