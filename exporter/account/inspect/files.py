"""Looks at what lies on disk of one container, outside its upper layer: the only module here that touches a disk.

Names, lengths and symlinks' targets are read, relative to open directories and without following a symlink or entering
another filesystem; no file is opened. What cannot be looked at is told as None, what vanishes meanwhile is left out.
"""

import os
import stat
from collections.abc import Callable, Iterator

from exporter.account.inspect.views import ContainerFiles, Entry, EntryKind
from exporter.store.catalog import Store
from exporter.store.entries import ContainerID
from exporter.store.records import Folder, open_folder

_DEEPEST = 4
"""Levels that are looked at; an engine's own directories have three."""


def look(store: Store, container: ContainerID) -> ContainerFiles:
    """What really lies in ``containers/<id>`` and in the container's init layer.

    Of the directories in ``containers/<id>`` only ``local-logs`` is entered: ``mounts/shm`` is the container's to fill.
    """
    mount = store.mounts.get(container)
    init = None if mount is None else mount.init_id
    records = store.log_directory
    return ContainerFiles(
        own=None
        if records is None
        else entries_below(f"{records}/{container}", enter=lambda path: path == "local-logs"),
        init=None if init is None else entries_below(store.diff_path(init)),
    )


def entries_below(path: str, *, enter: Callable[[str], bool] = lambda _: True) -> tuple[Entry, ...] | None:
    """The entries below the directory *path*, in order of their paths; None where it is missing or cannot be read.

    *enter* decides by a directory's path below *path* whether to look into it.
    """
    try:
        with open_folder(path) as folder:
            found = list(_entries(folder, "", _DEEPEST, enter))
    except OSError:
        return None
    return tuple(sorted(found, key=lambda entry: entry.path))


def _entries(folder: Folder, above: str, levels: int, enter: Callable[[str], bool]) -> Iterator[Entry]:
    device = os.fstat(folder.descriptor).st_dev
    for name in folder.names():
        try:
            status = folder.status(name)
            target = os.readlink(name, dir_fd=folder.descriptor) if stat.S_ISLNK(status.st_mode) else None
        except OSError:
            continue
        path, kind = f"{above}{name}", _kind(status.st_mode)
        yield Entry(path=path, kind=kind, size=status.st_size, allocated=status.st_blocks * 512, target=target)
        if kind is EntryKind.DIRECTORY and levels > 1 and status.st_dev == device and enter(path):
            yield from _inside(folder, name, f"{path}/", levels - 1, enter)


def _inside(folder: Folder, name: str, above: str, levels: int, enter: Callable[[str], bool]) -> Iterator[Entry]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder.descriptor)
    except OSError:
        return
    try:
        yield from _entries(Folder(folder.path_of(name), descriptor), above, levels, enter)
    finally:
        os.close(descriptor)


def _kind(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.DIRECTORY
    return EntryKind.SYMLINK if stat.S_ISLNK(mode) else EntryKind.OTHER
