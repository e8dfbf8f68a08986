"""One client's connection: its requests, one after the other, and every limit that it is held to."""

import asyncio
import contextlib
import email.utils
import http
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import h11
import structlog

from exporter.export.channel import Channel, PlainChannel, TlsChannel
from exporter.export.gate import Gate
from exporter.export.messages import Request, Response, plain
from exporter.vitals import Refusal

Handler = Callable[[Request], Response]

_log = structlog.get_logger()

_SMALL = 16 * 1024
"""Bytes up to which parts of an answer are copied together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may cost. Times are seconds."""

    connections: int = 512
    """Open at once, of all clients together."""
    header: float = 5.0
    """For the TLS handshake; for a connection's first byte; for a whole request, from its first byte on."""
    idle: float = 30.0
    """Between an answer and the next request."""
    write: float = 30.0
    """For a client to take a whole answer."""
    linger: float = 1.0
    """For a client to hear why it was refused, and to close in good order."""
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    """Of a request's body, which is read and thrown away; a longer one is refused."""


class Client:
    """A connection, from its acceptance to its end."""

    def __init__(self, accepted: socket.socket, peer: str, handler: Handler, gate: Gate, limits: Limits) -> None:
        """*accepted* does not block; *peer* is the address that it came from."""
        self._socket = accepted
        self.peer = peer
        self._handler = handler
        self.gate = gate
        self._policy = gate.policy
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.busy = False
        """Whether a complete request is being answered; otherwise one is waited for."""
        self.since = self._loop.time()
        """When that began, by the loop's clock."""

    async def attend(self) -> None:
        """Answer the client's requests until it, or a limit, ends the connection."""
        # Every way in which a connection fails, a limit of time included, is an OSError: it is the client's business.
        with contextlib.suppress(OSError):
            channel = await self._connect()
            await _Conversation(self, channel, self._handler, self._limits).hold()
            async with asyncio.timeout(self._limits.linger):
                await channel.finish()

    def turn(self, *, busy: bool) -> None:
        """Note that a complete request has come in, or that its answer has gone out."""
        self.busy = busy
        self.since = self._loop.time()

    def cut(self) -> None:
        """End the connection at once."""
        self._socket.close()

    @property
    def is_current(self) -> bool:
        """Whether it was admitted under the certificates that are in force now."""
        return self._policy is self.gate.policy or self._policy.tls is self.gate.policy.tls

    async def _connect(self) -> Channel:
        """The client's channel; with TLS, after the handshake. Raises OSError where the client is refused."""
        plain = PlainChannel(self._socket)
        if self._policy.tls is None:
            return plain
        channel = TlsChannel(plain, self._policy.tls)
        try:
            async with asyncio.timeout(self._limits.header):
                await channel.shake_hands()
            if not self._policy.admits(channel.certificate):
                raise ConnectionAbortedError("the client's certificate has none of the client_allowed_sans")
        except OSError as error:
            self.gate.shaken(self.peer, error)
            # So that the client hears why: its last words unread, the connection would be reset.
            await self.hear_out(plain)
            raise
        return channel

    async def hear_out(self, channel: Channel) -> None:
        """Send nothing more, and take what the client still sends until it has heard that. Raises OSError where it goes
        on for too long, or is gone."""
        async with asyncio.timeout(self._limits.linger):
            await channel.finish()
            while await channel.read():
                pass


