"""The filter of system calls, run by an interpreter of its instructions: so also for the machine that is not here."""

import errno
import os
import struct

import pytest

from exporter.confine.seccomp import AARCH64, X86_64, Calls, program

ARCHITECTURES = pytest.mark.parametrize("calls", [X86_64, AARCH64], ids=["x86_64", "aarch64"])
ALLOWED = 0
OPENAT = {X86_64.architecture: 257, AARCH64.architecture: 56}
TRUNCATE = {X86_64.architecture: 76, AARCH64.architecture: 45}
IOCTL = {X86_64.architecture: 16, AARCH64.architecture: 29}
INIT_MODULE = {X86_64.architecture: 175, AARCH64.architecture: 105}
BPF = {X86_64.architecture: 321, AARCH64.architecture: 280}
STAT = {X86_64.architecture: 262, AARCH64.architecture: 79}
IOCTL_OF_I386 = 54
OPENAT2, FCHMODAT2 = 437, 452


def answer(calls: Calls, number: int, *arguments: int, architecture: int | None = None) -> int:
    """The error that the filter answers a call with."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    described = struct.pack("<IIQ6Q", number, architecture or calls.architecture, 0, *padded)
    value, at, made = 0, 0, program(calls)
    while True:
        code, then, otherwise, operand = made[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("<I", described, operand)
            case 0x54:
                value &= operand
            case 0x15:
                at += then if value == operand else otherwise
            case 0x35:
                at += then if value >= operand else otherwise
            case 0x06:
                action, error = operand & 0xFFFF0000, operand & 0xFFFF
                assert action in (0x7FFF0000, 0x00050000)
                return error
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def opened(calls: Calls, flags: int) -> int:
    """The answer to opening a file by its name in the working directory."""
    return answer(calls, OPENAT[calls.architecture], 2**64 - 100, 0x7F00_0000_0000, flags)


@ARCHITECTURES
def test_reading_passes(calls: Calls) -> None:
    """Whatever a walk and a server do."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
    assert opened(calls, flags) == ALLOWED
    assert answer(calls, STAT[calls.architecture], 3, 0x7F00_0000_0000) == ALLOWED


@ARCHITECTURES
def test_what_opens_for_writing_is_left_to_landlock(calls: Calls) -> None:
    """It knows paths, so it can allow the state file."""
    for flags in (os.O_WRONLY, os.O_RDWR):
        assert opened(calls, flags | os.O_CREAT | os.O_TRUNC) == ALLOWED


@ARCHITECTURES
def test_nothing_is_truncated_without_opening_for_writing(calls: Calls) -> None:
    """Neither by name nor by opening to read, or for neither reading nor writing, whatever other flags there are."""
    assert answer(calls, TRUNCATE[calls.architecture], 0x7F00_0000_0000, 0) == errno.EACCES
    for flags in (os.O_RDONLY, os.O_ACCMODE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW):
        assert opened(calls, flags | os.O_TRUNC) == errno.EACCES


@ARCHITECTURES
def test_of_ioctl_only_what_terminals_and_sockets_have_passes(calls: Calls) -> None:
    """A file system takes some by a descriptor that is open for reading: flags, projects, subvolumes, freezing."""
    tcgets, tcgets2, fionbio, fioclex, siocgifindex = 0x5401, 0x802C542A, 0x5421, 0x5451, 0x8933
    for request in (tcgets, tcgets2, fionbio, fioclex, siocgifindex):
        assert answer(calls, IOCTL[calls.architecture], 3, request) == ALLOWED
    set_flags, set_xattr, freeze, trim, destroy_subvolume = 0x40086602, 0x401C5820, 0xC0045877, 0xC0185879, 0x5000940F
    for request in (set_flags, set_xattr, freeze, trim, destroy_subvolume):
        assert answer(calls, IOCTL[calls.architecture], 3, request) == errno.EACCES
        # The kernel looks at the lower half alone.
        assert answer(calls, IOCTL[calls.architecture], 3, 0x5401 << 32 | request) == errno.EACCES


@ARCHITECTURES
def test_the_kernel_is_given_no_programs(calls: Calls) -> None:
    """They would not be bound by any of this."""
    assert answer(calls, INIT_MODULE[calls.architecture], 0x7F00_0000_0000, 8) == errno.EACCES
    assert answer(calls, BPF[calls.architecture], 5, 0x7F00_0000_0000, 8) == errno.EACCES


@ARCHITECTURES
def test_the_filter_cannot_be_passed_by(calls: Calls) -> None:
    """By calls that hide their flags in memory, or that newer kernels add to older ones."""
    assert answer(calls, OPENAT2, 0, 0, 0, 24) == errno.ENOSYS
    assert answer(calls, FCHMODAT2, 0, 0, 0o777, 0) == errno.EACCES


@ARCHITECTURES
def test_calls_of_another_architecture_are_refused(calls: Calls) -> None:
    """There the numbers mean other calls: a 64-bit program may make those of a 32-bit one."""
    i386 = 0x40000003
    assert answer(calls, IOCTL_OF_I386, architecture=i386) == errno.EACCES


def test_x32_calls_are_refused() -> None:
    """They come by the same architecture, under numbers of their own."""
    assert answer(X86_64, 0x40000000 + 76) == errno.EACCES
