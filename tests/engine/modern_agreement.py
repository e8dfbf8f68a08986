"""What a Docker that keeps its images in containerd says of itself, and what we read from its disk: equal.

The engine's side is computed from its API alone and by no code of ours. Where its figures mean something else than
ours, the relation is the one that ``exporter/README.md`` tells.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exporter.account.report import Report, StoreReport
from exporter.store.entries import CacheID, Image, ImageID
from exporter.survey import Survey
from tests.engine.agreement import problems_of, store_report
from tests.engine.modern import ModernDocker
from tests.engine.patience import until_it_holds
from tests.engine.test_areas import du

NAME = "containerd/moby"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """An image, whether anything names it or not."""

    diff_ids: tuple[str, ...]
    tags: frozenset[str]
    size: int
    """Layers, what lies between them, and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container in any state."""

    name: str
    state: str
    image: str
    size_rw: int
    """Allocated bytes of its upper layer."""
    size_root_fs: int
    """The same, with all that lies below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that both sides know."""

    images: Mapping[str, ImageFacts]
    shared: Mapping[str, int]
    """Of the images that ``docker system df`` tells of: bytes of layers that others have, too."""
    dangling: int
    containers: Mapping[str, ContainerFacts]


def agree(docker: ModernDocker, survey: Survey) -> Counter[str]:
    """Assert that the engine and the next report of ``survey`` say the same, that the report has no complaint, and that
    its figures add up to what ``du`` says.

    Both are asked again while they differ: containerd collects what nothing needs when it gets round to it.
    """
    return until_it_holds(lambda: _compare(docker, survey))


def _compare(docker: ModernDocker, survey: Survey) -> Counter[str]:
    report = survey.whole_report()
    ours, theirs = told_by_report(store_report(report, NAME)), told_by_engine(docker)
    sums = _sums(report)
    assert theirs.images == ours.images
    assert theirs.containers == ours.containers
    assert theirs == ours
    assert problems_of(report) == Counter()
    assert [told for told, _ in sums] == [measured for _, measured in sums]
    return Counter(images=len(ours.images), containers=len(ours.containers), sums=len(sums))


def told_by_engine(docker: ModernDocker) -> Facts:
    """The engine's own answers."""
    listed = {image["Id"]: image for image in docker.api("/images/json?all=1")}
    inspected = {image_id: docker.api(f"/images/{image_id}/json") for image_id in listed}
    dangling = docker.api("/images/json?all=1&filters=" + quote(json.dumps({"dangling": ["true"]})))
    return Facts(
        images={
            image_id: ImageFacts(
                diff_ids=tuple(inspected[image_id]["RootFS"].get("Layers") or ()),
                tags=frozenset(listed[image_id]["RepoTags"] or ()) - {"<none>:<none>"},
                size=listed[image_id]["Size"],
            )
            for image_id in listed
        },
        shared={image["Id"]: image["SharedSize"] for image in docker.api("/system/df")["Images"]},
        # One that was untagged and got a name again keeps both records, and is listed as dangling all the same.
        dangling=sum(listed[image["Id"]]["RepoTags"] in (None, [], ["<none>:<none>"]) for image in dangling),
        containers={
            listing["Id"]: _container(docker, listing) for listing in docker.api("/containers/json?all=1&size=1")
        },
    )


def _container(docker: ModernDocker, listing: Mapping[str, Any]) -> ContainerFacts:
    inspected = docker.api(f"/containers/{listing['Id']}/json")
    return ContainerFacts(
        name=inspected["Name"].removeprefix("/"),
        state=listing["State"],
        image=inspected["Image"],
        size_rw=listing.get("SizeRw", 0),
        size_root_fs=listing["SizeRootFs"],
    )


