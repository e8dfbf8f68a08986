"""``layerstore_content_*``: what containerd keeps of images as it came, beside their unpacked layers."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge


def content_families(stores: Iterable[StoreReport]) -> tuple[Metric, ...]:
    """The content of all stores that have any."""
    what = "image (one needs it), lease (only a pull or a build under way, or a build cache), none (nothing needs it)"
    blobs = Gauge(
        "layerstore_content_blobs",
        f"Manifests, configurations and compressed layers in containerd's content store, by what keeps them: {what}; "
        "only of stores in containerd; from the last background scan.",
        "store",
        "kept_by",
    )
    size = Gauge(
        "layerstore_content_size_bytes",
        f"Size of the manifests, configurations and compressed layers in containerd's content store, in bytes as it "
        f"recorded them, by what keeps them: {what}; one that several namespaces have counts in each; only of stores "
        "in containerd; from the last background scan.",
        "store",
        "kept_by",
    )
    for report in stores:
        for keeper, total in report.content.items():
            blobs.add((report.store.name, keeper.value), total.blobs)
            size.add((report.store.name, keeper.value), total.size)
    return (blobs, size)
