"""Images and their names out of a namespace's records: pure, but for the configurations that are asked for.

What a name stands for is a manifest, or an index of several, one a platform. Labels lead from there to all content that
it needs. The configuration of a platform that was unpacked names the topmost snapshot, so an image has the layers of
the platforms that are unpacked here, and none where only its compressed content is.

Docker gives an untagged image the name ``moby-dangling@<digest>``, and writes in a label which image a classic build
began with. Kubernetes' plug-in gives each image one more name, ``sha256:<digest of its configuration>``, and writes in
a label that it is to be kept.

Source: containerd ``core/images/image.go``, ``internal/cri/server/images``, ``internal/cri/labels``; moby
``daemon/containerd/image.go``, ``image_builder.go``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from exporter.store.containerd.metadata import ImageRecord, Namespace
from exporter.store.entries import Blob, ChainID, DiffID, HistoryEntry, Image, ImageID, Reference
from exporter.store.imageconfig import Configuration
from exporter.store.layerdb import chain_ids
from exporter.store.records import DIGEST

DANGLING = "moby-dangling@"
_PARENT = "org.mobyproject.image.parent"
_PINNED = "io.cri-containerd.pinned"
_EMPTY = HistoryEntry(created=None, created_by="", comment="", empty_layer=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What a namespace has of one snapshotter's images."""

    images: Mapping[ImageID, Image]
    references: tuple[Reference, ...]
    diff_ids: Mapping[ChainID, DiffID]
    """Of the layers that configurations tell of."""


