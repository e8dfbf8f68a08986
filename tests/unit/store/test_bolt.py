"""Reading bolt databases: what they hold, and what happens when the engine commits meanwhile."""

import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.store import bolt
from exporter.store.boltfile import BoltBusyError, BoltError, Limits
from tests.store.bolt_files import FIRST_PAGE, Tree, encode, load, meta

SMALL: Tree = {b"v1": {b"snapshots": {b"a": b"1", b"b": b"22"}, b"version": b"3"}}
LARGE: Tree = {
    b"v1": {
        b"empty": {},
        b"many": {b"key %06d" % number: b"%d" % number * 7 for number in range(5000)},
        b"nested": {b"row %04d" % number: {b"id": b"%d" % number, b"labels": {}} for number in range(700)},
        b"one": b"",
    },
    b"v2": {b"long": bytes(range(256)) * 400, b"longer": bytes(1 << 20), b"tail": b"."},
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "meta.db")


def write(path: str, content: bytes) -> None:
    """Write in place, as bolt does: the file stays the same one."""
    with open(path, "r+b" if Path(path).exists() else "wb") as file:  # noqa: PTH123 - no truncation is meant
        file.write(content)


@pytest.mark.parametrize("page_size", [1 << power for power in range(9, 17)])
def test_all_that_a_database_holds(path: str, page_size: int) -> None:
    """Values and buckets, inline or with pages of their own, on one page, on trees of pages, and on long ones."""
    write(path, encode(LARGE, page_size=page_size))
    assert load(path) == LARGE


def test_a_database_without_buckets(path: str) -> None:
    """A database that an engine has just made is empty."""
    write(path, encode({}))
    assert load(path) == {}


def test_the_order_of_keys(path: str) -> None:
    """Values come in the order of their keys' bytes, over all pages."""
    write(path, encode(LARGE))
    keys = bolt.snapshot(path, lambda tx: [key for key, _ in _bucket(tx, b"v1", b"many").items()])
    assert sorted(keys) == keys
    assert len(keys) == 5000


def _bucket(tx: bolt.Transaction, *names: bytes) -> bolt.Bucket:
    found = tx.bucket(*names)
    assert found is not None
    return found


def test_asking_for_one_value(path: str) -> None:
    """``get`` finds each value by its key, in a tree of pages and on an inline page."""
    write(path, encode(LARGE, page_size=512))

    def read(tx: bolt.Transaction) -> tuple[list[bytes | None], list[bytes | None]]:
        many = _bucket(tx, b"v1", b"many")
        rows = [_bucket(tx, b"v1", b"nested", b"row %04d" % number) for number in range(0, 700, 50)]
        return [many.get(b"key %06d" % number) for number in range(5000)], [row.get(b"id") for row in rows]

    expected = [b"%d" % number * 7 for number in range(5000)], [b"%d" % number for number in range(0, 700, 50)]
    assert expected == bolt.snapshot(path, read)


@pytest.mark.parametrize("key", [b"", b"key", b"key 0024990", b"key 004999 ", b"l", b"\xff" * 99])
def test_asking_for_what_is_not_there(path: str, key: bytes) -> None:
    """A key before, between and behind the others has no value, and no bucket."""
    write(path, encode(LARGE, page_size=512))

    def read(tx: bolt.Transaction) -> tuple[object, ...]:
        many = _bucket(tx, b"v1", b"many")
        return many.get(key), many.bucket(key), tx.bucket(b"v1", key), tx.bucket(key, b"many")

    assert bolt.snapshot(path, read) == (None, None, None, None)


def test_values_are_not_buckets(path: str) -> None:
    """A value is not found as a bucket, nor a bucket as a value."""
    write(path, encode(SMALL))
    found = bolt.snapshot(path, lambda tx: (tx.bucket(b"v1", b"version"), _bucket(tx, b"v1").get(b"snapshots")))
    assert found == (None, None)


