"""Ten thousand random requests against the exporter as it is installed."""

import os
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.service.exporters import Exporter, running
from tests.service.figures import is_exact
from tests.service.requests import random_request
from tests.service.test_lifecycle import build

REQUESTS, CLIENTS = 10_000, 8
SEED = os.environ.get("LAYERSTORE_SEED")
STATUSES = {200, 400, 401, 404, 405, 408, 413, 431, 501, 503}
GROWTH = 10_000_000
"""Bytes of memory that differ from one moment to another; a kilobyte lost with each request would be as much."""


def ask(port: int, sent: bytes) -> bytes:
    """All that is answered, until the server ends the connection or nothing more comes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(1 << 18):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def talk(port: int, seed: int, count: int) -> Counter[int]:
    """So many requests, each on a connection of its own; how often each status was answered, 0 for no answer."""
    rng = Random(seed)  # noqa: S311 - to be repeated
    found: Counter[int] = Counter()
    for number in range(count):
        sent = random_request(rng)
        answer = ask(port, sent)
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
        case = f"LAYERSTORE_SEED={seed}, request {number}: {sent[:300]!r} was answered {answer[:300]!r}"
        assert set(statuses) <= STATUSES, case
        assert not re.search(rb"Traceback|File \"|\.py", answer), case
        found.update(statuses or [0])
    return found


def all_of(exporter: Exporter, seed: int, requests: int) -> Counter[int]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = [pool.submit(talk, exporter.port, seed + client, requests // CLIENTS) for client in range(CLIENTS)]
        return sum((part.result() for part in parts), Counter())


@pytest.mark.parametrize("users", [False, True], ids=["open to all", "with users"])
def test_random_requests(tmp_path: Path, *, users: bool) -> None:
    """Each is answered with a status that fits or not at all; nothing crashes, nothing of the inside is told, memory
    and descriptors are what they were after the first thousand, and the figures are still right."""
    root, config = tmp_path / "docker", tmp_path / "web.yml"
    store = build(root)
    # The lowest cost: the checks themselves are not what is tried here.
    config.write_text("basic_auth_users: {a: $2b$04$PkNsFqNX5Dc/lFSj.y7eE.D5nDcxAxQgwJ2cmOym0KtQfiozcSfVy}\n")
    flags = [f"--web.config.file={config}"] if users else []
    requests = REQUESTS // 10 if users else REQUESTS
    seed = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    with running(tmp_path, root, *flags) as exporter:
        exporter.headers = {"Authorization": "Basic YTp4"} if users else {}
        exporter.wait_until(lambda: is_exact(exporter.samples(), store, root))
        all_of(exporter, seed, requests // 10)
        before, open_before = exporter.resident(), exporter.descriptors()
        found = all_of(exporter, seed + CLIENTS, requests)
        exporter.wait_until(lambda: exporter.descriptors() <= open_before)
        assert exporter.resident() - before < GROWTH
        assert is_exact(exporter.samples(), store, root)
        assert exporter.end() == 0
    assert found.keys() >= ({400, 401} if users else {200, 400, 404, 405, 431, 501})
    assert [] == [line for line in exporter.events() if line["level"] in {"error", "critical"}]
    assert "Traceback" not in exporter.log
