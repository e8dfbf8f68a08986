"""Who may connect and read, and what is added to every answer: the web configuration in force, as one value."""

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Checking(Protocol):
    """What checks names and passwords: ``users.Users``."""

    def fingerprint(self, name: bytes) -> bytes:
        """What the answer for *name* depends on beside the password."""

    def check(self, name: bytes, password: bytes) -> bool:
        """Whether that is the user's password. Slow, on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """What holds for connections and requests. A change of it is another value."""

    tls: ssl.SSLContext | None = None
    """None for plain HTTP."""
    allowed_sans: frozenset[str] | None = None
    """Names of which a client's certificate must have one; None where any verified one will do, or none is asked."""
    users: Checking | None = None
    """None where everybody may read."""
    headers: tuple[tuple[str, str], ...] = ()
    """Added to every answer that does not have them itself."""

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client may connect that showed this *certificate*: verified, and as the ssl module tells of it."""
        return self.allowed_sans is None or not self.allowed_sans.isdisjoint(_names(certificate or {}))


OPEN = Policy()
"""Plain HTTP for everybody."""


def plain_san(name: str) -> str:
    """*name*, which if an IP address is written in its one shortest way."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in {"DNS", "email", "URI"}:
            yield name
        elif kind == "IP Address":
            yield plain_san(name)