def test_the_identity_tells_states_apart(path: str) -> None:
    """The identity stays as long as nothing is committed, and is that of the state that was read."""
    write(path, encode(SMALL, txid=7))
    first, again = bolt.identity(path), bolt.identity(path)
    read = bolt.snapshot(path, lambda tx: tx.identity)
    write(path, encode(SMALL, txid=8))
    assert first == again == read
    assert first.txid == 7
    assert bolt.identity(path).txid == 8


@pytest.mark.parametrize("damaged", [0, 1])
def test_one_meta_page_is_enough(path: str, damaged: int) -> None:
    """While one of the meta pages is being written, the other one counts, wherever its place is."""
    for page_size in (512, 4096, 65536):
        content = bytearray(encode(SMALL, txid=7, page_size=page_size))
        content[damaged * page_size + 70] ^= 1
        write(path, bytes(content))
        assert load(path) == SMALL
        assert bolt.identity(path).txid == (7 if damaged == 0 else 6)


Reader = Callable[[bolt.Transaction], object]


class Engine:
    """Commits in place, while a reading is under way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.txid = 7
        self.readings = 0
        self.commit({b"bucket": {b"round": b"0"}})

    def commit(self, tree: Tree) -> None:
        self.txid += 2
        write(self.path, encode(tree, txid=self.txid))

    def reader(
        self, *, commits: int, then: Callable[[bolt.Transaction], object]
    ) -> Callable[[bolt.Transaction], object]:
        """Reads, but for the first *commits* times commits before it does."""

        def read(tx: bolt.Transaction) -> object:
            self.readings += 1
            if self.readings <= commits:
                self.commit({b"bucket": {b"round": b"%d" % self.readings}})
            return then(tx)

        return read


@pytest.fixture
def engine(path: str) -> Engine:
    return Engine(path)


NEVER_COPIED = Limits(copy=0)


def _round(tx: bolt.Transaction) -> object:
    return _bucket(tx, b"bucket").get(b"round")


def test_a_reading_is_begun_anew_when_the_engine_commits(engine: Engine) -> None:
    """What is handed back comes from one state: that of the last commit."""
    found = bolt.snapshot(engine.path, engine.reader(commits=3, then=_round), limits=NEVER_COPIED)
    assert (found, engine.readings) == (b"3", 4)


def test_a_copied_state_stays_what_it_was(engine: Engine) -> None:
    """The second attempt reads a copy, which an engine that commits in the middle of each reading cannot disturb."""
    found = bolt.snapshot(engine.path, engine.reader(commits=99, then=_round))
    assert (found, engine.readings) == (b"1", 2)


def test_an_engine_that_always_commits(engine: Engine) -> None:
    """After the last attempt the reading is given up, by an error of its own that blames nobody's data."""
    limits = Limits(copy=0, attempts=5)
    with pytest.raises(BoltBusyError, match="changed during each of 5 readings"):
        bolt.snapshot(engine.path, engine.reader(commits=99, then=_round), limits=limits)
    assert engine.readings == 5


def test_a_meta_page_that_is_half_written(engine: Engine) -> None:
    """A meta page that is not valid yet may hide a commit, so from its first byte on the reading does not count."""

    def half_written(tx: bolt.Transaction) -> object:
        engine.readings += 1
        if engine.readings == 1:
            slot = (tx.txid + 1) % 2
            torn = meta(slot, txid=tx.txid + 1, root=FIRST_PAGE, pages=FIRST_PAGE + 1)[:72]
            with open(engine.path, "r+b") as file:  # noqa: PTH123 - written in place
                file.seek(slot * 4096)
                file.write(torn)
        return _round(tx)

    assert bolt.snapshot(engine.path, half_written, limits=NEVER_COPIED) == b"0"
    assert engine.readings == 2


