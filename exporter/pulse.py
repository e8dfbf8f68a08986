"""Whether the loop that reads and measures still gets on: for who asks over HTTP, as a container's runtime does."""

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds without progress after which the loop counts as hung: a disk that answers at all is not as slow as that."""


class Pulse:
    """Takes the loop's signs of progress. Every method may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """*monotonic* gives seconds that never fall."""
        self._monotonic = monotonic
        self._last = monotonic()

    def beat(self) -> None:
        """The loop got on."""
        self._last = self._monotonic()

    def silence(self) -> float:
        """Seconds since it last did."""
        return self._monotonic() - self._last
