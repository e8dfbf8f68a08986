"""A host of 1,000 layers, 300 images and 500 containers: reading its records, and serving while they are read."""

import statistics
import time
from pathlib import Path

from exporter.sample.large import build_large
from exporter.store.detect import Root
from exporter.survey import RecordSurvey
from tests.bench.figures import Figure, seconds
from tests.bench.service import service

SETTLED = 2.5
"""Seconds after which records no longer count as young, which are read again every time."""


def figures(directory: Path) -> list[Figure]:
    """Catalog and serving on the large store."""
    root = directory / "docker"
    build_large(root, layers=1000, images=300, containers=500, seed=1)
    return [*_catalog(root), *_serving(root)]


def _catalog(root: Path) -> list[Figure]:
    def survey() -> RecordSurvey:
        return RecordSurvey([Root(path=str(root))], daemon_config="/nonexistent")

    first = seconds(lambda: survey().catalog(), times=3)
    time.sleep(SETTLED)
    again = survey()
    again.catalog()
    used = time.thread_time()
    unchanged = seconds(again.catalog, times=15)
    used = (time.thread_time() - used) / 15
    return [
        Figure(
            what="first catalog", value=first, unit="s", limit=1.0, reference="1,000 layers, 300 images, 500 containers"
        ),
        Figure(
            what="catalog, nothing changed",
            value=unchanged * 1e3,
            unit="ms",
            limit=50,
            reference=f"median of 15; {used * 1e3:.0f} ms of CPU",
        ),
    ]


def _serving(root: Path) -> list[Figure]:
    with service(root, "--scan.interval", "1ms") as running:
        times, size = [], 0
        for _ in range(200):
            before = time.perf_counter()
            size = len(running.scrape())
            times.append(time.perf_counter() - before)
            time.sleep(0.02)
        memory = running.resident()
    quantiles = statistics.quantiles(times, n=100)
    return [
        Figure(
            what="/metrics while scanning, median",
            value=quantiles[49] * 1e3,
            unit="ms",
            limit=5,
            reference=f"{size:,} bytes, 200 scrapes beside scans without a pause",
        ),
        Figure(what="/metrics while scanning, p99", value=quantiles[98] * 1e3, unit="ms"),
        Figure(what="resident memory", value=memory / 1e6, unit="MB", limit=80, reference="after 200 scrapes"),
    ]
