"""What the engine says of itself, and what we read from its disk, in one form: equal, or the test says where not.

The engine's side is computed from its API alone and by no code of ours: sizes from ``/system/df`` and
``/containers/json?size=1``, layers from each image's and container's ``inspect``, allocated bytes from du(1).
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exporter.account.report import Report, StoreReport
from exporter.store.detect import Root
from exporter.store.entries import CacheID, ImageID
from exporter.survey import Survey
from tests.engine.docker import Docker
from tests.engine.patience import PATIENCE
from tests.engine.processes import run

UNTAGGED = "<none>:<none>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """An image, whether anything names it or not."""

    diff_ids: tuple[str, ...]
    directories: tuple[str, ...]
    """The storage directories of its layers, base first."""
    size: int
    names: frozenset[str]
    """``repository:tag`` and ``repository@digest``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFacts:
    """What is counted of head images only."""

    size: int
    shared: int
    unique: int
    containers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container in any state."""

    name: str
    state: str
    image: str
    image_id: str
    log_driver: str
    upper_directory: str
    lower_directories: tuple[str, ...]
    """Nearest first, the init layer's first of all."""
    upper_size: int
    upper_allocated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that both sides know."""

    images: Mapping[str, ImageFacts]
    heads: Mapping[str, HeadFacts]
    image_states: Mapping[str, int]
    containers: Mapping[str, ContainerFacts]
    layer_images: Mapping[str, int]
    """By chain ID: head images with the layer in their chain; only layers with any."""
    layer_containers: Mapping[str, int]
    """By storage directory: containers with the layer in their chain; only layers with any."""
    layers_size: int
    """Bytes of all layers of head images, each once."""

    def compared(self) -> Counter[str]:
        """How many values of each sort a comparison of two of these compares."""
        return Counter(
            images=len(self.images),
            image_sizes=3 * len(self.heads),
            upper_sizes=len(self.containers),
            layer_counts=len(self.layer_images) + len(self.layer_containers),
        )


def agree(docker: Docker, survey: Survey) -> Counter[str]:
    """Assert that the engine and the next report of ``survey`` say the same, and that the report has no complaint.

    The engine's side is asked again where it has moved meanwhile: a container was still writing, or the filesystem
    allocating what was written before.
    """
    deadline = time.monotonic() + PATIENCE
    theirs = told_by_engine(docker)
    while True:
        report = survey.report()
        ours = told_by_report(store_report(report))
        before, theirs = theirs, theirs if ours == theirs else told_by_engine(docker)
        if theirs == before or time.monotonic() > deadline:
            break
    assert theirs == ours
    assert problems_of(report) == Counter()
    return ours.compared()


def problems_of(report: Report) -> Counter[str]:
    """All that a report complains of, wherever it says so."""
    of_stores = (problem for store in report.stores for problem in store.store.problems)
    return Counter(map(str, (*report.problems, *of_stores)))


def survey_of(docker: Docker) -> Survey:
    """A survey of the daemon's root, which has seen nothing yet."""
    return Survey(roots=[Root(path=str(docker.data_root))])


def store_report(report: Report, name: str = "overlay2") -> StoreReport:
    """The only store of the name."""
    (found,) = [store for store in report.stores if store.store.name == name]
    return found


def told_by_engine(docker: Docker) -> Facts:
    """The engine's own answers."""
    usage = docker.api("/system/df")
    listed = {image["Id"]: image for image in docker.api("/images/json?all=1")}
    inspected = {image_id: docker.api(f"/images/{image_id}/json") for image_id in listed}
    containers = [_container_by_engine(docker, listing) for listing in docker.api("/containers/json?all=1&size=1")]
    heads = {image["Id"]: image for image in usage["Images"]}
    return Facts(
        images={image_id: _image_by_engine(listed[image_id], inspected[image_id]) for image_id in listed},
        heads={image_id: _head_by_engine(image) for image_id, image in heads.items()},
        image_states=_states_by_engine(docker, listed),
        containers=dict(containers),
        layer_images=Counter(
            chain_id for image_id in heads for chain_id in chain_ids(inspected[image_id]["RootFS"].get("Layers") or [])
        ),
        layer_containers=Counter(name for _, facts in containers for name in facts.lower_directories[1:]),
        layers_size=usage["LayersSize"],
    )


