"""Remeasures a writable layer cheaply, by what it remembers of each directory.

A *quick* pass looks at every known directory's time of change, and reads again those where it differs, and the hot
set: directories that hold files which changed lately. So it sees every file that is new, gone or renamed, and all
growth of files in use, at a cost by directories. A *full* pass reads everything. The one thing left to it is what
happens in place to a file that rested for longer than ``hot_for``.

Memory is by directories too, and by names of files that have several. A layer that has more of both than
``max_directories`` is measured by plain walks instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from exporter.measure.bound import Bound, OutgrownError, honest_limit
from exporter.measure.descent import Descent
from exporter.measure.growers import Grower, Growers
from exporter.measure.listing import Pace, unhurried
from exporter.measure.onepass import OnePass, TableFullError
from exporter.measure.table import Table
from exporter.measure.walk import Walked, measure

MAX_DIRECTORIES = 200_000
HOT_FOR = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass found."""

    walked: Walked
    full: bool
    """Whether everything was read: a quick pass becomes a full one where only that gives the exact figure."""
    growers: tuple[Grower, ...]
    """Who grew most since the last pass, the largest first; none in the first pass, and none by a plain walk."""


class Tracker:
    """One tree, measured again and again."""

    __slots__ = (
        "_began", "_clock", "_hot_for", "_is_sound", "_max_directories", "_number", "_path", "_table", "full_only",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        clock: Callable[[], float],
        max_directories: int = MAX_DIRECTORIES,
        hot_for: float = HOT_FOR,
    ) -> None:
        """Track the tree at ``path``.

        Args:
            path: The top directory; see `measure`.
            clock: Unix seconds, by the clock that the filesystem stamps changes with.
            max_directories: Records kept at most.
            hot_for: Seconds after its last change in which every pass looks at a file.
        """
        self._path = path
        self._clock = clock
        self._max_directories = max_directories
        self._hot_for = hot_for
        self._table = Table()
        self._number = 0
        self._began = math.inf
        """When the last whole pass began; Unix seconds."""
        self._is_sound = False
        self.full_only = False
        """Whether the tree is above the limit, so that every pass is a plain walk."""

    @property
    def weight(self) -> int:
        """Records kept now, each of some 400 bytes."""
        return self._table.weight

    def quick(self, *, pace: Pace = unhurried) -> Pass:
        """Measure what may have changed since the last pass; see `full` for the rest."""
        if self.full_only or not self._is_sound:
            return self.full(pace=pace)
        growers = Growers()
        done = self._track(pace, growers, full=False)
        if done is not None and not self._table.has_stray_names:
            return done
        return self._full(pace, growers)

    def full(self, *, pace: Pace = unhurried) -> Pass:
        """Measure everything.

        Args:
            pace: As for `measure`. What it raises ends the pass; the next one is full.

        Raises:
            OSError: As for `measure`.
        """
        return self._full(pace, Growers())

    def _full(self, pace: Pace, growers: Growers) -> Pass:
        done = None if self.full_only else self._track(pace, growers, full=True)
        if done is not None:
            return done
        walked = measure(self._path, pace=pace)
        self.full_only = walked.directories + walked.links > self._max_directories
        return Pass(walked=walked, full=True, growers=())

    def _track(self, pace: Pace, growers: Growers, *, full: bool) -> Pass | None:
        """Do one pass on the table; None where the table outgrew its limit, and was given up."""
        now = self._clock()
        recent = min(now - self._hot_for, self._began)
        is_first = not self._table.directories
        self._is_sound = False
        self._number += 1
        self._table.begin_pass()
        with Descent(self._path) as descent:
            run = OnePass(
                self._table,
                descent,
                bound=Bound(pace, limit=honest_limit(descent.fd)),
                # What was there before the first pass is no growth.
                growers=Growers() if is_first else growers,
                full=full,
                now=now,
                recent=recent,
                room=self._max_directories,
                number=self._number,
            )
            try:
                run.run()
            except OutgrownError:
                return Pass(walked=run.result(cut=True), full=full, growers=growers.ranked())
            except TableFullError:
                self._table = Table()
                self.full_only = True
                return None
        self._table.sweep(self._number)
        self._is_sound = True
        self._began = now
        return Pass(walked=run.result(cut=False), full=full, growers=growers.ranked())
