"""containerd's own records, from ``meta.db``."""

from pathlib import Path

import pytest

from exporter.store.boltfile import Limits
from exporter.store.boltrecords import Contents
from exporter.store.catalog import ProblemKind
from exporter.store.containerd.metadata import (
    BlobRecord,
    ContainerRecord,
    ImageRecord,
    LeaseRecord,
    Metadata,
    MetadataReader,
    Namespace,
    SandboxRecord,
    SnapshotRecord,
)
from tests.store.bolt_files import Tree, encode
from tests.store.containerd_records import CREATED, blob, image, moment, signed, snapshot, times

INDEX, MANIFEST, CONFIG, LAYER, OTHER = (f"sha256:{name * 64}" for name in "1234f")
CHAIN, BASE = "sha256:" + "c" * 64, "sha256:" + "b" * 64
POD = {b"io.kubernetes.pod.name": b"web-0", b"io.cri-containerd.kind": b"container"}

KUBERNETES: Tree = {
    b"labels": {b"owner": b"cri"},
    b"images": {b"docker.io/library/web:1": image(INDEX, texts={"io.cri-containerd.image": "managed"})},
    b"content": {
        b"blob": {
            INDEX.encode(): blob(900, needs=[MANIFEST, OTHER]),
            MANIFEST.encode(): blob(1284, needs=[CONFIG, LAYER]),
            CONFIG.encode(): blob(4000, unpacked={"overlayfs": CHAIN, "native": BASE}),
            LAYER.encode(): blob(3_000_000),
        }
    },
    b"snapshots": {
        b"overlayfs": {
            BASE.encode(): snapshot(f"k8s.io/1/{BASE}"),
            CHAIN.encode(): snapshot(f"k8s.io/2/{CHAIN}", parent=BASE),
            b"container": snapshot("k8s.io/3/container", parent=CHAIN),
        }
    },
    b"containers": {
        b"container": {
            **times(),
            b"image": b"docker.io/library/web:1",
            b"snapshotter": b"overlayfs",
            b"snapshotKey": b"container",
            b"sandboxid": b"pod",
            b"spec": b"\n\x04spec",
            b"runtime": {b"name": b"io.containerd.runc.v2", b"options": b""},
            b"labels": POD,
        }
    },
    b"sandboxes": {b"pod": {**times(), b"sandboxer": b"podsandbox", b"runtime": {b"name": b"io.containerd.runc.v2"}}},
    b"leases": {
        b"lease": {
            b"createdat": moment(CREATED),
            b"labels": {b"containerd.io/gc.expire": b"2030-01-01T00:00:00Z"},
            b"content": {LAYER.encode(): b""},
            b"snapshots": {b"overlayfs": {CHAIN.encode(): b"", BASE.encode(): b""}, b"native": {b"x": b""}},
            b"ingests": {b"ref": b""},
        }
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


def read(path: Path, tree: Tree) -> Contents[Metadata]:
    path.write_bytes(encode(tree))
    return MetadataReader().read(str(path))


def read_one(path: Path, namespace: Tree, *, version: int = 4) -> Namespace:
    contents = read(path, {b"v1": {b"version": signed(version), b"k8s.io": namespace}})
    assert (contents.complete, contents.problems) == (True, ())
    return contents.value.namespaces["k8s.io"]


def test_every_kind_of_record(path: Path) -> None:
    """Images, blobs, snapshots, containers, sandboxes and leases are told with what joins them."""
    shown = read_one(path, KUBERNETES)
    expected = Namespace(
        name="k8s.io",
        labels={"owner": "cri"},
        images={
            "docker.io/library/web:1": ImageRecord(
                name="docker.io/library/web:1",
                digest=INDEX,
                media_type="application/vnd.oci.image.manifest.v1+json",
                size=1284,
                created=CREATED,
                labels={"io.cri-containerd.image": "managed"},
            )
        },
        blobs=shown.blobs,
        snapshots={
            "overlayfs": {
                key: SnapshotRecord(key=key, name=name, parent=parent, created=CREATED, labels={})
                for key, name, parent in (
                    (BASE, f"k8s.io/1/{BASE}", None),
                    (CHAIN, f"k8s.io/2/{CHAIN}", BASE),
                    ("container", "k8s.io/3/container", CHAIN),
                )
            }
        },
        containers={
            "container": ContainerRecord(
                container_id="container",
                image="docker.io/library/web:1",
                snapshotter="overlayfs",
                snapshot_key="container",
                sandbox_id="pod",
                runtime="io.containerd.runc.v2",
                created=CREATED,
                labels={"io.kubernetes.pod.name": "web-0", "io.cri-containerd.kind": "container"},
            )
        },
        sandboxes={
            "pod": SandboxRecord(
                sandbox_id="pod", sandboxer="podsandbox", runtime="io.containerd.runc.v2", created=CREATED, labels={}
            )
        },
        leases={
            "lease": LeaseRecord(
                lease_id="lease",
                blobs=frozenset({LAYER}),
                snapshots=frozenset({("overlayfs", CHAIN), ("overlayfs", BASE), ("native", "x")}),
                created=CREATED,
                labels={"containerd.io/gc.expire": "2030-01-01T00:00:00Z"},
            )
        },
    )
    assert expected == shown
    assert BlobRecord(digest=LAYER, size=3_000_000, created=CREATED, labels={}) == shown.blobs[LAYER]
    assert set(shown.blobs) == {INDEX, MANIFEST, CONFIG, LAYER}


def test_from_an_image_to_its_blobs_and_layers(path: Path) -> None:
    """By labels an image leads to the blobs that are here, and to what each snapshotter unpacked it to."""
    namespace = read_one(path, KUBERNETES)
    assert {INDEX, MANIFEST, CONFIG, LAYER} == namespace.blobs_of(INDEX)
    assert ({CHAIN}, {BASE}) == (namespace.snapshots_of(INDEX, "overlayfs"), namespace.snapshots_of(INDEX, "native"))
    assert (set(), set()) == (namespace.blobs_of(OTHER), namespace.snapshots_of(OTHER, "overlayfs"))


def test_references_are_told_by_the_rules_of_the_collector(path: Path) -> None:
    """A label refers by its exact name, or with a dot or a slash behind it; a longer name refers to nothing."""
    labels = {
        b"containerd.io/gc.ref.content": MANIFEST.encode(),
        b"containerd.io/gc.ref.content.config": CONFIG.encode(),
        b"containerd.io/gc.ref.content/layer": LAYER.encode(),
        b"containerd.io/gc.ref.contentious": OTHER.encode(),
        b"containerd.io/gc.ref.snapshot.overlayfs/linux": CHAIN.encode(),
        b"containerd.io/gc.ref.snapshot.overlayfs-fuse": OTHER.encode(),
    }
    namespace = read_one(path, {b"content": {b"blob": {INDEX.encode(): {b"labels": labels}}}})
    assert {MANIFEST, CONFIG, LAYER} == set(namespace.blobs[INDEX].needs_blobs)
    assert list(namespace.blobs[INDEX].needs_snapshots("overlayfs")) == [CHAIN]


def test_blobs_that_need_each_other(path: Path) -> None:
    """A loop of references, which no image has but any client can label, is followed once."""
    blobs: Tree = {INDEX.encode(): blob(1, needs=[MANIFEST]), MANIFEST.encode(): blob(2, needs=[INDEX, MANIFEST])}
    assert {INDEX, MANIFEST} == read_one(path, {b"content": {b"blob": blobs}}).blobs_of(INDEX)


def test_docker_names_no_snapshot(path: Path) -> None:
    """Docker's containers tell neither image nor snapshot."""
    record: Tree = {**times(), b"image": b"", b"snapshotter": b"", b"snapshotKey": b"", b"sandboxid": b""}
    container = read_one(path, {b"containers": {b"id": record}}).containers["id"]
    assert (container.image, container.snapshotter, container.snapshot_key, container.runtime) == ("", "", "", "")


def test_several_namespaces(path: Path) -> None:
    """Each client's namespace is told by itself, whatever it is called and however little it has."""
    contents = read(path, {b"v1": {b"version": signed(4), b"moby": KUBERNETES, b"moby_history": {}, b"default": {}}})
    assert {"moby", "moby_history", "default"} == set(contents.value.namespaces)
    assert Namespace(name="default") == contents.value.namespaces["default"]


def test_sandboxes_of_an_older_schema(path: Path) -> None:
    """Up to schema 1.3 sandboxes are kept beside ``v1``."""
    sandbox: Tree = {**times(), b"sandboxer": b"podsandbox", b"runtime": {b"name": b"runc"}}
    contents = read(path, {b"v1": {b"version": signed(3), b"k8s.io": {}}, b"k8s.io": {b"sandboxes": {b"pod": sandbox}}})
    assert list(contents.value.namespaces["k8s.io"].sandboxes) == ["pod"]
    assert (contents.value.version, contents.complete) == (3, True)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (
            {b"v1": {b"version": signed(5), b"k8s.io": KUBERNETES}},
            "schema 1.5 is newer than 1.4, the newest that is known",
        ),
        ({b"v2": {b"k8s.io": {}}}, "schema 'v2', not 'v1'"),
        ({b"v1": {b"version": b"\xff\xff", b"k8s.io": {}}}, "version: 0xffff is not a varint of 64 bits"),
    ],
)
def test_a_schema_that_is_not_known(path: Path, tree: Tree, reason: str) -> None:
    """A newer schema is named, and nothing is guessed from it."""
    contents = read(path, tree)
    assert (contents.value.namespaces, contents.complete) == ({}, False)
    (problem,) = contents.problems
    assert (str(path), ProblemKind.MALFORMED_RECORD, reason) == (problem.path, problem.kind, problem.reason)


