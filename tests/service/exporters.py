"""The exporter as a process, as its users start it: on a store on disk, on a port of its own, its log in a file."""

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

PATIENCE = 30.0
"""Seconds for what should come at once, on a machine that has much else to do."""

Labels = frozenset[tuple[str, str]]
Samples = Mapping[str, Mapping[Labels, float]]


def samples_of(text: str) -> Samples:
    """The samples of an exposition, by metric and labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


@dataclass(slots=True, kw_only=True)
class Exporter:
    """A running exporter."""

    process: "subprocess.Popen[bytes]"
    log_path: Path
    scheme: str = "http"
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = 0

    def wait_until_serving(self) -> None:
        """Until it has said where it listens."""
        self.wait_until(lambda: re.search(r'"127\.0\.0\.1:(\d+)"', self.log) is not None)
        match = re.search(r'"127\.0\.0\.1:(\d+)"', self.log)
        assert match is not None
        self.port = int(match[1])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until that is so; it fails where the exporter ends before, or the time is up."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.01)

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self.log_path.read_text(errors="replace")

    def events(self) -> list[dict[str, object]]:
        """The lines of its log; each is one JSON object, or this fails."""
        return [json.loads(line) for line in self.log.splitlines()]

    def logged(self, event: str) -> bool:
        """Whether a line with that event was logged."""
        return any(line["event"] == event for line in self.events())

    def get(self, path: str = "/metrics") -> str:
        """What a page says. Raises OSError where it cannot be had."""
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.tls))
        request = urllib.request.Request(f"{self.scheme}://127.0.0.1:{self.port}{path}", headers=dict(self.headers))
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            content: bytes = answer.read()
        return content.decode()

    def samples(self) -> Samples:
        """Its metrics now."""
        return samples_of(self.get())

    def is_ready(self) -> bool:
        """Whether there was a first report."""
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """Files and connections that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE)


def start(directory: Path, root: Path | None, *flags: str, prefix: tuple[str, ...] = ()) -> Exporter:
    """Start an exporter that logs into *directory*; it may not serve yet."""
    log_path = directory / f"exporter-{time.monotonic_ns()}.log"
    roots = [] if root is None else [f"--path.docker-root={root}"]
    # The machine's own engines are none of a test's.
    containerd = directory / "containerd.toml"
    containerd.write_text(f'version = 2\nroot = "{directory}/containerd"\n')
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                *(*prefix, sys.executable, "-m", "exporter", *roots, "--web.listen-address=127.0.0.1:0"),
                *("--log.format=json", f"--path.docker-config={directory}/daemon.json"),
                *(f"--path.containerd-config={containerd}", *flags),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    return Exporter(process=process, log_path=log_path)


@contextlib.contextmanager
def running(directory: Path, root: Path | None, *flags: str, prefix: tuple[str, ...] = ()) -> Iterator[Exporter]:
    """An exporter that serves; it is ended at the end."""
    exporter = start(directory, root, *flags, prefix=prefix)
    try:
        exporter.wait_until_serving()
        yield exporter
    finally:
        if exporter.process.poll() is None:
            exporter.kill()
