"""What the kernel has mounted: the storage directories that overlay mounts use now.

One line a mount in ``/proc/<pid>/mountinfo``: its fields, `` - ``, the filesystem's type, its source and its options.
An overlay's are ``upperdir=``, ``workdir=`` and ``lowerdir=`` with all lower directories, nearest first; since Linux
6.8 also ``lowerdir+=`` for each. The engine gives them as ``<root>/overlay2/<id>/diff`` and
``<root>/overlay2/l/<short name>``, or relative to ``<root>/overlay2`` where that would be too long. White space, commas
and backslashes stand as three octal digits.

Each list is that of one mount namespace, and the engine's mounts are in its own. They are seen where one of these
holds:

- the engine's process can be seen, and its list was read;
- this process is in the machine's first process namespace, so that process 1 is the host's;
- the mount that the engine's root lies on takes over what is mounted elsewhere (``shared:``, ``master:``), as with
  ``rslave`` in a container.

Otherwise what is not listed may be mounted all the same. Paths are as whoever mounted saw them, so only their last two
parts tell.

Source: proc(5), mount_namespaces(7); Linux ``fs/overlayfs/params.c``, ``include/linux/proc_ns.h``
(``PROC_PID_INIT_INO``); moby ``daemon/graphdriver/overlay2/overlay.go``.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.store.entries import CacheID, Directory

_SEPARATOR = " - overlay "
_LISTS = frozenset({"lowerdir", "lowerdir+", "datadir+"})
_SINGLE = frozenset({"upperdir", "workdir"})
_OCTAL = re.compile(r"\\([0-7]{3})")
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.EINVAL})
"""What opening the list of a process says that has ended, the last of them while its parent did not take notice."""
_PROPAGATED = ("shared:", "master:")
_MOUNT_POINT, _OPTIONAL = 4, 6
"""Which of the fields of a line are the mount point, and the first of those that may be there."""
_COMMA, _COLON = re.compile(r"(?<!\\),"), re.compile(r"(?<!\\):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlays:
    """What overlay mounts use."""

    names: frozenset[str] = frozenset()
    """Storage directories that are named."""
    short_names: frozenset[str] = frozenset()
    """Short names in ``l/`` that stand for one."""
    paths: frozenset[str] = frozenset()
    """All directories as whoever mounted named them."""
    seen: bool = True
    """Whether the engine's mounts are among those that were listed."""
    unreadable: tuple[tuple[str, OSError], ...] = ()
    """The lists that could not be read and should have been."""

    def inside(self, directory_root: str) -> frozenset[str]:
        """The storage directories in *directory_root* that go by numbers, as a snapshotter's do: every containerd has
        the same ones. Where nothing is mounted from that very path, it is another one for whoever mounted, and its last
        two parts tell."""
        tail = "/" + "/".join(directory_root.rsplit("/", 2)[1:]) + "/"
        for above in (f"{directory_root}/", tail):
            found = (path.partition(above) for path in self.paths if above in path)
            if names := frozenset(after.partition("/")[0] for _, _, after in found):
                return names
        return frozenset()

    def directories(
        self, short_links: Mapping[str, str], directories: Mapping[CacheID, Directory]
    ) -> frozenset[CacheID]:
        """The storage directories, the short names followed where the links lead, and where they should."""
        led_to = (short_links.get(short, "").split("/") for short in self.short_names)
        owning = (name for name, directory in directories.items() if directory.link in self.short_names)
        return frozenset(
            (*map(CacheID, self.names), *(CacheID(parts[1]) for parts in led_to if len(parts) == 3), *owning)
        )


def read_overlays(proc: str, *, root: str, engines: Sequence[int] = ()) -> Overlays:
    """What the overlay mounts use that this process sees, that the first process sees, and that an engine does.

    Args:
        proc: where the kernel tells of processes.
        root: the engine's root.
        engines: the engine's processes, as far as they can be seen.
    """
    tables: dict[str, str] = {}
    unreadable: list[tuple[str, OSError]] = []
    gone: set[str] = set()
    for process in ("self", "1", *map(str, engines)):
        path = f"{proc}/{process}/mountinfo"
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123 - the path is text
                tables[process] = file.read()
        except OSError as error:
            if error.errno in _GONE:
                gone.add(process)
            if process == "self":
                unreadable.append((path, error))
    names, short_names, paths = set[str](), set[str](), set[str]()
    # Those of one namespace say the same.
    for table in dict.fromkeys(tables.values()):
        for directory in mounted_directories(table.split("\n")):
            paths.add(directory)
            above, _, last = directory.rstrip("/").rpartition("/")
            name = above.rpartition("/")[2]
            if name == "l":
                short_names.add(last)
            elif name:
                names.add(name)
    return Overlays(
        names=frozenset(names),
        short_names=frozenset(short_names),
        paths=frozenset(paths),
        seen=_are_seen(tables, proc, root, [engine for engine in engines if str(engine) not in gone]),
        unreadable=tuple(unreadable),
    )


def _are_seen(tables: Mapping[str, str], proc: str, root: str, engines: Sequence[int]) -> bool:
    """Whether the engine's mounts are in one of the *tables*, by process."""
    if engines:
        # Which of several it is nobody can tell: one in a container may not say that its root is another.
        return all(str(engine) in tables for engine in engines)
    if "1" in tables and _is_first_namespace(proc):
        return True
    return propagates(tables.get("self", "").split("\n"), os.path.realpath(root))


def _is_first_namespace(proc: str) -> bool:
    try:
        return os.readlink(f"{proc}/self/ns/pid") == _FIRST_PID_NAMESPACE
    except OSError:
        return False


def propagates(lines: Iterable[str], path: str) -> bool:
    """Whether what others mount below *path*, which is without symlinks, is mounted here as well, by the *lines* of a
    mountinfo."""
    nearest, found = -1, False
    for line in lines:
        fields = line.split(" ")
        if len(fields) <= _OPTIONAL:
            continue
        point = _decoded(fields[_MOUNT_POINT])
        # Of several mounts at one place the last one covers the others.
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= nearest:
            optional = fields[_OPTIONAL : fields.index("-")] if "-" in fields else []
            nearest, found = len(point), any(field.startswith(_PROPAGATED) for field in optional)
    return found


def mounted_directories(lines: Iterable[str]) -> Iterator[str]:
    """The paths of all upper, work and lower directories in *lines* of a mountinfo."""
    for line in lines:
        before, separator, after = line.rstrip("\n").partition(_SEPARATOR)
        if not separator or not before:
            continue
        options = after.partition(" ")[2]
        for option in _COMMA.split(options):
            key, _, value = option.partition("=")
            if key in _LISTS:
                yield from map(_plain, _COLON.split(_decoded(value)))
            elif key in _SINGLE:
                yield _plain(_decoded(value))


def _decoded(text: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), text)


def _plain(text: str) -> str:
    """Without the backslashes that overlayfs puts before what would separate."""
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text
