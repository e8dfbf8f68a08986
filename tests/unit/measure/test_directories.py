"""The storage directories: each measured once in its life where it never changes, else again and again."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.measure.directories import ITSELF, DirectoryMeasurer, Kind, Step, kinds
from exporter.measure.memory import Memory
from exporter.measure.usage import Usage
from exporter.measure.walk import Walked, measure
from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Source
from exporter.store.entries import CacheID
from tests.store.containerd_roots import ACTIVE
from tests.unit.measure.roots import Host, build
from tests.unit.measure.trees import du
from tests.unit.store.containerd.hosts import docker, write_container

DOCKERS_STORE = "containerd/moby"
"""What Docker has in containerd."""


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return build(tmp_path / "docker")


@pytest.fixture
def host(built: StoreBuilder, tmp_path: Path) -> Iterator[Host]:
    subject = Host(built.root, state=tmp_path / "state")
    yield subject
    subject.memory.close()


def bytes_of(path: Path) -> int:
    return du(path, "--block-size=1")


def test_each_layer_is_what_du_says_of_its_files(built: StoreBuilder, host: Host) -> None:
    """A layer's allocated bytes are those of ``diff`` in its storage directory."""
    host.scan()

    expected = {
        chain_id: bytes_of(built.root / "overlay2" / record.cache_id / "diff")
        for chain_id, record in built.layers.items()
    }
    assert expected == host.directories.layer_allocated("overlay2")


def test_all_entries_together_are_what_du_says_of_the_drivers_directory(built: StoreBuilder, host: Host) -> None:
    """Each storage directory is what ``du`` says of it, and with the engine's own entries nothing is left over."""
    driver = built.root / "overlay2"
    (driver / "backingFsBlockDev").write_bytes(b"x" * 5_000)
    host.scan()

    found = host.allocated()

    entries = {CacheID(path.name): bytes_of(path) for path in driver.iterdir()}
    assert {**entries, ITSELF: driver.stat().st_blocks * 512} == found
    assert bytes_of(driver) == sum(found.values()) == host.directories.total("overlay2", host.uppers("overlay2"))


def test_there_is_no_total_before_everything_is_known(host: Host) -> None:
    """What is not measured yet is absent, and so is a sum that would lack it."""
    host.directories.expect(host.stores().values())
    host.directories.step()

    assert len(host.allocated()) < len(host.store().directories)
    assert host.directories.total("overlay2", host.uppers("overlay2")) is None


def test_nothing_is_walked_twice(host: Host) -> None:
    """While nothing changes, later scans look at nothing."""
    host.scan()

    assert [host.scan(), host.scan()] == [0, 0]


def test_what_was_walked_beforehand_is_not_walked_again(host: Host) -> None:
    """What others measured of a layer's files stands as they found it; only the rest of its directory is looked at."""
    host.directories.expect(host.stores().values())
    usage = Usage(size=1, allocated=512, inodes=1_000_000)
    walked = Walked(usage=usage, directories=1, links=0, vanished=0, unreadable=0, cut=False)
    store = host.store()
    layers = [store.diff_path(layer.cache_id) for layer in store.layers.values() if layer.cache_id is not None]

    assert set(layers) <= set(host.directories.trees)
    host.directories.take(dict.fromkeys(layers, walked))
    while host.directories.step() is not None:
        continue

    assert dict.fromkeys(store.layers, 512) == host.directories.layer_allocated("overlay2")
    assert host.directories.trees == []


def test_after_a_restart_no_immutable_directory_is_walked(built: StoreBuilder, host: Host) -> None:
    """All figures are back at once; looked at are only containers' own directories and the short links."""
    host.scan()
    before = host.directories.layer_allocated("overlay2"), host.allocated()
    host.memory.close()
    host.restart()

    inodes = host.scan()

    uppers = sum(
        measure(str(built.root / "overlay2" / record.mount_id)).usage.inodes
        - measure(str(built.upper_path(container))).usage.inodes
        for container, record in built.containers.items()
    )
    assert inodes == uppers + measure(str(built.root / "overlay2" / "l")).usage.inodes
    assert before == (host.directories.layer_allocated("overlay2"), host.allocated())


