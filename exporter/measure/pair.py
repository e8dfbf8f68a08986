"""Measures trees with two processes, for a person who waits.

The work is shared as it goes, since nobody knows beforehand how large a tree is: whoever has nothing left to do asks
the other for half of what it still has. An interpreter runs one thread at a time, so the other is a process. It is
started once the work turns out to take long; where it cannot be had, or is lost, the first does everything.

Files with several names may turn up on both sides. Each side keeps their sizes, so that what both counted is taken off
once.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.measure.bound import Bound, honest_limit
from exporter.measure.descent import Descent, is_gone
from exporter.measure.listing import BLOCK, Pace, unhurried
from exporter.measure.usage import EMPTY, Usage
from exporter.measure.walk import Part, Walk, Walked

LONG = 0.03
"""Seconds of work after which another process is worth its start."""

_POLL = 16
"""Calls of the pace between two looks at what the other side says."""

_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from exporter.measure.pair import serve; serve()"


def measure_all(
    paths: Sequence[str],
    *,
    pace: Pace = unhurried,
    begins: Callable[[int], None] = lambda _: None,
    alone: bool = False,
    patience: float = LONG,
) -> list[Walked | OSError]:
    """Measure several trees, each as `measure` does.

    Args:
        paths: The top directories.
        pace: As for `measure`; told of this process's own progress only.
        begins: Told the position of each tree when one of the two begins with it; again where the other was lost.
        alone: Do without another process.
        patience: Seconds of work before another process is started.

    Returns:
        For each tree what was found, or why it could not be measured.
    """
    side = _First(paths, pace, begins, patience=None if alone or len(os.sched_getaffinity(0)) < 2 else patience)
    try:
        return side.measure()
    except _LostError:
        return measure_all(paths, pace=pace, begins=begins, alone=True)
    finally:
        side.close()


class _LostError(Exception):
    """The other process is gone."""


@dataclass(frozen=True, slots=True)
class _Job:
    tree: int
    part: Part | None
    """None for the whole tree."""

    def to_json(self) -> list[Any]:
        return [self.tree, None if self.part is None else [self.part.components, self.part.names]]

    @classmethod
    def from_json(cls, tree: int, part: list[list[str]] | None) -> "_Job":
        return cls(tree, None if part is None else Part(tuple(part[0]), tuple(part[1])))


@dataclass(slots=True)
class _Sums:
    """What one side found of one tree."""

    usage: Usage = EMPTY
    directories: int = 0
    links: int = 0
    vanished: int = 0
    unreadable: int = 0
    cut: bool = False
    error: tuple[int, str] | None = None
    linked: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Files with several names: inode → size, blocks."""

    def add(self, walked: Walked) -> None:
        self.usage += walked.usage
        self.directories += walked.directories
        self.links += walked.links
        self.vanished += walked.vanished
        self.unreadable += walked.unreadable
        self.cut |= walked.cut

    def fail(self, error: OSError) -> None:
        self.error = error.errno or 0, error.strerror or str(error)

    def merge(self, other: "_Sums") -> None:
        both = self.linked.keys() & other.linked.keys()
        size = sum(other.linked[inode][0] for inode in both)
        blocks = sum(other.linked[inode][1] for inode in both)
        self.add(other.walked)
        self.usage += Usage(size=-size, allocated=-blocks * BLOCK, inodes=-len(both))
        self.error = self.error or other.error

    @property
    def walked(self) -> Walked:
        return Walked(
            usage=self.usage,
            directories=self.directories,
            links=self.links,
            vanished=self.vanished,
            unreadable=self.unreadable,
            cut=self.cut,
        )

    @property
    def outcome(self) -> Walked | OSError:
        return self.walked if self.error is None else OSError(*self.error)

    def to_json(self) -> list[Any]:
        usage = [self.usage.size, self.usage.allocated, self.usage.inodes]
        counts = [self.directories, self.links, self.vanished, self.unreadable, self.cut]
        return [usage, counts, self.error, [[inode, *sizes] for inode, sizes in self.linked.items()]]

    @classmethod
    def from_json(
        cls, usage: list[int], counts: list[Any], error: list[Any] | None, linked: list[list[int]]
    ) -> "_Sums":
        directories, links, vanished, unreadable, cut = counts
        return cls(
            usage=Usage(size=usage[0], allocated=usage[1], inodes=usage[2]),
            directories=directories,
            links=links,
            vanished=vanished,
            unreadable=unreadable,
            cut=cut,
            error=None if error is None else (error[0], error[1]),
            linked={inode: (size, blocks) for inode, size, blocks in linked},
        )


class _SharedWalk(Walk):
    """A walk that keeps the sizes of files with several names."""

    __slots__ = ("_sizes",)

    def __init__(self, descent: Descent, bound: Bound, sizes: dict[int, tuple[int, int]]) -> None:
        super().__init__(descent, bound)
        self._sizes = sizes

    def is_first_name(self, status: os.stat_result) -> bool:
        self._links += 1
        if status.st_ino in self._sizes:
            return False
        self._sizes[status.st_ino] = status.st_size, status.st_blocks
        self._bound.allow(status.st_nlink)
        return True


