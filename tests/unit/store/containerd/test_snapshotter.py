"""The snapshots that have a directory, from a snapshotter's ``metadata.db``."""

from pathlib import Path

import pytest

from exporter.store.boltrecords import Contents
from exporter.store.catalog import ProblemKind
from exporter.store.containerd.snapshotter import BackendSnapshot, Kind, SnapshotterReader
from tests.store.bolt_files import Tree, encode
from tests.store.containerd_records import CREATED, backend, labels

CHAIN = "sha256:" + "c" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


def read(path: Path, rows: Tree) -> Contents[dict[str, BackendSnapshot]]:
    path.write_bytes(encode({b"v1": {b"snapshots": rows, b"parents": {b"\x01\x00\x02": b"k8s.io/2/b"}}}))
    contents = SnapshotterReader().read(str(path))
    return Contents(value=dict(contents.value), complete=contents.complete, problems=contents.problems)


def snapshot(name: str, number: int, kind: Kind, **values: object) -> BackendSnapshot:
    fields: dict[str, object] = {"parent": None, "size": None, "inodes": None, "labels": {}, **values}
    return BackendSnapshot(name=name, number=number, kind=kind, created=CREATED, **fields)  # type: ignore[arg-type]


def test_snapshots_of_every_kind(path: Path) -> None:
    """A row tells the directory's number, its kind, what lies below, and of a committed one bytes and inodes."""
    base, active, view = f"k8s.io/1/{CHAIN}", "k8s.io/300/container", "moby/7/view"
    rows: Tree = {
        base.encode(): backend(1, 3, size=1_990_656, inodes=3),
        active.encode(): {**backend(300, 2, parent=base), **labels({"containerd.io/snapshot.ref": "x"})},
        view.encode(): backend(2**40, 1, parent=base),
    }
    expected = [
        snapshot(base, 1, Kind.COMMITTED, size=1_990_656, inodes=3),
        snapshot(active, 300, Kind.ACTIVE, parent=base, labels={"containerd.io/snapshot.ref": "x"}),
        snapshot(view, 2**40, Kind.VIEW, parent=base),
    ]
    assert Contents(value={row.name: row for row in expected}) == read(path, rows)


@pytest.mark.parametrize(
    ("name", "namespace", "key"),
    [
        (f"k8s.io/12/{CHAIN}", "k8s.io", CHAIN),
        ("moby/3/name/with/slashes", "moby", "name/with/slashes"),
        ("chosen by another client", "", "chosen by another client"),
    ],
)
def test_names(name: str, namespace: str, key: str) -> None:
    """A name begins with the namespace and a number; a key may have slashes of its own."""
    row = snapshot(name, 1, Kind.VIEW)
    assert (namespace, key) == (row.namespace, row.key)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({b"kind": b"\x02"}, "id is not there"),
        ({b"id": b"\x01"}, "kind is not there"),
        ({b"id": b"\x01", b"kind": b"\x00"}, "kind is 0x00, which is none"),
        ({b"id": b"\x01", b"kind": b"\x04"}, "kind is 0x04, which is none"),
        ({b"id": b"\x01", b"kind": b"\x03\x03"}, "kind is 0x0303, which is none"),
        ({b"id": b"\x81", b"kind": b"\x03"}, "0x81 is not a varint of 64 bits"),
        ({b"id": {}, b"kind": b"\x03"}, "id is not there"),
    ],
)
def test_a_row_whose_directory_is_not_to_be_told(path: Path, row: Tree, reason: str) -> None:
    """Such a row is a problem, and makes the rows incomplete: its directory must not be taken for nobody's."""
    contents = read(path, {b"a": row, b"b": backend(2, 2)})
    assert (list(contents.value), contents.complete) == (["b"], False)
    (problem,) = contents.problems
    expected = (str(path), ProblemKind.MALFORMED_RECORD, f"'a': {reason}")
    assert expected == (problem.path, problem.kind, problem.reason)


def test_a_row_with_odd_figures(path: Path) -> None:
    """Odd figures are left out and told; the directory is known."""
    contents = read(path, {b"a": {**backend(2, 3), b"size": b"\x80", b"inodes": b"\x01"}})
    assert (contents.value["a"].number, contents.value["a"].size, contents.value["a"].inodes) == (2, None, None)
    assert [problem.reason for problem in contents.problems] == [
        "'a': size: 0x80 is not a varint of 64 bits",
        "'a': inodes: -1 is less than 0",
    ]
    assert contents.complete


def test_no_snapshots(path: Path) -> None:
    """A snapshotter that was never used, or that is not there, has no snapshots, and nothing is wrong."""
    assert Contents(value={}, found=False) == SnapshotterReader().read(str(path))
    unused: list[Tree] = [{}, {b"v1": {}}, {b"v1": {b"snapshots": {}}}]
    for tree in unused:
        path.write_bytes(encode(tree))
        assert Contents(value={}) == SnapshotterReader().read(str(path))


def test_a_schema_that_is_not_known(path: Path) -> None:
    """Another schema is named, and nothing is guessed from it."""
    path.write_bytes(encode({b"v2": {b"snapshots": {}}}))
    contents = SnapshotterReader().read(str(path))
    assert ([item.reason for item in contents.problems], contents.complete) == (["schema 'v2', not 'v1'"], False)
