"""The text that a scrape gets: rendered once per report, served from memory.

A report's families are rendered when they are first asked for, and from then on as soon as a report is published, in
the publisher's thread: a scrape finds them done. What changes with every scrape (the exporter's own figures) is
rendered then, a few dozen lines, and appended.

A compressed answer stays one gzip member, because not every reader goes on to a second one. The state of the
compressor after the report's text is kept; each scrape continues a copy of it.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

Encoder = Callable[["Families", str], bytes]
"""Writes families in one of the client library's formats; the text is the escaping scheme for names."""

_END = b"# EOF\n"
"""The last line of OpenMetrics text: once, at the very end."""
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 4
"""Metrics text shrinks to a tenth at any level; the lower ones take a third of the time."""


class Families:
    """Families in the shape that the client library's encoders take: a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Sequence[Metric]:
        """The families."""
        return self._families


def process_families() -> Callable[[], Iterable[Metric]]:
    """The client library's ``process_*`` and ``python_info``, registered nowhere."""
    process, python = ProcessCollector(registry=None), PlatformCollector(registry=None)
    return lambda: (*process.collect(), *python.collect())


@dataclass(frozen=True, slots=True)
class Format:
    """What an exposition's bytes depend on.

    Of the client library's escaping schemes only ``dots`` changes names like ours, so the others share their bytes:
    whatever a client asks for, four texts are kept at most.
    """

    is_openmetrics: bool
    dots: bool

    def encode(self, families: Families) -> bytes:
        """The text of *families*, without the line that ends OpenMetrics."""
        encode: Encoder = openmetrics.generate_latest if self.is_openmetrics else generate_latest
        return encode(families, openmetrics.DOTS if self.dots else openmetrics.UNDERSCORES).removesuffix(_END)

    @property
    def end(self) -> bytes:
        """What comes after the last family."""
        return _END if self.is_openmetrics else b""


def negotiate(accept: str) -> tuple[Format, str]:
    """The format that a client's ``Accept`` asks for, and its content type; plain text where it asks for none.

    The client library chooses. It raises on some versions that are no numbers, and repeats whatever version it is
    asked for; only those that it writes are promised here.
    """
    try:
        encoder, content_type = choose_encoder(accept)
    except TypeError:
        return _PLAIN
    if not isinstance(encoder, partial):
        return _PLAIN
    is_openmetrics = encoder.func is openmetrics.generate_latest
    if is_openmetrics and encoder.keywords["version"] not in {"1.0.0", "2.0.0"}:
        return _PLAIN
    return Format(is_openmetrics, encoder.keywords["escaping"] == openmetrics.DOTS), content_type


_PLAIN = (Format(is_openmetrics=False, dots=False), CONTENT_TYPE_PLAIN_0_0_4)


class Rendering:
    """One report's families in one format, the text and its compression each made once."""

    def __init__(self, families: Families, form: Format) -> None:
        self._form = form
        self._text = form.encode(families)
        self._compressed: tuple[bytes, zlib._Compress] | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether the compression was made."""
        return self._compressed is not None

    def compress(self) -> tuple[bytes, "zlib._Compress"]:
        """The compressed text without its end, and the compressor that can go on from there."""
        if self._compressed is None:
            compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
            # Flushed, so that no scrape has to write what the compressor would still hold back.
            head = compressor.compress(self._text) + compressor.flush(zlib.Z_SYNC_FLUSH)
            self._compressed = (head, compressor)
        return self._compressed

    def plain(self, own: Families) -> tuple[bytes, ...]:
        """The whole answer, the exporter's *own* figures included."""
        return (self._text, self._form.encode(own) + self._form.end)

    def gzipped(self, own: Families) -> tuple[bytes, ...]:
        """The whole answer as one gzip member."""
        head, compressor = self.compress()
        rest = compressor.copy()
        return (head, rest.compress(self._form.encode(own) + self._form.end) + rest.flush())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """An exposition as a client asked for it."""

    content_type: str
    compressed: bool
    """Whether the body is gzip."""
    body: tuple[bytes, ...]
    """Its parts, in order; the first is shared by all answers until the next report."""


class Exposition:
    """The report's families and the exporter's own figures, as text. Every method may be called from any thread."""

    def __init__(
        self,
        own: Callable[[], Iterable[Metric]],
        *,
        fresh_for: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*own* gives the families that are rendered anew for every scrape, but not within *fresh_for* seconds of the
        last one in the same format: whoever scrapes as fast as they can gets the same bytes."""
        self._own = own
        self._fresh_for = fresh_for
        self._monotonic = monotonic
        self._answers: dict[tuple[Format, bool], _Answer] = {}
        self._lock = threading.Lock()
        self._published = False
        self._families = Families(())
        self._renderings: dict[Format, Rendering] = {}

    @property
    def published(self) -> bool:
        """Whether there was a report yet."""
        return self._published

    def publish(self, families: Iterable[Metric]) -> None:
        """Serve *families* from now on. What clients asked for of the last ones is rendered before they are served."""
        new = Families(families)
        with self._lock:
            asked = dict(self._renderings)
        renderings = {form: Rendering(new, form) for form in asked}
        for form, old in asked.items():
            if old.is_compressed:
                renderings[form].compress()
        with self._lock:
            self._families, self._renderings, self._published = new, renderings, True
            # They hold the last report's text.
            self._answers.clear()

    def expose(self, accept: str, *, compressed: bool) -> Exposed:
        """The exposition for a client that sent *accept* as its ``Accept`` header (empty where it sent none)."""
        form, content_type = negotiate(accept)
        now = self._monotonic()
        with self._lock:
            if form not in self._renderings:
                self._renderings[form] = Rendering(self._families, form)
            rendering = self._renderings[form]
            if compressed:
                rendering.compress()
            answer = self._answers.get((form, compressed))
        if answer is None or answer.rendering is not rendering or now - answer.at >= self._fresh_for:
            own = Families(self._own())
            body = rendering.gzipped(own) if compressed else rendering.plain(own)
            answer = _Answer(rendering=rendering, at=now, body=body)
            with self._lock:
                self._answers[form, compressed] = answer
        return Exposed(content_type=content_type, compressed=compressed, body=answer.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The last answer in one format."""

    rendering: Rendering
    at: float
    """Monotonic seconds."""
    body: tuple[bytes, ...]
