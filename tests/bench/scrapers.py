"""Scrapes as Prometheus makes them, many at once: over connections that are kept, compressed.

A program of its own, so that its work is not the server's: ``python -m tests.bench.scrapers PORT CLIENTS SECONDS [CA]``
prints how long each scrape took, a line each. With a CA it speaks TLS; ``LAYERSTORE_AUTHORIZATION`` is sent if set.
"""

import contextlib
import os
import socket
import ssl
import sys
import threading
import time


def request() -> bytes:
    """What Prometheus asks for, in short."""
    authorization = os.environ.get("LAYERSTORE_AUTHORIZATION")
    lines = ["GET /metrics HTTP/1.1", "Host: h", "Accept-Encoding: gzip"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    return "\r\n".join([*lines, "", ""]).encode()


def scrape(connection: socket.socket, asked: bytes, buffer: bytearray) -> None:
    """One scrape: ask, and read the whole answer."""
    connection.sendall(asked)
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    header, _, body = head.partition(b"\r\n\r\n")
    if not header.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"a scrape failed: {header.splitlines()[0]!r}")
    left = int(header.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= connection.recv_into(buffer)


def client(port: int, end: float, tls: ssl.SSLContext | None, taken: list[float]) -> None:
    """Scrape without a pause until the end."""
    buffer, asked = bytearray(1 << 18), request()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, contextlib.ExitStack() as stack:
        connection = plain
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(plain, server_hostname="127.0.0.1"))
        while time.monotonic() < end:
            began = time.perf_counter()
            scrape(connection, asked, buffer)
            taken.append(time.perf_counter() - began)


def main(port: str, clients: str, seconds: str, ca: str = "") -> None:
    """Run the clients, and print what each scrape took."""
    tls = ssl.create_default_context(cafile=ca) if ca else None
    end, taken = time.monotonic() + float(seconds), list[float]()
    threads = [threading.Thread(target=client, args=(int(port), end, tls, taken)) for _ in range(int(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write("\n".join(map(str, taken)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
