"""What holds on any engine root at rest, recomputed from its files by no code of the sample's."""

import base64
import gzip
import hashlib
import json
import os
import stat
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

SUMMED_UP = 5_000
"""Bytes of content up to which checksums are recomputed."""


def assert_faithful(root: Path, driver: str = "overlay2") -> None:
    """Every identity recomputes, every record's counterpart is there, and nothing is left half done."""
    store = root / "image" / driver
    assert_layers(root / driver, store / "layerdb")
    assert_short_links(root / driver)
    assert_images(store)
    assert_containers(root, driver)
    left = [path.name for path in root.rglob(".tmp-*")] + [path.name for path in (store / "layerdb/tmp").iterdir()]
    assert left == []


def assert_layers(graph: Path, layerdb: Path) -> None:
    for record in sorted((layerdb / "sha256").iterdir()):
        directory = graph / (record / "cache-id").read_text()
        parent = (record / "parent").read_text() if (record / "parent").exists() else None
        diff_id = (record / "diff").read_text()
        assert chain_id([diff_id] if parent is None else [parent, diff_id]) == f"sha256:{record.name}"
        assert f"sha256:{hashlib.sha256(tar_of(record, directory / 'diff')).hexdigest()}" == diff_id
        assert directory_size(directory / "diff") == int((record / "size").read_text())
        assert (directory / "lower").exists() == (parent is not None)
        if parent is not None:
            below = layerdb / "sha256" / parent.removeprefix("sha256:")
            assert lower_chain(graph / (below / "cache-id").read_text()) == (directory / "lower").read_text()


def assert_short_links(graph: Path) -> None:
    """``link`` and ``l/`` name each other, and nothing else is in either."""
    directories = {path.name for path in graph.iterdir()} - {"l"}
    links = {path.name: os.readlink(path) for path in (graph / "l").iterdir()}
    assert {(graph / name / "link").read_text(): f"../{name}/diff" for name in directories} == links
    assert all(len(link) == 26 for link in links)


def assert_images(store: Path) -> None:
    layers = {path.name for path in (store / "layerdb/sha256").iterdir()}
    contents = {path.name: path.read_bytes() for path in (store / "imagedb/content/sha256").iterdir()}
    for name, content in contents.items():
        assert hashlib.sha256(content).hexdigest() == name
        config = json.loads(content)
        diff_ids = config["rootfs"]["diff_ids"]
        chain = {chain_id(diff_ids[:depth]).removeprefix("sha256:") for depth in range(1, len(diff_ids) + 1)}
        assert chain <= layers
        assert sum(not step.get("empty_layer", False) for step in config["history"]) <= len(diff_ids)
    for path in (store / "imagedb/metadata/sha256").glob("*/parent"):
        assert path.read_text().removeprefix("sha256:") in contents
        assert path.parent.name in contents
    repositories = json.loads((store / "repositories.json").read_bytes())["Repositories"]
    for repository, references in repositories.items():
        for reference, image in references.items():
            assert reference.startswith((f"{repository}:", f"{repository}@sha256:"))
            assert image.removeprefix("sha256:") in contents


def assert_containers(root: Path, driver: str) -> None:
    graph = root / driver
    for container in (root / "containers").iterdir():
        config = json.loads((container / "config.v2.json").read_bytes())
        assert container.name == config["ID"]
        mount = root / "image" / driver / "layerdb/mounts" / container.name
        upper = (mount / "mount-id").read_text()
        assert f"{upper}-init" == (mount / "init-id").read_text()
        layer = root / "image" / driver / "layerdb/sha256" / (mount / "parent").read_text().removeprefix("sha256:")
        top = graph / (layer / "cache-id").read_text()
        assert lower_chain(top) == (graph / f"{upper}-init" / "lower").read_text()
        assert lower_chain(graph / f"{upper}-init") == (graph / upper / "lower").read_text()
        for below in (top, graph / f"{upper}-init"):
            assert (below / "committed").exists()
        state = config["State"]
        assert (graph / upper / "merged").exists() == (state["Running"] and not state["Restarting"])
        assert not (graph / f"{upper}-init" / "merged").exists()


def lower_chain(directory: Path) -> str:
    """What the ``lower`` of a directory on top of this one must say: its own short link, then its own lowers."""
    own = f"l/{(directory / 'link').read_text()}"
    return f"{own}:{(directory / 'lower').read_text()}" if (directory / "lower").exists() else own


def chain_id(diff_ids: list[str]) -> str:
    """OCI image specification, "Layer ChainID"."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
    return chain


def directory_size(directory: Path) -> int:
    """moby's ``directory.Size``: each inode once, directories not counted."""
    inodes = {}
    for path in directory.rglob("*"):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            inodes[status.st_ino] = status.st_size
    return sum(inodes.values())


def tar_of(record: Path, diff: Path) -> bytes:
    """The layer's tar, put together again from ``tar-split.json.gz`` and the files, as ``docker save`` does it."""
    tar = b""
    for position, line in enumerate(gzip.decompress((record / "tar-split.json.gz").read_bytes()).splitlines()):
        entry: dict[str, Any] = json.loads(line)
        assert position == entry["position"]
        if entry["type"] == 2:
            tar += base64.b64decode(entry["payload"])
        elif entry.get("size"):
            name = base64.b64decode(entry["name_raw"]) if "name_raw" in entry else entry["name"].encode()
            content = (diff / os.fsdecode(name)).read_bytes()
            assert entry["size"] == len(content)
            # Byte by byte takes time; how long contents are summed up is a matter of its own, in test_tree.py.
            if len(content) <= SUMMED_UP:
                assert base64.b64decode(entry["payload"]) == crc64(content)
            tar += content
    return tar


def tar_entries(tar: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=BytesIO(tar), errorlevel=2) as archive:
        return {info.name: info for info in archive.getmembers()}


_CRC_TABLE: list[int] = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0xD800000000000000 if _byte & 1 else 0)
    _CRC_TABLE.append(_byte)


def crc64(content: bytes) -> bytes:
    """CRC-64/GO-ISO, byte by byte; a run of zeros changes the state only through the table, as any byte."""
    state = 0xFFFFFFFFFFFFFFFF
    for byte in content:
        state = _CRC_TABLE[(state ^ byte) & 255] ^ state >> 8
    return (state ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
