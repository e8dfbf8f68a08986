"""The build cache of the builder inside of the engine, from its two databases."""

import json
from pathlib import Path

import pytest

from exporter.store.boltfile import Limits
from exporter.store.buildkit import (
    BuildCache,
    BuildCacheReader,
    CacheRecord,
    CacheSnapshot,
    parse_record,
    parse_snapshot,
)
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.entries import CacheID, ChainID
from exporter.store.records import Malformed
from tests.store.bolt_files import Tree, encode

BASE = ChainID("sha256:" + "ba" * 32)
TOP = ChainID("sha256:" + "70" * 32)
STALE = ChainID("sha256:" + "57" * 32)
DIRECTORY, SOURCE, RUNNING = "dir0dir0dir0dir0dir0dir0d", "source0source0source0sour", "running0running0running0r"
COMMITTED, REFERENCE, LEFT = "committed0committed0commi", "reference0reference0refer", "left0left0left0left0left0"

SNAPSHOTS: Tree = {
    # Built on an image's layer, and exported as a layer itself.
    DIRECTORY.encode(): {b"parent": BASE.encode(), b"iscommitted": b""},
    COMMITTED.encode(): {b"committed": DIRECTORY.encode(), b"chainid": TOP.encode(), b"size": b"307200"},
    # The image's layer: by its chain ID, and by the record that the cache has of it.
    BASE.encode(): {},
    REFERENCE.encode(): {b"chainid": BASE.encode()},
    # The context of a build, and a step that is under way.
    SOURCE.encode(): {b"parent": b"", b"size": b"1982256"},
    RUNNING.encode(): {b"parent": COMMITTED.encode()},
    # What a prune left.
    LEFT.encode(): {b"chainid": STALE.encode()},
}


def record(**values: object) -> Tree:
    """A record as the engine writes it; names go with ``_`` for ``.``."""
    return {
        name.replace("_", ".", 1).encode(): b"" if value is None else json.dumps({"value": value}).encode()
        for name, value in values.items()
    }


RECORDS: Tree = {
    COMMITTED.encode(): record(
        cache_description="mount / from exec /bin/sh -c make",
        cache_parent=REFERENCE,
        cache_createdAt=1_700_000_000_500_000_000,
        cache_lastUsedAt=1_700_000_001_000_000_000,
        cache_usageCount=3,
        cache_equalMutable=None,
        snapshot_size=307200,
    ),
    REFERENCE.encode(): record(cache_snapshot=BASE, snapshot_size=0),
    SOURCE.encode(): record(cache_recordType="source.local", snapshot_size=-1),
    b"equal0equal0equal0equal0e": record(cache_equalMutable=SOURCE),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "buildkit").mkdir()
    return tmp_path


def write(root: Path, *, snapshots: Tree = SNAPSHOTS, records: Tree = RECORDS, txid: int = 7) -> None:
    (root / "buildkit/snapshots.db").write_bytes(encode(snapshots, txid=txid))
    (root / "buildkit/metadata_v2.db").write_bytes(encode({b"_main": records, b"_index": {}}, txid=txid))


def read(root: Path) -> BuildCache:
    return BuildCacheReader().read(str(root))


def test_the_rows(root: Path) -> None:
    """Each row of ``snapshots.db`` tells its directory, where it has one, its layer, and what lies below."""
    write(root)

    def row(key: str, directory: str | None, *, parent: str | None = None, **values: object) -> CacheSnapshot:
        fields: dict[str, object] = {"committed": True, "chain_id": None, "size": None, **values}
        name = None if directory is None else CacheID(directory)
        return CacheSnapshot(key=key, directory=name, parent=parent, **fields)  # type: ignore[arg-type]

    expected = [
        row(DIRECTORY, DIRECTORY, parent=BASE),
        row(COMMITTED, DIRECTORY, chain_id=TOP, size=307200),
        row(BASE, None, chain_id=BASE),
        row(REFERENCE, None, chain_id=BASE),
        row(SOURCE, SOURCE, committed=False, size=1982256),
        row(RUNNING, RUNNING, committed=False, parent=COMMITTED),
        row(LEFT, None, chain_id=STALE),
    ]
    cache = read(root)
    assert {row.key: row for row in expected} == cache.snapshots
    assert (cache.complete, cache.problems) == (True, ())


