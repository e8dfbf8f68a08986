"""When the engine was started: what it holds in memory alone is younger than that.

The engine does not write it down, but at each start, before it makes the first directory, its driver for local volumes
makes the block device ``volumes/backingFsBlockDev`` anew, to try out quotas, and never touches it again; seen on Docker
20.10 and 26, with and without user namespaces, whatever the filesystem. Its time is by the same clock as that of every
directory that the engine makes.

Where the engine's process can be seen (on the host, or in its process namespace), its own start counts as well, and the
earlier of the two holds: a clock that was set meanwhile then makes the answer too early, which is safe, and not too
late. A rootless engine cannot make the device; there its process alone tells.

A clock that is set back to before the engine's start gives what the engine makes then times before its start. So a
device that was ever seen to be of the future tells nothing, and of a process the earliest start holds that its clock
ever gave.

Nothing that was left by an engine that does not run any more is told apart from what a running one left.

Source: moby ``volume/local/local.go``, ``quota/projectquota.go`` (``makeBackingFsDev``); proc(5).
"""

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from math import inf
from pathlib import Path

BACKING_DEVICE = "volumes/backingFsBlockDev"
_NAME = "dockerd"
_STORAGE_FLAGS = ("--storage-opt",)
_ROOT_FLAGS = ("--data-root", "--graph", "-g")
_LOOK_EVERY = 8
"""Times that it is asked between two looks at all processes, where none was the engine's: an engine that cannot be seen
stays so, and one that is started later leaves its sign in the root."""
_ENDED = frozenset("ZX")
"""The first of the fields after the name in ``/proc/<pid>/stat`` where only its parent has yet to hear of its end."""
_STARTED = 19
"""Which of the fields after the name in ``/proc/<pid>/stat`` is the time of the start, counted from 0."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds of one tick: the time of a start is told no finer."""


def boot_time() -> float:
    """When the machine was booted, Unix seconds by the clock as it is set now; the same each time, to the millisecond,
    until the clock is set. ``btime`` of ``/proc/stat`` is no finer than a second, ``/proc/uptime`` than a hundredth."""
    # A moment passes between two readings, now and then a long one.
    apart = (-time.clock_gettime_ns(time.CLOCK_BOOTTIME) + time.clock_gettime_ns(time.CLOCK_REALTIME) for _ in range(5))
    return round(min(apart) / 1e9, 3)


