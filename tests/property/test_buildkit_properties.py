"""Whatever bytes a build cache's records hold, reading them ends in values and remarks."""

import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.store.buildkit import BuildCacheReader, parse_record, parse_snapshot
from exporter.store.records import Malformed
from tests.store.bolt_files import encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
VALUES = st.binary(max_size=40) | st.sampled_from([b"", b"sha256:" + b"a" * 64, b"directory", b"12", b"."])
KEYS = st.binary(min_size=1, max_size=20) | st.sampled_from([b"a", b"directory", b"sha256:" + b"a" * 64, b"sha256:b"])
ROWS = st.dictionaries(st.sampled_from([b"parent", b"committed", b"iscommitted", b"chainid", b"size"]), VALUES)
FIELDS = st.sampled_from(
    [
        b"cache.snapshot",
        b"cache.equalMutable",
        b"cache.parent",
        b"cache.mergeParents",
        b"cache.lowerDiffParent",
        b"cache.description",
        b"cache.recordType",
        b"cache.createdAt",
        b"cache.lastUsedAt",
        b"cache.usageCount",
        b"snapshot.size",
    ]
)
RECORDS = st.dictionaries(FIELDS, VALUES | JSON.map(lambda value: json.dumps({"value": value}).encode()))


@settings(deadline=None)
@given(key=st.text(max_size=80), values=ROWS)
def test_any_row(key: str, values: dict[bytes, bytes]) -> None:
    """A row is parsed, or Malformed; a directory that it tells is a plain name."""
    with contextlib.suppress(Malformed):
        directory = parse_snapshot(key, values).record.directory
        assert directory is None or (directory not in {"", ".", ".."} and "/" not in directory)


@settings(deadline=None)
@given(values=RECORDS)
def test_any_record(values: dict[bytes, bytes]) -> None:
    """A record is always parsed, and its texts can be written."""
    record = parse_record("id", values).record
    for text in (record.description, record.snapshot, record.record_type, *record.parents):
        text.encode()
    assert record.size is None or record.size >= 0


@settings(deadline=None)
@given(snapshots=st.dictionaries(KEYS, ROWS, max_size=5), records=st.dictionaries(KEYS, RECORDS, max_size=5))
def test_any_cache(snapshots: dict[bytes, dict[bytes, bytes]], records: dict[bytes, dict[bytes, bytes]]) -> None:
    """Whatever the rows hold, each is known or a problem, and no question about the cache fails."""
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root, "buildkit")
        directory.mkdir()
        (directory / "snapshots.db").write_bytes(encode(snapshots))
        (directory / "metadata_v2.db").write_bytes(encode({b"_main": records}))
        cache = BuildCacheReader().read(root)
    assert cache.complete or cache.problems
    left_out = len(snapshots) - len(cache.snapshots) + len(records) - len(cache.records)
    assert left_out <= len(cache.problems)
    assert cache.complete == (not left_out)
    assert {row.directory for row in cache.snapshots.values()} - {None} <= cache.known_directories
    assert not cache.chain_ids & cache.stale_chain_ids
    for record in cache.records.values():
        row = cache.row_of(record)
        assert cache.size_of(record) == (record.size if row is None or record.size is not None else row.size)
