"""containerd's records, damaged or strange: named, never guessed at, and everything else goes on."""

import os
import time
from pathlib import Path

import pytest

from exporter.account.owners import Owner
from exporter.account.ownership import LASTING, classify
from exporter.account.reclaim import Kind, removable
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.containerd.roots import MEASURABLE
from exporter.store.entries import CacheID, ImageID
from tests.store.containerd_roots import ACTIVE, ContainerdRootBuilder, chain_ids, sha256
from tests.unit.store.containerd.hosts import docker, kubernetes, scan, survey

META = "io.containerd.metadata.v1.bolt/meta.db"


def found(root: Path) -> Store:
    """The one store, with the problems that two looks agree on."""
    (store,) = survey(containerd=root).catalog().stores
    return store


def short(root: Path, problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    return sorted((problem.kind.value, problem.path.removeprefix(f"{root}/")) for problem in problems)


def test_nothing_is_wrong(tmp_path: Path) -> None:
    """An honest node and an honest Docker have no problem."""
    kubernetes(tmp_path / "node")
    docker(tmp_path / "docker")
    assert found(tmp_path / "node").problems == ()
    assert survey(docker=tmp_path / "docker").catalog().stores[0].problems == ()


def test_a_database_of_a_newer_schema_is_named(tmp_path: Path) -> None:
    """What it says is not guessed at: there are no stores, and a problem that says why."""
    builder = kubernetes(tmp_path)
    builder.version = 5
    builder.write()
    catalog = scan(containerd=tmp_path)
    assert catalog.stores == ()
    assert [problem.reason for problem in catalog.problems] == [
        "schema 1.5 is newer than 1.4, the newest that is known"
    ]


def test_a_database_that_is_none(tmp_path: Path) -> None:
    """It is named, and nothing is made of it; so is the snapshotter's, beside which the records still tell of
    images."""
    builder = kubernetes(tmp_path)
    builder.metadata.write_bytes(b"not a database" * 1000)
    assert short(tmp_path, scan(containerd=tmp_path).problems) == [("malformed_record", META)]
    builder.write()
    builder.database.write_bytes(b"")
    store = found(tmp_path)
    assert short(tmp_path, store.problems) == [
        ("malformed_record", f"io.containerd.snapshotter.v1.{MEASURABLE}/metadata.db")
    ]
    assert len(store.images) == 3
    ownership = classify(store, now=time.time())
    assert {Owner.ORPHAN, Owner.IMAGE_LAYER, Owner.CONTAINER_UPPER} <= ownership.untold


def test_a_database_that_was_deleted(tmp_path: Path) -> None:
    """It is one problem, however much in the other one, and on the disk, goes with it."""
    builder = kubernetes(tmp_path)
    builder.database.unlink()
    store = found(tmp_path)
    assert short(tmp_path, store.problems) == [
        ("missing_record", f"io.containerd.snapshotter.v1.{MEASURABLE}/metadata.db")
    ]
    assert Owner.ORPHAN in classify(store, now=time.time()).untold
    builder.write()
    builder.metadata.unlink()
    catalog = scan(containerd=tmp_path)
    assert (catalog.stores, short(tmp_path, catalog.problems)) == ((), [("missing_record", META)])


def test_a_parent_that_is_missing(tmp_path: Path) -> None:
    """It is the layer's problem; the image that needs it is not told of as well, and there is no orphan figure."""
    builder = kubernetes(tmp_path)
    base = sha256(b"base")
    del builder.rows[builder.row_of("k8s.io", base)]
    del builder.space("k8s.io").snapshots[MEASURABLE][base.encode()]
    builder.write()

    store = found(tmp_path)

    above = [chain_ids([base, sha256(part)])[1] for part in (b"web", b"tool")]
    missed = sorted(("missing_parent", f"{META}/v1/k8s.io/snapshots/overlayfs/{key}") for key in above)
    assert short(tmp_path, store.problems) == missed
    assert Owner.ORPHAN in classify(store, now=time.time()).untold


def test_a_record_that_the_snapshotter_knows_nothing_of(tmp_path: Path) -> None:
    """Its row is missed, and what is on it still has its place."""
    builder = kubernetes(tmp_path)
    web = chain_ids([sha256(b"base"), sha256(b"web")])[1]
    del builder.rows[builder.row_of("k8s.io", web)]
    builder.write()
    store = found(tmp_path)
    assert short(tmp_path, store.problems) == [
        ("missing_record", f"{META}/v1/k8s.io/snapshots/overlayfs/{web}"),
    ]
    assert store.layers[web].cache_id is None  # type: ignore[index]


def test_files_that_are_missing(tmp_path: Path) -> None:
    """A layer whose directory is gone is damage."""
    builder = kubernetes(tmp_path)
    number = 2
    (builder.snapshotter / f"snapshots/{number}/fs/file").unlink()
    (builder.snapshotter / f"snapshots/{number}/fs").rmdir()
    store = found(tmp_path)
    assert [(problem.kind, problem.reason) for problem in store.problems] == [
        (
            ProblemKind.MISSING_DIFF_DIRECTORY,
            f"its files should be in {builder.snapshotter}/snapshots/{number}/fs, which is not there",
        )
    ]


def test_an_image_without_content(tmp_path: Path) -> None:
    """It is there, without layers, and what is missing is named."""
    builder = kubernetes(tmp_path)
    builder.image("k8s.io", "docker.io/library/gone:1", "sha256:" + "9" * 64)
    builder.write()
    store = found(tmp_path)
    assert store.images[ImageID("sha256:" + "9" * 64)].chain_ids == ()
    assert short(tmp_path, store.problems) == [("missing_record", f"{META}/v1/k8s.io/images/docker.io/library/gone:1")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, "missing_record"), (b"{", "malformed_record"), (b'{"rootfs": {"diff_ids": []}}', "malformed_record")],
)
def test_a_configuration_that_is_damaged(tmp_path: Path, content: bytes | None, kind: str) -> None:
    """The image has its layers all the same, by what lies below the snapshot that it is unpacked to."""
    builder = kubernetes(tmp_path)
    target, chain = builder.manifest("k8s.io", "damaged")
    builder.image("k8s.io", "docker.io/library/damaged:1", target)
    builder.write()
    configurations = [
        digest.decode() for digest, blob in builder.space("k8s.io").blobs.items() if chain[-1] in str(blob)
    ]
    (configuration,) = configurations
    path = builder.blobs / configuration.removeprefix("sha256:")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    store = found(tmp_path)
    assert {problem.kind.value for problem in store.problems} == {kind}
    assert {problem.path for problem in store.problems} == {str(path)}
    if content is None or b"rootfs" not in content:
        assert list(store.images[ImageID(target)].chain_ids) == chain


