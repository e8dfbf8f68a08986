"""What the kernel has mounted: the storage directories that overlay mounts use now.

One line a mount in ``/proc/<pid>/mountinfo``: its fields, `` - ``, the filesystem's type, its source and its options.
An overlay's are ``upperdir=``, ``workdir=`` and ``lowerdir=`` with all lower directories, nearest first; since Linux
6.8 also ``lowerdir+=`` for each. The engine gives them as ``<root>/overlay2/<id>/diff`` and
``<root>/overlay2/l/<short name>``, or relative to ``<root>/overlay2`` where that would be too long. White space, commas
and backslashes stand as three octal digits.

Only the mounts of the process's own namespace are listed, so what is not here may be mounted all the same. Paths are as
whoever mounted saw them, so only their last two parts tell.

Source: proc(5); Linux ``fs/overlayfs/params.c``; moby ``daemon/graphdriver/overlay2/overlay.go``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.store.catalog import CacheID

_SEPARATOR = " - overlay "
_LISTS = frozenset({"lowerdir", "lowerdir+", "datadir+"})
_SINGLE = frozenset({"upperdir", "workdir"})
_OCTAL = re.compile(r"\\([0-7]{3})")
_COMMA, _COLON = re.compile(r"(?<!\\),"), re.compile(r"(?<!\\):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlays:
    """What overlay mounts use."""

    names: frozenset[str] = frozenset()
    """Storage directories that are named."""
    short_names: frozenset[str] = frozenset()
    """Short names in ``l/`` that stand for one."""
    unreadable: tuple[tuple[str, OSError], ...] = ()
    """The lists that could not be read and should have been."""

    def directories(self, short_links: Mapping[str, str]) -> frozenset[CacheID]:
        """The storage directories, the short names followed where the links lead."""
        led_to = (short_links.get(short, "").split("/") for short in self.short_names)
        return frozenset(map(CacheID, self.names)) | {CacheID(parts[1]) for parts in led_to if len(parts) == 3}


def read_overlays(proc: str = "/proc") -> Overlays:
    """What the overlay mounts use that this process sees, and those that the first process sees where this one may
    ask."""
    used: list[str] = []
    unreadable: list[tuple[str, OSError]] = []
    for process, must in (("self", True), ("1", False)):
        path = f"{proc}/{process}/mountinfo"
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:  # noqa: PTH123
                used += mounted_directories(lines)
        except OSError as error:
            if must:
                unreadable.append((path, error))
    names, short_names = set[str](), set[str]()
    for directory in used:
        above, _, last = directory.rstrip("/").rpartition("/")
        name = above.rpartition("/")[2]
        if name == "l":
            short_names.add(last)
        elif name:
            names.add(name)
    return Overlays(names=frozenset(names), short_names=frozenset(short_names), unreadable=tuple(unreadable))


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
