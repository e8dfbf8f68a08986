"""Hints, and when they are due: engines change many records for one pull, and one scan after it is enough."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """That something may have changed. Never what: an event may be late, lost, or undone by the next."""

    directory: str | None
    """The directory whose entries changed, as it was expected; None where any may have."""


class Debounce:
    """When a burst of hints is due: a while after its last, but not for ever after its first. Times in seconds."""

    def __init__(self, *, quiet: float = 0.5, longest: float = 2.0) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last = 0.0

    def hint(self, now: float) -> None:
        """A hint came."""
        if self._first is None:
            self._first = now
        self._last = now

    def due(self) -> float | None:
        """When the burst is due; None without a hint."""
        return None if self._first is None else min(self._last + self._quiet, self._first + self._longest)

    def taken(self) -> None:
        """The burst was acted on: the next hint begins another."""
        self._first = None


class Hints:
    """Hints on their way from the threads that watch to the loop that scans. Holds none twice, however many come."""

    def __init__(self, *, debounce: Debounce | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._debounce = debounce or Debounce()
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: set[Hint] = set()
        self._woken = False
        # Not a condition: its lock may be held by the very thread that a signal handler interrupts. This queue may be
        # put to from anywhere. A ring says only that there is something to look at.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self.last: frozenset[Hint] = frozenset()
        """The hints that ended the last :meth:`wait`; empty where something else did."""

    def put(self, hint: Hint) -> None:
        """Add *hint*. From any thread."""
        with self._lock:
            begins = not self._pending
            self._pending.add(hint)
            self._debounce.hint(self._clock())
        if begins:
            self._bell.put(None)

    def wake(self) -> None:
        """End the wait, the present one or else the next. From any thread or signal handler."""
        self._woken = True
        self._bell.put(None)

    def wait(self, timeout: float) -> bool:
        """Wait until hints are due and take them: True. False after *timeout* seconds or when woken. For one thread."""
        end = self._clock() + timeout
        self.last = frozenset()
        while not self._woken:
            now = self._clock()
            due = self._take(now)
            if self.last:
                return True
            if now >= end:
                return False
            with suppress(Empty):
                self._bell.get(timeout=min(due, end) - now)
        self._woken = False
        return False

    def _take(self, now: float) -> float:
        """Take the hints if they are due; else the time when they will be."""
        with self._lock:
            due = self._debounce.due()
            if due is None:
                return math.inf
            if due <= now:
                self.last = frozenset(self._pending)
                self._pending.clear()
                self._debounce.taken()
                while not self._bell.empty():  # rings for what is taken now
                    self._bell.get_nowait()
            return due
