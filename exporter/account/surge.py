"""Which upper layer grows so fast that somebody should be told now. Pure but for what it remembers."""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

WINDOW = 60.0
"""Seconds in which growth is summed."""


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


class Surges(Generic[K]):
    """Recent growth of each upper layer. Each is told of once a window at most, however long it goes on."""

    def __init__(self, *, threshold: int, window: float = WINDOW) -> None:
        """*threshold* is the bytes that one may grow by within *window* seconds; 0 for any number."""
        self._threshold = threshold
        self._window = window
        self._seen: dict[K, deque[tuple[float, int]]] = {}
        self._told: dict[K, float] = {}

    def measured(self, key: K, grown: int, *, at: float) -> Surge | None:
        """Take note that *key* had grown by *grown* bytes in all at a time; the surge, where it is one to tell of."""
        seen = self._seen.setdefault(key, deque())
        # The one measurement from before the window stays: growth since then may have come within the window.
        while len(seen) > 1 and seen[1][0] <= at - self._window:
            seen.popleft()
        seen.append((at, grown))
        began, before = seen[0]
        if not self._threshold or grown - before <= self._threshold or at - began <= 0:
            return None
        # Measured rarely, it may have taken much longer than a window; only the rate tells then.
        if (grown - before) * self._window / max(self._window, at - began) <= self._threshold:
            return None
        if at - self._told.get(key, at - self._window) < self._window:
            return None
        self._told[key] = at
        return Surge(grown=grown - before, seconds=at - began)

    def keep(self, keys: Iterable[K]) -> None:
        """Forget all but *keys*."""
        kept = set(keys)
        self._seen = {key: seen for key, seen in self._seen.items() if key in kept}
        self._told = {key: at for key, at in self._told.items() if key in kept}