def test_a_database_that_is_replaced(engine: Engine, tmp_path: Path) -> None:
    """A file moved into the database's place is another one, even with the same transaction id."""

    def replace(tx: bolt.Transaction) -> object:
        engine.readings += 1
        if engine.readings == 1:
            (tmp_path / "new").write_bytes(encode({b"bucket": {b"round": b"new"}}, txid=tx.txid))
            (tmp_path / "new").rename(engine.path)
        return _round(tx)

    assert bolt.snapshot(engine.path, replace, limits=NEVER_COPIED) == b"new"


def test_a_database_that_is_removed(engine: Engine) -> None:
    """What vanishes while it is read is told as vanished."""

    def remove(tx: bolt.Transaction) -> object:
        Path(engine.path).unlink()
        return _round(tx)

    with pytest.raises(FileNotFoundError):
        bolt.snapshot(engine.path, remove)


def test_a_reader_that_fails_over_a_changed_state(engine: Engine) -> None:
    """Pages overwritten in the middle of a reading may look like anything: what they make fail does not count."""

    def fail(tx: bolt.Transaction) -> object:
        if engine.readings <= 2:
            raise ZeroDivisionError
        return _round(tx)

    assert bolt.snapshot(engine.path, engine.reader(commits=2, then=fail), limits=NEVER_COPIED) == b"2"


@pytest.mark.parametrize("commits", [0, 1])
def test_a_reader_that_fails_over_one_state(engine: Engine, commits: int) -> None:
    """What fails on a consistent state, copied or not, is the reader's own error."""

    def fail(tx: bolt.Transaction) -> object:
        raise ZeroDivisionError(tx.txid)

    with pytest.raises(ZeroDivisionError):
        bolt.snapshot(engine.path, engine.reader(commits=commits, then=fail))
    assert engine.readings == commits + 1


def test_a_bucket_ends_with_its_transaction(path: str) -> None:
    """Buckets that a reader lets escape read nothing more: not even from a file that got the same descriptor."""
    write(path, encode(LARGE))
    escaped = bolt.snapshot(path, lambda tx: _bucket(tx, b"v1"))
    with open(path, "rb"), pytest.raises(BoltError, match="Bad file descriptor"):  # noqa: PTH123
        escaped.get(b"one")


def test_no_lock_is_asked_for_and_none_held(path: str) -> None:
    """A database is read while the engine holds its exclusive lock, and an engine that starts gets it meanwhile."""
    write(path, encode(SMALL))

    def lock(_: bolt.Transaction) -> str:
        with open(path, "rb") as file:  # noqa: PTH123 - the engine's own descriptor
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return str(load(path) == SMALL)

    assert bolt.snapshot(path, lock) == "True"


def test_nothing_stays_open(path: str) -> None:
    """Each reading closes what it opened, however it ends."""
    write(path, encode(SMALL))
    before = os.listdir("/proc/self/fd")
    load(path)
    bolt.identity(path)
    with pytest.raises(ZeroDivisionError):
        bolt.snapshot(path, lambda _: 1 // 0)
    assert before == os.listdir("/proc/self/fd")


def test_a_missing_database(path: str) -> None:
    """What is not there is told as such, not as damage."""
    with pytest.raises(FileNotFoundError):
        load(path)
    with pytest.raises(FileNotFoundError):
        bolt.identity(path)


def _symlink(path: Path) -> None:
    path.with_name("target").write_bytes(encode(SMALL))
    path.symlink_to(path.with_name("target"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (_symlink, "Too many levels of symbolic links"),
        (_socket, "No such device or address"),
        pytest.param(
            _device,
            "not a regular file",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device"),
        ),
    ],
    ids=["directory", "fifo", "symlink", "socket", "device"],
)
def test_what_is_no_file(path: str, make: Callable[[Path], None], reason: str) -> None:
    """Only a regular file is read; anything else is refused at once and by name, never waited for."""
    make(Path(path))
    with pytest.raises(BoltError) as caught:
        load(path)
    assert (path, reason) == (caught.value.path, caught.value.reason)