def told_by_report(report: StoreReport) -> Facts:
    """The same, as our report has it."""
    store = report.store
    tags: dict[str, set[str]] = {}
    for reference in store.references:
        if reference.tag:
            tags.setdefault(reference.image_id, set()).add(f"{reference.repository}:{reference.tag}")
    return Facts(
        images={
            image_id: ImageFacts(
                diff_ids=tuple(image.diff_ids),
                tags=frozenset(tags.get(image_id, ())),
                size=_size(report, image),
            )
            for image_id, image in store.images.items()
        },
        shared={image_id: use.shared for image_id, use in report.image_use.items()},
        dangling=report.image_states["dangling"] + report.image_states["intermediate"],
        containers=dict(_containers(report)),
    )


def _size(report: StoreReport, image: Image) -> int:
    """What Docker calls an image's size: its layers, with what lies between them, and its content."""
    store = report.store
    content = sum(store.content[digest].size or 0 for digest in _content(report, image.image_id) & image.blobs)
    tops = [directory for top in image.tops if (directory := store.layers[top].cache_id) is not None]
    counted = _counted(report)
    return content + sum(counted(name) for top in tops for name in (top, *_below(report, top)))


def _content(report: StoreReport, digest: str) -> frozenset[str]:
    """What a manifest, or an index of manifests, names: not what Docker keeps for itself of a build's step."""
    path = Path(report.store.image_record(ImageID(digest)))
    if not path.exists():  # of another platform
        return frozenset()
    body = json.loads(path.read_bytes())
    named = {blob["digest"] for blob in (*body.get("layers", ()), *filter(None, (body.get("config"),)))}
    below = (_content(report, manifest["digest"]) for manifest in body.get("manifests", ()))
    return frozenset({digest} | named).union(*below)


def _below(report: StoreReport, name: CacheID) -> tuple[CacheID, ...]:
    return tuple(map(CacheID, report.store.directories[name].lower or ()))


def _counted(report: StoreReport) -> Callable[[CacheID], int]:
    """Tells allocated bytes of the files in a storage directory, as containerd has them.

    Those of a layer it counted when it made it, which is before the kernel wrote them to the disk, where a file may
    take a block more if free space lies in pieces; what is no layer it counts when it is asked. What all take today is
    in `_sums`.
    """
    recorded = {layer.cache_id: layer.size for layer in report.store.layers.values() if layer.size is not None}

    def counted(name: CacheID) -> int:
        return recorded[name] if name in recorded else du(report.store.diff_path(name))

    return counted


def _containers(report: StoreReport) -> Iterator[tuple[str, ContainerFacts]]:
    store, counted = report.store, _counted(report)
    for container_id, container in store.containers.items():
        upper = store.upper_of(container_id)
        assert upper is not None
        allocated = report.uppers[container_id].usage.allocated
        below = sum(counted(name) for name in _below(report, upper))
        yield (
            container_id,
            ContainerFacts(
                name=container.name,
                state=str(container.state),
                image=container.image_id or "",
                size_rw=allocated,
                size_root_fs=allocated + below,
            ),
        )


def layer_sums(report: StoreReport) -> Iterator[tuple[int, int]]:
    """What is told of the allocated bytes of each layer, and what ``du`` says.

    Not what containerd recorded: that is of before the kernel wrote the files to the disk, where they may take more.
    """
    for chain_id, allocated in report.layer_allocated.items():
        cache_id = report.store.layers[chain_id].cache_id
        assert cache_id is not None
        yield allocated, du(report.store.diff_path(cache_id))


def _sums(report: Report) -> list[tuple[int, int]]:
    """What is told, and what ``du`` says: the directories of all owners, the areas of all stores, each layer, and each
    upper layer."""
    found = [(sum(sum(store.areas.values()) for store in report.stores), du(report.stores[0].store.root))]
    for store in report.stores:
        assert store.ownership is not None
        owned = sum(store.ownership.allocated(store.directory_allocated).values())
        found.append((owned, du(store.store.directory_root)))
        found.extend(layer_sums(store))
        for container, upper in store.uppers.items():
            name = store.store.upper_of(container)
            assert name is not None
            found.append((upper.usage.allocated, du(store.store.diff_path(name))))
    return found