def test_a_record(root: Path) -> None:
    """A record tells what made it, what it is made on, and how it was used, in Unix seconds and bytes."""
    write(root)
    expected = CacheRecord(
        record_id=COMMITTED,
        snapshot=COMMITTED,
        equal_mutable=None,
        parents=(REFERENCE,),
        description="mount / from exec /bin/sh -c make",
        record_type="regular",
        created=1_700_000_000.5,
        last_used=1_700_000_001.0,
        usage_count=3,
        size=307200,
    )
    assert expected == read(root).records[COMMITTED]


def test_a_record_that_tells_nothing() -> None:
    """What a record does not tell is absent, and a size of -1 is none."""
    expected = CacheRecord(
        record_id="id",
        snapshot="id",
        equal_mutable=None,
        parents=(),
        description="",
        record_type="regular",
        created=None,
        last_used=None,
        usage_count=0,
        size=None,
    )
    for values in ({}, {b"snapshot.size": b'{"value":-1}'}, {b"cache.createdAt": b'{"value":0}', b"cache.parent": b""}):
        parsed = parse_record("id", values)
        assert (expected, ()) == (parsed.record, parsed.remarks)


def test_merged_records() -> None:
    """A record that merges others, as ``COPY --link`` makes it, names all of them."""
    values = {
        b"cache.mergeParents": b'{"value":["a","b"]}',
        b"cache.lowerDiffParent": b'{"value":"c"}',
        b"cache.upperDiffParent": b'{"value":"d"}',
    }
    assert parse_record("id", values).record.parents == ("c", "d", "a", "b")


def test_the_known_directories(root: Path) -> None:
    """No key that could be a directory's name is left out, whether or not there is such a directory now."""
    write(root)
    assert {DIRECTORY, SOURCE, RUNNING, COMMITTED, REFERENCE, LEFT} == read(root).known_directories


def test_the_layers_in_use(root: Path) -> None:
    """The cache uses the layers that its directories became or lie on, and those that its records lead to."""
    write(root)
    assert {BASE, TOP} == read(root).chain_ids
    assert {STALE} == read(root).stale_chain_ids


def test_references_that_a_prune_left(root: Path) -> None:
    """Without records, references are stale; what has a directory still uses the layer below it."""
    write(root, records={})
    assert ({BASE, TOP}, {STALE}) == (read(root).chain_ids, read(root).stale_chain_ids)
    write(root, records={}, snapshots={key: SNAPSHOTS[key] for key in (BASE.encode(), REFERENCE.encode())})
    assert (set(), {BASE}) == (read(root).chain_ids, read(root).stale_chain_ids)


def test_a_record_equal_to_another(root: Path) -> None:
    """Of two records with the same content one has the directory; both have its size."""
    write(root)
    cache = read(root)
    first, second = cache.records[SOURCE], cache.records["equal0equal0equal0equal0e"]
    assert second.equal_mutable == first.record_id
    assert cache.row_of(second) == cache.row_of(first) == cache.snapshots[SOURCE]
    assert (cache.size_of(first), cache.size_of(second)) == (1982256, 1982256)


def test_sizes(root: Path) -> None:
    """A size is where the engine last wrote it: in the record, or in its row; or nowhere yet."""
    write(root, snapshots={**SNAPSHOTS, SOURCE.encode(): {b"parent": b""}})
    cache = read(root)
    assert cache.size_of(cache.records[COMMITTED]) == 307200
    assert cache.size_of(cache.records[REFERENCE]) == 0
    assert cache.size_of(cache.records[SOURCE]) is None


def test_no_build_cache(tmp_path: Path) -> None:
    """An engine that never built anything with BuildKit has no build cache, and nothing is wrong."""
    assert BuildCache(has_rows=False) == read(tmp_path)
    (tmp_path / "buildkit").mkdir()
    assert BuildCache(has_rows=False) == read(tmp_path)


def test_new_databases(root: Path) -> None:
    """Databases in which nothing was written yet hold nothing."""
    for name in ("snapshots.db", "metadata_v2.db"):
        (root / "buildkit" / name).write_bytes(encode({}))
    assert BuildCache() == read(root)


