"""Whatever bytes containerd's records hold, reading them ends in values and problems."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.store.bolt import Tree
from exporter.store.containerd.encoding import signed, unsigned
from exporter.store.containerd.metadata import MetadataReader, Namespace
from exporter.store.containerd.snapshotter import SnapshotterReader
from exporter.store.records import Malformed
from tests.store import containerd_records
from tests.store.bolt_files import encode

VALUES = st.binary(max_size=24) | st.sampled_from([b"", b"\x01", b"\x02", b"\x03", b"\x06", b"sha256:" + b"a" * 64])
NAMES = st.sampled_from(
    [
        b"version", b"labels", b"images", b"containers", b"content", b"blob", b"snapshots", b"sandboxes", b"leases",
        b"target", b"digest", b"size", b"name", b"parent", b"kind", b"id", b"inodes", b"createdat", b"runtime",
        b"overlayfs", b"sha256:" + b"a" * 64, b"containerd.io/gc.ref.content.0", b"containerd.io/gc.ref.snapshot.x",
    ]
) | st.binary(min_size=1, max_size=6)  # fmt: skip
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=6),
    lambda inner: st.dictionaries(NAMES, VALUES | inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(value=st.integers(0, 2**64 - 1))
def test_numbers(value: int) -> None:
    """Each number of 64 bits is read as it was written."""
    assert value == unsigned(containerd_records.unsigned(value))
    assert value - 2**63 == signed(containerd_records.signed(value - 2**63))


@settings(deadline=None)
@given(raw=st.binary(max_size=12) | st.integers(0, 10**6).map(lambda size: b"\x80" * size))
def test_any_number(raw: bytes) -> None:
    """What is no number is Malformed, however long it is."""
    try:
        value = unsigned(raw)
    except Malformed:
        return
    assert 0 <= value < 2**64


@settings(deadline=None)
@given(namespaces=st.dictionaries(NAMES, TREES, max_size=3), version=st.integers(0, 4))
def test_any_metadata(namespaces: dict[bytes, Tree], version: int) -> None:
    """Any tree in place of ``meta.db`` gives records and problems, and every question about the records an answer."""
    tree: Tree = {b"v1": {**namespaces, b"version": containerd_records.signed(version)}, **namespaces}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "meta.db")
        path.write_bytes(encode(tree))
        contents = MetadataReader().read(str(path))
    assert contents.complete or contents.problems
    for namespace in contents.value.namespaces.values():
        _ask(namespace)


def _ask(namespace: Namespace) -> None:
    for image in namespace.images.values():
        assert namespace.blobs_of(image.digest) <= set(namespace.blobs)
        namespace.snapshots_of(image.digest, "x")
        for label in (*image.labels, *image.labels.values()):
            label.encode()


@settings(deadline=None)
@given(rows=TREES)
def test_any_snapshotter(rows: Tree) -> None:
    """Any tree in place of a snapshotter's rows gives rows and problems."""
    buckets = sum(not isinstance(row, bytes) for row in rows.values())
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "metadata.db")
        path.write_bytes(encode({b"v1": {b"snapshots": rows}}))
        contents = SnapshotterReader().read(str(path))
    assert contents.complete == (len(contents.value) == buckets)
    assert len(contents.problems) >= buckets - len(contents.value)
    for row in contents.value.values():
        assert (row.number >= 0, row.size is None or row.size >= 0) == (True, True)
