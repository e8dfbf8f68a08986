"""Remeasures a writable layer cheaply, by what it remembers of each directory.

A *quick* pass looks at every known directory's time of change, and reads again those where it differs, and the hot set:
directories that hold files which changed lately. So it sees every file that is new, gone or renamed, and all growth of
files in use, at a cost by directories. A *full* pass reads everything. The one thing left to it is what happens in
place to a file that rested.

Full passes over a large tree take long, and for that time nothing else would be known of it. So quick passes can do
their work bit by bit: each reads a part of what has not been read for longest, and after ``full_period`` everything
has been read.

Memory is by directories too, and by names of files that have several. A tree that has more of both than
``max_directories`` is measured by plain walks instead, and so is one for which others leave no room in the `Ledger`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from exporter.measure.bound import Bound, OutgrownError, honest_limit
from exporter.measure.descent import Descent
from exporter.measure.growers import Grower, Growers
from exporter.measure.ledger import Ledger
from exporter.measure.listing import NEVER, Pace, unhurried
from exporter.measure.moves import Moves, is_weighty
from exporter.measure.onepass import OnePass, TableFullError
from exporter.measure.table import Table
from exporter.measure.walk import Walked, measure

MAX_DIRECTORIES = 200_000
"""Records of some 400 bytes."""

HOT_FOR = 120.0
"""Longer than the kernel keeps written data back, so that a hot file's blocks have settled before it rests."""

LOOKS = 4
"""In one pass, at most, while weighty directories are missing and others change: they may have been moved from where
a look was still to come by to where it had been. Each is a quick one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass found."""

    walked: Walked
    full: bool
    """Whether it read everything."""
    read_since: float
    """Every file has been looked at since then, Unix seconds; minus infinity where that is not so yet."""
    looked: int
    """Entries looked at: what the pass cost the disk."""
    refreshed: int
    """Those of them that were looked at though nothing hinted at a change."""
    full_only: bool
    """Whether the tree is above the limit, so that every pass reads everything, and nobody can tell who grew."""
    growers: tuple[Grower, ...]
    """Who grew most since the last pass, the largest first; none in the first pass, and none by a plain walk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One way down and up again."""

    run: OnePass
    is_cut: bool
    """Whether the tree grew faster than it was looked at."""
    is_torn: bool
    looked: int
    """Entries."""


