"""Which upper layer grows so fast that somebody should be told now. Pure but for what it remembers."""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

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

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.grown / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    began: float
    """What the look did not find came after that."""
    grown: int


@dataclass(slots=True)
class _Layer:
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

    def measured(self, key: K, grown: int, *, began: float, at: float) -> Surge | None:
        """Take note of a look at *key*, from when it *began* to the time *at* which it ended: it had grown by *grown*
        bytes in all. The surge since any look before, where it is one to tell of."""
        if not self._threshold:
            return None
        layer = self._layers.setdefault(key, _Layer())
        looks = layer.looks
        # The one look from before the window stays: growth since then may have come within the window.
        while len(looks) > 1 and looks[1].began <= at - self._window:
            looks.popleft()
        surges = (Surge(grown=grown - look.grown, seconds=at - look.began) for look in looks if look.began < at)
        surge = max(surges, key=self._in_a_window, default=None)
        now = _Look(began=began, grown=grown)
        if surge is None or self._in_a_window(surge) <= self._threshold or at - layer.told < self._window:
            self._remember(looks, now)
            return None
        layer.told, layer.looks = at, deque([now])
        return surge

    def rested(self, key: K, *, at: float) -> None:
        """Take note that nobody could write to *key* from the last look until then: if it grows, it grows later."""
        layer = self._layers.get(key)
        if layer is not None:
            last = layer.looks[-1]
            layer.looks[-1] = _Look(began=max(last.began, at), grown=last.grown)

    def keep(self, keys: Iterable[K]) -> None:
        """Forget all but *keys*."""
        kept = set(keys)
        self._layers = {key: layer for key, layer in self._layers.items() if key in kept}

    def _in_a_window(self, surge: Surge) -> float:
        """Bytes that it grew by in a window, by the rate: measured rarely, it may have taken much longer than one."""
        return surge.grown * self._window / max(self._window, surge.seconds)

    def _remember(self, looks: deque[_Look], now: _Look) -> None:
        """Put a look behind the others; of two that found the same the later tells more."""
        is_same = bool(looks) and looks[-1].grown == now.grown
        if is_same or (len(looks) > 1 and now.began - looks[-2].began < self._window * _APART):
            looks.pop()
        looks.append(now)
