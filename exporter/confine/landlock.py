"""Landlock: the kernel refuses this process, by path, to write, remove, make or run files.

It holds for whatever is mounted later, too, such as a container's root filesystem, which a read-only mount of the
engine's root does not make read-only.

Only what is opened from now on is meant: standard error stays what it was. Sockets are no files in this sense. A kernel
before 5.13, or one without Landlock, leaves everything as it is.

The right to truncate is left out on purpose, for `seccomp` to take. Landlock asks for it whenever anything is opened,
and finds the answer by going up from there to the root: in a tree nested 10,000 deep each directory then costs 0.5 ms,
and a walk fifty times what it costs otherwise. Containers could make us burn the host.

Source: landlock(7), Linux ``include/uapi/linux/landlock.h``; ``hook_file_open`` in ``security/landlock/fs.c``.
"""

import ctypes
import enum
import os

from exporter.confine.kernel import call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls; the same on every architecture but Alpha."""
_ABI_VERSION = 1
_PATH_BENEATH = 1


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
    IOCTL_DEV = 1 << 15


_SINCE = {_Access.REFER: 2, _Access.IOCTL_DEV: 5}
"""The interface's version that a right came with, where that is not the first."""

_STATE = _Access.WRITE_FILE | _Access.REMOVE_FILE | _Access.MAKE_REG
"""What a state file needs in its directory: to be made, written, and put aside under another name."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def restrict_files(*, but_in: str | None) -> int:
    """Give up writing, removing, making and running files, for this thread and all that it starts, for ever.

    Args:
        but_in: A directory in which files may be written all the same; one that is not there is no exception.

    Returns:
        The version of the kernel's interface.

    Raises:
        OSError: The kernel has no Landlock, or a filter in front of it forbids it: nothing is given up.
    """
    version = call(_CREATE_RULESET, None, 0, _ABI_VERSION)
    _restrict(_handled(version), but_in)
    return version


def _handled(version: int) -> _Access:
    known = _Access(0)
    for access in _Access:
        if _SINCE.get(access, 1) <= version:
            known |= access
    return known


def _restrict(handled: _Access, but_in: str | None) -> None:
    asked = _Ruleset(handled_access_fs=handled)
    ruleset = call(_CREATE_RULESET, ctypes.byref(asked), ctypes.sizeof(asked), 0)
    try:
        if but_in is not None:
            _allow(ruleset, but_in, _STATE & handled)
        call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, directory: str, access: _Access) -> None:
    try:
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(allowed_access=access, parent_fd=parent)
        call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
