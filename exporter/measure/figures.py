"""What is known of a store's disk beside its upper layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.measure.filesystem import Filesystem
from exporter.store.entries import CacheID, ChainID


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Allocated bytes, each as far as it was measured. The fields are those of ``StoreReport``."""

    layer_allocated: Mapping[ChainID, int] = field(default_factory=dict)
    directory_allocated: Mapping[CacheID, int] = field(default_factory=dict)
    areas: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    filesystem: Filesystem | None = None


UNKNOWN = Figures()
