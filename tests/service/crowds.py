"""Many clients at once, as no honest one would be, and a scrape that must get in beside them."""

import contextlib
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""How a handshake begins."""


def allow_descriptors(count: int) -> None:
    """Let this process, and what it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))


@contextlib.contextmanager
def holding(port: int, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that have sent *first* and say no more. One that is ended is opened anew every half second:
    whoever means harm comes again."""
    connections: list[socket.socket] = []
    stop = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connections.append(connection)
            connection.sendall(first)

    def is_open(connection: socket.socket) -> bool:
        try:
            connection.setblocking(False)
            return bool(connection.recv(65536))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def keep() -> None:
        while not stop.wait(0.5):
            for connection in list(connections):
                if not is_open(connection):
                    connections.remove(connection)
                    connection.close()
            while len(connections) < count and not stop.is_set():
                connect()

    for _ in range(count):
        connect()
    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield connections
    finally:
        stop.set()
        keeper.join()
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def dripping(port: int, count: int) -> Iterator[None]:
    """So many clients that send a header one byte a second."""
    stop = threading.Event()
    with holding(port, count, b"GET /metrics HTTP/1.1\r\nHost: ") as connections:

        def drip() -> None:
            while not stop.wait(1):
                for connection in list(connections):
                    with contextlib.suppress(OSError):
                        connection.send(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


REQUEST = b"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"


def scrape_seconds(port: int, *, times: int, pause: float = 0.05, tls: ssl.SSLContext | None = None) -> list[float]:
    """How long each of so many scrapes took, connection and handshake included. Each must succeed."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, contextlib.ExitStack() as stack:
            connection = plain
            if tls is not None:
                connection = stack.enter_context(tls.wrap_socket(plain, server_hostname="127.0.0.1"))
            connection.sendall(REQUEST)
            received = b""
            while data := connection.recv(1 << 20):
                received += data
        taken.append(time.perf_counter() - began)
        assert received.startswith(b"HTTP/1.1 200 "), received[:100]
        time.sleep(pause)
    return taken