def test_a_reused_name_inherits_nothing(built: StoreBuilder, host: Host) -> None:
    """A storage directory made anew under an old name is measured anew, after a restart too."""
    host.scan()
    host.memory.close()
    chain_id, record = list(built.layers.items())[1]
    directory = built.root / "overlay2" / record.cache_id
    link = (directory / "link").read_bytes()
    shutil.rmtree(directory)
    (directory / "diff").mkdir(parents=True)
    (directory / "link").write_bytes(link)
    (directory / "diff" / "other").write_bytes(b"x" * 1_000_000)
    host.restart()

    host.scan()

    assert bytes_of(directory / "diff") == host.directories.layer_allocated("overlay2")[chain_id]


def test_a_layer_that_becomes_a_parent_is_not_walked_again(built: StoreBuilder, host: Host) -> None:
    """The engine then puts a file beside the layer's files: the rest is looked at again, the files are not."""
    host.scan()
    top = list(built.layers)[-1]
    directory = built.root / "overlay2" / built.layers[top].cache_id
    (directory / "committed").unlink(missing_ok=True)
    host.scan()
    (directory / "committed").touch()

    inodes = host.scan()

    assert 0 < inodes < 8
    assert bytes_of(directory) == host.allocated()[CacheID(directory.name)]


def test_what_is_gone_is_forgotten(built: StoreBuilder, host: Host) -> None:
    """A removed layer's figures are gone with the next scan."""
    host.scan()
    image = next(iter(built.images))
    for container in list(built.containers):
        built.remove_container(container)
    built.remove_image(image, force=True)

    host.scan()

    assert built.layers.keys() == host.directories.layer_allocated("overlay2").keys()
    assert bytes_of(built.root / "overlay2") == sum(host.allocated().values())


def test_what_nobody_knows_for_immutable_is_measured_again(built: StoreBuilder, host: Host) -> None:
    """A directory that no record names may be a pull under way: what it holds is looked at each full interval."""
    stranger = built.root / "overlay2" / "stranger"
    (stranger / "diff" / "etc").mkdir(parents=True)
    (stranger / "link").write_text("ABC")
    host.scan()
    (stranger / "diff" / "etc" / "file").write_bytes(b"x" * 50_000)
    host.scan()
    before = host.allocated()[CacheID("stranger")]

    host.time.at += 301
    host.scan()

    after = host.allocated()[CacheID("stranger")]
    assert (before < after, after) == (True, bytes_of(stranger))


def test_what_a_mount_leaves_beside_an_upper_layer(tmp_path: Path) -> None:
    """In a snapshotter, too, it is in the figure at the next look, though the directory itself shows nothing of it."""
    root = tmp_path / "docker"
    builder = docker(root)
    upper = builder.snapshot("moby", "f" * 64, kind=ACTIVE)
    write_container(root, "f" * 64, image="", state={"StartedAt": ""})
    builder.write()
    builder.age(1_000)
    host = Host(root)
    host.scan()
    directory = builder.snapshotter / f"snapshots/{upper}"
    before = host.allocated(DOCKERS_STORE)[CacheID(str(upper))]
    assert before == bytes_of(directory)

    builder.mount(upper)
    host.scan()

    assert before < host.allocated(DOCKERS_STORE)[CacheID(str(upper))] == bytes_of(directory)