class TestLeftOvers:
    """Directories and rows without a record."""

    def test_a_directory_without_a_row(self, tmp_path: Path) -> None:
        """While something was committed within the last minute it may be being removed; then, if it is older than
        containerd's start, it is an orphan. What is new is being made."""
        builder = kubernetes(tmp_path)
        builder.directory("4711")
        builder.directory("new-123")
        (store,) = scan(containerd=tmp_path).stores
        made = store.directories[CacheID("new-123")].modified
        assert classify(store, now=made + 1).owners[CacheID("new-123")] is Owner.IN_FLIGHT
        builder.age(10 * 365 * 86_400)  # before this machine was started
        committed = made - 86_400
        os.utime(builder.database, (committed, committed))
        (store,) = scan(containerd=tmp_path).stores
        first = classify(store, now=committed + 59)
        assert first.owners[CacheID("4711")] is Owner.REMOVING
        later = classify(store, now=committed + 61)
        assert later.owners[CacheID("4711")] is Owner.SUSPECT
        again = classify(store, now=committed + 62, previous=later)
        assert again.owners[CacheID("4711")] is Owner.ORPHAN
        assert removable(store, again)[Kind.ORPHANS].directories == {"4711", "new-123"}

    def test_a_row_without_a_record_is_being_removed(self, tmp_path: Path) -> None:
        """containerd deletes its own record first, and collects the rest later."""
        builder = kubernetes(tmp_path)
        number = builder.snapshot("k8s.io", "gone")
        del builder.space("k8s.io").snapshots[MEASURABLE][b"gone"]
        builder.write()
        (store,) = scan(containerd=tmp_path).stores
        assert [removal.cache_id for removal in store.removals] == [str(number)]
        assert classify(store, now=time.time()).owners[CacheID(str(number))] is Owner.REMOVING

    def test_what_a_lease_keeps_is_being_made(self, tmp_path: Path) -> None:
        """A pull's layers and what it unpacks to, until the lease expires; without one they are used by nothing."""
        builder = kubernetes(tmp_path)
        pulled, active = sha256(b"pulled"), "extract-1 x"
        numbers = [builder.snapshot("k8s.io", pulled), builder.snapshot("k8s.io", active, kind=ACTIVE)]

        def owners(expires: str) -> list[Owner]:
            builder.lease("k8s.io", "pull", snapshots=(pulled, active), texts={"containerd.io/gc.expire": expires})
            builder.write()
            (store,) = scan(containerd=tmp_path).stores
            found = classify(store, now=time.time() + 2 * LASTING).owners
            return [found[CacheID(str(number))] for number in numbers]

        assert owners("2999-01-01T00:00:00Z") == [Owner.IN_FLIGHT, Owner.IN_FLIGHT]
        assert owners("1999-01-01T00:00:00Z") == [Owner.UNREFERENCED_LAYER, Owner.LEAKED_MOUNT]


def test_hostile_names(tmp_path: Path) -> None:
    """Keys, names and labels are chosen by whoever speaks to containerd: none leads out of its directories."""
    builder = ContainerdRootBuilder(tmp_path)
    _, chain = builder.pulled("etc", "docker.io/library/\x00\n:1", "base")
    builder.container("etc", "../../../../tmp/x", parent=chain[-1], texts={"io.kubernetes.pod.name": "x" * 5000})
    builder.content("etc", b"{}", unpacked={MEASURABLE: "no such snapshot"})
    builder.write()
    (store,) = survey(containerd=tmp_path).catalog().stores
    upper = store.upper_of(next(iter(store.containers)))
    assert upper is not None
    assert store.diff_path(upper) == f"{builder.snapshotter}/snapshots/2/fs"
    assert store.problems == ()