def told_by_report(report: StoreReport) -> Facts:
    """The same, as one of our reports has it."""
    store = report.store
    names: dict[str, set[str]] = {}
    for reference in store.references:
        end = f":{reference.tag}" if reference.tag else f"@{reference.digest}"
        names.setdefault(reference.image_id, set()).add(reference.repository + end)
    return Facts(
        images={image_id: _image_by_report(report, image_id, names.get(image_id, ())) for image_id in store.images},
        heads={
            image_id: HeadFacts(size=use.size, shared=use.shared, unique=use.unique, containers=use.containers)
            for image_id, use in report.image_use.items()
        },
        image_states=report.image_states,
        containers=dict(_containers_by_report(report)),
        layer_images={chain_id: use.images for chain_id, use in report.layer_use.items() if use.images},
        layer_containers={
            str(store.layers[chain_id].cache_id): use.containers
            for chain_id, use in report.layer_use.items()
            if use.containers
        },
        layers_size=sum(report.layer_usage[usage].size for usage in ("shared", "exclusive")),
    )


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """The chain IDs of an image's layers, base first (OCI image specification, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        below = f"{chain[-1]} {diff_id}" if chain else ""
        chain.append("sha256:" + hashlib.sha256(below.encode()).hexdigest() if below else diff_id)
    return chain


def allocated(directory: str) -> int:
    """What du(1) says that a directory takes."""
    return int(run("du", "-s", "--block-size=1", directory).split()[0])


def _image_by_engine(listing: Mapping[str, Any], inspected: Mapping[str, Any]) -> ImageFacts:
    directories = _directories(inspected["GraphDriver"]["Data"] or {})
    return ImageFacts(
        diff_ids=tuple(inspected["RootFS"].get("Layers") or ()),
        directories=tuple(reversed(directories)),
        size=listing["Size"],
        names=frozenset([*(listing["RepoTags"] or ()), *(listing["RepoDigests"] or ())]) - {UNTAGGED, "<none>@<none>"},
    )


def _head_by_engine(image: Mapping[str, Any]) -> HeadFacts:
    return HeadFacts(
        size=image["Size"],
        shared=image["SharedSize"],
        # docker system df --verbose computes it so.
        unique=image["Size"] - image["SharedSize"],
        containers=image["Containers"],
    )


def _states_by_engine(docker: Docker, listed: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    dangling = docker.api("/images/json?all=1&filters=" + quote(json.dumps({"dangling": ["true"]})))
    tagged = [image for image in listed.values() if set(image["RepoTags"] or ()) - {UNTAGGED}]
    return {
        "tagged": len(tagged),
        "dangling": len(dangling),
        "intermediate": len(listed) - len(tagged) - len(dangling),
    }


def _container_by_engine(docker: Docker, listing: Mapping[str, Any]) -> tuple[str, ContainerFacts]:
    inspected = docker.api(f"/containers/{listing['Id']}/json")
    upper, *lower = _directories(inspected["GraphDriver"]["Data"])
    return listing["Id"], ContainerFacts(
        name=inspected["Name"].removeprefix("/"),
        state=listing["State"],
        image=inspected["Config"]["Image"],
        image_id=inspected["Image"],
        log_driver=inspected["HostConfig"]["LogConfig"]["Type"],
        upper_directory=upper,
        lower_directories=tuple(lower),
        # The engine leaves out a size of 0.
        upper_size=listing.get("SizeRw", 0),
        upper_allocated=allocated(inspected["GraphDriver"]["Data"]["UpperDir"]),
    )


def _directories(data: Mapping[str, str]) -> list[str]:
    """The names of the storage directories that ``inspect`` gives, nearest first."""
    paths = [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]
    return [Path(path).parent.name for path in paths if path]


def _image_by_report(report: StoreReport, image_id: ImageID, names: Iterable[str]) -> ImageFacts:
    image = report.store.images[image_id]
    layers = [report.store.layers[chain_id] for chain_id in image.chain_ids]
    return ImageFacts(
        diff_ids=image.diff_ids,
        directories=tuple(str(layer.cache_id) for layer in layers),
        size=sum(layer.size or 0 for layer in layers),
        names=frozenset(names),
    )


def _containers_by_report(report: StoreReport) -> Iterator[tuple[str, ContainerFacts]]:
    store = report.store
    for container_id, container in store.containers.items():
        upper = store.upper_of(container_id)
        usage = report.uppers[container_id].usage
        yield (
            container_id,
            ContainerFacts(
                name=container.name,
                state=str(container.state),
                image=container.image_reference,
                image_id=container.image_id or "",
                log_driver=container.log_driver,
                upper_directory=str(upper),
                lower_directories=tuple(_lower_directories(report, upper)),
                upper_size=usage.size,
                upper_allocated=usage.allocated,
            ),
        )


def _lower_directories(report: StoreReport, upper: CacheID | None) -> Iterator[str]:
    """The way from an upper layer's short names through ``l/`` to the directories that they stand for."""
    store = report.store
    if upper is None:
        return
    for short_name in store.directories[upper].lower or ():
        yield Path(store.short_links[short_name]).parent.name
