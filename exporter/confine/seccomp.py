"""A filter of system calls: the kernel refuses this process those that change a file without opening it for writing.

That is what `landlock` cannot refuse, or only at a price: truncating by name, and changing owners, modes, times and
extended attributes. A filter sees numbers, not paths, so these are refused everywhere; a file that is open for writing,
such as the state file, may still be truncated. What a file system offers by ``ioctl`` is refused for the same reason:
flags, project numbers, subvolumes, freezing and more are changed there, by a descriptor that is open for reading. Calls
by which this could be passed by are refused too, such as giving the kernel a program.

Source: seccomp(2), Linux ``include/uapi/linux/seccomp.h``, ``filter.h`` and ``audit.h``, and the tables of system calls
of x86-64 and of ``asm-generic/unistd.h``.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.confine.kernel import call

_SET_MODE_FILTER = 1
_SPEC_ALLOW = 4
"""Without it, kernels before 5.16 slow down all that a filtered process does, by a guard against another attack."""

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""Instructions: load a word of what describes the call, mask it, compare it in two ways, give the answer."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Where the description of a call has them; each argument is 8 bytes, the lower half first."""
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The numbers of system calls on one architecture."""

    architecture: int
    seccomp: int
    refused: Sequence[int]
    """Whatever their arguments."""
    unknown: int
    """``openat2``, which takes its flags where a filter cannot look: as in a kernel that lacks it."""
    opening: Mapping[int, int]
    """Those that open a file → which of their arguments are the flags."""
    ioctl: int
    foreign: int | None = None
    """From this number on they are of another kind (x32)."""


_NEWER = (425, 443, 452, 463, 466, 469)
"""The same everywhere: io_uring_setup, quotactl_fd, fchmodat2, setxattrat, removexattrat, file_setattr."""

_IOCTL_KINDS = (0x5400, 0x8900)
"""Of terminals, which includes what every descriptor has, and of sockets."""

X86_64 = Calls(
    architecture=0xC000003E,
    seccomp=317,
    # truncate; chmod, fchmod, fchmodat; chown, fchown, lchown, fchownat; utime, utimes, futimesat, utimensat;
    # setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr; quotactl;
    # init_module, finit_module, kexec_load, kexec_file_load, bpf, iopl, ioperm
    refused=(
        *(76, 90, 91, 268, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 179),
        *(175, 313, 246, 320, 321, 172, 173),
        *_NEWER,
    ),
    unknown=437,
    opening={2: 1, 257: 2, 304: 2},  # open, openat, open_by_handle_at
    ioctl=16,
    foreign=0x40000000,
)
AARCH64 = Calls(
    architecture=0xC00000B7,
    seccomp=277,
    # truncate; fchmod, fchmodat; fchownat, fchown; utimensat; and those of extended attributes, of quotas and of the
    # kernel's own programs, as above
    refused=(45, 52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16, 60, 105, 273, 104, 294, 280, *_NEWER),
    unknown=437,
    opening={56: 2, 265: 2},  # openat, open_by_handle_at
    ioctl=29,
)
_POINTER = 8
_BY_MACHINE = {"x86_64": X86_64, "aarch64": AARCH64}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("otherwise", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def filter_calls() -> None:
    """Give up these calls, for this thread and all that it starts, for ever; after `gain_no_privileges`.

    Raises:
        OSError: The kernel has no such filters, a filter in front of it forbids them, or the calls of this architecture
            are not known here: nothing is given up.
    """
    # A program of 32 bits on a kernel of 64 makes other calls than the machine's: all would be refused.
    calls = _BY_MACHINE.get(platform.machine()) if struct.calcsize("P") == _POINTER else None
    if calls is None:
        raise OSError(errno.ENOSYS, f"the system calls of this program on {platform.machine()} are not known")
    made = [_Instruction(*instruction) for instruction in program(calls)]
    given = _Program(len(made), (_Instruction * len(made))(*made))
    try:
        call(calls.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(given))
    except OSError as error:
        # Kernels before 4.17 do not know the flag.
        if error.errno != errno.EINVAL:
            raise
        call(calls.seccomp, _SET_MODE_FILTER, 0, ctypes.byref(given))


def program(calls: Calls) -> list[tuple[int, int, int, int]]:
    """The filter: instructions with how many others to skip when a comparison holds and when not, and an operand."""
    made = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, calls.architecture), _REFUSE, (_LOAD, 0, 0, _NUMBER)]
    if calls.foreign is not None:
        made += [(_AT_LEAST, 0, 1, calls.foreign), _REFUSE]
    for number in calls.refused:
        made += [(_EQUAL, 0, 1, number), _REFUSE]
    made += [(_EQUAL, 0, 1, calls.unknown), _KNOW_NOTHING]
    for number, flags in calls.opening.items():
        look = _look_at_flags(_ARGUMENTS + 8 * flags)
        made += [(_EQUAL, 0, len(look), number), *look]
    kind = _look_at_kind(_ARGUMENTS + 8)
    return [*made, (_EQUAL, 0, len(kind), calls.ioctl), *kind, _LET_PASS]


_REFUSE = (_RETURN, 0, 0, _ERROR | errno.EACCES)
_KNOW_NOTHING = (_RETURN, 0, 0, _ERROR | errno.ENOSYS)
_LET_PASS = (_RETURN, 0, 0, _ALLOW)


def _look_at_kind(position: int) -> list[tuple[int, int, int, int]]:
    """Refuse an ``ioctl`` that belongs to a file system or a device."""
    made = [(_LOAD, 0, 0, position), (_AND, 0, 0, 0xFF00)]
    for kind in _IOCTL_KINDS:
        made += [(_EQUAL, 0, 1, kind), _LET_PASS]
    return [*made, _REFUSE]


def _look_at_flags(position: int) -> list[tuple[int, int, int, int]]:
    """Refuse to truncate by opening for anything but writing, which is `landlock`'s to refuse."""
    neither = os.O_ACCMODE  # Linux takes it for opening for neither reading nor writing, and truncates all the same
    return [
        (_LOAD, 0, 0, position),
        (_AND, 0, 0, os.O_TRUNC | os.O_ACCMODE),
        (_EQUAL, 0, 1, os.O_TRUNC | os.O_RDONLY),
        _REFUSE,
        (_EQUAL, 0, 1, os.O_TRUNC | neither),
        _REFUSE,
        _LET_PASS,
    ]
