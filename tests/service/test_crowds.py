"""The exporter under attack from many clients at once: scrapes are answered, descriptors and memory stay bounded."""

import ssl
from pathlib import Path

from exporter.export.client import Limits
from tests.service.crowds import HELLO, allow_descriptors, dripping, holding, scrape_seconds
from tests.service.exporters import Exporter, running
from tests.service.test_lifecycle import build
from tests.unit.export.webconfig.files import Office

SLOWEST = 1.0
"""Seconds within which 99 of 100 scrapes are answered."""
OTHER_DESCRIPTORS = 40
MEMORY = 60_000_000
"""Bytes that attackers may cost: some 100 kB for each connection, mostly OpenSSL's."""


ROUNDS = 3
"""Rounds of which one must be fast: the machine may have else to do, and the clients themselves take a core."""


def check(exporter: Exporter, memory_before: int, tls: ssl.SSLContext | None = None) -> None:
    """A hundred scrapes, each on a connection of its own; all must succeed, and all but one be fast."""
    slowest = [sorted(scrape_seconds(exporter.port, times=100, tls=tls))[-2]]
    while min(slowest) >= SLOWEST and len(slowest) < ROUNDS:
        slowest.append(sorted(scrape_seconds(exporter.port, times=100, tls=tls))[-2])
    assert min(slowest) < SLOWEST
    assert exporter.descriptors() < Limits().connections + OTHER_DESCRIPTORS
    assert exporter.resident() - memory_before < MEMORY
    assert not [line for line in exporter.events() if line["level"] == "error"]


def test_idle_and_slow_clients(tmp_path: Path) -> None:
    """1,000 connections that say nothing, and 500 that send a byte of their header each second."""
    allow_descriptors(4000)
    build(tmp_path / "docker")
    with running(tmp_path, tmp_path / "docker") as exporter:
        exporter.wait_until(exporter.is_ready)
        before = exporter.resident()
        with holding(exporter.port, 1000), dripping(exporter.port, 500):
            check(exporter, before)
        assert exporter.end() == 0


def test_handshakes_that_never_end(tmp_path: Path) -> None:
    """1,000 TLS handshakes that stop after their first bytes, and 500 clients that never begin one."""
    allow_descriptors(4000)
    office = Office(tmp_path)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    build(tmp_path / "docker")
    with running(tmp_path, tmp_path / "docker", f"--web.config.file={tmp_path}/web.yml") as exporter:
        exporter.scheme, exporter.tls = "https", office.trusting()
        exporter.wait_until(exporter.is_ready)
        before = exporter.resident()
        with holding(exporter.port, 1000, HELLO), holding(exporter.port, 500):
            check(exporter, before, office.trusting())
        assert exporter.end() == 0
