"""A web server to talk to, and raw connections to talk to it as no honest client would."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

from exporter.export.client import Handler, Limits
from exporter.export.messages import Request, Response
from exporter.export.web import WebServer

PATIENCE = 10.0
"""Seconds that a test waits for what should come at once, on a machine that has much else to do."""


def echo(request: Request) -> Response:
    """Answers with the method and the path."""
    return Response(
        status=200, headers=(("Content-Type", "text/plain"),), body=(f"{request.method} {request.path}".encode(),)
    )


@contextmanager
def serving(handler: Handler = echo, limits: Limits | None = None) -> Iterator[int]:
    """A server on a port of its own."""
    with WebServer(["127.0.0.1:0"], handler, limits=limits) as server:
        yield server.bound[0][1]


@contextmanager
def connected(port: int, first: bytes = b"") -> Iterator[socket.socket]:
    """A connection that has sent *first*."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(first)
        yield connection


@contextmanager
def crowd(port: int, size: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Many connections, each of which has sent *first* and is kept open."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(port, first)) for _ in range(size)]


def until_closed(connection: socket.socket) -> bytes:
    """All that the server still sends before it ends the connection."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def exchange(port: int, sent: bytes) -> bytes:
    """All that the server answers to *sent*, and to the end of input after it."""
    with connected(port, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        return until_closed(connection)


def get(port: int, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one honest request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
