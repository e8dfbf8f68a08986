"""A layer's files on disk and as a tar."""

import base64
import gzip
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.sample.tree import (
    Executable,
    File,
    Folder,
    Hardlink,
    Sparse,
    Symlink,
    Whiteout,
    archive,
    beneath,
    write_tree,
)
from tests.unit.sample.invariants import crc64, directory_size, tar_entries, tar_of

EVERYTHING: Mapping[str, File] = {
    "bin/sh": b"#!\n",
    "bin/ash": Hardlink(target="bin/sh"),
    "bin/zeros": 70_001,
    "bin/run": Executable(content=b"#!/bin/sh\n"),
    "etc/link": Symlink(target="../bin/sh"),
    "etc/passwd": Whiteout(),
    "empty": b"",
    "srv": Folder(),
    "srv/hole": Sparse(size=300_000),
    "a" * 150: b"a name longer than a header has room for",
    "größe": b"not ASCII",
    os.fsdecode(b"not-\xff-utf8"): b"not UTF-8",
}


def written(directory: Path, files: Mapping[str, File]) -> Path:
    """A layer record of these files beside the files: ``record/tar-split.json.gz`` and ``diff/``."""
    (directory / "record").mkdir()
    (directory / "diff").mkdir()
    (directory / "record" / "tar-split.json.gz").write_bytes(archive(files).tar_split)
    write_tree(directory / "diff", files)
    return directory


def test_diff_id_is_the_digest_of_the_tar_that_tar_split_rebuilds(tmp_path: Path) -> None:
    """The diff ID is the SHA-256 of the tar that an engine gets back from tar-split and the files on disk."""
    layer = written(tmp_path, EVERYTHING)

    tar = tar_of(layer / "record", layer / "diff")

    assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == archive(EVERYTHING).diff_id


def test_the_tar_holds_every_entry_as_an_engine_would_write_it(tmp_path: Path) -> None:
    """Directories are implied, a whiteout is a prefixed empty file, a hard link comes after what it names, and modes
    are those on disk."""
    layer = written(tmp_path, EVERYTHING)

    found = tar_entries(tar_of(layer / "record", layer / "diff"))

    assert {"bin", "etc", "srv"} == {name for name, info in found.items() if info.isdir()}
    assert {"bin/ash"} == {name for name, info in found.items() if info.islnk()}
    assert list(found)[-1] == "bin/ash"
    assert found["etc/link"].linkname == "../bin/sh"
    assert (found["etc/.wh.passwd"].isfile(), found["etc/.wh.passwd"].size) == (True, 0)
    assert {name for name, info in found.items() if info.isfile() and info.mode & 0o111} == {"bin/run"}
    assert stat.S_IMODE((layer / "diff/bin/run").stat().st_mode) == 0o755
    assert len(EVERYTHING) + 2 == len(found)


def test_a_layer_without_files_has_the_known_diff_id() -> None:
    """Two blocks of zeros: the tar without entries, whose digest every engine knows."""
    expected = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    assert expected == archive({}).diff_id


def test_the_same_files_give_the_same_diff_id_in_any_order() -> None:
    """A diff ID depends on what the layer holds, not on the order that somebody wrote it down in."""
    reordered = dict(reversed(list(EVERYTHING.items())))
    assert archive(EVERYTHING) == archive(reordered)


def test_size_is_what_is_on_disk(tmp_path: Path) -> None:
    """The recorded size is the sum over the tree's inodes, holes included, whiteouts and directories not."""
    layer = written(tmp_path, EVERYTHING)
    assert directory_size(layer / "diff") == archive(EVERYTHING).size


def test_a_number_takes_disk_and_a_hole_does_not(tmp_path: Path) -> None:
    """Both have a size; only the number has blocks behind it."""
    write_tree(tmp_path, {"full": 100_000, "hole": Sparse(size=100_000)})

    full, hole = (tmp_path / "full").stat(), (tmp_path / "hole").stat()

    assert (full.st_size, hole.st_size) == (100_000, 100_000)
    assert full.st_blocks * 512 >= 100_000
    assert hole.st_blocks == 0
    assert bytes(100_000) == (tmp_path / "full").read_bytes()


def test_a_whiteout_is_the_character_device_that_overlay_makes(tmp_path: Path) -> None:
    """A deleted file is a character device with number 0:0."""
    write_tree(tmp_path, {"etc/gone": Whiteout()})

    status = (tmp_path / "etc/gone").lstat()

    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0


def test_checksums_are_go_iso_crc64() -> None:
    """The published check value of CRC-64/GO-ISO, over the digits 1 to 9."""
    entries = gzip.decompress(archive({"digits": b"123456789"}).tar_split).splitlines()
    checksum = base64.b64decode(json.loads(entries[1])["payload"])
    assert bytes.fromhex("b90956c775a41001") == checksum == crc64(b"123456789")


@pytest.mark.parametrize("size", [1, 7, 8, 511, 512, 4097, 100_000])
def test_zeros_are_summed_up_without_reading_them(size: int) -> None:
    """A number's archive is that of so many zero bytes."""
    assert archive({"zeros": bytes(size)}) == archive({"zeros": size})


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "./a", "a/"])
def test_a_path_that_leaves_the_layer_is_refused(tmp_path: Path, name: str) -> None:
    """This may run as root: what is not plainly inside the tree is not written at all."""
    with pytest.raises(ValueError, match="not a path inside a layer"):
        write_tree(tmp_path, {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_path_through_a_symlink_is_refused(tmp_path: Path) -> None:
    """A link to elsewhere must not let a later entry be written there."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    top.mkdir()

    with pytest.raises(ValueError, match="not a directory"):
        write_tree(top, {"a": Symlink(target=str(outside)), "a/b": b"x"})
    (top / "a").symlink_to(outside)
    with pytest.raises(ValueError, match="leads out of the layer"):
        beneath(top, "a/b")

    assert list(outside.iterdir()) == []