class _Conversation:
    """What is said on one connection."""

    def __init__(
        self,
        client: Client,
        channel: Channel,
        handler: Handler,
        limits: Limits,
    ) -> None:
        self._client = client
        self._channel = channel
        self._handler = handler
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._patience = limits.header
        self._head_only = False
        """Whether the request that is read or answered wants the header alone: then no answer to it has a body."""

    async def hold(self) -> None:
        """Answer requests until there are no more."""
        try:
            while (request := await self._request()) is not None:
                # A certificate that was replaced may have been replaced because nobody should trust it any more.
                if not self._client.is_current:
                    return
                refusal = await self._client.gate.refusal(request, self._client.peer)
                # Whoever waits for a password's check still waits: an answer under way goes before.
                self._client.turn(busy=True)
                await self._send(refusal or self._answer(request))
                self._client.turn(busy=False)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)

    async def _request(self) -> Request | None:
        """The next request, whole; None where the client has no more."""
        if not self._http.trailing_data[0]:
            async with asyncio.timeout(self._patience):
                await self._read()
            self._patience = self._limits.idle
        try:
            async with asyncio.timeout(self._limits.header):
                return await self._whole_request()
        except TimeoutError as error:
            raise h11.RemoteProtocolError("the request does not come to an end", error_status_hint=408) from error

    async def _whole_request(self) -> Request | None:
        self._head_only = False
        request = await self._event()
        if not isinstance(request, h11.Request):
            return None
        self._head_only = request.method == b"HEAD"
        # A client that asks before it sends a body gets its answer instead.
        length = 0
        while not self._http.they_are_waiting_for_100_continue:
            event = await self._event()
            if not isinstance(event, h11.Data):
                break
            length += len(event.data)
            if length > self._limits.body_bytes:
                raise h11.RemoteProtocolError("the request's body is too long", error_status_hint=413)
        return _request_of(request)

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._read()
        return event

    async def _read(self) -> None:
        self._http.receive_data(await self._channel.read())

    def _answer(self, request: Request) -> Response:
        try:
            return self._handler(request)
        except Exception:  # noqa: BLE001 - a mistake in one page is logged, and costs that page only
            _log.exception("request failed", method=request.method, path=request.path)
            return plain(500, "Something went wrong; the exporter's log says more.")

    async def _refuse(self, status: int) -> None:
        """Say why, and let the client hear it: a connection that is closed with bytes unread is reset, and what was
        sent last is lost."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        self._client.gate.counts.web_refused(Refusal.TIMEOUT if status == 408 else Refusal.MALFORMED)
        await self._send(plain(status, http.HTTPStatus(status).phrase, ("Connection", "close")))
        await self._client.hear_out(self._channel)

    async def _send(self, response: Response) -> None:
        length = sum(map(len, response.body))
        said = {name for name, _ in response.headers}
        added = {"X-Content-Type-Options": "nosniff", **dict(self._client.gate.policy.headers)}
        headers = [
            *response.headers,
            *((name, value) for name, value in added.items() if name not in said),
            ("Content-Length", str(length)),
            ("Date", email.utils.formatdate(usegmt=True)),
        ]
        phrase = http.HTTPStatus(response.status).phrase
        head = h11.Response(status_code=response.status, reason=phrase, headers=headers)
        parts = () if self._head_only else response.body
        events = [head, *(h11.Data(data=part) for part in parts), h11.EndOfMessage()]
        pieces = [piece for event in events for piece in self._http.send_with_data_passthrough(event) or ()]
        async with asyncio.timeout(self._limits.write):
            for piece in _joined(pieces):
                await self._channel.write(piece)


def _request_of(event: h11.Request) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(method=event.method.decode("ascii"), path=_path(event.target.decode("ascii")), headers=headers)


def _path(target: str) -> str:
    """The path of a request's target, which may be a whole URL (RFC 9112, 3.2.2)."""
    _, scheme, rest = target.partition("://")
    if scheme and not target.startswith("/"):
        target = "/" + rest.partition("/")[2]
    return target.partition("?")[0]


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """*pieces* with small neighbours joined, so that a short answer goes out at once; large ones are the very objects,
    which all answers share."""
    pending = b""
    for piece in pieces:
        if len(pending) + len(piece) > _SMALL and pending:
            yield pending
            pending = b""
        if len(piece) > _SMALL:
            yield piece
        else:
            pending += piece
    if pending:
        yield pending
