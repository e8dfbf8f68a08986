"""All that one report says of the host, as metric families."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from exporter.account.report import Report
from exporter.export.metrics.containers import container_families
from exporter.export.metrics.content import content_families
from exporter.export.metrics.disk import disk_families
from exporter.export.metrics.images import image_families
from exporter.export.metrics.layers import layer_families
from exporter.export.metrics.ownership import ownership_families
from exporter.export.metrics.stores import store_families


def families(report: Report, *, layer_limit: int, image_limit: int) -> Iterator[Metric]:
    """All families of *report*, each once, with the samples of every store.

    The *layer_limit* largest layers and the *image_limit* images with most unique bytes of each store have series of
    their own; the rest are summed.
    """
    yield from store_families(report)
    yield from layer_families(report.stores, limit=layer_limit)
    yield from image_families(report.stores, limit=image_limit)
    yield from content_families(report.stores)
    yield from container_families(report.stores)
    yield from ownership_families(report.stores)
    yield from disk_families(report.stores)
