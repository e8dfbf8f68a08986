"""When the daemon does what takes CPU beside measuring: reading records, and publishing.

Either rests in proportion to what it took, so that hints or news without end cannot burn the host. What is measured
again and again makes news all the time; that waits for longer than what is new on the host.
"""

from math import inf

from exporter.clock import Clock

QUIET, LATEST = 0.25, 1.0
"""Seconds from the last news to its publication, and from the first at the latest."""

SHARE = 0.02
"""Share of one core that reading records, and publishing, may each take when hints or news come without end."""

REPEATED = 0.005
"""Share of one core that publishing may take where nothing is told but new figures of what was known before."""


START = 1.0
"""CPU seconds that publishing may take at once in the beginning, so that after a restart all figures are back soon."""


class Rhythm:
    """When work that takes CPU may be done again."""

    def __init__(self, clock: Clock, share: float, *, longest: float = inf, start: float = 0.0) -> None:
        """It may take so large a *share* of one core, but need not rest for more than *longest* seconds, nor for the
        first *start* CPU seconds."""
        self._clock = clock
        self._share = share
        self._longest = longest
        self._start = start
        self._free = 0.0

    def due(self, wanted: float) -> float:
        """When it may be done that is *wanted* then."""
        return max(wanted, self._free)

    def took(self, cpu: float) -> None:
        """It was done, and took so many CPU seconds."""
        free = min(cpu, self._start)
        self._start -= free
        self._free = self._clock.monotonic() + min((cpu - free) / self._share, self._longest)


class News:
    """What came since the last report, and when it is to be published."""

    def __init__(self, clock: Clock, *, interval: float, start: float = START) -> None:
        """Figures are measured again each *interval*, in seconds, which a publication must not miss; the first *start*
        CPU seconds of publishing are free."""
        self._clock = clock
        self._any = Rhythm(clock, SHARE, start=start)
        self._repeated = Rhythm(clock, REPEATED, longest=max(0.0, interval - 2 * LATEST), start=start)
        self._first: float | None = None
        self._last = 0.0
        self._is_urgent = False

    def come(self, *, urgent: bool) -> None:
        """There is something to tell; *urgent* is what was not known before."""
        self._last = self._clock.monotonic()
        if self._first is None:
            self._first = self._last
        self._is_urgent = self._is_urgent or urgent

    @property
    def due(self) -> float:
        """When it is to be published; never, where there is none."""
        if self._first is None:
            return inf
        due = self._any.due(min(self._last + QUIET, self._first + LATEST))
        return due if self._is_urgent else self._repeated.due(due)

    def begin(self) -> None:
        """It is being published."""
        self._first, self._is_urgent = None, False

    def took(self, cpu: float) -> None:
        """It was published, which took so many CPU seconds."""
        self._any.took(cpu)
        self._repeated.took(cpu)
