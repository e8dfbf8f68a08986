"""``layerstore_layer*``: the read-only layers."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge, short_ids
from exporter.store.entries import Layer, short_id


def layer_families(stores: Iterable[StoreReport], *, limit: int) -> tuple[Metric, ...]:
    """The layers of all stores; each store's *limit* largest one by one, the rest summed."""
    layers = _Layers()
    totals = _Totals()
    for report in stores:
        ranked = largest(report)
        layers.add(report, ranked[:limit])
        totals.add(report, ranked[limit:])
    return (*layers.families, *totals.families)


def largest(report: StoreReport) -> Sequence[Layer]:
    """A store's layers, largest first; of those of one size by chain ID, so that the choice stays from scan to scan."""
    return sorted(report.store.layers.values(), key=lambda layer: (-(layer.size or 0), layer.chain_id))


class _Layers:
    """One series a layer."""

    def __init__(self) -> None:
        identity = ("store", "chain_id")
        self.info = Gauge(
            "layerstore_layer_info",
            "A read-only layer's identities, always 1: full_id is the whole chain ID, parent the chain_id of the layer "
            "below, cache_id the storage directory's name; from the last background scan.",
            *identity,
            "full_id",
            "diff_id",
            "parent",
            "cache_id",
        )
        self.size = Gauge(
            "layerstore_layer_size_bytes",
            "Size of the layer as the engine recorded it, in apparent bytes; absent where its record is missing; from "
            "the last background scan.",
            *identity,
        )
        self.allocated = Gauge(
            "layerstore_layer_allocated_bytes",
            "Disk space that the layer's files take: what du says of the directory diff in its storage directory, in "
            "bytes; measured once, as a layer never changes; absent until measured; from the last background scan.",
            *identity,
        )
        self.images = Gauge(
            "layerstore_layer_images",
            "Head images (with a reference, or without children) whose chain contains the layer; from the last "
            "background scan.",
            *identity,
        )
        self.containers = Gauge(
            "layerstore_layer_containers",
            "Containers in any state whose chain contains the layer; from the last background scan.",
            *identity,
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (self.info, self.size, self.allocated, self.images, self.containers)

    def add(self, report: StoreReport, layers: Iterable[Layer]) -> None:
        ids = short_ids(report.store.layers)
        for layer in layers:
            identity = (report.store.name, ids[layer.chain_id])
            parent = "" if layer.parent is None else ids.get(layer.parent, short_id(layer.parent))
            self.info.add((*identity, layer.chain_id, layer.diff_id, parent, layer.cache_id or ""), 1)
            self.size.add(identity, layer.size)
            self.allocated.add(identity, report.layer_allocated.get(layer.chain_id))
            use = report.layer_use.get(layer.chain_id)
            if use is not None:
                self.images.add(identity, use.images)
                self.containers.add(identity, use.containers)


class _Totals:
    """Sums over all layers of a store, and over those without series of their own."""

    def __init__(self) -> None:
        self.count = Gauge(
            "layerstore_layers",
            "Read-only layers by usage: shared by two or more head images, exclusive to one, unreferenced by any; from "
            "the last background scan.",
            "store",
            "usage",
        )
        self.size = Gauge(
            "layerstore_layers_size_bytes",
            "Size of the read-only layers by usage, in apparent bytes as the engine recorded them, each layer once; "
            "from the last background scan.",
            "store",
            "usage",
        )
        self.omitted = Gauge(
            "layerstore_layers_omitted",
            "Layers without series of their own, because --layers.limit keeps the largest; from the last background "
            "scan.",
            "store",
        )
        self.omitted_size = Gauge(
            "layerstore_layers_omitted_size_bytes",
            "Size of the layers without series of their own, in apparent bytes; from the last background scan.",
            "store",
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (self.count, self.size, self.omitted, self.omitted_size)

    def add(self, report: StoreReport, omitted: Sequence[Layer]) -> None:
        store = report.store.name
        for usage, total in report.layer_usage.items():
            self.count.add((store, usage), total.layers)
            self.size.add((store, usage), total.size)
        self.omitted.add((store,), len(omitted))
        self.omitted_size.add((store,), sum(layer.size or 0 for layer in omitted))
