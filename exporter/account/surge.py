"""Which upper layer grows so fast that somebody should be told now. Pure but for what it remembers."""

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Generic, TypeVar

from exporter.account.lately import Lately
from exporter.measure.growers import Grower

K = TypeVar("K", bound=Hashable)

WINDOW = 60.0
"""Seconds in which growth is summed."""

_APART = 1 / 60
"""Of a window, the least between looks that are remembered: however often a layer is measured, they are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """Growth above the threshold."""

    grown: int
    """Bytes, within ``seconds``."""
    seconds: float
    growers: tuple[Grower, ...] = ()
    """The files and directories that grew most within that time, the largest first."""

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.grown / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    began: float
    """What the look did not find came after that."""
    grown: int
    first: float
    """When the first look began that found as much."""


@dataclass(slots=True)
class _Layer:
    lately: Lately
    looks: deque[_Look] = field(default_factory=deque)
    told: float = -inf


class Surges(Generic[K]):
    """Recent growth of each upper layer. Each is told of once a window at most, however long it goes on, and no growth
    is told twice."""

    def __init__(self, *, threshold: int, window: float = WINDOW) -> None:
        """*threshold* is the bytes that one may grow by within *window* seconds; 0 for any number."""
        self._threshold = threshold
        self._window = window
        self._layers: dict[K, _Layer] = {}

    def measured(self, key: K, grown: int, *, began: float, at: float, growers: Sequence[Grower] = ()) -> Surge | None:
        """Take note of a look at *key*, from when it *began* to the time *at* which it ended: it had grown by *grown*
        bytes in all, and these were the *growers* since the look before. The surge since any look before, where it is
        one to tell of."""
        if not self._threshold:
            return None
        layer = self._layers.setdefault(key, _Layer(lately=Lately(apart=self._window * _APART)))
        looks, now = layer.looks, _Look(began=began, grown=grown, first=began)
        # The one figure from before the window stays: growth since then may have come within the window.
        while len(looks) > 1 and looks[1].first <= at - self._window:
            looks.popleft()
        layer.lately.looked(growers, began=began, after=looks[0].began if looks else began)
        starts = (look for look in looks if look.began < at)
        start = max(starts, key=lambda look: self._in_a_window(look, grown, at=at), default=now)
        if self._in_a_window(start, grown, at=at) <= self._threshold or at - layer.told < self._window:
            self._remember(looks, now)
            return None
        layer.told, layer.looks = at, deque([now])
        return Surge(grown=grown - start.grown, seconds=at - start.began, growers=layer.lately.since(start.began))

    def rested(self, key: K, *, at: float) -> None:
        """Take note that nobody could write to *key* from the last look until then: if it grows, it grows later."""
        layer = self._layers.get(key)
        if layer is not None:
            last = layer.looks[-1]
            layer.looks[-1] = replace(last, began=max(last.began, at))

    def keep(self, keys: Iterable[K]) -> None:
        """Forget all but *keys*."""
        kept = set(keys)
        self._layers = {key: layer for key, layer in self._layers.items() if key in kept}

    def _in_a_window(self, start: _Look, grown: int, *, at: float) -> float:
        """Bytes that it grew by in a window since a look, by the rate: measured rarely, it may have taken much longer
        than one."""
        return (grown - start.grown) * self._window / max(self._window, at - start.began)

    def _remember(self, looks: deque[_Look], now: _Look) -> None:
        """Put a look behind the others; of two that found the same the later tells more."""
        if looks and looks[-1].grown == now.grown:
            now = replace(now, first=looks.pop().first)
        elif len(looks) > 1 and now.began - looks[-2].began < self._window * _APART:
            looks.pop()
        looks.append(now)
