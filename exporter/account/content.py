"""What keeps a snapshotter's content, the compressed copies beside the unpacked layers: pure."""

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.store.catalog import Layout, Store


class Keeper(enum.StrEnum):
    """What keeps a blob. Values are label values: part of the metrics contract."""

    IMAGE = "image"
    """An image needs it."""
    LEASE = "lease"
    """No image does, and a lease keeps it: a pull or a build under way, a build cache."""
    NONE = "none"
    """Neither: containerd deletes it when it next collects its garbage, unless a label of its own keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentTotal:
    """How many blobs, and their bytes (one of unknown size counts 0 bytes)."""

    blobs: int
    size: int


def content_totals(store: Store) -> Mapping[Keeper, ContentTotal]:
    """The content of a store by what keeps it; nothing of a store that has none by its nature."""
    if store.layout is not Layout.SNAPSHOTTER:
        return {}
    needed = {digest for image in store.images.values() for digest in image.blobs}
    counts, sizes = Counter[Keeper](), Counter[Keeper]()
    for digest, blob in store.content.items():
        keeper = Keeper.IMAGE if digest in needed else Keeper.LEASE if blob.leased else Keeper.NONE
        counts[keeper] += 1
        sizes[keeper] += blob.size or 0
    return {keeper: ContentTotal(blobs=counts[keeper], size=sizes[keeper]) for keeper in Keeper}
