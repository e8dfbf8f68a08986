"""The filesystem that a store lies on."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """What ``statvfs`` says of a filesystem."""

    size: int
    """Bytes."""
    available: int
    """Bytes that may still be written by those who are not root."""
    files: int | None
    """Inodes that there can be; None where the filesystem makes them as needed (btrfs)."""
    files_free: int | None
    """Inodes of those that are free."""


def filesystem_of(path: str) -> Filesystem | None:
    """The filesystem at *path*; None where it does not tell."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    counted = found.f_files > 0
    return Filesystem(
        size=found.f_blocks * found.f_frsize,
        available=found.f_bavail * found.f_frsize,
        files=found.f_files if counted else None,
        files_free=found.f_ffree if counted else None,
    )
