"""``layerstore_directories*``, ``layerstore_reclaimable_bytes``: whose the storage directories are, what can go."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge


def ownership_families(stores: Iterable[StoreReport]) -> tuple[Metric, ...]:
    """The owners of all stores' directories, and what could be freed."""
    count = Gauge(
        "layerstore_directories",
        "Entries of the driver's directory by owner, each with one: image_layer, container_upper, container_init, "
        "build_cache; unreferenced_layer (recorded, used by nothing), leaked_mount (a writable layer without a "
        "container), removing (a layer that is being removed, or could not be), in_flight (being made or used right "
        "now), suspect (no record names it, but it may be new), orphan (no record names it, nothing uses it, and it is "
        "older than the running engine), internal (the driver's own); absent where not everything that tells it can be "
        "read; from the last background scan.",
        "store",
        "owner",
    )
    allocated = Gauge(
        "layerstore_directories_allocated_bytes",
        "Disk space of the entries of the driver's directory by owner, in bytes as du counts them: all owners together "
        "are what du says of that directory; absent until all of the owner's are measured; from the last background "
        "scan.",
        "store",
        "owner",
    )
    reclaimable = Gauge(
        "layerstore_reclaimable_bytes",
        "Disk space that removing all of these would free, in bytes as du counts them, by what is removed: "
        "dangling_images, unused_images (without a container), exited_containers (with their logs), build_cache, "
        "orphans; layers count that nothing else needs then; the kinds overlap, so they do not add up; absent until "
        "all that would go is measured; from the last background scan.",
        "store",
        "by",
    )
    for report in stores:
        store, ownership = report.store.name, report.ownership
        if ownership is not None:
            for owner, number in ownership.counts().items():
                count.add((store, owner.value), number)
            for owner, size in ownership.allocated(report.directory_allocated).items():
                allocated.add((store, owner.value), size)
        for kind, size in report.reclaimable.items():
            reclaimable.add((store, kind), size)
    return (count, allocated, reclaimable)
