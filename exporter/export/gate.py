"""Who may have an answer: checks names and passwords without holding up anybody whose were right before.

A check with bcrypt is meant to be slow. So it is done in a thread of its own, one at a time, in turn among the clients'
addresses: however many wrong passwords one sends, another waits for a check or two. What was right is remembered, and
after what was wrong the thread rests, so guessing takes a share of one core at most.
"""

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import structlog

from exporter.export.messages import Request, Response, plain
from exporter.export.webconfig.policy import OPEN, Checking, Policy
from exporter.vitals import Refusal

PATIENCE = 8.0
"""Seconds that a request waits for its check: less than Prometheus waits for a scrape."""
REST = 3.0
"""How many times as long as a check took the thread rests after one that failed."""
QUIET = 60.0
"""Seconds between two log lines about refused passwords."""
REMEMBERED = 128
"""Names with their right passwords, as digests."""

_CHALLENGE = ("WWW-Authenticate", 'Basic realm="layerstore-exporter", charset="UTF-8"')


class Counts(Protocol):
    """Where it is counted who got no answer."""

    def web_refused(self, reason: Refusal, /) -> None:
        """A client was refused."""

    def web_connections(self, count: int, /) -> None:
        """How many connections are open now."""


class Uncounted:
    """Counts nothing."""

    def web_refused(self, reason: Refusal, /) -> None:
        """See Counts."""

    def web_connections(self, count: int, /) -> None:
        """See Counts."""


class Gate:
    """Lets requests in as the policy of the moment says. For one event loop."""

    def __init__(self, policy: Callable[[], Policy] = lambda: OPEN, *, counts: Counts | None = None) -> None:
        self._policy = policy
        self.counts: Counts = counts or Uncounted()
        self._checker = _Checker()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._right: dict[bytes, None] = {}
        self._secret = secrets.token_bytes(32)
        self._told: dict[str, _Told] = {}
        self._log = structlog.get_logger()

    @property
    def policy(self) -> Policy:
        """What is in force now."""
        return self._policy()

    async def refusal(self, request: Request, peer: str) -> Response | None:
        """What to answer instead, if *peer* may not have what it asked for."""
        users = self.policy.users
        if users is None:
            return None
        given = credentials(request.headers.get("authorization", ""))
        if given is None:
            return self._refused(peer)
        name, password = given
        # Digests under a secret of this process, so that what is remembered is of no use to who reads its memory.
        # The stored hash is in them: with a changed password nothing that was right before is right any more.
        parts = (users.fingerprint(name), name, password)
        digest = hmac.digest(self._secret, b"".join(len(part).to_bytes(8) + part for part in parts), "sha256")
        if digest in self._right:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                right = await self._check(users, name, password, peer)
        except TimeoutError:
            self.counts.web_refused(Refusal.OVERLOAD)
            return plain(503, "Too many passwords wait to be checked.", ("Retry-After", "5"))
        if not right:
            return self._refused(peer)
        self._remember(digest)
        return None

    def shaken(self, peer: str, error: object) -> None:
        """The handshake with *peer* failed."""
        self.counts.web_refused(Refusal.HANDSHAKE)
        self._tell("TLS handshakes failed", client=peer, reason=str(error) or type(error).__name__)

    def close(self) -> None:
        """End the checking."""
        self._checker.close()

    async def _check(self, users: Checking, name: bytes, password: bytes, peer: str) -> bool:
        # One address has one check under way or in the queue, so the queue goes round among them.
        network = network_of(peer)
        turn = self._turns.setdefault(network, asyncio.Lock())
        async with turn:
            return await self._checker.check(users, name, password)

    def _remember(self, digest: bytes) -> None:
        while len(self._right) >= REMEMBERED:
            self._right.pop(next(iter(self._right)))
        self._right[digest] = None

    def _refused(self, peer: str) -> Response:
        self.counts.web_refused(Refusal.CREDENTIALS)
        # Without the name that was given: people type passwords there.
        self._tell("requests without a right name and password refused", client=peer)
        return plain(401, "A name and its password are needed.", _CHALLENGE)

    def _tell(self, event: str, **fields: str) -> None:
        """Log *event*, with how often it happened, if it was not logged shortly before: clients fill no logs."""
        told, now = self._told.setdefault(event, _Told()), time.monotonic()
        told.untold += 1
        if now - told.at >= QUIET:
            self._log.warning(event, **fields, times=told.untold)
            told.at, told.untold = now, 0


@dataclass(slots=True)
class _Told:
    """When something was logged last, and how often it happened since."""

    at: float = float("-inf")
    untold: int = 0


def credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Name and password of an ``Authorization`` header (RFC 7617); None where there are none."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (name, password) if colon else None


def network_of(peer: str) -> str:
    """Whom an address counts as: itself; with IPv6 the 64 bits of its network, within which one host may take any."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4 or address.ipv4_mapped is not None:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


class _Job(NamedTuple):
    users: Checking
    name: bytes
    password: bytes
    answer: "asyncio.Future[bool]"


class _Checker:
    """The thread that checks. It begins with the first check.

    It is no executor's: those are waited for when the program ends, and a check may take seconds.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def check(self, users: Checking, name: bytes, password: bytes) -> bool:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name="passwords", daemon=True)
            self._thread.start()
        answer: asyncio.Future[bool] = loop.create_future()
        self._jobs.put(_Job(users, name, password, answer))
        return await answer

    def close(self) -> None:
        self._jobs.put(None)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._jobs.get()) is not None:
            if job.answer.cancelled():
                continue
            began = time.monotonic()
            right = job.users.check(job.name, job.password)
            took = time.monotonic() - began
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, job.answer, right)
            if not right:
                time.sleep(REST * took)


def _settle(answer: "asyncio.Future[bool]", right: bool) -> None:
    if not answer.done():
        answer.set_result(right)
