"""Every kind of problem, planted in a copy of a real store: ``check`` names it with its path, and nothing besides."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.account.advice import ADVICE
from exporter.cli import main
from exporter.store.catalog import ProblemKind, Store
from exporter.store.detect import Root
from exporter.store.entries import ChainID, ImageID
from exporter.survey import Survey
from tests.engine.docker import Docker
from tests.engine.images import BASE, build

LONG_AGO = 1_600_000_000
HEX = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The store of an engine that was stopped in good order, to be damaged."""

    root: Path
    store: Store
    """As it was read of the original."""
    image: ImageID
    """One of three layers, which a container that ended was made from; another image has its lowest two."""

    @property
    def records(self) -> Path:
        return self.root / "image/overlay2"

    def chain(self, position: int) -> ChainID:
        """A layer of the image, counted from its base."""
        return self.store.images[self.image].chain_ids[position]

    def layer(self, position: int) -> Path:
        """Its record."""
        return self.records / "layerdb/sha256" / self.chain(position).removeprefix("sha256:")

    def directory(self, position: int) -> Path:
        """Its storage directory."""
        return self.root / "overlay2" / str(self.store.layers[self.chain(position)].cache_id)

    def short_name(self, position: int) -> Path:
        return self.root / "overlay2/l" / (self.directory(position) / "link").read_text()

    @property
    def content(self) -> Path:
        return self.records / "imagedb/content/sha256" / self.image.removeprefix("sha256:")

    @property
    def container(self) -> Path:
        (container,) = self.store.containers
        return self.root / "containers" / container

    @property
    def mount(self) -> Path:
        (container,) = self.store.containers
        return self.records / "layerdb/mounts" / container

    def restarted(self) -> None:
        """As if the engine had been started now, and stopped: everything that is there is older."""
        time.sleep(1.1)
        os.utime(self.root / "volumes/backingFsBlockDev")


@pytest.fixture(scope="module")
def original() -> Iterator[Copy]:
    with Docker() as docker:
        image = build(docker, f"{BASE}\nRUN echo top > /top", tag="image")
        build(docker, "FROM image\nRUN echo built > /built", tag="built", buildkit=True)
        docker.cli("run", "--network=none", "image", "sh", "-c", "echo written > /written")
        docker.stop()
        (store,) = Survey(roots=[Root(path=str(docker.data_root))]).catalog().stores
        yield Copy(root=docker.data_root, store=store, image=ImageID(image))


@pytest.fixture
def copy(original: Copy, tmp_path: Path) -> Copy:
    subprocess.run(["cp", "-a", original.root, tmp_path / "data"], check=True)
    return Copy(root=tmp_path / "data", store=original.store, image=original.image)


