"""A request and its answer, as plain values: what a page of the web server sees of HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass

HEALTHY, READY = "/-/healthy", "/-/ready"
"""Pages whose paths tools know by heart: whether the exporter is alive, and whether there was a first report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked for, once all of it has arrived. A body, if there was one, is left out."""

    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    """By lower-case name; a header that came several times is joined by commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer. The length and the date are added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    """In parts, so that answers can share a large one."""


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """A short answer for people and probes."""
    return Response(
        status=status,
        headers=(("Content-Type", "text/plain; charset=utf-8"), *headers),
        body=(f"{text}\n".encode(),),
    )


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client that sent this ``Accept-Encoding`` (empty where it sent none) takes gzip (RFC 9110, 12.5.3)."""
    weights = dict(map(_weight, accept_encoding.split(",")))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(coding: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in coding.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0
