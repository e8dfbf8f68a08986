"""The look at a container's files on disk."""

import os
from pathlib import Path

import pytest

from exporter.account.inspect.files import entries_below, look
from exporter.account.inspect.find import find
from exporter.account.inspect.views import ContainerView, EntryKind
from exporter.account.summary import store_report
from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Store
from exporter.store.detect import Root
from exporter.store.entries import ContainerID
from exporter.store.scanner import Scanner
from tests.quiet import QUIET_PROC


@pytest.fixture
def builder(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


@pytest.fixture
def container(builder: StoreBuilder) -> ContainerID:
    image = builder.image(builder.layer({"bin/app": b"app"}), tags=["app:1"])
    return builder.container(image, name="web", files={"tmp/own": b"own"}, log_bytes=100)


def store_of(builder: StoreBuilder) -> Store:
    (store,) = Scanner([Root(path=str(builder.root))], daemon_config="/nonexistent", proc=QUIET_PROC).scan(2e9).stores
    return store


def view_of(builder: StoreBuilder) -> ContainerView:
    report = store_report(store_of(builder), uppers={}, logs={})
    (match,) = find([report], "web", look=look).matches
    assert isinstance(match.subject, ContainerView)
    return match.subject


def test_a_real_container_is_told_whole(builder: StoreBuilder, container: ContainerID) -> None:
    """From the disk: what its init layer supplies, the files mounted over that, and its log."""
    view = view_of(builder)
    own = builder.container_path(container)
    assert view.init is not None
    assert view.init.supplies is not None
    sources = {supply.path: supply.source for supply in view.init.supplies if supply.source is not None}
    assert sources == {
        "/etc/hostname": f"{own}/hostname",
        "/etc/hosts": f"{own}/hosts",
        "/etc/resolv.conf": f"{own}/resolv.conf",
    }
    assert view.log.files is not None
    assert [(f"{container}-json.log", 100)] == [(file.path, file.size) for file in view.log.files]


def test_the_files_of_the_upper_layer_are_not_looked_at(builder: StoreBuilder, container: ContainerID) -> None:
    """They are the container's own, as many as it likes."""
    seen = look(store_of(builder), container)
    assert seen.own is not None
    assert seen.init is not None
    assert not [entry.path for entry in (*seen.own, *seen.init) if "own" in entry.path]


def test_what_a_container_has_mounted_there_is_not_entered(builder: StoreBuilder, container: ContainerID) -> None:
    """``mounts/shm`` is a tmpfs that the container fills as it likes."""
    shm = builder.container_path(container) / "mounts" / "shm"
    shm.mkdir(parents=True)
    (shm / "flood").write_text("flood")
    seen = look(store_of(builder), container)
    assert seen.own is not None
    assert not [entry.path for entry in seen.own if entry.path.startswith("mounts/")]


def test_what_is_not_there_is_not_known(builder: StoreBuilder, container: ContainerID) -> None:
    """A container without a directory or an init layer tells None, not an empty list."""
    store = store_of(builder)
    builder.remove_container(container)
    seen = look(store, container)
    assert (seen.own, seen.init) == (None, None)


def test_a_local_log_is_found_in_its_directory(builder: StoreBuilder) -> None:
    """The driver ``local`` keeps its files one level down."""
    image = builder.image(None, tags=["app:1"])
    builder.container(image, name="web", log_driver="local", log_bytes=50)
    files = view_of(builder).log.files
    assert files is not None
    assert [file.path for file in files] == ["local-logs/container.log"]


def test_symlinks_are_told_and_not_followed(tmp_path: Path) -> None:
    """Neither inside the directory nor as the directory itself."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "whole").symlink_to(tmp_path / "secret")
    found = entries_below(str(tmp_path / "own"))
    assert found is not None
    assert [("link", EntryKind.SYMLINK, str(tmp_path / "secret"))] == [
        (entry.path, entry.kind, entry.target) for entry in found
    ]
    assert entries_below(str(tmp_path / "whole")) is None


def test_special_files_are_told_and_not_opened(tmp_path: Path) -> None:
    """A fifo would hang whoever opens it."""
    os.mkfifo(tmp_path / "fifo")
    found = entries_below(str(tmp_path))
    assert found is not None
    assert [(entry.path, entry.kind) for entry in found] == [("fifo", EntryKind.OTHER)]


def test_deep_directories_are_not_followed_to_the_end(tmp_path: Path) -> None:
    """An engine's own have three levels; whatever else is there costs no more than that."""
    deep = tmp_path.joinpath(*"abcdefgh")
    deep.mkdir(parents=True)
    found = entries_below(str(tmp_path))
    assert found is not None
    assert [entry.path for entry in found] == ["a", "a/b", "a/b/c", "a/b/c/d"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """What is there and no directory cannot be listed."""
    (tmp_path / "file").write_text("")
    assert entries_below(str(tmp_path / "file")) is None


def test_names_that_are_no_utf8_are_told(tmp_path: Path) -> None:
    """A name is bytes to the kernel."""
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff\x1b")).write_text("")
    found = entries_below(str(tmp_path))
    assert found is not None
    assert [os.fsencode(entry.path) for entry in found] == [b"\xff\x1b"]
