"""Asks the kernel for what the C library has no name for."""

import ctypes
import os

_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """A system call.

    Raises:
        OSError: The kernel refuses, does not know it, or a filter in front of it forbids it.
    """
    given = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise _failure()
    return result


def gain_no_privileges() -> None:
    """Have no program that is run from now on gain rights, for ever.

    Without that the kernel lets nobody but root confine itself: a program with a set-user-ID could be misled.

    Raises:
        OSError: The kernel is older than 3.5.
    """
    if _LIBC.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _failure()


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
