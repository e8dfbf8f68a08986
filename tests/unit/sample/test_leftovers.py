"""What engines leave that is no image and no container."""

import json
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.sample.leftovers import (
    BuildCache,
    builder_mount,
    buildkit_mount,
    half_pulled,
    half_removed,
    image_mount,
    orphan,
    remapped,
)
from exporter.sample.tree import Whiteout
from exporter.store import bolt
from tests.unit.sample.invariants import assert_faithful, assert_images, assert_short_links


@pytest.fixture
def store(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "root")


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def snapshots(store: StoreBuilder) -> dict[bytes, dict[bytes, bytes]]:
    def read(transaction: bolt.Transaction) -> dict[bytes, dict[bytes, bytes]]:
        return {name: dict(bucket.items()) for name, bucket in transaction.buckets()}

    return bolt.snapshot(str(store.root / "buildkit/snapshots.db"), read)


def test_a_store_without_builds_has_an_empty_snapshot_database(store: StoreBuilder) -> None:
    """A running engine has always made the file."""
    assert snapshots(store) == {}


def test_build_cache_is_recorded_by_buildkit(store: StoreBuilder) -> None:
    """A step that ended is a committed name that points to the directory; one that runs is the directory's own key."""
    cache = BuildCache(store)
    done = cache.add({"src": 1000})
    running = cache.add({"out": 20}, parent=done, committed=False)

    found = snapshots(store)

    assert found[done.encode()] == {b"iscommitted": b"", b"parent": b""}
    assert found[running.encode()] == {b"parent": done.encode(), b"size": b"20"}
    committed = [value for value in found.values() if b"committed" in value]
    assert committed == [{b"committed": done.encode(), b"size": b"1000"}]
    assert {done, running, "l"} == names(store.graph.home)
    assert_short_links(store.graph.home)


def test_pruned_build_cache_leaves_nothing(store: StoreBuilder) -> None:
    """Records and directories both go."""
    cache = BuildCache(store)
    cache.add({"b": 1}, parent=cache.add({"a": 1}))
    cache.prune()
    assert snapshots(store) == {}
    assert names(store.graph.home) == {"l"}


def test_a_large_build_cache_takes_several_pages(store: StoreBuilder) -> None:
    """The database grows beyond one page and still reads back whole."""
    cache = BuildCache(store)
    keys = {cache.add({}).encode() for _ in range(60)}
    found = snapshots(store)
    assert (store.root / "buildkit/snapshots.db").stat().st_size > 4 * 4096
    assert keys <= found.keys()
    assert len(found) == 120


def test_mounts_that_are_no_containers(store: StoreBuilder) -> None:
    """Builders and image mounts record a writable layer without an init layer and without container records."""
    top = store.layer({"bin/sh": 100})
    image = store.image(top, tags=["base"])
    container = store.container(image, name="user")

    mounts = [
        builder_mount(store, top),
        buildkit_mount(store, top),
        image_mount(store, container, image, "/models"),
    ]

    assert [len(name) for name in mounts] == [64, 25, 64]
    assert names(store.layerdb.mounts) == {container, *mounts}
    for name in mounts:
        assert names(store.layerdb.mounts / name) == {"mount-id", "parent"}
    assert names(store.root / "containers") == {container}
    assert_faithful(store.root)
    for name in mounts:
        store.unmount(name)
    assert names(store.layerdb.mounts) == {container}
    assert_faithful(store.root)


def test_an_orphan_is_named_by_no_record(store: StoreBuilder) -> None:
    """Its directory is complete, short link included, and only its lower tells of a relation."""
    base = store.layer({"bin/sh": 100})
    directory = orphan(store, {"half": 5000}, parent=base)
    assert (store.graph.home / directory / "diff/half").stat().st_size == 5000
    assert len(store.layers) == 1
    assert_faithful(store.root)


def test_a_pull_that_was_killed(store: StoreBuilder) -> None:
    """A directory without a record, and a write set that does not say which directory it is of."""
    directory, write_set = half_pulled(store, {"half": 5000})
    assert names(write_set) == {"tar-split.json.gz"}
    assert write_set.parent == store.root / "image/overlay2/layerdb/tmp"
    assert directory in names(store.graph.home)


def test_a_removal_that_failed(store: StoreBuilder) -> None:
    """The renamed record still says which directory it is of, and the directory is still there."""
    chain = store.layer({"stuck": 5000})
    cache_id = store.layers[chain].cache_id

    removing = half_removed(store, chain)

    assert removing.name.startswith(chain.removeprefix("sha256:"))
    assert removing.name.endswith("-removing")
    assert (removing / "cache-id").read_text() == cache_id
    assert cache_id in names(store.graph.home)
    assert store.layers == {}


def test_a_remapped_store_has_its_own_root(tmp_path: Path) -> None:
    """``userns-remap`` keeps everything in a directory named by the user and group that root is mapped to."""
    store = remapped(tmp_path / "root")
    store.container(store.image(store.layer({"a": b""})), name="c")
    assert store.root == tmp_path / "root" / "100000.100000"
    assert_faithful(store.root)


def test_a_second_driver_beside_the_first(tmp_path: Path) -> None:
    """An engine that was switched to another driver leaves both stores; containers say which is theirs."""
    old, new = StoreBuilder(tmp_path, driver="vfs"), StoreBuilder(tmp_path, beside=True)
    ids = {
        store.driver: store.container(store.image(store.layer({"a": 10})), name=store.driver) for store in (old, new)
    }

    assert names(tmp_path / "image") == {"overlay2", "vfs"}
    configs = [json.loads(path.read_bytes()) for path in (tmp_path / "containers").glob("*/config.v2.json")]
    assert {config["Driver"]: config["ID"] for config in configs} == ids
    assert_images(tmp_path / "image" / "vfs")


def test_vfs_copies_what_lies_below(tmp_path: Path) -> None:
    """A directory of ``vfs`` holds all files of its chain, less what was deleted, and no marks."""
    store = StoreBuilder(tmp_path, driver="vfs")
    base = store.layer({"etc/passwd": b"old", "etc/shadow": b"", "opt/app/x": b""})
    top = store.layer({"etc/passwd": b"new", "etc/shadow": Whiteout(), "opt/app": Whiteout()}, parent=base)

    files = store.graph.files(store.layers[top].cache_id)

    assert {str(path.relative_to(files)) for path in files.rglob("*")} == {"etc", "etc/passwd", "opt"}
    assert (files / "etc/passwd").read_bytes() == b"new"
    store.remove_image(store.image(top))
    assert names(tmp_path / "vfs/dir") == set()


def test_an_unknown_driver_is_refused(tmp_path: Path) -> None:
    """A layout that the sample does not know is not guessed at."""
    with pytest.raises(ValueError, match="zfs"):
        StoreBuilder(tmp_path, driver="zfs")
