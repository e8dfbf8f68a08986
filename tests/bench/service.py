"""The real service as a process of its own, for figures that only a running one gives."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running exporter."""

    pid: int
    url: str
    """Of its metrics."""

    def scrape(self) -> str:
        """What ``/metrics`` answers."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            content: bytes = answer.read()
        return content.decode()

    def cpu(self) -> float:
        """CPU seconds, user and system, that it has used."""
        return cpu_of(self.pid)

    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def value(self, sample: str) -> float:
        """The value of the one sample that begins with *sample*."""
        (line,) = [line for line in self.scrape().splitlines() if line.startswith(sample)]
        return float(line.rpartition(" ")[2])


def cpu_of(pid: int) -> float:
    """CPU seconds, user and system, that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(root: Path, *flags: str) -> Iterator[Service]:
    """Run the exporter on *root*; it is ready when this is entered."""
    command = [sys.executable, "-m", "exporter", "--path.docker-root", str(root), *flags]
    command += ["--web.listen-address", "127.0.0.1:0", "--log.format", "json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = next(match[1] for line in process.stderr if (match := re.search(r'"127\.0\.0\.1:(\d+)"', line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        running = Service(pid=process.pid, url=f"http://127.0.0.1:{port}/metrics")
        while "layerstore_store_info{" not in running.scrape():
            time.sleep(0.1)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
