"""A host of 1,000 layers, 300 images and 500 containers: reading its records, and serving while they are read."""

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.account.integrity import find_problems
from exporter.sample.large import build_large
from exporter.store.catalog import Catalog
from exporter.store.detect import Root
from exporter.store.scanner import Scanner
from tests.bench.figures import Figure, resident, seconds

SETTLED = 2.5
"""Seconds after which records no longer count as young, which are read again every time."""


def figures(directory: Path) -> list[Figure]:
    """Catalog and serving on the large store."""
    root = directory / "docker"
    build_large(root, layers=1000, images=300, containers=500, seed=1)
    return [*_catalog(root), *_serving(root)]


def _catalog(root: Path) -> list[Figure]:
    def scan(scanner: Scanner) -> Catalog:
        catalog = scanner.scan(time.time())
        for store in catalog.stores:
            find_problems(store)
        return catalog

    first = seconds(lambda: scan(Scanner([Root(path=str(root))])), times=3)
    time.sleep(SETTLED)
    scanner = Scanner([Root(path=str(root))])
    scan(scanner)
    unchanged = seconds(lambda: scan(scanner), times=15)
    return [
        Figure(
            what="first catalog", value=first, unit="s", limit=1.0, reference="1,000 layers, 300 images, 500 containers"
        ),
        Figure(what="catalog, nothing changed", value=unchanged * 1e3, unit="ms", limit=50, reference="median of 15"),
    ]


def _serving(root: Path) -> list[Figure]:
    with _exporter(root) as (pid, url):
        times, size = [], 0
        for _ in range(200):
            before = time.perf_counter()
            size = len(_get(url))
            times.append(time.perf_counter() - before)
            time.sleep(0.02)
        memory = resident(pid)
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


@contextmanager
def _exporter(root: Path) -> Iterator[tuple[int, str]]:
    """The real service on *root*, scanning without a pause; its process id and the address of its metrics."""
    command = [sys.executable, "-m", "exporter", "--path.docker-root", str(root), "--scan.interval", "1ms"]
    command += ["--web.listen-address", "127.0.0.1:0", "--log.format", "json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stderr is not None
        port = next(match[1] for line in process.stderr if (match := re.search(r'"127\.0\.0\.1:(\d+)"', line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        while b"layerstore_layer_info{" not in _get(f"{url}/metrics"):
            time.sleep(0.1)
        yield process.pid, f"{url}/metrics"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content
