"""Remembers across restarts what was measured once and never changes: the immutable storage directories.

A figure belongs to one directory as it is, not to its name. It is recalled only where the inode of the storage
directory, the inode of the directory with the layer's files in it, and the latter's time of change are what they were
when it was measured. No process can set a time of change, so a directory that is made anew under an old name, even
with an old inode number, inherits nothing. The device's number is left out on purpose: it may be another one after a
reboot.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from exporter.measure.statefile import Fault, Row, StateFile, StateFileError, put_aside
from exporter.measure.usage import Usage

FILE_NAME = "measured.sqlite"
KEEP = 14 * 86_400
"""Seconds after which a directory that nobody asked for is forgotten: a root may be away for days, and come back."""
MOST = 50_000
"""Directories remembered at most: some 20 MB of file."""

_TOUCH = 86_400
"""Seconds after which it is noted again that a directory is still there."""
_RETRY = 60.0
_LARGEST = (1 << 63) - 1
"""The largest number that SQLite holds; some filesystems' inode numbers have 64 bits."""


class Log(Protocol):
    """What is needed of a logger: structlog's, or a test's."""

    def info(self, event: str, **fields: object) -> object:
        """Log *event* as worth knowing."""

    def warning(self, event: str, **fields: object) -> object:
        """Log *event* as a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which directory it is, and that its files are as they were."""

    inode: int
    diff_inode: int
    diff_changed: int
    """``st_ctime_ns`` of the directory with the layer's files in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What was measured of a storage directory."""

    identity: Identity
    changed: int
    """``st_ctime_ns`` of the storage directory, for which `rest` holds; `diff` holds whatever it is."""
    diff: Usage
    """Of the directory with the layer's files in it."""
    rest: int
    """Allocated bytes of all else: the storage directory itself, ``link``, ``lower``, ``work``."""

    @property
    def allocated(self) -> int:
        """Allocated bytes of the whole storage directory."""
        return self.diff.allocated + self.rest


def identity_of(directory: str, diff: str) -> tuple[Identity, int]:
    """The identity of a storage directory whose files are in its entry *diff*, and when the directory itself changed
    (``st_ctime_ns``).

    Raises:
        OSError: One of them is missing.
    """
    own = os.stat(directory, follow_symlinks=False)
    files = os.stat(f"{directory}/{diff}", follow_symlinks=False)
    identity = Identity(inode=own.st_ino & _LARGEST, diff_inode=files.st_ino & _LARGEST, diff_changed=files.st_ctime_ns)
    return identity, own.st_ctime_ns


class Memory:
    """What is remembered, by the path of the storage directory. For one thread at a time; nothing here raises.

    Without a state file it remembers nothing, which costs a measurement after each restart and is no fault.
    """

    def __init__(
        self,
        file: StateFile | None = None,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        log: Log | None = None,
    ) -> None:
        """Remember in *file*; see `open_memory`."""
        self._file = file
        self._now = now
        self._monotonic = monotonic
        self._log: Log = structlog.get_logger() if log is None else log
        self._pending: dict[str, Row] = {}
        self._retry_at = 0.0
        self._is_failing = False

    @property
    def is_kept(self) -> bool:
        """Whether it outlives the process."""
        return self._file is not None

    def recall(self, path: str, identity: Identity) -> Remembered | None:
        """What was measured of this very directory; None where nothing is known."""
        row = self._pending.get(path) or self._get(path)
        if row is None:
            return None
        known = _remembered(row)
        if known.identity != identity:
            return None
        now = int(self._now())
        if abs(now - row.seen) > _TOUCH:
            self._pending[path] = replace(row, seen=now)
        return known

    def remember(self, path: str, measured: Remembered) -> None:
        """Remember what was measured; `flush` writes it."""
        # Whoever made the image chose the files' sizes, and holes may add up to more than the state file can hold.
        if self._file is not None and len(self._pending) < MOST and measured.diff.size <= _LARGEST:
            self._pending[path] = _row(path, measured, seen=int(self._now()))

    def flush(self) -> None:
        """Write what is new, if anything is. Where that fails, it is tried again by a later call, and said once."""
        if self._file is None or not self._pending or self._monotonic() < self._retry_at:
            return
        try:
            self._file.put(self._pending.values(), unseen_since=int(self._now()) - KEEP, most=MOST)
        except StateFileError as error:
            self._retry_at = self._monotonic() + _RETRY
            self._failed(error)
            return
        self._pending.clear()
        if self._is_failing:
            self._is_failing = False
            self._log.info("the state file is written again")

    def close(self) -> None:
        """Write what is new, and close the state file."""
        self._retry_at = 0.0
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _get(self, path: str) -> Row | None:
        if self._file is None:
            return None
        try:
            return self._file.get(path)
        except StateFileError as error:
            self._failed(error)
            return None

    def _failed(self, error: StateFileError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._log.warning(
                "measurements are not remembered for the time being", reason=str(error), advice=error.advice
            )
        if error.fault is not Fault.REFUSED and self._file is not None:
            self._file.close()
            self._file = None


def open_memory(
    path: str | None,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    log: Log | None = None,
) -> Memory:
    """A memory in the state file at *path*; None for one that ends with the process.

    A damaged file is put aside (``<path>.damaged-<time>``) and begun anew, and so is one that a later version wrote
    (``<path>.newer-<time>``). A file that cannot be used otherwise is left as it is, and the memory ends with the
    process. Either is one line in the log; nothing raises.
    """
    told: Log = structlog.get_logger() if log is None else log
    file = None
    if path is not None:
        try:
            file = _opened(path, now(), told)
        except StateFileError as error:
            told.warning(
                "measurements are not remembered across restarts", path=path, reason=str(error), advice=error.advice
            )
    return Memory(file, now=now, monotonic=monotonic, log=told)


def default_state_path(environ: Mapping[str, str]) -> str | None:
    """The state file below ``$STATE_DIRECTORY``, which systemd sets (systemd.exec, ``StateDirectory=``; several are
    separated by colons); None without one."""
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return f"{directory}/{FILE_NAME}" if directory.startswith("/") else None


def _opened(path: str, now: float, log: Log) -> StateFile:
    try:
        return StateFile(path)
    except StateFileError as error:
        if error.fault is Fault.REFUSED:
            raise
        why = "damaged" if error.fault is Fault.DAMAGED else "newer"
        try:
            aside = put_aside(path, why, now=now)
        except OSError as refused:
            advice = f"remove it, or let the exporter rename it: {refused.strerror}"
            raise StateFileError(str(error), advice=advice) from refused
        log.warning("the state file was put aside and begun anew", path=path, reason=str(error), aside=aside)
    return StateFile(path)


def _remembered(row: Row) -> Remembered:
    return Remembered(
        identity=Identity(inode=row.inode, diff_inode=row.diff_inode, diff_changed=row.diff_changed),
        changed=row.changed,
        diff=Usage(size=row.size, allocated=row.allocated, inodes=row.inodes),
        rest=row.rest,
    )


def _row(path: str, measured: Remembered, *, seen: int) -> Row:
    return Row(
        path=path,
        inode=measured.identity.inode,
        diff_inode=measured.identity.diff_inode,
        diff_changed=measured.identity.diff_changed,
        changed=measured.changed,
        size=measured.diff.size,
        allocated=measured.diff.allocated,
        inodes=measured.diff.inodes,
        rest=measured.rest,
        seen=seen,
    )