@pytest.mark.parametrize(
    ("key", "values", "reason"),
    [
        ("sha256:short", {}, "chain ID is 'sha256:short', not sha256: and 64 hex digits"),
        ("a/b", {b"parent": b""}, "'a/b' is not a directory's name"),
        ("..", {b"parent": b""}, "'..' is not a directory's name"),
        ("key", {b"committed": b"../../etc"}, "'../../etc' is not a directory's name"),
        ("key", {b"committed": b"\xff"}, "not ASCII text"),
        ("key", {b"committed": b""}, "empty"),
    ],
)
def test_a_row_whose_directory_is_not_to_be_told(root: Path, key: str, values: dict[bytes, bytes], reason: str) -> None:
    """Such a row is a problem, and the cache incomplete: its directory must not be taken for nobody's."""
    with pytest.raises(Malformed) as caught:
        parse_snapshot(key, values)
    assert reason == str(caught.value)
    write(root, snapshots={**SNAPSHOTS, key.encode(): values})
    cache = read(root)
    database = f"{root}/buildkit/snapshots.db"
    problem = Problem(path=database, kind=ProblemKind.MALFORMED_RECORD, reason=f"'{key}': {reason}")
    assert ((problem,), False, len(SNAPSHOTS)) == (cache.problems, cache.complete, len(cache.snapshots))


@pytest.mark.parametrize(
    ("name", "value", "remark"),
    [
        (b"size", b"12 kB", "size: '12 kB' is not a number of bytes"),
        (b"size", b"-1", "size: '-1' is not a number of bytes"),
        (b"size", b"9" * 20, "size: '99999999999999999999' is not a number of bytes"),
        (b"chainid", b"TOP", "chainid: chain ID is 'TOP', not sha256: and 64 hex digits"),
        (b"parent", b"a/../b", "parent: 'a/../b' is not a directory's name"),
        (b"parent", b"\x80", "parent: not ASCII text"),
    ],
)
def test_a_row_with_one_odd_value(name: bytes, value: bytes, remark: str) -> None:
    """What else is odd in a row is left out and remarked on; its directory is known."""
    parsed = parse_snapshot("key", {b"parent": b"", name: value})
    assert ("key", (remark,)) == (parsed.record.directory, parsed.remarks)
    assert (parsed.record.size, parsed.record.chain_id, parsed.record.parent) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "remark"),
    [
        (b"not JSON", "not JSON"),
        (b"[]", "a list, not a JSON object"),
        (b'{"value":7}', "value is a number, not a string"),
        (b'{"value":["x"]}', "value is a list, not a string"),
        (b'{"value":"\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
    ],
    ids=["text", "list", "number", "inner list", "bytes", "deep"],
)
def test_a_record_with_one_odd_value(root: Path, value: bytes, remark: str) -> None:
    """A malformed value of a record is a problem, and hides neither the record nor its other values."""
    write(root, records={b"id": {**record(snapshot_size=5), b"cache.description": value}})
    cache = read(root)
    assert (list(cache.records), cache.records["id"].size, cache.complete) == (["id"], 5, True)
    (problem,) = cache.problems
    assert (f"{root}/buildkit/metadata_v2.db", ProblemKind.MALFORMED_RECORD) == (problem.path, problem.kind)
    assert problem.reason.startswith("'id': cache.description: ")
    assert remark in problem.reason


@pytest.mark.parametrize("name", ["snapshots.db", "metadata_v2.db"])
def test_a_damaged_database(root: Path, name: str) -> None:
    """A database that cannot be read is a problem, and makes the cache incomplete; the other one is read."""
    write(root)
    path = root / "buildkit" / name
    path.write_bytes(path.read_bytes()[:-1])
    cache = read(root)
    (problem,) = cache.problems
    assert (str(path), ProblemKind.MALFORMED_RECORD) == (problem.path, problem.kind)
    assert problem.reason.startswith("truncated")
    assert (False, name == "snapshots.db") == (cache.complete, not cache.snapshots)


def test_an_unreadable_database(root: Path) -> None:
    """What the system refuses to open is told apart from what is damaged."""
    write(root)
    path = root / "buildkit/snapshots.db"
    path.rename(root / "elsewhere.db")
    path.symlink_to(root / "elsewhere.db")
    (problem,) = read(root).problems
    assert (problem.kind, problem.reason) == (ProblemKind.UNREADABLE_RECORD, "Too many levels of symbolic links")


def test_a_database_that_never_rests(root: Path) -> None:
    """An engine that commits during every attempt to read leaves the cache incomplete, but nothing is wrong with it."""
    write(root)
    cache = BuildCacheReader(limits=Limits(attempts=0)).read(str(root))
    assert BuildCache(complete=False) == cache


def test_what_did_not_change_is_not_read_again(root: Path) -> None:
    """A database is read anew after a commit, and only then."""
    write(root, txid=7)
    reader = BuildCacheReader()
    first = reader.read(str(root))
    again = reader.read(str(root))
    assert first == again
    assert first.snapshots is again.snapshots
    write(root, snapshots={}, txid=9)
    assert reader.read(str(root)).snapshots == {}
