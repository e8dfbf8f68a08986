"""``layerstore_image*``: the head images, and how many images of each kind there are."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge, short_ids
from exporter.store.entries import ImageID, Reference

NONE = "<none>"
"""What engines print where an image has no name."""


def image_families(stores: Iterable[StoreReport], *, limit: int) -> tuple[Metric, ...]:
    """The images of all stores; each store's *limit* largest by unique bytes one by one, the rest counted."""
    images = _Images()
    totals = _Totals()
    for report in stores:
        ranked = largest(report)
        images.add(report, ranked[:limit])
        totals.add(report, omitted=len(ranked[limit:]))
    return (*images.families, *totals.families)


def largest(report: StoreReport) -> Sequence[ImageID]:
    """A store's head images, most unique bytes first; of those with as many by ID, so that the choice stays from scan
    to scan."""
    return sorted(report.image_use, key=lambda image_id: (-report.image_use[image_id].unique, image_id))


def names(references: Iterable[Reference]) -> Iterator[tuple[str, str, str]]:
    """Repository, tag and digest of each series that stands for an image's references.

    Engines record tags and digests apart. Each tag is paired with the first digest of its repository; a digest that no
    tag is paired with stands alone.
    """
    tags: dict[str, list[str]] = defaultdict(list)
    digests: dict[str, list[str]] = defaultdict(list)
    for reference in sorted(set(references)):
        if reference.tag:
            tags[reference.repository].append(reference.tag)
        else:
            digests[reference.repository].append(reference.digest)
    if not tags and not digests:
        yield NONE, NONE, NONE
    for repository in sorted(tags.keys() | digests.keys()):
        unpaired = digests[repository]
        if tags[repository]:
            paired, unpaired = next(iter(unpaired), ""), unpaired[1:]
            for tag in tags[repository]:
                yield repository, tag, paired
        for digest in unpaired:
            yield repository, NONE, digest


def references_by_image(references: Iterable[Reference]) -> Mapping[ImageID, Sequence[Reference]]:
    """The references of each image that has any."""
    found: dict[ImageID, list[Reference]] = defaultdict(list)
    for reference in references:
        found[reference.image_id].append(reference)
    return dict(found)


class _Images:
    """Series of each head image."""

    def __init__(self) -> None:
        identity = ("store", "image_id")
        self.info = Gauge(
            "layerstore_image_info",
            "A reference of a head image, always 1: digest is the manifest's where the engine knows it, <none> stands "
            "where there is no name; from the last background scan.",
            *identity,
            "full_id",
            "repository",
            "tag",
            "digest",
        )
        self.size = Gauge(
            "layerstore_image_size_bytes",
            "Size of all layers of the image, in apparent bytes as the engine recorded them; from the last background "
            "scan.",
            *identity,
        )
        self.unique = Gauge(
            "layerstore_image_unique_bytes",
            "Size of the image's layers that no other head image uses, in apparent bytes; from the last background "
            "scan.",
            *identity,
        )
        self.shared = Gauge(
            "layerstore_image_shared_bytes",
            "Size of the image's layers that other head images use too, in apparent bytes: size less unique; from the "
            "last background scan.",
            *identity,
        )
        self.containers = Gauge(
            "layerstore_image_containers",
            "Containers made from the image, in any state; from the last background scan.",
            *identity,
        )
        self.created = Gauge(
            "layerstore_image_created_timestamp_seconds",
            "When the image was made, in Unix seconds as its configuration says; absent where it does not; from the "
            "last background scan.",
            *identity,
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (self.info, self.size, self.unique, self.shared, self.containers, self.created)

    def add(self, report: StoreReport, image_ids: Iterable[ImageID]) -> None:
        store = report.store
        ids = short_ids(store.images.keys() | report.image_use.keys())
        references = references_by_image(store.references)
        for image_id in image_ids:
            identity = (store.name, ids[image_id])
            for name in names(references.get(image_id, ())):
                self.info.add((*identity, image_id, *name), 1)
            use = report.image_use[image_id]
            self.size.add(identity, use.size)
            self.unique.add(identity, use.unique)
            self.shared.add(identity, use.shared)
            self.containers.add(identity, use.containers)
            image = store.images.get(image_id)
            self.created.add(identity, None if image is None else image.created)


class _Totals:
    """Counts over all images of a store."""

    def __init__(self) -> None:
        self.count = Gauge(
            "layerstore_images",
            "Images by state: tagged; dangling (no tag, no children: what a prune removes); intermediate (no tag, "
            "others are built on it); from the last background scan.",
            "store",
            "state",
        )
        self.omitted = Gauge(
            "layerstore_images_omitted",
            "Head images without series of their own, because --images.limit keeps those with most unique bytes; from "
            "the last background scan.",
            "store",
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (self.count, self.omitted)

    def add(self, report: StoreReport, *, omitted: int) -> None:
        for state, count in report.image_states.items():
            self.count.add((report.store.name, state), count)
        self.omitted.add((report.store.name,), omitted)