def check(copy: Copy, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of ``check --json``, and the problems that it names."""
    code = main(["check", "--json", f"--path.docker-root={copy.root}"])
    problems: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["problems"]
    return code, problems


def test_a_sound_store(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """A store as the engine left it has no problem, and the exit code says so."""
    assert (0, []) == check(copy, capsys)


# Each returns the path that the problem is to name.


def malformed_record(copy: Copy) -> Path:
    (copy.layer(1) / "size").write_text("much")
    return copy.layer(1) / "size"


def unreadable_record(copy: Copy) -> Path:
    """A symlink in place of a directory of records: it is not followed, so what it would hold is not known."""
    (copy.records / "layerdb/tmp").rmdir()
    (copy.records / "layerdb/tmp").symlink_to(copy.root)
    return copy.records / "layerdb/tmp"


def missing_record(copy: Copy) -> Path:
    (copy.layer(1) / "diff").unlink()
    return copy.layer(1) / "diff"


def chain_id_mismatch(copy: Copy) -> Path:
    (copy.layer(2) / "diff").write_text(f"sha256:{HEX}")
    return copy.layer(2)


def missing_parent(copy: Copy) -> Path:
    (copy.layer(2) / "parent").write_text(f"sha256:{HEX}")
    return copy.layer(2)


def parent_loop(copy: Copy) -> Path:
    """A base that names a layer above it; its own name does not follow any more, which is part of the loop."""
    (copy.layer(0) / "parent").write_text(copy.chain(1))
    return copy.layer(0)


def missing_cache_id(copy: Copy) -> Path:
    (copy.layer(1) / "cache-id").write_bytes(b"")
    return copy.layer(1) / "cache-id"


def missing_diff_directory(copy: Copy) -> Path:
    shutil.rmtree(copy.directory(1) / "diff")
    return copy.layer(1)


def empty_link(copy: Copy) -> Path:
    (copy.directory(1) / "link").write_bytes(b"")
    return copy.directory(1) / "link"


def empty_lower(copy: Copy) -> Path:
    (copy.directory(1) / "lower").write_bytes(b"")
    return copy.directory(1) / "lower"


def lower_dangling(copy: Copy) -> Path:
    (copy.directory(1) / "lower").write_text("l/AAAAAAAAAAAAAAAAAAAAAAAAAA")
    return copy.directory(1) / "lower"


def short_link_dangling(copy: Copy) -> Path:
    copy.short_name(1).unlink()
    return copy.directory(1) / "link"


def short_link_mismatch(copy: Copy) -> Path:
    link = copy.short_name(1)
    link.unlink()
    link.symlink_to(f"../{copy.directory(0).name}/diff")
    return copy.directory(1) / "link"


def image_layer_missing(copy: Copy) -> Path:
    """An image that names a layer that was never there; nothing else does."""
    config = json.loads(copy.content.read_text())
    config["rootfs"]["diff_ids"].append(f"sha256:{HEX}")
    return add_image(copy, config)


def add_image(copy: Copy, config: dict[str, Any]) -> Path:
    content = json.dumps(config).encode()
    path = copy.content.with_name(hashlib.sha256(content).hexdigest())
    path.write_bytes(content)
    return path


def reference_image_missing(copy: Copy) -> Path:
    path = copy.records / "repositories.json"
    names = json.loads(path.read_text())
    names["Repositories"]["lost"] = {"lost:latest": f"sha256:{HEX}"}
    path.write_text(json.dumps(names))
    return path


def container_image_missing(copy: Copy) -> Path:
    """The image's configuration is gone and the engine's notes on it are there, and no name tells."""
    path = copy.records / "repositories.json"
    names = json.loads(path.read_text())
    del names["Repositories"]["image"]
    path.write_text(json.dumps(names))
    copy.content.unlink()
    return copy.container / "config.v2.json"


def container_mount_missing(copy: Copy) -> Path:
    shutil.rmtree(copy.mount)
    return copy.mount


def mount_without_container(copy: Copy) -> Path:
    shutil.rmtree(copy.container)
    os.utime(copy.mount, (LONG_AGO, LONG_AGO))
    return copy.mount


def stale_write_set(copy: Copy) -> Path:
    path = copy.records / "layerdb/tmp/write-set-123456789"
    path.mkdir()
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def removing_left_over(copy: Copy) -> Path:
    """The record of a layer that nobody uses any more, as a removal leaves it that was cut off."""
    path = copy.records / "layerdb/sha256" / f"{HEX}-{'1' * 64}-removing"
    path.mkdir()
    (path / "cache-id").write_text("2" * 64)
    copy.restarted()
    return path


PLANTED: dict[ProblemKind, Callable[[Copy], Path]] = {
    ProblemKind.MALFORMED_RECORD: malformed_record,
    ProblemKind.UNREADABLE_RECORD: unreadable_record,
    ProblemKind.MISSING_RECORD: missing_record,
    ProblemKind.CHAIN_ID_MISMATCH: chain_id_mismatch,
    ProblemKind.MISSING_PARENT: missing_parent,
    ProblemKind.PARENT_LOOP: parent_loop,
    ProblemKind.MISSING_CACHE_ID: missing_cache_id,
    ProblemKind.MISSING_DIFF_DIRECTORY: missing_diff_directory,
    ProblemKind.EMPTY_LINK: empty_link,
    ProblemKind.EMPTY_LOWER: empty_lower,
    ProblemKind.LOWER_DANGLING: lower_dangling,
    ProblemKind.SHORT_LINK_DANGLING: short_link_dangling,
    ProblemKind.SHORT_LINK_MISMATCH: short_link_mismatch,
    ProblemKind.IMAGE_LAYER_MISSING: image_layer_missing,
    ProblemKind.REFERENCE_IMAGE_MISSING: reference_image_missing,
    ProblemKind.CONTAINER_IMAGE_MISSING: container_image_missing,
    ProblemKind.CONTAINER_MOUNT_MISSING: container_mount_missing,
    ProblemKind.MOUNT_WITHOUT_CONTAINER: mount_without_container,
    ProblemKind.STALE_WRITE_SET: stale_write_set,
    ProblemKind.REMOVING_LEFT_OVER: removing_left_over,
}


def test_every_kind_is_planted() -> None:
    """None is left out, and each has its advice."""
    assert set(ProblemKind) == PLANTED.keys() == ADVICE.keys()


@pytest.mark.parametrize("kind", list(ProblemKind), ids=str)
def test_a_planted_problem(kind: ProblemKind, copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named alone, with its path, what it means and what to do, and the exit code is 1."""
    path = PLANTED[kind](copy)

    code, problems = check(copy, capsys)

    assert [(kind.value, str(path))] == [(problem["kind"], problem["path"]) for problem in problems]
    assert code == 1
    assert (ADVICE[kind].meaning, ADVICE[kind].next_step) == (problems[0]["meaning"], problems[0]["next_step"])
