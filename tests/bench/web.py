"""The web server under load and under attack, as a process of its own, on loopback."""

import base64
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt

from exporter.export.client import Limits
from exporter.sample.large import build_large, build_tree
from tests.bench.figures import Figure
from tests.service.crowds import HELLO, allow_descriptors, dripping, holding, scrape_seconds
from tests.service.exporters import Exporter, running
from tests.unit.export.webconfig.files import Office

CLIENTS, SECONDS = 50, 10
PASSWORD = "a password of the benchmark"  # noqa: S105 - made up here
BUSY = ("--scan.interval=1s", "--scan.full-interval=1s", "--scan.cpu-budget=100%")
"""Flags under which it walks without a pause, and reads the records in between."""
MANY_SERIES = ("--layers.limit=1000", "--images.limit=300")
"""Ten thousand, of the store that is measured."""


def figures(directory: Path) -> list[Figure]:
    """Scrapes in parallel while trees are walked; scrapes beside clients that mean harm; what a refusal tells."""
    allow_descriptors(4000)
    root = directory / "docker"
    store = build_large(root, layers=1000, images=300, containers=500, seed=1)
    upper = Path(store.upper_path(next(iter(store.containers))))
    build_tree(upper / "many", files=200_000, directories=2000)
    office = Office(directory)
    config = directory / "web.yml"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    users = f"basic_auth_users: {{prometheus: {hashed}}}\n"
    tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    config.write_text(users + tls)
    return [
        *_load(root, "plain"),
        *_load(root, "TLS, password", config=config, office=office),
        *_crowds(root, office),
        *_timing(root, directory, users),
    ]


@contextmanager
def _serving(root: Path, *flags: str) -> Iterator[Exporter]:
    with (
        tempfile.TemporaryDirectory(prefix="layerstore-bench-web-") as directory,
        running(Path(directory), root, *flags) as exporter,
    ):
        yield exporter
        exporter.end()


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _load(root: Path, how: str, *, config: Path | None = None, office: Office | None = None) -> list[Figure]:
    """50 clients that scrape without a pause, at 10,000 series, while a full walk runs."""
    flags = [*BUSY, *MANY_SERIES]
    if config is not None:
        flags.append(f"--web.config.file={config}")
    with _serving(root, *flags) as exporter:
        arguments = [str(exporter.port), str(CLIENTS), str(SECONDS)]
        environment = dict(os.environ)
        if office is not None:
            exporter.scheme, exporter.tls = "https", office.trusting()
            exporter.headers = {"Authorization": _basic("prometheus", PASSWORD)}
            environment["LAYERSTORE_AUTHORIZATION"] = exporter.headers["Authorization"]
            arguments.append(str(office.server_ca))
        exporter.wait_until(lambda: exporter.get().count("\nlayerstore_") >= 10_000)
        text = exporter.get()
        series = len([line for line in text.splitlines() if not line.startswith("#")])
        walked = exporter.samples()["layerstore_walk_inodes_total"][frozenset()]
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.scrapers", *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
        walked = exporter.samples()["layerstore_walk_inodes_total"][frozenset()] - walked
    taken = [float(line) for line in done.stdout.split()]
    quantiles = statistics.quantiles(taken, n=100)
    each = SECONDS / len(taken)
    return [
        Figure(
            what=f"{CLIENTS} scrapes at once, {how}: time for each",
            value=each * 1e3,
            unit="ms",
            limit=5.0,
            reference=f"{1 / each:.0f} scrapes/s (200 are wanted); {series:,} series, {walked:,.0f} inodes walked",
        ),
        Figure(
            what=f"{CLIENTS} scrapes at once, {how}: p99",
            value=quantiles[98] * 1e3,
            unit="ms",
            limit=500,
            reference=f"median {quantiles[49] * 1e3:.0f} ms",
        ),
    ]


def _crowds(root: Path, office: Office) -> list[Figure]:
    with _serving(root) as exporter:
        exporter.wait_until(exporter.is_ready)
        before = exporter.resident()
        with holding(exporter.port, 1000), dripping(exporter.port, 500):
            taken = scrape_seconds(exporter.port, times=200)
            idle = _crowd("1,000 idle, 500 with a header byte a second", exporter, before, taken)
    config = office.directory / "tls.yml"
    config.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    with _serving(root, f"--web.config.file={config}") as exporter:
        exporter.scheme, exporter.tls = "https", office.trusting()
        exporter.wait_until(exporter.is_ready)
        before = exporter.resident()
        with holding(exporter.port, 1000, HELLO):
            taken = scrape_seconds(exporter.port, times=200, tls=office.trusting())
            shaking = _crowd("1,000 half-open TLS handshakes", exporter, before, taken)
    with _serving(root, *MANY_SERIES) as exporter:
        exporter.wait_until(exporter.is_ready)
        before = exporter.resident()
        with holding(exporter.port, 1000, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"):
            taken = scrape_seconds(exporter.port, times=200)
            slow = _crowd("1,000 that hardly read what they asked for", exporter, before, taken)
    return [*idle, *shaking, *slow]


def _crowd(what: str, exporter: Exporter, before: int, taken: list[float]) -> list[Figure]:
    quantiles = statistics.quantiles(taken, n=100)
    return [
        Figure(
            what=f"scrape beside {what}: p99",
            value=quantiles[98] * 1e3,
            unit="ms",
            limit=1000,
            reference=f"median {quantiles[49] * 1e3:.0f} ms, {len(taken)} scrapes, each a connection of its own",
        ),
        Figure(
            what=f"beside {what}: descriptors",
            value=exporter.descriptors(),
            unit="",
            limit=Limits().connections + 40,
            reference=f"{Limits().connections} connections are kept at most",
        ),
        Figure(what=f"beside {what}: memory grown by", value=(exporter.resident() - before) / 1e6, unit="MB", limit=60),
    ]


def _timing(root: Path, directory: Path, users: str) -> list[Figure]:
    """How long refusals take, in turn."""
    config = directory / "users.yml"
    config.write_text(users)
    wrong, unknown = [], []
    with _serving(root, f"--web.config.file={config}") as exporter:
        for number in range(40):
            wrong.append(_refusal(exporter, "prometheus", f"wrong {number}"))
            unknown.append(_refusal(exporter, f"user {number}", "wrong"))
    ratio = statistics.median(unknown) / statistics.median(wrong)
    return [
        Figure(
            what="refusal of an unknown user",
            value=max(ratio, 1 / ratio),
            unit="times",
            limit=1.1,
            reference=f"a wrong password: {statistics.median(wrong) * 1e3:.0f} ms, medians of 40, larger by smaller",
        )
    ]


def _refusal(exporter: Exporter, name: str, password: str) -> float:
    request = urllib.request.Request(f"http://127.0.0.1:{exporter.port}/metrics")
    request.add_header("Authorization", _basic(name, password))
    time.sleep(0.25)  # the rest that the server takes after a wrong password
    began = time.perf_counter()
    try:
        urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        error.close()
    return time.perf_counter() - began