@pytest.mark.parametrize(
    ("namespace", "reason"),
    [
        ({b"images": {b"web": {b"target": {}}}}, "'web': target.digest is not there"),
        ({b"images": {b"web": {b"target": b"value"}}}, "'web': target.digest is not there"),
        ({b"snapshots": {b"overlayfs": {b"key": times()}}}, "'key': name is not there"),
        ({b"images": {b"\xff": image(INDEX)}}, "'\\\\xff': its name is not UTF-8"),
    ],
)
def test_a_record_that_tells_too_little(path: Path, namespace: Tree, reason: str) -> None:
    """A record without what identifies it is a problem, and makes the records incomplete."""
    contents = read(path, {b"v1": {b"version": signed(4), b"k8s.io": namespace, b"default": KUBERNETES}})
    assert ([reason], False) == ([problem.reason for problem in contents.problems], contents.complete)
    assert len(contents.value.namespaces["default"].images) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x80", "size: 0x80 is not a varint of 64 bits"),
        (b"\x02\x02", "size: 0x0202 is not a varint of 64 bits"),
        (b"\xff" * 9 + b"\x7f", "size: 0xffffffffffffffffff7f is not a varint of 64 bits"),
        (b"\xff" * 99, "size: 0xffffffffffffffffffffffffffffffff is not a varint of 64 bits"),
        (signed(-2), "size: -2 is less than 0"),
    ],
)
def test_a_record_with_an_odd_number(path: Path, value: bytes, reason: str) -> None:
    """An odd value is left out and told; the record stays, and so do its other values."""
    blobs: Tree = {b"content": {b"blob": {LAYER.encode(): {**times(), b"size": value}}}}
    contents = read(path, {b"v1": {b"version": signed(4), b"k8s.io": blobs}})
    assert ([f"'{LAYER}': {reason}"], True) == ([problem.reason for problem in contents.problems], contents.complete)
    found = contents.value.namespaces["k8s.io"].blobs[LAYER]
    assert (found.size, found.created) == (None, CREATED)


