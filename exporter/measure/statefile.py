"""The state file: an SQLite database of what was measured once, and may be lost without harm.

One process at a time uses it (it is locked as long as it is open), in write-ahead mode: a commit needs no ``fsync``, so
it costs nothing on a slow disk, and after a power cut the file is sound and at most lacks the latest figures. The
lock is for as long as the file is open, which spares the shared-memory file that this mode needs otherwise.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

APPLICATION = 0x4C53_7265
"""Marks our files in SQLite's header, so that nobody else's database is taken for one."""
VERSION = 1
"""Of the schema."""

_SCHEMA = """
CREATE TABLE directory (
    path BLOB PRIMARY KEY,
    inode INTEGER NOT NULL,
    diff_inode INTEGER NOT NULL,
    diff_changed INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    allocated INTEGER NOT NULL CHECK (allocated >= 0),
    inodes INTEGER NOT NULL CHECK (inodes > 0),
    rest INTEGER NOT NULL CHECK (rest >= 0),
    seen INTEGER NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = "path, inode, diff_inode, diff_changed, changed, size, allocated, inodes, rest, seen"
_DROP_BEYOND = """
DELETE FROM directory WHERE path IN (SELECT path FROM directory ORDER BY seen DESC LIMIT -1 OFFSET ?)
"""
_SIDE_FILES = ("-wal", "-shm", "-journal")


class Fault(Enum):
    """Why a state file cannot be used."""

    REFUSED = auto()
    """It cannot be opened or written here; the file itself may be sound."""
    DAMAGED = auto()
    NEWER = auto()
    """A later version of this program wrote it."""


class StateFileError(Exception):
    """The state file cannot be used."""

    def __init__(self, reason: str, *, advice: str, fault: Fault = Fault.REFUSED) -> None:
        super().__init__(reason)
        self.advice = advice
        """What a person can do."""
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is remembered of one storage directory. Times of change are in nanoseconds."""

    path: str
    inode: int
    diff_inode: int
    diff_changed: int
    changed: int
    size: int
    allocated: int
    inodes: int
    rest: int
    seen: int
    """When it was last asked for, in whole Unix seconds."""


class StateFile:
    """An open state file. For one thread at a time; every method may raise `StateFileError`."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it.

        Raises:
            StateFileError: It cannot be used.
        """
        _prepare(path)
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _explained(error) from error
        try:
            self._set_up()
        except sqlite3.Error as error:
            self._database.close()
            raise _explained(error) from error
        except StateFileError:
            self._database.close()
            raise

    def get(self, path: str) -> Row | None:
        """The row of one directory."""
        try:
            found = self._database.execute(
                f"SELECT {_COLUMNS} FROM directory WHERE path = ?",  # noqa: S608 - a constant
                (os.fsencode(path),),
            ).fetchone()
        except sqlite3.Error as error:
            raise _explained(error) from error
        if found is None:
            return None
        if not all(isinstance(value, int) for value in found[1:]):
            raise StateFileError("a row holds what is no number", advice=_RESTART, fault=Fault.DAMAGED)
        _, inode, diff_inode, diff_changed, changed, size, allocated, inodes, rest, seen = found
        return Row(
            path=path,
            inode=inode,
            diff_inode=diff_inode,
            diff_changed=diff_changed,
            changed=changed,
            size=size,
            allocated=allocated,
            inodes=inodes,
            rest=rest,
            seen=seen,
        )

    def put(self, rows: Iterable[Row], *, unseen_since: int, most: int) -> None:
        """Write rows, and drop those not seen since then, and the longest unseen beyond so many: all or nothing."""
        values = [
            (
                os.fsencode(row.path), row.inode, row.diff_inode, row.diff_changed, row.changed,
                row.size, row.allocated, row.inodes, row.rest, row.seen,
            )
            for row in rows
        ]  # fmt: skip
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.executemany(
                    f"INSERT OR REPLACE INTO directory ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - a constant
                    values,
                )
                database.execute("DELETE FROM directory WHERE seen < ?", (unseen_since,))
                database.execute(_DROP_BEYOND, (most,))
                database.execute("COMMIT")
            except sqlite3.Error:
                # A full disk may have rolled it back already.
                if database.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _explained(error) from error

    def __len__(self) -> int:
        try:
            count: int = self._database.execute("SELECT count(*) FROM directory").fetchone()[0]
        except sqlite3.Error as error:
            raise _explained(error) from error
        return count

    def close(self) -> None:
        """Close it and give up the lock. Never raises."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()

    def _set_up(self) -> None:
        database = self._database
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA trusted_schema = OFF")
        # Nothing is written before it is clear that the file is ours.
        application, version = self._pragma("application_id"), self._pragma("user_version")
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        is_new = tables == 0 and application == 0 and version == 0
        if not is_new:
            self._check(application, version)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN IMMEDIATE")
        if is_new:
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")

    def _check(self, application: int, version: int) -> None:
        if application != APPLICATION:
            raise StateFileError(
                "it is another program's database", advice="name a file of its own by --state.path, and restart"
            )
        if version > VERSION:
            raise StateFileError(
                f"its version is {version}, and {VERSION} is the latest that is known here",
                advice=_RESTART,
                fault=Fault.NEWER,
            )
        answer = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise StateFileError(str(answer), advice=_RESTART, fault=Fault.DAMAGED)
        # Fails where columns are missing.
        self._database.execute(f"SELECT {_COLUMNS} FROM directory LIMIT 0")  # noqa: S608 - a constant

    def _pragma(self, name: str) -> int:
        value: int = self._database.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def put_aside(path: str, why: str, *, now: float) -> str:
    """Rename a state file to ``<path>.<why>-<time>``, and return the new path.

    What SQLite keeps beside it goes too: it would be read into the file that is made next. Files that were put aside
    before for the same reason are removed, so that a bad disk does not fill up with them.

    Raises:
        OSError: It cannot be renamed.
    """
    before = [old for old in Path(path).parent.iterdir() if old.name.startswith(f"{Path(path).name}.{why}-")]
    aside = f"{path}.{why}-{int(now)}"
    Path(path).rename(aside)
    for side in _SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            Path(path + side).rename(aside + side)
    for old in before:
        with contextlib.suppress(OSError):
            if str(old) != aside:
                old.unlink()
    return aside


def _prepare(path: str) -> None:
    """Make the file where there is none, for this user alone, and refuse what is no file."""
    try:
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return
    except OSError as error:
        reason = error.strerror or str(error)
        raise StateFileError(reason, advice="name a file in a directory that can be written to") from error
    if not stat.S_ISREG(status.st_mode):
        raise StateFileError("it is no regular file", advice="name a file by --state.path, not a directory")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StateFileError("it cannot be written to", advice=_NO_RIGHT)
    if status.st_mode & 0o077:
        with contextlib.suppress(OSError):
            Path(path).chmod(0o600)


_RESTART = "nothing needs to be done: it is put aside when the exporter is started next"
_OTHERS_USE = "another exporter uses it: end that one, or give each a --state.path of its own"
_NO_RIGHT = "let the exporter write to it and to its directory, or name another by --state.path"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _OTHERS_USE,
    sqlite3.SQLITE_LOCKED: _OTHERS_USE,
    sqlite3.SQLITE_FULL: "free some space on its filesystem, or name a file on another one by --state.path",
    sqlite3.SQLITE_IOERR: "look for faults of its disk, or name a file on another one by --state.path",
    sqlite3.SQLITE_READONLY: _NO_RIGHT,
    sqlite3.SQLITE_CANTOPEN: _NO_RIGHT,
    sqlite3.SQLITE_PERM: _NO_RIGHT,
}
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        # Without a mistake of ours these mean that tables are not what we made.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_CONSTRAINT,
    }
)


def _explained(error: sqlite3.Error) -> StateFileError:
    """What happened, for a person."""
    # The lower byte is the error, the rest its details. The module's own errors have no code: what it cannot decode.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _DAMAGE:
        return StateFileError(str(error), advice=_RESTART, fault=Fault.DAMAGED)
    return StateFileError(str(error), advice=_ADVICE.get(code, "name another file by --state.path"))