class Tracker:
    """One tree, measured again and again."""

    __slots__ = (
        "_allowance", "_began", "_clock", "_cycle", "_cycle_began", "_hot_for", "_interrupted", "_is_cycle_done",
        "_is_sound", "_is_whole", "_ledger", "_max_directories", "_moves", "_number", "_path", "_read_since",
        "_table", "full_only",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        clock: Callable[[], float],
        max_directories: int = MAX_DIRECTORIES,
        hot_for: float = HOT_FOR,
        ledger: Ledger | None = None,
    ) -> None:
        """Track the tree at ``path``.

        Args:
            path: The top directory; see `measure`.
            clock: Unix seconds, by the clock that the filesystem stamps changes with.
            max_directories: Records kept at most.
            hot_for: Seconds after its last change in which every pass looks at a file.
            ledger: Shared by trackers that may keep only so much together.
        """
        self._path = path
        self._clock = clock
        self._max_directories = max_directories
        self._hot_for = hot_for
        self._ledger = ledger or Ledger()
        self._table = Table(self._ledger)
        self._number = 0
        self._began = math.inf
        """When the last pass began that came by everything."""
        self._is_sound = False
        """Whether that was the last one."""
        self._is_whole = False
        """Whether nothing was missed by the last one."""
        self._interrupted: Growers | None = None
        """What grew by as much as a quick pass saw that was kept from its end, if the last one was."""
        self._cycle = 0
        """What was last read by an earlier pass than this is still to be read."""
        self._cycle_began = math.inf
        self._is_cycle_done = False
        self._allowance = 0.0
        """Entries that may be read of those that are still to be read; negative where too many were."""
        self._read_since = -math.inf
        self._moves = Moves()
        self.full_only = False
        """Whether the tree is above the limit, so that every pass is a plain walk."""

    @property
    def weight(self) -> int:
        """Records kept now."""
        return self._table.weight

    @property
    def hot_names(self) -> int:
        """Names of files in use that are kept to tell who grew."""
        return self._table.hot_names

    def forget(self) -> None:
        """Keep nothing more: the next pass begins anew."""
        self._table.leave()
        self._table = Table(self._ledger)
        self._is_sound = self._is_whole = False
        self._interrupted = None

    def _is_too_large(self, names: int) -> bool:
        return names > self._max_directories or self._ledger.is_exceeded(names, more=names)

    def quick(self, *, full_period: float = math.inf, pace: Pace = unhurried) -> Pass:
        """Measure what may have changed since the last pass.

        Args:
            full_period: Seconds in which to read everything once, a part in each pass.
            pace: As for `measure`. What it raises ends the pass; the next one goes on with what that one left.

        Raises:
            OSError: As for `measure`.
        """
        if self.full_only or not (self._is_sound or self._interrupted):
            return self.full(pace=pace)
        now = self._clock()
        if now < self._began:
            # The clock was set back: what changes now would count as rested, and the period would not end for long.
            return self._full(pace, Growers())
        if self._is_cycle_done and now - self._cycle_began >= full_period:
            self._begin_cycle(now)
        allowance = self._allowance
        if not self._is_cycle_done:
            inodes = self._table.usage.inodes
            allowance += inodes * min(1.0, max(0.0, now - self._began) / full_period)
        growers = self._interrupted or Growers()
        done = self._track(pace, growers, now, int(allowance))
        if done is None:
            return self._full(pace, growers)
        self._allowance = allowance - done.refreshed
        return done

    def full(self, *, pace: Pace = unhurried) -> Pass:
        """Measure everything; arguments and errors as for `quick`, but that one after it is full, too, if it is kept
        from its end."""
        return self._full(pace, Growers())

    def _full(self, pace: Pace, growers: Growers) -> Pass:
        now = self._clock()
        if not self.full_only:
            self._begin_cycle(now)
            done = self._track(pace, growers, now, NEVER)
            if done is not None:
                return done
        looked = 0

        def count(entries: int) -> None:
            nonlocal looked
            looked += entries
            pace(entries)

        walked = measure(self._path, pace=count)
        self.full_only = self._is_too_large(walked.directories + walked.links)
        return Pass(
            walked=walked,
            full=True,
            read_since=now,
            looked=looked,
            refreshed=looked,
            full_only=self.full_only,
            growers=(),
        )

    def _track(self, pace: Pace, growers: Growers, now: float, allowance: int) -> Pass | None:
        """Do one pass on the table; None where the table outgrew its limit, and was given up."""
        # What was there before the first pass is no growth, nor is what the last one missed.
        offered = growers if self._is_whole else Growers()
        if allowance == NEVER or self._interrupted is None:
            self._table.begin_pass()
        self._is_sound = False
        self._interrupted = None if allowance == NEVER else growers
        first = self._number + 1
        try:
            last = look = self._look(pace, offered, now, fresh=first, allowance=allowance, stale=self._cycle)
            looked = look.looked
            while self._wants_another(first, last):
                # What was to be read has been read; the next pass may go on from here.
                self._interrupted = growers
                self._moves.missed(self._table.unseen(first))
                last = self._look(pace, offered, self._clock(), fresh=first, allowance=0, stale=0)
                looked += last.looked
        except TableFullError:
            self.forget()
            self.full_only = True
            return None
        self._interrupted = None
        is_lacking = self._is_lacking(first, last)
        is_torn = look.is_torn or last.is_torn or is_lacking
        self._is_whole = not is_torn and not last.is_cut
        if not last.is_cut:
            self._finish(now, is_torn=is_torn, has_stale=look.run.has_stale)
        return Pass(
            walked=last.run.result(cut=not self._is_whole),
            full=allowance == NEVER,
            read_since=self._read_since,
            looked=looked,
            refreshed=look.run.refreshed,
            full_only=False,
            growers=growers.ranked(),
        )

    def _look(self, pace: Pace, growers: Growers, now: float, *, fresh: int, allowance: int, stale: int) -> _Look:
        """Come by everything once.

        Raises:
            TableFullError: The table outgrew its limit.
        """
        self._number += 1
        is_cut = False
        with Descent(self._path) as descent:
            bound = Bound(pace, limit=honest_limit(descent.fd))
            run = OnePass(
                self._table,
                descent,
                bound=bound,
                growers=growers,
                now=now,
                recent=min(now - self._hot_for, self._began),
                room=self._max_directories,
                number=self._number,
                fresh=fresh,
                stale=stale,
                allowance=allowance,
            )
            try:
                run.run()
            except OutgrownError:
                is_cut = True
        self._moves.looked(self._table.directories, look=self._number, now=now)
        return _Look(run=run, is_cut=is_cut, is_torn=descent.is_torn, looked=bound.looked)

    def _wants_another(self, first: int, last: _Look) -> bool:
        """Whether another look may find what the looks from *first* on did not."""
        if last.is_cut or not last.run.is_moving or self._number - first + 1 >= LOOKS:
            return False
        return self._moves.lacks(self._clock()) or is_weighty(self._table.unseen(first))

    def _is_lacking(self, first: int, last: _Look) -> bool:
        """Forget what no look found, and return whether it may still be there."""
        unseen = self._table.unseen(first)
        self._table.forget(unseen)
        if not last.run.is_moving:
            self._moves.rested()
            return False
        self._moves.missed(unseen)
        return self._moves.lacks(self._clock())

    def _finish(self, now: float, *, is_torn: bool, has_stale: bool) -> None:
        self._is_sound = True
        self._began = now
        if not has_stale and not is_torn:
            self._is_cycle_done = True
            self._read_since = self._cycle_began
        self._table.settle(self._number, read_since=self._cycle if self._is_cycle_done else 0)

    def _begin_cycle(self, now: float) -> None:
        """From the next pass on, read everything once."""
        self._cycle = self._number + 1
        self._cycle_began = now
        self._is_cycle_done = False
        self._allowance = 0.0
