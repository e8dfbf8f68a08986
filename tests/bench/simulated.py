"""A fleet that is not there: one server that answers as many exporters would, each host with a past.

What a real exporter said of one host is served once for each, at a path of its own. The first answer of a host carries
an hour and more of samples with their times, so that rules which look back find as much as they would in a fleet that
has long been watched.
"""

import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

INTERVAL: Final = 15
"""Seconds between two scrapes."""

PAST: Final[Mapping[str, float]] = {
    "layerstore_container_upper_allocated_bytes": 3600,
    "layerstore_container_log_allocated_bytes": 3600,
    "layerstore_filesystem_avail_bytes": 5.9 * 3600,
    "layerstore_watch_overflows_total": 900,
}
"""Seconds that rules look back at a metric: an hour at most but for free space, of which 6 hours are wanted and the
server, which takes nothing older than half a block, is given a little less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """A series, and how its value goes on."""

    text: str
    """Name and labels, as exposed."""
    value: float
    pace: float
    """Bytes per second."""
    past: float
    """Seconds of it to tell at first; 0 for none."""

    def at(self, after: float) -> float:
        return self.value + int(self.pace * after)


class Fleet:
    """Hosts that all have what *page* says of one, each growing at a pace of its own."""

    def __init__(self, page: str, *, hosts: int) -> None:
        lines = [line for line in page.splitlines() if line and not line.startswith("#")]
        self.hosts: Final = [f"/{number}/metrics" for number in range(hosts)]
        self.series: Final = len(lines)
        self._began: Final = time.time()
        self._samples = {path: [_sample(line, number) for line in lines] for number, path in enumerate(self.hosts)}
        self._told: set[str] = set()
        self._telling: Final = threading.Lock()

    def answer(self, path: str) -> Iterator[bytes]:
        """What the exporter at *path* says now: the first time, with its past. Empty while others tell theirs: that is
        much to say, and Prometheus waits for each no longer than for a scrape."""
        if path in self._told:
            yield self._present(path, time.time())
        elif self._telling.acquire(timeout=3):
            try:
                now = time.time()
                yield "".join(line for sample in self._samples[path] for line in self._past(sample, now)).encode()
                yield self._present(path, now)
                self._told.add(path)
            finally:
                self._telling.release()

    def _present(self, path: str, now: float) -> bytes:
        return "".join(f"{sample.text} {sample.at(now - self._began)}\n" for sample in self._samples[path]).encode()

    def _past(self, sample: _Sample, now: float) -> Iterator[str]:
        for step in range(int(sample.past) // INTERVAL, 0, -1):
            at = now - step * INTERVAL
            yield f"{sample.text} {sample.at(at - self._began)} {int(at * 1000)}\n"

    @contextmanager
    def served(self) -> Iterator[str]:
        """Answer meanwhile; the address on loopback."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answer))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _sample(line: str, host: int) -> _Sample:
    text, _, value = line.rpartition(" ")
    metric = re.split(r"[{ ]", text, maxsplit=1)[0]
    return _Sample(text=text, value=float(value), pace=_pace(metric, host, text), past=PAST.get(metric, 0))


def _pace(metric: str, host: int, text: str) -> float:
    """One container in five writes, up to 50 kB a second, and logs a tenth of that; one filesystem in ten fills."""
    drawn = zlib.crc32(f"{host} {text.partition('container_id=')[2][:14]}".encode())
    writes = 1000.0 * (drawn % 50) if drawn % 5 == 0 else 0.0
    return {
        "layerstore_container_upper_allocated_bytes": writes,
        "layerstore_container_log_allocated_bytes": writes / 10,
        "layerstore_filesystem_avail_bytes": -2_000_000.0 if host % 10 == 0 else 0.0,
    }.get(metric, 0.0)


def _handler(answer: Callable[[str], Iterator[bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = answer(self.path)
            first = next(parts, None)
            if first is None:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            try:
                self.wfile.write(first)
                for part in parts:
                    self.wfile.write(part)
            except ConnectionError:
                self.close_connection = True  # it was too slow, and will ask again

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
