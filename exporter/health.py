"""Asks a running exporter on this host how it is: the health check of a container, where nothing else could ask.

Over TLS the certificate is not verified: it names the host, not the loopback address. An exporter that wants a password
or a certificate has answered, and that is the question.
"""

import http.client
import ssl
from dataclasses import dataclass

from exporter.export.listen import parse_address
from exporter.export.messages import HEALTHY

TIMEOUT = 4.0
"""Seconds that an answer may take."""

_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to ask at, not to listen on
_TURNED_AWAY = (ssl.SSLError, ConnectionResetError, BrokenPipeError)
"""How a server ends a connection that it has taken: with an alert, or without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What became of the question."""

    is_well: bool
    detail: str
    """A sentence without its full stop."""


def ask(address: str, *, tls: bool = False, certificate: bool = False, timeout: float = TIMEOUT) -> Health:
    """How the exporter is that listens on *address*.

    Args:
        address: As the exporter was told it.
        tls: Whether it speaks TLS.
        certificate: Whether it turns away who shows no certificate: then that is an answer.
        timeout: Seconds that an answer may take.

    Raises:
        ListenError: That is no address.
    """
    host, port = parse_address(address)
    try:
        return _judged(_status(_connection(_ANYWHERE.get(host, host), port, tls=tls, timeout=timeout)))
    except _TURNED_AWAY as error:
        if certificate:
            return Health(is_well=True, detail="it answers, and wants a certificate")
        return Health(is_well=False, detail=f"turned away at {address}: {error}")
    except OSError as error:
        return Health(is_well=False, detail=f"no answer at {address}: {error.strerror or error}")
    except http.client.HTTPException:
        return Health(is_well=False, detail=f"what answers at {address} does not speak HTTP")


def _connection(host: str, port: int, *, tls: bool, timeout: float) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whom it trusts is not the question, and no secret is sent.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def _status(connection: http.client.HTTPConnection) -> int:
    try:
        connection.request("GET", HEALTHY)
        return connection.getresponse().status
    finally:
        connection.close()


def _judged(status: int) -> Health:
    if status == http.client.UNAUTHORIZED:
        return Health(is_well=True, detail="it answers, and wants a password")
    if status == http.client.OK:
        return Health(is_well=True, detail="it is alive")
    return Health(is_well=False, detail=f"it answers {status}: its log tells why")
