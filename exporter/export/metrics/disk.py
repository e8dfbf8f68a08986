"""``layerstore_area*``, ``layerstore_volume*``, ``layerstore_filesystem*``: where the disk went, and what is left."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge
from exporter.measure.filesystem import Filesystem


def disk_families(stores: Iterable[StoreReport]) -> tuple[Metric, ...]:
    """The areas, volumes and filesystems of all stores."""
    area = Gauge(
        "layerstore_area_allocated_bytes",
        "Disk space that the engine's root takes, by area, in bytes as du counts them: all areas together are what "
        "du -sx says of the root; an area is absent until measured; from the last background scan.",
        "store",
        "area",
    )
    volume = Gauge(
        "layerstore_volume_allocated_bytes",
        "Disk space that the local volume takes, in bytes as du counts them; absent until measured, and where it lies "
        "on another filesystem than the engine's root; from the last background scan.",
        "store",
        "volume",
    )
    filesystem = _Filesystem()
    for report in stores:
        name = report.store.name
        for key, allocated in report.areas.items():
            area.add((name, key), allocated)
        for key, allocated in sorted(report.volumes.items()):
            volume.add((name, key), allocated)
        if report.filesystem is not None:
            filesystem.add(name, report.filesystem)
    return (area, volume, *filesystem.families)


class _Filesystem:
    """The filesystem that a store lies on."""

    def __init__(self) -> None:
        self.size = Gauge(
            "layerstore_filesystem_size_bytes",
            "Size of the filesystem that the store lies on, in bytes; from the last background scan.",
            "store",
        )
        self.available = Gauge(
            "layerstore_filesystem_avail_bytes",
            "Space that is left to those who are not root on the filesystem that the store lies on, in bytes; from the "
            "last background scan.",
            "store",
        )
        self.files = Gauge(
            "layerstore_filesystem_files",
            "Inodes that there can be on the filesystem that the store lies on; absent where it makes them as needed; "
            "from the last background scan.",
            "store",
        )
        self.files_free = Gauge(
            "layerstore_filesystem_files_free",
            "Inodes that are free on the filesystem that the store lies on; absent where it makes them as needed; from "
            "the last background scan.",
            "store",
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (self.size, self.available, self.files, self.files_free)

    def add(self, store: str, filesystem: Filesystem) -> None:
        self.size.add((store,), filesystem.size)
        self.available.add((store,), filesystem.available)
        self.files.add((store,), filesystem.files)
        self.files_free.add((store,), filesystem.files_free)