def test_which_directories_are_immutable(built: StoreBuilder, host: Host) -> None:
    """Layers and init layers are, containers' directories never; a stranger once it is older than the engine."""
    stranger = built.root / "overlay2" / "stranger"
    (stranger / "diff").mkdir(parents=True)
    (stranger / "link").write_text("ABC")
    os.utime(stranger / "link", (1_000.0, 1_000.0))
    store = replace(host.store(), unread=frozenset(), engine_started=2_000.0)
    uppers = {store.upper_of(container) for container in store.containers}

    found = kinds(store)

    assert {kind: {name for name in found if found[name] is kind} for kind in Kind} == {
        Kind.UPPER: uppers,
        Kind.IMMUTABLE: store.directories.keys() - uppers,
        Kind.LOOSE: {"l"},
    }
    assert kinds(replace(store, engine_started=500.0))[CacheID("stranger")] is Kind.LOOSE
    assert kinds(replace(store, engine_started=None))[CacheID("stranger")] is Kind.LOOSE
    assert kinds(replace(store, unread=frozenset({Source.MOUNTS})))[CacheID("stranger")] is Kind.LOOSE
    assert kinds(replace(store, overlaid=frozenset({CacheID("stranger")})))[CacheID("stranger")] is Kind.LOOSE
    in_cache = replace(store, cache_directories=frozenset({CacheID("stranger")}))
    assert kinds(in_cache)[CacheID("stranger")] is Kind.LOOSE


def test_a_layer_without_files(built: StoreBuilder, host: Host) -> None:
    """A damaged layer has no figure for its files; its storage directory has one, and the total still adds up."""
    chain_id, record = list(built.layers.items())[1]
    shutil.rmtree(built.root / "overlay2" / record.cache_id / "diff")

    host.scan()

    assert built.layers.keys() - {chain_id} == host.directories.layer_allocated("overlay2").keys()
    assert bytes_of(built.root / "overlay2") == sum(host.allocated().values())


def test_a_symlink_instead_of_a_layers_files(built: StoreBuilder, host: Host, tmp_path: Path) -> None:
    """It is not followed, and what it leads to is in no figure."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"x" * 900_000)
    record = list(built.layers.values())[1]
    directory = built.root / "overlay2" / record.cache_id
    shutil.rmtree(directory / "diff")
    (directory / "diff").symlink_to(tmp_path / "outside")

    host.scan()

    assert bytes_of(directory) == host.allocated()[record.cache_id]


def test_a_directory_that_vanishes_meanwhile(built: StoreBuilder, host: Host) -> None:
    """It is counted as vanished and tried again after a full interval; nothing fails."""
    record = next(iter(built.layers.values()))
    directory = built.root / "overlay2" / record.cache_id
    host.directories.expect([host.store()])
    shutil.rmtree(directory)

    steps: list[Step] = []
    while (step := host.directories.step()) is not None:
        steps.append(step)

    assert sum(step.vanished for step in steps) == 1
    assert record.cache_id not in host.allocated()


def test_a_walk_that_is_stopped_is_done_again(host: Host) -> None:
    """What the pace raises is passed on, and the directory stays due."""
    host.directories.expect(host.stores().values())
    due = host.directories.due

    class StopError(Exception):
        pass

    def stop(_: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        host.directories.step(stop)
    assert due == host.directories.due


def test_a_catalog_that_comes_while_a_directory_is_walked(host: Host) -> None:
    """A long walk does not hold up the catalog: what the new one does not know any more is dropped, the rest counts."""
    host.directories.expect([host.store()])
    due = host.directories.due
    expected: list[int] = []

    def between(_: int) -> None:
        if not expected:
            host.directories.expect([host.store()])
            expected.append(host.directories.due)

    host.directories.step(between)
    after = host.directories.due
    host.directories.step(lambda _: host.directories.expect([]))

    assert (expected, after) == ([due], due - 1)
    assert (host.directories.step(), host.directories.layer_allocated("overlay2")) == (None, {})


def test_a_driver_that_cannot_be_measured(tmp_path: Path) -> None:
    """Nothing is known of its directories, which is not 0."""
    StoreBuilder(tmp_path / "docker", driver="vfs").layer({"file": 5})
    host = Host(tmp_path / "docker")
    measurer = DirectoryMeasurer(Memory(), monotonic=host.time, full_interval=300.0)

    measurer.expect(host.stores().values())

    assert (measurer.step(), measurer.layer_allocated("vfs"), measurer.total("vfs", {})) == (None, {}, None)