class _Channel:
    """Messages between the two, as lines of JSON: a word, and what it is about."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._read = bytearray()
        self._searched = 0
        """So many bytes of what was read hold no end of a line: a message may have many megabytes."""

    def send(self, word: str, *what: Any) -> None:
        try:
            self._end.sendall(json.dumps([word, *what]).encode() + b"\n")
        except OSError as error:
            raise _LostError from error

    def receive(self, *, timeout: float) -> list[Any] | None:
        """The next message; None where none comes in so many seconds."""
        while True:
            end = self._read.find(b"\n", self._searched)
            if end >= 0:
                message: list[Any] = json.loads(self._read[:end])
                del self._read[: end + 1]
                self._searched = 0
                return message
            self._searched = len(self._read)
            if not select.select([self._end], [], [], timeout)[0]:
                return None
            more = self._end.recv(1 << 20)
            if not more:
                raise _LostError
            self._read += more

    def close(self) -> None:
        self._end.close()


class _Side:
    """One of the two: does its jobs, and shares them when asked."""

    def __init__(self, paths: Sequence[str], pace: Pace, begins: Callable[[int], None]) -> None:
        self.paths = paths
        self.sums: dict[int, _Sums] = {}
        self.jobs: deque[_Job] = deque()
        self.channel: _Channel | None = None
        self.is_asked = False
        """Whether the other side waits for jobs."""
        self._pace = pace
        self._begins = begins
        self._walk: tuple[int, Walk] | None = None
        self._calls = 0

    def work(self, job: _Job) -> None:
        sums = self.sums.setdefault(job.tree, _Sums())
        if job.part is None:
            self._begins(job.tree)
        try:
            with Descent(self.paths[job.tree]) as descent:
                walk = _SharedWalk(descent, Bound(self._advance, limit=honest_limit(descent.fd)), sums.linked)
                self._walk = job.tree, walk
                walk.run(job.part)
                sums.add(walk.result)
        except OSError as error:
            if job.part is not None and is_gone(error):
                sums.vanished += len(job.part.names)
            else:
                sums.fail(error)
        finally:
            self._walk = None

    def _advance(self, entries: int) -> None:
        self._pace(entries)
        self._calls += 1
        if self._calls % _POLL == 0 and self.channel is not None:
            while (message := self.channel.receive(timeout=0)) is not None:
                self.hear(message)
            if self.is_asked:
                self._share(self.channel)

    def hear(self, message: list[Any]) -> None:
        match message:
            case ["want"]:
                self.is_asked = True
            case ["begins", tree]:
                self._begins(tree)
            case ["jobs", jobs]:
                self.jobs.extend(_Job.from_json(*job) for job in jobs)

    def _share(self, channel: _Channel) -> None:
        """Give half of what is left to the other side: of the trees, or else of the tree under way."""
        jobs = [self.jobs.pop() for _ in range((len(self.jobs) + 1) // 2)]
        if not jobs and self._walk is not None:
            tree, walk = self._walk
            jobs = [_Job(tree, part) for part in walk.give()]
        if jobs:
            channel.send("jobs", [job.to_json() for job in jobs])
            self.is_asked = False


class _First(_Side):
    """The side that was asked to measure."""

    def __init__(
        self, paths: Sequence[str], pace: Pace, begins: Callable[[int], None], *, patience: float | None
    ) -> None:
        super().__init__(paths, self._tick, begins)
        self._told = pace
        self._start_at = None if patience is None else time.monotonic() + patience
        self._process: subprocess.Popen[bytes] | None = None
        self.jobs.extend(_Job(tree, None) for tree in range(len(paths)))

    def measure(self) -> list[Walked | OSError]:
        while (job := self._next()) is not None:
            self.work(job)
        if self.channel is not None:
            self.channel.send("end")
            self._merge(self.channel)
        return [self.sums[tree].outcome for tree in range(len(self.paths))]

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _next(self) -> _Job | None:
        if not self.jobs and self.channel is not None:
            self.channel.send("want")
            # Once both want, there is nothing left.
            while not self.jobs and not self.is_asked:
                message = self.channel.receive(timeout=0.1)
                self._told(0)
                if message is not None:
                    self.hear(message)
        return self.jobs.popleft() if self.jobs else None

    def _merge(self, channel: _Channel) -> None:
        while (message := channel.receive(timeout=0.1)) is None or message[0] != "found":
            self._told(0)
            if message is not None:
                self.hear(message)
        for tree, sums in message[1]:
            self.sums.setdefault(tree, _Sums()).merge(_Sums.from_json(*sums))

    def _tick(self, entries: int) -> None:
        self._told(entries)
        if self._start_at is not None and time.monotonic() >= self._start_at:
            self._start_at = None
            self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 (this very interpreter, and a program without input)
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(sys.path)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                return
        self.channel = _Channel(ours)
        self.channel.send("paths", list(self.paths))


def serve() -> None:
    """Be the other process: do what comes in by the socket that is standard input."""
    # An interrupt at the terminal reaches both; the first one ends the second by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = _Channel(socket.socket(fileno=os.dup(0)))
    try:
        _serve(channel)
    except _LostError:
        raise SystemExit(1) from None
    finally:
        channel.close()


def _serve(channel: _Channel) -> None:
    first = channel.receive(timeout=60.0)
    if first is None:
        return
    side = _Side(first[1], unhurried, lambda tree: channel.send("begins", tree))
    side.channel = channel
    while True:
        channel.send("want")
        while not side.jobs:
            message = channel.receive(timeout=60.0)
            if message == ["end"]:
                channel.send("found", [[tree, sums.to_json()] for tree, sums in side.sums.items()])
                return
            if message is not None and message[0] == "jobs":
                side.hear(message)
        while side.jobs:
            side.work(side.jobs.popleft())
