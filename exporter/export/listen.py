"""The addresses that the web server listens on, written as Prometheus' exporters write them."""

import errno
import os
import socket
from collections.abc import Iterable

_BACKLOG = 4096
"""Connections that may wait to be accepted; as many as Linux lets wait by default. Of more than that the kernel drops
the first packet, and whoever sent it tries again a second later: so long a scrape would have to wait beside a crowd."""
_SEND_BUFFER, _RECEIVE_BUFFER = 256 * 1024, 64 * 1024
"""Bytes that the kernel keeps for each connection: of an answer that is not read, of requests sent ahead. It would go
up to megabytes, which count as this process's where its memory is limited."""

_ADVICE = {
    errno.EADDRINUSE: "another process holds it (ss -ltnp shows which): end that, or choose another port",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE: choose a higher one",
    errno.EADDRNOTAVAIL: "no interface of this host has that address: choose one that has, or leave the host out "
    "for all of them",
}


class ListenError(Exception):
    """An address that cannot be listened on. The message says which, why, and what to do."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:10412``, ``[::1]:10412`` or ``:10412``; the host is empty for all interfaces.

    Raises ListenError for anything else.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    if not colon or not 0 <= number <= 65535 or (":" in host and not bracketed):
        raise ListenError(f"{text!r} is no address to listen on: write :10412, 127.0.0.1:10412 or [::1]:10412")
    return host[1:-1] if bracketed else host, number


def listen(addresses: Iterable[str]) -> tuple[socket.socket, ...]:
    """A listening socket for each address, or ListenError and none."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets.append(_listen(address))  # noqa: PERF401 - what was opened before a failure must be closed
    except ListenError:
        for opened in sockets:
            opened.close()
        raise
    return tuple(sockets)


def _listen(address: str) -> socket.socket:
    host, port = parse_address(address)
    try:
        opened = _open(host, port)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host's name"
        advice = "write the host as an IP address, or leave it out for all interfaces"
        raise ListenError(f"cannot listen on {address}: {reason}: {advice}") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        advice = _ADVICE.get(error.errno or 0, "choose another address")
        raise ListenError(f"cannot listen on {address}: {reason}: {advice}") from error
    opened.setblocking(False)
    # Connections have what their listener has. An answer goes out in few large writes: nothing is gained by waiting for
    # the client's word that it has the last one before the rest of the next is sent.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return opened


def _open(host: str, port: int) -> socket.socket:
    if not host:
        # One socket for both families, where the kernel has both.
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=_BACKLOG)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = min(found, key=lambda item: item[0] != socket.AF_INET)
    return socket.create_server(where, family=family, backlog=_BACKLOG)
