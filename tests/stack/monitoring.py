"""Real monitoring on loopback: exporters, Prometheus, Alertmanager, and a receiver of its notifications."""

import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engine.docker import free_port
from tests.engine.processes import Daemon
from tests.requirements import required

Labels = Mapping[str, str]


def fetch(url: str) -> bytes:
    """What an address on loopback answers, errors included: they have a body too."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            content: bytes = answer.read()
    except urllib.error.HTTPError as error:
        content = error.read()
    return content


def wait_for(happened: Callable[[], bool], what: str, *, seconds: float) -> float:
    """Wait until *happened()*; the seconds that it took. Fails by saying *what* did not happen."""
    start = time.monotonic()
    while not happened():
        assert time.monotonic() < start + seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - start


@contextmanager
def running(program: str, *arguments: str, log: Path, ready: str) -> Iterator[None]:
    """A program that runs meanwhile; it is ready when the address *ready* answers."""
    daemon = Daemon(program, *arguments, log=log)
    try:
        daemon.wait_until(lambda: _answers(ready))
        yield
    finally:
        daemon.end()


@contextmanager
def exporter(*arguments: str, log: Path) -> Iterator[str]:
    """An exporter with these arguments; its address."""
    address = f"127.0.0.1:{free_port()}"
    command = ["-m", "exporter", *arguments, "--web.listen-address", address, "--log.format", "json"]
    with running(sys.executable, *command, log=log, ready=f"http://{address}/-/ready"):
        yield address


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expr: str) -> Sequence[Any]:
        """The series that *expr* gives now. Fails where Prometheus answers with an error."""
        answer = self._get("query", query=expr)
        assert answer["status"] == "success", f"{answer.get('error')}\n{expr}"
        result: Sequence[Any] = answer["data"]["result"]
        return result

    def groups(self) -> Sequence[Any]:
        """Every group of rules, as it is loaded, in order."""
        groups: Sequence[Any] = self._get("rules")["data"]["groups"]
        return groups

    def rules(self) -> Sequence[Any]:
        """Every rule, as it is loaded, in order."""
        return [rule for group in self.groups() for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> Any:
        return json.loads(fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))


@contextmanager
def prometheus(configuration: str, *flags: str, rules: str, directory: Path) -> Iterator[Prometheus]:
    """A Prometheus with this configuration, these further flags, and these rules, which the configuration calls
    ``rules.yaml``."""
    (directory / "prometheus.yaml").write_text(configuration)
    (directory / "rules.yaml").write_text(rules)
    address = f"127.0.0.1:{free_port()}"
    with running(
        required("prometheus"),
        f"--config.file={directory}/prometheus.yaml",
        f"--storage.tsdb.path={directory}/prometheus",
        f"--web.listen-address={address}",
        *flags,
        log=directory / "prometheus.log",
        ready=f"http://{address}/-/ready",
    ):
        yield Prometheus(url=f"http://{address}")


@contextmanager
def alertmanager(receiver: str, *, directory: Path) -> Iterator[str]:
    """An Alertmanager that tells *receiver* of each alert by itself and at once; its address."""
    (directory / "alertmanager.yaml").write_text(
        "route: {receiver: test, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
        f"receivers: [{{name: test, webhook_configs: [{{url: '{receiver}', send_resolved: true}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    with running(
        required("prometheus-alertmanager"),
        f"--config.file={directory}/alertmanager.yaml",
        f"--storage.path={directory}/alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        log=directory / "alertmanager.log",
        ready=f"http://{address}/-/ready",
    ):
        yield address


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One alert, as the webhook was told of it."""

    at: float
    """When it arrived, by the monotonic clock."""
    status: str
    """``firing`` or ``resolved``."""
    labels: Labels
    annotations: Labels


class Receiver:
    """Takes what Alertmanager posts to a webhook."""

    def __init__(self) -> None:
        self.notifications: list[Notification] = []
        received = self.notifications

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.monotonic()
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.extend(
                    Notification(
                        at=at, status=alert["status"], labels=alert["labels"], annotations=alert["annotations"]
                    )
                    for alert in message["alerts"]
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Take notifications meanwhile; the address."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self.url
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def first(self, status: str, labels: Labels) -> Notification | None:
        """The first notification of this status whose labels include *labels*."""
        for notification in list(self.notifications):
            if notification.status == status and labels.items() <= notification.labels.items():
                return notification
        return None


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