@pytest.mark.parametrize(
    ("value", "created"),
    [
        (moment(CREATED, version=2), CREATED),
        (moment(-62_135_596_800), None),
        (b"\x01" + bytes(14), None),
        (b"", None),
    ],
)
def test_times(path: Path, value: bytes, created: float | None) -> None:
    """Both forms of Go's times are read; its zero time is none."""
    assert (
        created == read_one(path, {b"content": {b"blob": {LAYER.encode(): {b"createdat": value}}}}).blobs[LAYER].created
    )


@pytest.mark.parametrize("value", [b"\x01", b"\x03" + bytes(14), b"\x01" + bytes(13), b"\x01" + bytes(15), b"2024"])
def test_odd_times(path: Path, value: bytes) -> None:
    """What is no time is left out and told."""
    blobs: Tree = {b"content": {b"blob": {LAYER.encode(): {b"createdat": value}}}}
    (problem,) = read(path, {b"v1": {b"version": signed(4), b"k8s.io": blobs}}).problems
    assert problem.reason == f"'{LAYER}': createdat: 0x{value.hex()} is not a time"


def test_labels_of_any_bytes(path: Path) -> None:
    """Labels are chosen by anybody: what is not UTF-8 in them is shown as such, and hides nothing."""
    containers: Tree = {b"containers": {b"id": {b"labels": {b"\xff": b"a\xfeb", b"bucket": {}}}}}
    assert read_one(path, containers).containers["id"].labels == {"\ufffd": "a\ufffdb"}


def test_no_database(path: Path) -> None:
    """Without a database, or with an empty one, there are no records, and nothing is wrong."""
    assert Contents(value=Metadata(), found=False) == MetadataReader().read(str(path))
    assert Contents(value=Metadata()) == read(path, {})


def test_a_damaged_database(path: Path) -> None:
    """A damaged database is one problem, and everything is incomplete."""
    path.write_bytes(encode({b"v1": {b"version": signed(4)}})[:-1])
    contents = MetadataReader().read(str(path))
    assert (Metadata(), False) == (contents.value, contents.complete)
    (problem,) = contents.problems
    assert problem.reason.startswith("truncated")


def test_a_database_that_never_rests(path: Path) -> None:
    """A database to which is committed all the time is incomplete, and no problem."""
    path.write_bytes(encode({b"v1": {b"version": signed(4)}}))
    contents = MetadataReader(limits=Limits(attempts=0)).read(str(path))
    assert Contents(value=Metadata(), complete=False) == contents
