"""A connection's bytes, with or without TLS, that costs next to no memory while nothing is said.

Nothing is read ahead: a byte is taken from the kernel when somebody waits for it, so what clients send before they are
asked waits with them. asyncio's streams would hold half a megabyte of it for each client, and its TLS another quarter
before the first byte. Here OpenSSL works on two buffers in memory that hold one read, or one write, each.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

READ = 16 * 1024
"""Bytes that are read at a time: as much as a TLS record holds."""
WRITE = 64 * 1024
"""Bytes that are encrypted at a time: what a client that does not read costs. Each time lets go of the interpreter's
lock and waits for it again, so it should not be too often."""


class Channel(Protocol):
    """What a conversation needs of a connection. Whatever fails raises OSError."""

    async def read(self) -> bytes:
        """The next bytes; none where the client sends no more."""

    async def write(self, data: bytes | memoryview) -> None:
        """Send *data*, of which no copy is kept; returns when the kernel has all, which holds the client to reading."""

    async def finish(self) -> None:
        """Say that nothing more will be sent."""


class PlainChannel:
    """A connection without TLS."""

    def __init__(self, connection: socket.socket) -> None:
        """*connection* does not block."""
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """See Channel."""
        return await self._loop.sock_recv(self._socket, READ)

    async def write(self, data: bytes | memoryview) -> None:
        """See Channel."""
        await self._loop.sock_sendall(self._socket, data)

    async def finish(self) -> None:
        """See Channel."""
        self._socket.shutdown(socket.SHUT_WR)


class TlsChannel:
    """TLS over another channel; shake hands first."""

    def __init__(self, below: Channel, context: ssl.SSLContext) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Agree on keys, and verify the client's certificate where one is wanted."""
        try:
            await self._do(self._tls.do_handshake)
        except ssl.SSLError:
            # OpenSSL has written why, for the client to tell its user.
            with contextlib.suppress(OSError):
                await self._flush()
            raise

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's certificate, verified; none where it showed none."""
        return self._tls.getpeercert()

    async def read(self) -> bytes:
        """See Channel."""
        try:
            return await self._do(partial(self._tls.read, READ))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes | memoryview) -> None:
        """See Channel."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE):
            await self._do(partial(self._tls.write, view[start : start + WRITE]))

    async def finish(self) -> None:
        """See Channel."""
        # It would wait for the client's farewell, which is not needed.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush()
        await self._below.finish()

    async def _do(self, step: Callable[[], T]) -> T:
        """Do *step*, with as much from the client as it needs, and send what it has to say."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                received = await self._below.read()
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.write(self._outgoing.read())