class EngineClock:
    """Tells when engines were started; looks for their processes anew only when those it knows have ended."""

    def __init__(
        self,
        *,
        proc: str = "/proc",
        booted: Callable[[], float] = boot_time,
        now: Callable[[], float] = time.time,
        name: str = _NAME,
        flags: Collection[str] = _ROOT_FLAGS,
    ) -> None:
        """*proc* is where the kernel tells of processes; *booted* tells when the machine was booted, Unix seconds by
        the clock as it is set now, and *now* what that clock says. *name* is that of the engine's processes, *flags*
        are those that tell it its root."""
        self._proc = proc
        self._name = name
        self._flags = flags
        self._booted = booted
        self._now = now
        self._boot = -inf
        self._asked = 0
        self._earliest: dict[tuple[int, int], float] = {}
        """Of each process, by its number and the ticks of its start."""
        self._ahead: set[tuple[str, float]] = set()
        """The devices, by root and time, that were seen to be of the future."""
        self._known: dict[str, tuple[float, tuple[tuple[int, int], ...]]] = {}

    def started(self, root: str) -> float | None:
        """A moment not after the last start of the engine whose root is *root*, Unix seconds; None where nothing
        tells."""
        return self.started_with(root, _made(f"{root}/{BACKING_DEVICE}"))

    def started_with(self, root: str, sign: float | None) -> float | None:
        """The same, of an engine that left another *sign* when it was started."""
        moments = self._starts(self._processes(root, sign))
        if sign is not None and not self._is_of_the_future(root, sign):
            moments.append(sign)
        return min(moments, default=None)

    def processes(self, root: str) -> tuple[int, ...]:
        """The ids of the processes that may be the engine whose root is *root*, as `started` saw them last."""
        known = self._known.get(root)
        return () if known is None else tuple(pid for pid, _ in known[1])

    def storage_options(self, root: str) -> tuple[str, ...]:
        """What the engine's command line tells its driver (``--storage-opt overlay2.size=10G``); nothing where several
        processes may be the engine."""
        processes = self.processes(root)
        arguments = self._text(processes[0], "cmdline").split("\0") if len(processes) == 1 else []
        return tuple(_values(arguments, _STORAGE_FLAGS))

    def _is_of_the_future(self, root: str, device: float) -> bool:
        """Whether the clock was set back since the device was made, as far as it was ever seen to be."""
        if device > self._now():
            self._ahead.add((root, device))
        return (root, device) in self._ahead

    def _starts(self, processes: tuple[tuple[int, int], ...]) -> list[float]:
        """The earliest start of each process that the clock ever gave, however it was set: what the engine makes has
        times by the clock as it was then."""
        self._earliest = {
            process: min(self._earliest.get(process, inf), self._boot_time() + process[1] * _TICK)
            for process in processes
        }
        return list(self._earliest.values())

    def _boot_time(self) -> float:
        """The boot as last told while the clock was not set: a store that did not change must not seem to."""
        booted = self._booted()
        if abs(booted - self._boot) > _TICK:
            self._boot = booted
        return self._boot

    def _processes(self, root: str, device: float | None) -> tuple[tuple[int, int], ...]:
        """The engine's processes and the ticks of their starts: those of the last time while they run and the engine
        left no sign of a new start. Where none was found, all processes are looked at again now and then only."""
        sign = device or 0.0
        known = self._known.get(root)
        self._asked += 1
        again = not known[1] and self._asked % _LOOK_EVERY == 0 if known is not None else True
        if known is None or again or known[0] != sign or any(self._ticks(pid) != at for pid, at in known[1]):
            known = (sign, tuple(self._engines_of(root)))
            self._known[root] = known
        return known[1]

    def _engines_of(self, root: str) -> Iterator[tuple[int, int]]:
        """All processes that may be the engine: those by its name that do not say that their root is another one. Who
        else takes that name can only make the answer earlier."""
        for pid in self._pids():
            if self._text(pid, "comm").strip() == self._name and self._may_use(root, pid):
                ticks = self._ticks(pid)
                if ticks is not None:
                    yield pid, ticks

    def _may_use(self, root: str, pid: int) -> bool:
        """Whether an engine that was started as *pid* may use *root*, or a directory in it for remapped users. One
        without a command line is about to end."""
        told = self._text(pid, "cmdline")
        named = next(_values(told.split("\0"), self._flags), None)
        return bool(told) and (named is None or os.path.normpath(named) in {root, os.path.dirname(root)})

    def _pids(self) -> list[int]:
        try:
            return [int(name) for name in os.listdir(self._proc) if name.isdecimal()]
        except OSError:
            return []

    def _ticks(self, pid: int) -> int | None:
        """When a process was started, in clock ticks since the boot; None where it has ended, waited for or not."""
        # The name, in parentheses, may hold anything.
        fields = self._text(pid, "stat").rpartition(")")[2].split()
        if fields and fields[0] in _ENDED:
            return None
        return int(fields[_STARTED]) if len(fields) > _STARTED and fields[_STARTED].isdecimal() else None

    def _text(self, *parts: int | str) -> str:
        try:
            return Path(self._proc, *map(str, parts)).read_text(errors="replace")
        except OSError:
            return ""


def _made(path: str) -> float | None:
    """When the block device at *path* was made; None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_mtime if stat.S_ISBLK(status.st_mode) else None


def _values(arguments: list[str], flags: Collection[str]) -> Iterator[str]:
    """What follows each of *flags*."""
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in flags:
            yield from (value,) if equals else arguments[place + 1 : place + 2]
