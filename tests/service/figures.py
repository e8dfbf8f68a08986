"""What the exporter should say of a store at rest, by the system's own account of the files."""

import os
from pathlib import Path

from exporter.sample.builder import StoreBuilder
from tests.service.exporters import Samples


def du(path: Path) -> int:
    """Allocated bytes of a tree, each inode once, as ``du -s --block-size=1`` counts."""
    seen: dict[tuple[int, int], int] = {}
    pending = [str(path)]
    while pending:
        current = pending.pop()
        status = os.lstat(current)
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
        if os.path.isdir(current) and not os.path.islink(current):
            pending += [entry.path for entry in os.scandir(current)]
    return sum(seen.values())


def expected_uppers(store: StoreBuilder) -> dict[str, float]:
    """Allocated bytes of each upper layer, by the container's name."""
    return {container.name: float(du(store.upper_path(key))) for key, container in store.containers.items()}


def uppers(samples: Samples) -> dict[str, float]:
    """The same, as exported."""
    series = samples.get("layerstore_container_upper_allocated_bytes", {})
    return {dict(labels)["name"]: value for labels, value in series.items()}


def is_exact(samples: Samples, store: StoreBuilder, root: Path) -> bool:
    """Whether everything is measured, and right: upper layers, storage directories, and all areas of the root."""
    directories = samples.get("layerstore_directories_allocated_bytes", {})
    areas = samples.get("layerstore_area_allocated_bytes", {})
    return (
        expected_uppers(store) == uppers(samples)
        and sum(directories.values()) == du(root / "overlay2")
        and sum(areas.values()) == du(root)
    )
