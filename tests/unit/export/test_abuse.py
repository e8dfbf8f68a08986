"""The web server under attack: whoever holds connections, a scrape gets in."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.export.client import Limits
from exporter.export.messages import Request, Response
from exporter.export.web import WebServer
from exporter.export.webconfig.policy import Policy
from tests.requirements import required
from tests.unit.export.servers import PATIENCE, connected, crowd, echo, exchange, get, serving, until_closed

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
SHORT = 0.3
"""Seconds of a limit that a test waits for."""


def seconds_until_closed(connection: socket.socket) -> float:
    started = time.monotonic()
    until_closed(connection)
    return time.monotonic() - started


def test_a_connection_that_says_nothing_is_ended() -> None:
    """The first byte has as long as a header has; nothing is answered to nobody."""
    with serving(limits=Limits(header=SHORT)) as port, connected(port) as silent:
        started = time.monotonic()
        assert until_closed(silent) == b""
        assert SHORT / 2 < time.monotonic() - started < PATIENCE


def test_a_header_that_does_not_end_is_refused() -> None:
    """A byte now and then does not keep a connection: the whole header has one limit."""
    with serving(limits=Limits(header=SHORT)) as port, connected(port, b"GET / HTTP/1.1\r\nHost: h\r\n") as slow:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(SHORT / 10):
                try:
                    slow.sendall(b"X")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        started = time.monotonic()
        answer = until_closed(slow)
        taken = time.monotonic() - started
        stop.set()
        dripping.join()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert taken < PATIENCE


def test_a_body_that_does_not_end_is_refused() -> None:
    """A request's body counts against the same limit as its header."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"
    with serving(limits=Limits(header=SHORT)) as port, connected(port, head) as slow:
        assert until_closed(slow).startswith(b"HTTP/1.1 408 ")


def test_a_connection_is_kept_between_scrapes_and_no_longer() -> None:
    """Between two requests a client has longer than for a header; then the connection is ended without a word."""
    limits = Limits(header=SHORT, idle=3 * SHORT)
    with serving(limits=limits) as port, connected(port, HEAD) as client:
        first = client.recv(65536)
        time.sleep(2 * SHORT)
        client.sendall(HEAD)
        second = client.recv(65536)
        assert until_closed(client) == b""

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_cut() -> None:
    """An answer that nobody takes is not kept for ever."""
    length = 50_000_000

    def handler(_: Request) -> Response:
        return Response(status=200, body=(b"x" * length,))

    with serving(handler, limits=Limits(write=SHORT)) as port, connected(port, HEAD) as stuck:
        time.sleep(3 * SHORT)
        assert len(until_closed(stuck)) < length


@pytest.mark.parametrize("limit", [64, 512], ids=["more than may connect", "fewer than may connect"])
def test_idle_and_slow_clients_keep_no_scrape_out(limit: int) -> None:
    """200 connections that say nothing and 100 that never end their header: each of 20 scrapes is answered at once."""
    limits = Limits(connections=limit)
    with serving(limits=limits) as port, crowd(port, 200), crowd(port, 100, b"GET / HTTP/1.1\r\nHost: ") as slow:
        taken = []
        for number in range(20):
            for client in slow[number::20]:
                try:
                    client.sendall(b"x")
                except OSError:  # it lost its place already, as it should
                    continue
            started = time.monotonic()
            assert get(port, "/scrape")[0] == 200
            taken.append(time.monotonic() - started)

    assert max(taken) < limits.header / 2


def test_clients_that_do_not_read_keep_no_scrape_out() -> None:
    """Where every place is taken by a client that is being answered, the one that has taken longest gives way."""

    def handler(request: Request) -> Response:
        return Response(status=200, body=(b"x" * 20_000_000,)) if request.path == "/" else echo(request)

    with serving(handler, limits=Limits(connections=8)) as port, crowd(port, 20, HEAD):
        assert get(port, "/scrape")[2] == b"GET /scrape"


def test_whoever_is_being_answered_keeps_its_place() -> None:
    """When room is needed it is made by those that wait, be they younger: a scrape under way is not cut."""
    body = b"x" * 20_000_000

    def handler(_: Request) -> Response:
        return Response(status=200, body=(body,))

    with serving(handler, limits=Limits(connections=8)) as port, connected(port, HEAD[:-2] + b"A: b\r\n\r\n") as scrape:
        begun = scrape.recv(1000)
        with crowd(port, 100):
            received = begun
            while len(received.partition(b"\r\n\r\n")[2]) < len(body):
                data = scrape.recv(1 << 20)
                assert data
                received += data


def test_without_descriptors_a_scrape_still_gets_in() -> None:
    """Where the process may open fewer files than the server may have connections, those that wait give theirs back."""
    server = """
import resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
from exporter.export.messages import plain
from exporter.export.web import WebServer
from exporter.export.webconfig.policy import Policy
with WebServer(["127.0.0.1:0"], lambda request: plain(200, "here")) as server:
    print(server.bound[0][1], flush=True)
    sys.stdin.read()
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with crowd(port, 150):
            assert get(port)[2] == b"here\n"
        process.communicate()
    assert process.returncode == 0


class Certificate:
    """A certificate of this host's loopback address, signed by itself."""

    def __init__(self, directory: Path) -> None:
        self.path, self.key = directory / "cert.pem", directory / "key.pem"
        subprocess.run(
            [
                *(required("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(self.key), "-out", str(self.path)),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        self._policy = Policy(tls=context)

    def policy(self) -> Policy:
        return self._policy

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.path))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    yield Certificate(tmp_path_factory.mktemp("tls"))


def tls_scrape(port: int, certificate: Certificate) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        certificate.client().wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(b"GET /tls HTTP/1.0\r\n\r\n")
        return until_closed(client)


def test_scrapes_over_tls_are_answered_beside_handshakes_that_never_end(certificate: Certificate) -> None:
    """A handshake is held to the same limits as a header, and takes nobody else's time."""
    limits = Limits(connections=32)
    with WebServer(["127.0.0.1:0"], echo, policy=certificate.policy, limits=limits) as server:
        port = server.bound[0][1]
        with crowd(port, 50), crowd(port, 50, b"\x16\x03\x01\x02\x00\x01"):
            for _ in range(5):
                assert tls_scrape(port, certificate).endswith(b"\r\n\r\nGET /tls")


def test_a_handshake_that_never_ends_is_cut(certificate: Certificate) -> None:
    """After the header's limit a connection without a finished handshake is gone."""
    limits = Limits(header=SHORT)
    with (
        WebServer(["127.0.0.1:0"], echo, policy=certificate.policy, limits=limits) as server,
        connected(server.bound[0][1], b"\x16\x03\x01") as silent,
    ):
        assert seconds_until_closed(silent) < PATIENCE


def test_plain_http_to_a_tls_port_is_cut(certificate: Certificate) -> None:
    """A client that speaks no TLS learns nothing, and the next one that does is served."""
    with WebServer(["127.0.0.1:0"], echo, policy=certificate.policy) as server:
        port = server.bound[0][1]
        assert b"HTTP" not in exchange(port, HEAD)
        assert tls_scrape(port, certificate).endswith(b"GET /tls")
