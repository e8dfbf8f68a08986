"""Metric families that nothing on a disk can break.

Label values are chosen by whoever names an image or labels a container. The exposition formats can carry any text
that UTF-8 can write (quotes, backslashes and newlines are escaped by the client library), so only what UTF-8 cannot
write is replaced, and only what would bloat every scrape is cut.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from exporter.store.entries import short_id

LABEL_LIMIT = 256
"""Characters of a label's value that are kept; the longest name of an image that a registry takes has 255."""


def label(value: str) -> str:
    """*value* as a label's value: half a surrogate pair becomes U+FFFD, what exceeds ``LABEL_LIMIT`` is cut and ends
    in an ellipsis."""
    if len(value) > LABEL_LIMIT:
        value = value[: LABEL_LIMIT - 1] + "…"
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def short_ids(identities: Iterable[str]) -> Mapping[str, str]:
    """The label value of each identity: its first 12 hex digits, as engines print it.

    Whoever builds an image can make two chain IDs that begin alike (2²⁴ hashes find them), and the two layers' series
    would then be one. Identities that begin alike therefore stand whole.
    """
    shorts = {identity: short_id(identity) for identity in identities}
    counts = Counter(shorts.values())
    return {
        identity: short if counts[short] == 1 else identity.removeprefix("sha256:")
        for identity, short in shorts.items()
    }


class _Family(Protocol):
    """What a family of the client library's has, and what was added to it."""

    _seen: set[tuple[str, ...]]

    def add_metric(self, labels: Sequence[str], value: float) -> None:
        """Add a sample."""


class _Distinct:
    """A family that takes each set of labels at most once."""

    def add(self: _Family, labels: tuple[str, ...], value: float | None) -> None:
        """Add a sample. None is not known, so not exported. Where two sets of labels are alike after being made safe
        (two overlong names with one beginning), the first stands: a series twice would cost the whole scrape."""
        safe = tuple(map(label, labels))
        if value is not None and safe not in self._seen:
            self._seen.add(safe)
            self.add_metric(safe, value)


class Gauge(GaugeMetricFamily, _Distinct):
    """A gauge's family, each set of labels at most once."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        super().__init__(name, documentation, labels=labels)
        self._seen: set[tuple[str, ...]] = set()


class Total(CounterMetricFamily, _Distinct):
    """A counter's family, each set of labels at most once; its name ends in ``_total``."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        super().__init__(name, documentation, labels=labels)
        self._seen: set[tuple[str, ...]] = set()


def gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """A gauge of one sample without labels."""
    return GaugeMetricFamily(name, documentation, value=value)


def counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    """A counter of one sample without labels; *name* ends in ``_total``."""
    return CounterMetricFamily(name, documentation, value=value)
