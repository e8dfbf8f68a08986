"""The disk that a container's log takes: the files that the engine's log drivers keep in ``containers/<id>/``.

The drivers name them (moby, ``daemon/logger``):

- json-file: ``<id>-json.log``, rotated to ``.1`` … ``.N``, each ``.gz`` once compressed; for a moment both are there;
- local: ``local-logs/container.log``, rotated to ``.1`` … ``.N.gz``;
- all others: ``container-cached.log``, in the format of ``local``, so that ``docker logs`` works.

They are found by name, not by the configuration's ``LogPath``: that is empty for two of the three, and names one file
of many.
"""

import errno
import os
import stat

from exporter.store.entries import ContainerID

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOKS = 3
"""Listings of a directory at most: a rotation renames files under the reader's hands, and is done in milliseconds."""

Blocks = dict[tuple[int, int], int]
"""``st_blocks`` by device and inode: what has two names counts once."""


def container_log_allocated(containers: int | str, container_id: ContainerID) -> int | None:
    """Bytes on disk (Σ 512 times ``st_blocks``, each inode once) of a container's log files, rotated ones too.

    *containers* is the engine's directory ``containers``: its path, or, faster for many, an open descriptor. No file is
    opened and no symlink followed. None where the container's directory has vanished or cannot be read.
    """
    try:
        if isinstance(containers, int):
            return _allocated(containers, container_id)
        descriptor = os.open(containers, _DIRECTORY)
        try:
            return _allocated(descriptor, container_id)
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _allocated(containers: int, container_id: ContainerID) -> int:
    descriptor = os.open(container_id, _DIRECTORY, dir_fd=containers)
    try:
        blocks: Blocks = {}
        for _ in range(_LOOKS):
            blocks = {}
            if _look(blocks, descriptor, container_id):
                break
        return sum(blocks.values()) * 512
    finally:
        os.close(descriptor)


def _look(blocks: Blocks, container: int, container_id: ContainerID) -> bool:
    """Add the log files of the directory *container* to *blocks*; False where one vanished on the way."""
    names = os.listdir(container)
    settled = _add_files(blocks, container, names, f"{container_id}-json.log")
    settled &= _add_files(blocks, container, names, "container-cached.log")
    if "local-logs" in names:
        settled &= _add_local_logs(blocks, container)
    return settled


def _add_local_logs(blocks: Blocks, container: int) -> bool:
    try:
        descriptor = os.open("local-logs", _DIRECTORY, dir_fd=container)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:  # a file or a symlink: not the engine's, and not followed
            return True
        raise
    try:
        return _add_files(blocks, descriptor, os.listdir(descriptor), "container.log")
    finally:
        os.close(descriptor)


def _add_files(blocks: Blocks, directory: int, names: list[str], log: str) -> bool:
    """Add the regular files of *names* that are *log* or a rotation of it."""
    settled = True
    for name in names:
        if name.startswith(log) and name[len(log) :][:1] in {"", "."}:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                settled = False
                continue
            if stat.S_ISREG(status.st_mode):
                blocks[status.st_dev, status.st_ino] = status.st_blocks
    return settled
