"""Gives up the right to write, by Landlock: from then on the kernel refuses this process every change of a file.

Whoever runs this need not believe that it only reads, and a mistake in it that a hostile container finds stays one of
reading. It holds for whatever is mounted later, too, such as a container's root filesystem, which a read-only mount of
the engine's root does not make read-only.

Only what is opened from now on is meant: standard error stays what it was. Sockets are no files in this sense. A kernel
before 5.13, or one without Landlock, leaves everything as it is; the answer says so.

Source: landlock(7), Linux ``include/uapi/linux/landlock.h``.
"""

import ctypes
import enum
import os
from dataclasses import dataclass

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls; the same on every architecture but Alpha."""
_ABI_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38


class _Access(enum.IntFlag):
    """What changes a filesystem, or runs a program from one. Reading is not in it: it stays as it is."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_SINCE = {_Access.REFER: 2, _Access.TRUNCATE: 3, _Access.IOCTL_DEV: 5}
"""The interface's version that a right came with, where that is not the first."""

_STATE = _Access.WRITE_FILE | _Access.REMOVE_FILE | _Access.MAKE_REG | _Access.TRUNCATE
"""What a state file needs in its directory: to be written, begun anew, and put aside under another name."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What became of the wish to give up writing."""

    version: int = 0
    """Version of the kernel's interface; 0 where the process is not confined."""
    refused: str = ""
    """Why it is not."""


def renounce_writing(*, but_in: str | None) -> Confinement:
    """Give up writing, removing, making and running files, for this thread and all that it starts, for ever.

    Args:
        but_in: A directory in which files may be written all the same; one that is not there is no exception.
    """
    try:
        version = _call(_CREATE_RULESET, None, 0, _ABI_VERSION)
        _confine(_handled(version), but_in)
    except OSError as error:
        return Confinement(refused=error.strerror or str(error))
    return Confinement(version=version)


def _handled(version: int) -> _Access:
    known = _Access(0)
    for access in _Access:
        if _SINCE.get(access, 1) <= version:
            known |= access
    return known


def _confine(handled: _Access, but_in: str | None) -> None:
    asked = _Ruleset(handled_access_fs=handled)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(asked), ctypes.sizeof(asked), 0)
    try:
        if but_in is not None:
            _allow(ruleset, but_in, _STATE & handled)
        # Without it the kernel would let nobody but root confine itself: a program with a set-user-ID could be misled.
        if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _failure()
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, directory: str, access: _Access) -> None:
    try:
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(allowed_access=access, parent_fd=parent)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    """A system call that the C library has no name for.

    Raises:
        OSError: The kernel refuses, does not know it, or a filter in front of it forbids it.
    """
    given = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise _failure()
    return result


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