class Content:
    """What content needs what, in one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.blobs = namespace.blobs
        self._needs = {digest: tuple(blob.needs_blobs) for digest, blob in namespace.blobs.items()}

    def needed_by(self, digests: Iterable[str]) -> Sequence[str]:
        """These blobs and all that they need, as far as they are here, each once."""
        found: dict[str, None] = {}
        pending = list(digests)
        while pending:
            digest = pending.pop()
            if digest in self._needs and digest not in found:
                found[digest] = None
                pending.extend(reversed(self._needs[digest]))
        return tuple(found)


def read_images(
    namespace: Namespace,
    content: Content,
    snapshotter: str,
    configuration: Callable[[str], Configuration | None],
    *,
    configurations_of: Callable[[str], Iterable[str]],
    chain_below: Callable[[str], Sequence[ChainID]],
    familiar: bool,
) -> Images:
    """The images of *namespace* and their names.

    Args:
        namespace: Their records.
        content: What content needs what.
        snapshotter: Whose snapshots are their layers.
        configuration: Gives the configuration with a digest; None where it cannot be had.
        configurations_of: Gives the digests of the configurations that a manifest or an index names.
        chain_below: Gives the layers from the base up to the one that a snapshot's key names.
        familiar: Whether names are written as Docker does, ``alpine`` for ``docker.io/library/alpine``.
    """
    by_target: dict[str, list[ImageRecord]] = defaultdict(list)
    for record in namespace.images.values():
        by_target[record.digest].append(record)
    images: dict[ImageID, Image] = {}
    references: set[Reference] = set()
    diff_ids: dict[ChainID, DiffID] = {}
    for target, records in by_target.items():
        blobs = content.needed_by((target,))
        platforms = [
            _Platform.of(digest, configuration(digest), chain_below(top))
            for digest in blobs
            if (top := next(iter(content.blobs[digest].needs_snapshots(snapshotter)), None)) is not None
        ]
        platforms = platforms or list(_unlabelled(namespace, snapshotter, configuration, configurations_of(target)))
        image = _image(ImageID(target), records, platforms, blobs)
        images[image.image_id] = image
        diff_ids.update(
            (layer, diff_id) for layer, diff_id in zip(image.chain_ids, image.diff_ids, strict=True) if diff_id
        )
        references.update(
            reference for record in records for reference in parse_name(record.name, target, familiar=familiar)
        )
    return Images(images=images, references=tuple(sorted(references)), diff_ids=diff_ids)


def _unlabelled(
    namespace: Namespace,
    snapshotter: str,
    configuration: Callable[[str], Configuration | None],
    digests: Iterable[str],
) -> Iterator["_Platform"]:
    """The platforms that are unpacked though no label says so: ``docker load`` sets none where it finds all snapshots
    of an image that was just removed."""
    there = namespace.snapshots.get(snapshotter, {})
    for digest in digests:
        told = configuration(digest) if digest in namespace.blobs else None
        if told is not None and told.diff_ids and chain_ids(told.diff_ids)[-1] in there:
            yield _Platform.of(digest, told, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Platform:
    """What is unpacked for one platform."""

    digest: str
    created: float | None = None
    name: str = ""
    chain_ids: tuple[ChainID, ...]
    diff_ids: tuple[DiffID, ...]
    steps: tuple[HistoryEntry, ...] = ()

    @classmethod
    def of(cls, digest: str, configuration: Configuration | None, below: Sequence[ChainID]) -> "_Platform":
        """By its configuration; without one by what lies below the snapshot that it is unpacked to."""
        if configuration is None:
            return cls(digest=digest, chain_ids=tuple(below), diff_ids=tuple(DiffID("") for _ in below))
        return cls(
            digest=digest,
            created=configuration.created,
            name=configuration.platform,
            chain_ids=chain_ids(configuration.diff_ids),
            diff_ids=configuration.diff_ids,
            steps=configuration.history,
        )

    def history(self, *, whole: bool) -> Iterator[HistoryEntry]:
        """The steps; *whole*: one for each layer, whatever is told."""
        yield from self.steps
        if whole:
            told = sum(not step.empty_layer for step in self.steps)
            yield from (_EMPTY for _ in range(len(self.chain_ids) - told))


def _image(
    image_id: ImageID, records: Sequence[ImageRecord], platforms: Sequence[_Platform], blobs: Sequence[str]
) -> Image:
    parents = (record.labels.get(_PARENT, "") for record in records)
    layers: dict[ChainID, DiffID] = {}
    for platform in platforms:
        layers |= zip(platform.chain_ids, platform.diff_ids, strict=True)
    several = len(platforms) > 1
    steps = (platform.history(whole=platform is not platforms[-1]) for platform in platforms)
    return Image(
        image_id=image_id,
        diff_ids=tuple(layers.values()),
        chain_ids=tuple(layers),
        created=next((platform.created for platform in platforms if platform.created is not None), None),
        parent=next((ImageID(parent) for parent in parents if DIGEST.fullmatch(parent)), None),
        platform=", ".join(platform.name for platform in platforms if platform.name),
        # Where platforms share layers, nothing tells whose step made which: then none is told.
        history=tuple(chain.from_iterable(steps)) if len(layers) == sum(len(p.chain_ids) for p in platforms) else (),
        uppermost=tuple(platform.chain_ids[-1] for platform in platforms if platform.chain_ids) if several else (),
        config_digests=tuple(platform.digest for platform in platforms),
        blobs=frozenset(blobs),
        pinned=any(record.labels.get(_PINNED) == "pinned" for record in records),
    )


def parse_name(name: str, target: str, *, familiar: bool) -> Iterator[Reference]:
    """What an image's name says: its tag, the digest that it is known by in its repository, both; or nothing, where it
    only says that the image has no name."""
    if name.startswith(DANGLING) or DIGEST.fullmatch(name):
        return
    rest, _, digest = name.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = rest, ""
    if familiar:
        repository = repository.removeprefix("docker.io/").removeprefix("library/")
    image_id = ImageID(target)
    if tag:
        yield Reference(repository=repository, tag=tag, digest="", image_id=image_id)
    yield Reference(repository=repository, tag="", digest=digest or target, image_id=image_id)


def content_of(namespace: Namespace, content: Content, elsewhere: Iterable[Namespace], now: float) -> dict[str, Blob]:
    """All content of a namespace."""
    others = [other.blobs for other in elsewhere]
    leased: set[str] = set()
    for lease in namespace.leases.values():
        if lease.holds(now):
            leased.update(lease.blobs if lease.flat else content.needed_by(lease.blobs))
    return {
        digest: Blob(
            digest=digest,
            size=blob.size,
            leased=digest in leased,
            elsewhere=any(digest in blobs for blobs in others),
        )
        for digest, blob in namespace.blobs.items()
    }
