"""Time, passed in: so that a test can hold it still."""

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now(self) -> float:
        """Unix seconds: for timestamps that leave the process. May jump."""

    def monotonic(self) -> float:
        """Seconds since some moment, never falling: for durations and due times."""

    def cpu(self) -> float:
        """CPU seconds that the calling thread has used."""

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment, never falling."""
        return time.monotonic()

    def cpu(self) -> float:
        """CPU seconds that the calling thread has used."""
        return time.thread_time()

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        time.sleep(seconds)
