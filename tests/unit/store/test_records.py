"""Record files are read without waiting, following or trusting; and only when they changed."""

import errno
import os
import shutil
import stat
import time
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.store.catalog import Problem, ProblemKind
from exporter.store.containers import ContainerReader
from exporter.store.graphdir import DirectoryReader
from exporter.store.imagedb import ImageReader
from exporter.store.layerdb import LayerReader, MountReader
from exporter.store.records import Folder, Malformed, Scan, open_folder, quoted
from exporter.store.repositories import RepositoriesReader
from tests.unit.store.hosts import LATER, Host, make_sparse


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    """A file of exactly the limit is read; one byte more is too much."""
    (tmp_path / "record").write_bytes(b"x" * 300_000)
    with open_folder(str(tmp_path)) as folder:
        assert folder.read("record", 300_000) == b"x" * 300_000
        with pytest.raises(Malformed, match="longer than the 299999 bytes"):
            folder.read("record", 299_999)


def test_a_file_longer_than_it_says_is_refused() -> None:
    """A file may grow between the look at its length and the last read, as the kernel's files do, which say that they
    are empty."""
    with open_folder(f"/proc/{os.getpid()}") as folder:
        assert folder.status("status").st_size == 0
        with pytest.raises(Malformed, match="longer than the 100 bytes"):
            folder.read("status", 100)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "not a regular file"),
        (lambda path: os.symlink("sound", path), "a symbolic link, which is not followed"),
        (lambda path: os.symlink("nothing", path), "a symbolic link, which is not followed"),
        (lambda path: os.symlink("record", path), "a symbolic link, which is not followed"),
    ],
    ids=["directory", "fifo", "socket", "symlink", "dangling symlink", "symlink to itself"],
)
def test_only_a_regular_file_is_read(tmp_path: Path, make: object, reason: str) -> None:
    """Whatever else has a record's name is refused at once, and not followed; the refusal names it."""
    (tmp_path / "sound").write_bytes(b"sound")
    assert callable(make)
    make(str(tmp_path / "record"))
    with open_folder(str(tmp_path)) as folder, pytest.raises(Malformed) as refused:
        folder.read("record", 100)
    assert (str(refused.value), refused.value.path) == (reason, str(tmp_path / "record"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_not_read(tmp_path: Path) -> None:
    """A device would give bytes without end."""
    os.mknod(tmp_path / "record", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with open_folder(str(tmp_path)) as folder, pytest.raises(Malformed, match="not a regular file"):
        folder.read("record", 100)


def test_a_sub_directory_is_entered_but_no_symlink_to_one(tmp_path: Path) -> None:
    """Nothing leads out of the directory that is read."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "link").symlink_to("inside")
    with open_folder(str(tmp_path)) as folder:
        with folder.inside("inside") as inside:
            assert inside.path == f"{tmp_path}/inside"
        with pytest.raises(Malformed, match="not a directory"):
            folder.inside("link")
        with pytest.raises(FileNotFoundError):
            folder.inside("nothing")
    with pytest.raises(NotADirectoryError):
        open_folder(str(tmp_path / "link"))


def test_no_descriptor_is_left_open(host: Host) -> None:
    """Reading a damaged store again and again leaves nothing open."""
    (host.layer(host.middle) / "diff").unlink()
    (host.layer(host.middle) / "diff").symlink_to("size")
    make_sparse(host.content(host.web), 100_000_000)
    shutil.rmtree(host.mount(host.running))
    host.mount(host.running).symlink_to("elsewhere")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read_everything(host, now=time.time())
    assert before == sorted(os.listdir("/proc/self/fd"))


def test_a_quoted_value_is_short_and_printable() -> None:
    """What a hostile record holds is shown in part, and cannot begin a new line or move a cursor."""
    assert quoted("plain") == "'plain'"
    assert quoted("\x1b[2J\n\u202e") == r"'\x1b[2J\n\u202e'"
    assert len(quoted("x" * 10_000)) == 82


@given(st.text())
def test_a_quoted_value_never_breaks_a_line(text: str) -> None:
    """Any text at all becomes one line of ASCII."""
    shown = quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 80 * 10 + 2


def read_everything(host: Host, *, now: float) -> list[Problem]:
    """Every reader's problems, from a first look."""
    scan = Scan(now=now, turn=1)
    with (
        open_folder(str(host.records)) as records,
        records.inside("imagedb") as imagedb,
        imagedb.inside("content") as content,
        imagedb.inside("metadata") as metadata,
        content.inside("sha256") as contents,
        metadata.inside("sha256") as known,
        records.inside("layerdb") as layerdb,
        layerdb.inside("sha256") as layers,
        layerdb.inside("mounts") as mounts,
        open_folder(str(host.root / "containers")) as containers,
        open_folder(str(host.store.graph.home)) as graph,
        graph.inside("l") as links,
    ):
        RepositoriesReader().read(records, scan)
        ImageReader().read(contents, known, scan)
        LayerReader().read(layers, scan)
        MountReader().read(mounts, scan)
        ContainerReader().read(containers, scan)
        DirectoryReader().read(graph, scan)
        DirectoryReader().read_short_links(links, scan)
    return scan.problems


class Vanishing(Folder):
    """A directory whose record is removed at the moment when its first file is read."""

    doomed: ClassVar[Path]

    def read(self, name: str, limit: int) -> bytes:
        if Vanishing.doomed.is_dir():
            shutil.rmtree(Vanishing.doomed)
        Vanishing.doomed.unlink(missing_ok=True)
        return super().read(name, limit)


def vanishing(path: Path) -> Vanishing:
    return Vanishing(str(path), os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def test_a_layer_that_vanishes_while_it_is_read_is_no_problem(host: Host) -> None:
    """It is counted, all others are read."""
    Vanishing.doomed = host.layer(host.middle)
    scan = Scan(now=time.time(), turn=1)
    with vanishing(host.store.layerdb.layers) as folder:
        found = LayerReader().read(folder, scan)
    assert (set(found), scan.problems, scan.vanished) == ({host.base, host.top, host.other}, [], 1)


def test_a_mount_that_vanishes_while_it_is_read_is_no_problem(host: Host) -> None:
    """It is there without what it held, or gone; never damaged."""
    Vanishing.doomed = host.mount(host.running)
    scan = Scan(now=time.time() + LATER, turn=1)
    with vanishing(host.store.layerdb.mounts) as folder:
        found = MountReader().read(folder, scan)
    assert found.keys() >= {host.exited, host.builder}
    assert scan.problems == []


def test_an_image_that_vanishes_while_it_is_read_is_no_problem(host: Host) -> None:
    """Its file was listed, and is gone when it is opened."""
    Vanishing.doomed = host.content(host.tool)
    scan = Scan(now=time.time(), turn=1)
    with vanishing(host.content(host.tool).parent) as content:
        found = ImageReader().read(content, None, scan)
    assert (set(found), scan.problems, scan.vanished) == ({host.web, host.parent}, [], 1)


def test_a_container_that_vanishes_while_it_is_read_is_no_problem(host: Host) -> None:
    """Neither of its files is there any more: there is no such container."""
    Vanishing.doomed = host.container(host.running)
    scan = Scan(now=time.time(), turn=1)
    with vanishing(host.root / "containers") as folder:
        reader = ContainerReader()
        assert (set(reader.read(folder, scan)), scan.problems, reader.nameless) == ({host.exited}, [], frozenset())


def test_a_storage_directory_that_vanishes_while_it_is_read_is_no_problem(host: Host) -> None:
    """Whatever of it could still be read, nothing is wrong with it."""
    Vanishing.doomed = host.directory(host.other)
    scan = Scan(now=time.time(), turn=1)
    with vanishing(host.store.graph.home) as folder:
        assert len(DirectoryReader().read(folder, scan)) >= 8
    assert scan.problems == []


def test_a_damaged_record_that_vanishes_is_no_problem(host: Host) -> None:
    """What is wrong with a record that is not there any more is of no interest."""
    (host.layer(host.middle) / "parent").write_text("rubbish")
    Vanishing.doomed = host.layer(host.middle)
    scan = Scan(now=time.time(), turn=1)
    with vanishing(host.store.layerdb.layers) as folder:
        LayerReader().read(folder, scan)
    assert (scan.problems, scan.vanished) == ([], 1)


class Failing(Folder):
    """A directory on a disk that fails."""

    def names(self) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def symlinks(self) -> dict[str, int]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_directory_that_fails_to_list_is_one_problem(host: Host) -> None:
    """A disk error in the middle of a listing: one problem for the directory, and no record of it."""
    for reader, path in (
        (RepositoriesReader().read, host.records),
        (LayerReader().read, host.store.layerdb.layers),
        (MountReader().read, host.store.layerdb.mounts),
        (ContainerReader().read, host.root / "containers"),
        (DirectoryReader().read, host.store.graph.home),
        (DirectoryReader().read_short_links, host.store.graph.home / "l"),
        (lambda folder, scan: ImageReader().read(folder, None, scan), host.content(host.web).parent),
    ):
        scan = Scan(now=time.time(), turn=1)
        with Failing(str(path), os.open(path, os.O_RDONLY)) as folder:
            assert not reader(folder, scan)
        reason = os.strerror(errno.EIO)
        assert scan.problems == [Problem(kind=ProblemKind.UNREADABLE_RECORD, path=str(path), reason=reason)]


class Opaque(Folder):
    """A directory whose entries can be listed and not looked at: one that may be read and not searched."""

    def status(self, name: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    def stamp(self, name: str) -> tuple[int, ...]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)


def test_entries_that_cannot_be_looked_at_are_problems(host: Host) -> None:
    """The scan goes on; each record that is unknown is told."""
    scan = Scan(now=time.time(), turn=1)
    with Opaque(str(host.records), os.open(host.records, os.O_RDONLY)) as folder:
        assert RepositoriesReader().read(folder, scan) == ()
    path = f"{host.records}/repositories.json"
    assert scan.problems == [Problem(kind=ProblemKind.UNREADABLE_RECORD, path=path, reason=os.strerror(errno.EACCES))]
