"""The exporter itself, started as its users start it, on an engine's root."""

import contextlib
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.engine.docker import free_port
from tests.engine.processes import Daemon, ProcessError, delete

REPOSITORY = Path(__file__).parents[2]

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One answer of ``/metrics``."""

    text: str
    samples: Mapping[str, Mapping[Labels, float]]
    """By metric and labels."""

    def by(self, label: str, metric: str) -> dict[str, float]:
        """The values of a metric by one of its labels, where no two series have it alike."""
        series = self.samples.get(metric, {})
        values = {dict(labels)[label]: value for labels, value in series.items()}
        assert len(values) == len(series), f"{metric} is not told apart by {label}"
        return values

    def labels(self, metric: str) -> list[dict[str, str]]:
        """The labels of all series of a metric."""
        return [dict(labels) for labels in self.samples.get(metric, {})]


class Target:
    """A running exporter as Prometheus sees it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, path: str) -> str:
        """What a page of it says."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self._address}{path}", timeout=10) as answer:
            content: bytes = answer.read()
        return content.decode()

    def header(self, name: str) -> str | None:
        """What a header of its first page says."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self._address}/", timeout=10) as answer:
            value: str | None = answer.headers[name]
        return value

    def scrape(self) -> Scrape:
        """Its metrics now."""
        text = self.get("/metrics")
        samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return Scrape(text=text, samples=samples)

    def scrape_until(self, condition: Callable[[Scrape], bool], *, seconds: float) -> tuple[Scrape, float]:
        """The first scrape that meets the condition, and how long it took to come; the last one where none did."""
        started = time.monotonic()
        while not condition(scrape := self.scrape()) and time.monotonic() < started + seconds:
            time.sleep(0.02)
        return scrape, time.monotonic() - started

    def wait_until_ready(self, *, seconds: float = 30) -> None:
        """Return after the first report.

        Raises:
            ProcessError: There was none in that time.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise ProcessError(f"no report at {self._address} after {seconds} s")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether there was a first report."""
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False


class Exporter(Target):
    """A running exporter that a test has started."""

    def __init__(self, daemon: Daemon, address: str) -> None:
        super().__init__(address)
        self.daemon = daemon


@contextlib.contextmanager
def exporting(root: Path, *options: str) -> Iterator[Exporter]:
    """An exporter of an engine's root, ready; ended and deleted at the end."""
    directory = Path(tempfile.mkdtemp(prefix="layerstore-exporter-"))
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--path.docker-root={root}", f"--web.listen-address={address}", *options]
    python = ["/usr/bin/env", f"PYTHONPATH={REPOSITORY}", sys.executable]
    try:
        daemon = Daemon(*python, "-m", "exporter", *flags, log=directory / "exporter.log")
        try:
            exporter = Exporter(daemon, address)
            daemon.wait_until(exporter.is_ready)
            yield exporter
        finally:
            daemon.end()
    finally:
        delete(directory)
