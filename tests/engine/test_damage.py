"""A real store, damaged as power cuts and bad disks damage one: what is wrong is said, and all the rest stays right."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.store.catalog import ProblemKind, Store
from exporter.store.detect import Root
from exporter.store.entries import ChainID, ContainerID, ImageID
from exporter.survey import Survey
from tests.engine.agreement import Facts, problems_of, store_report, survey_of, told_by_report
from tests.engine.docker import Docker
from tests.engine.images import BASE, build


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The store of an engine that was stopped: two images that share no layer, each with a container."""

    root: Path
    hurt: ImageID
    hurt_container: ContainerID
    whole: Facts
    store: Store

    def layer(self, position: int) -> Path:
        """The records of a layer of the image that is hurt, counted from its base."""
        return self.root / "image/overlay2/layerdb/sha256" / self._chain_id(position).removeprefix("sha256:")

    def directory(self, position: int) -> Path:
        """The storage directory of a layer of that image."""
        return self.root / "overlay2" / str(self.store.layers[self._chain_id(position)].cache_id)

    def _chain_id(self, position: int) -> ChainID:
        return self.store.images[self.hurt].chain_ids[position]


@pytest.fixture(scope="module")
def stopped() -> Iterator[Stopped]:
    with Docker() as docker:
        hurt = build(docker, BASE, tag="hurt")
        build(docker, "FROM scratch\nCOPY busybox /bin/sh\nRUN echo whole > /whole", tag="whole")
        container = docker.cli("create", "--network=none", "--name=hurt", "hurt", "true")
        docker.cli("create", "--network=none", "--name=whole", "whole", "true")
        docker.stop()
        report = survey_of(docker).report()
        assert not problems_of(report)
        found = store_report(report)
        yield Stopped(
            root=docker.data_root,
            hurt=ImageID(hurt),
            hurt_container=ContainerID(container),
            whole=told_by_report(found),
            store=found.store,
        )


def container_record(name: str) -> Callable[[Stopped], Path]:
    return lambda stopped: stopped.root / "containers" / stopped.hurt_container / name


def image_record(stopped: Stopped) -> Path:
    return stopped.root / "image/overlay2/imagedb/content/sha256" / stopped.hurt.removeprefix("sha256:")


def repositories(stopped: Stopped) -> Path:
    return stopped.root / "image/overlay2/repositories.json"


def layer(position: int, name: str) -> Callable[[Stopped], Path]:
    return lambda stopped: stopped.layer(position) / name


def directory(position: int, name: str) -> Callable[[Stopped], Path]:
    return lambda stopped: stopped.directory(position) / name


def mount(name: str) -> Callable[[Stopped], Path]:
    return lambda stopped: stopped.root / "image/overlay2/layerdb/mounts" / stopped.hurt_container / name


NOTHING, BINARY, CUT = b"", bytes(range(256)), b'{"Repositories": {"hur'
NO_LAYER = b"sha256:" + b"0" * 64

DAMAGES = {
    "a short name, emptied": (directory(1, "link"), NOTHING, ProblemKind.EMPTY_LINK),
    "the names of the layers below, emptied": (directory(1, "lower"), NOTHING, ProblemKind.EMPTY_LOWER),
    "the names of the layers below, naming nothing": (directory(1, "lower"), b"l/AAAA", ProblemKind.LOWER_DANGLING),
    "a layer's directory, emptied": (layer(1, "cache-id"), NOTHING, ProblemKind.MISSING_CACHE_ID),
    "a layer's size, no number": (layer(1, "size"), b"much", ProblemKind.MALFORMED_RECORD),
    "a layer's diff ID, binary": (layer(1, "diff"), BINARY, ProblemKind.MALFORMED_RECORD),
    "a layer's diff ID, another one": (layer(1, "diff"), NO_LAYER, ProblemKind.CHAIN_ID_MISMATCH),
    "a layer's parent, not there": (layer(1, "parent"), NO_LAYER, ProblemKind.MISSING_PARENT),
    "an image's configuration, cut": (image_record, CUT, ProblemKind.MALFORMED_RECORD),
    "an image's configuration, of another shape": (image_record, b'["a", 1]', ProblemKind.MALFORMED_RECORD),
    "the images' names, cut": (repositories, CUT, ProblemKind.MALFORMED_RECORD),
    "the images' names, emptied": (repositories, NOTHING, ProblemKind.MALFORMED_RECORD),
    "a container's configuration, binary": (container_record("config.v2.json"), BINARY, ProblemKind.MALFORMED_RECORD),
    "a container's host configuration, cut": (container_record("hostconfig.json"), CUT, ProblemKind.MALFORMED_RECORD),
    "a container's mount, emptied": (mount("mount-id"), NOTHING, ProblemKind.CONTAINER_MOUNT_MISSING),
}


@pytest.mark.parametrize(("record", "content", "kind"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_record(
    record: Callable[[Stopped], Path], content: bytes, kind: ProblemKind, stopped: Stopped
) -> None:
    """A damaged record is one problem with its path; images and containers that do not need it are as before."""
    path = record(stopped)
    saved = path.read_bytes()
    try:
        path.write_bytes(content)
        complains_and_goes_on(stopped, path, kind)
    finally:
        path.write_bytes(saved)
    assert not problems_of(survey(stopped).report())


@pytest.mark.parametrize(
    "record",
    [image_record, repositories, layer(1, "diff"), container_record("config.v2.json")],
    ids=["image", "repositories", "layer", "container"],
)
def test_an_enormous_record(record: Callable[[Stopped], Path], stopped: Stopped) -> None:
    """A record of 100 MB is not read; it is a problem like any."""
    path = record(stopped)
    saved = path.read_bytes()
    try:
        os.truncate(path, 100_000_000)
        complains_and_goes_on(stopped, path, ProblemKind.MALFORMED_RECORD)
    finally:
        path.write_bytes(saved)


@pytest.mark.parametrize(
    "record", [layer(1, "diff"), directory(1, "diff"), directory(1, "link")], ids=["diff ID", "files", "short name"]
)
def test_a_missing_record(record: Callable[[Stopped], Path], stopped: Stopped) -> None:
    """A record that is not there, though its neighbours are, is a problem."""
    path = record(stopped)
    aside = stopped.root / "aside"
    path.rename(aside)
    try:
        complains_and_goes_on(stopped, path, None)
    finally:
        aside.rename(path)


def complains_and_goes_on(stopped: Stopped, path: Path, kind: ProblemKind | None) -> None:
    report = survey(stopped).report()
    store = store_report(report)
    problems = [problem for problem in store.store.problems if kind in {None, problem.kind}]

    def about(problem_path: str) -> bool:
        # Of a directory of records the record or its directory may be named.
        return path == Path(problem_path) or path.is_relative_to(problem_path)

    def told(problem_path: str, reason: str) -> bool:
        # What is not there may go by the record that names it.
        return about(problem_path) or str(path) in reason

    assert len([problem for problem in problems if told(problem.path, problem.reason)]) == 1
    (whole,) = [key for key, container in stopped.whole.containers.items() if container.name == "whole"]
    image_id = ImageID(stopped.whole.containers[whole].image_id)
    assert ContainerID(whole) in store.store.containers
    assert stopped.whole.containers[whole].upper_size == store.uppers[ContainerID(whole)].usage.size
    assert stopped.whole.heads[image_id].size == store.image_use[image_id].size
    assert stopped.store.images[image_id] == store.store.images[image_id]


def survey(stopped: Stopped) -> Survey:
    """One that has seen nothing yet: what is written in place by hand need not be noticed at once by another."""
    return Survey(roots=[Root(path=str(stopped.root))])
