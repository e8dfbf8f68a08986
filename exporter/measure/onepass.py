"""One pass of a tracker over its table: goes down the tree, and reads again what must be read."""

import errno
import heapq
import math
import os
import stat
from collections.abc import Iterator

from exporter.measure.bound import Bound
from exporter.measure.descent import Descent, is_gone
from exporter.measure.growers import Growers
from exporter.measure.listing import BATCH, BLOCK, NEVER, Found, look
from exporter.measure.table import Directory, Linked, Table
from exporter.measure.walk import Walked

_TICK = 2.0
"""Seconds in which a directory may change again without a new time of change: one tick of the coarsest filesystem."""
_LATE = 0.05
"""Seconds by which the kernel's times of change may be behind the clock: its tick is 10 ms at most."""

_HOT_FILES = 8
"""Remembered by name, of each directory."""
_MOST_HOT_NAMES = 1000
"""In one tree. A file may have a great many names, so that its size does not keep their number small."""


class TableFullError(Exception):
    """The tree has more directories and hard links than may be remembered."""


class _Level:
    """A directory on the way down: what of it is still to come by, and what was found below."""

    __slots__ = ("branches", "directory", "grown", "largest", "name", "names")

    def __init__(self, name: str, directory: Directory | None) -> None:
        self.name = name
        self.directory = directory
        """None where a pass came by before."""
        self.names = [] if directory is None else list(directory.children)
        """Subdirectories to come by, the last one next."""
        self.branches: list[str] = []
        """Those that have subdirectories of their own."""
        self.grown = 0
        """Blocks."""
        self.largest = 0
        """Blocks that the one file or directory in here grew by which grew most."""

    def sort_children(self) -> None:
        """Put the branches first: the next quick pass goes into them without another look."""
        directory, branches = self.directory, self.branches
        if directory is not None and [*directory.children[: directory.branches]] != branches[::-1]:
            directory.children = (*branches[::-1], *(set(directory.children) - set(branches)))
            directory.branches = len(branches)


class OnePass:
    """One pass, quick or full."""

    __slots__ = (
        "_bound", "_descent", "_fresh", "_growers", "_levels", "_linked", "_linked_since", "_links", "_missed", "_now",
        "_recent", "_room", "_seen", "_stale", "_table", "allowance", "has_stale", "is_moving", "refreshed",
    )  # fmt: skip

    def __init__(
        self,
        table: Table,
        descent: Descent,
        *,
        bound: Bound,
        growers: Growers,
        now: float,
        recent: float,
        room: int,
        number: int,
        fresh: int,
        stale: int,
        allowance: int,
    ) -> None:
        """Prepare a pass.

        Args:
            table: Brought up to date.
            descent: At the top.
            bound: Told of the progress.
            growers: Offered what grew.
            now: When the pass begins, Unix seconds.
            recent: A file that changed since then makes its directory hot, Unix seconds.
            room: The weight that the table may have.
            number: Marks what the pass came by; larger than the last pass's.
            fresh: Hot directories that were read by this pass or a later one are not read again for their files.
            stale: Directories that were last read by an earlier pass than this are read again,
            allowance: as long as they have fewer entries together than this; `NEVER` makes it a full pass.
        """
        self._table = table
        self._descent = descent
        self._bound = bound
        self._growers = growers
        self._now = now
        self._recent = int(recent)
        self._room = room
        self._seen = number
        self._fresh = fresh
        self._stale = stale
        self.allowance = allowance
        """What is left of it; negative where the last directory had more entries than were left."""
        self.refreshed = 0
        """Entries of directories that were read only because they were stale."""
        self.has_stale = False
        """Whether the allowance was too small for all."""
        self.is_moving = False
        """Whether directories changed, or went away, while the pass lasted: then one may have been moved from where the
        pass was still to come by to where it had been already.

        Where it was moved from had changed when the pass came there, or it was gone when the pass wanted to enter it.
        """
        self._levels: list[_Level] = []
        self._linked: dict[int, Linked] = {}
        # A pass that reads everything meets all names, but for those of files that get them meanwhile.
        self._linked_since = now - _TICK if allowance == NEVER else -math.inf
        self._links: dict[int, int] = {}
        self._missed = Found()

    def run(self) -> None:
        """Come by every directory.

        Raises:
            OutgrownError: By the bound.
            TableFullError: The table outgrew its room.
        """
        levels = self._levels
        is_full = self.allowance == NEVER
        self._arrive("", self._descent.top)
        while levels:
            level = levels[-1]
            names = level.names
            if not is_full and level.directory is not None and len(names) > level.directory.branches:
                self._skim(names, level.directory.branches)
            if names:
                self._enter(names.pop())
            else:
                self._leave()

    def result(self, *, cut: bool) -> Walked:
        """What the tree is by now; *cut* is whether some of it is known to be left out."""
        return Walked(
            usage=self._table.usage,
            directories=len(self._table.directories),
            links=self._table.links,
            vanished=self._missed.vanished,
            unreadable=self._missed.unreadable,
            cut=cut,
        )

    def _skim(self, names: list[str], branches: int) -> None:
        """Pass by unchanged directories without subdirectories, until one comes up that must be entered.

        One system call each, and no more: the cost of a quick pass is in `_pass_by`.
        """
        while len(names) > branches:
            batch = names[max(branches, len(names) - BATCH) :]
            passed = self._pass_by(reversed(batch))
            del names[len(names) - passed :]
            self._bound(passed)
            if passed < len(batch):
                return

    def _pass_by(self, names: Iterator[str]) -> int:
        """How many directories could be passed by, from the first one on."""
        stat_of, fd, device = os.stat, self._descent.fd, self._descent.device
        known_by, seen, stale = self._table.directories.get, self._seen, self._stale
        passed = 0
        for name in names:
            try:
                status = stat_of(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                break
            known = known_by(status.st_ino)
            if known is None or known.changed != status.st_ctime_ns or known.children:
                break
            if known.is_hot and self._is_hot_still(known, status):
                break
            if status.st_dev != device or (known.read < stale and self._may_refresh()):
                break
            known.seen = seen
            passed += 1
        return passed

    def _enter(self, name: str) -> None:
        try:
            status = self._descent.enter(name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                self._missed.miss(error)
                if is_gone(error):
                    self.is_moving = True
                else:
                    self._put_unread(name)
            return
        self._arrive(name, status)

    def _arrive(self, name: str, status: os.stat_result) -> None:
        """Bring up to date the record of the directory that the descent now stands in."""
        known = self._table.directories.get(status.st_ino)
        if known is None or (known.seen != self._seen and self._is_due(known, status)):
            level = self._read(name, status, known)
        elif known.seen != self._seen:
            known.seen = self._seen
            self._bound(1)
            level = _Level(name, known)
        else:
            # It was moved here while the pass lasts.
            level = _Level(name, None)
        if level.names and self._levels:
            self._levels[-1].branches.append(name)
        self._levels.append(level)

    def _is_due(self, known: Directory, status: os.stat_result) -> bool:
        if known.changed != status.st_ctime_ns or (known.is_hot and self._is_hot_still(known, status)):
            return True
        if known.read >= self._stale or not self._may_refresh():
            return False
        entries = known.files + 1
        self.allowance -= entries
        self.refreshed += entries
        return True

    def _is_hot_still(self, known: Directory, status: os.stat_result) -> bool:
        return known.read < self._fresh or status.st_ctime > self._now - _TICK

    def _may_refresh(self) -> bool:
        """Whether a directory may be read that is neither changed nor hot; that one has waited if not."""
        if self.allowance > 0:
            return True
        self.has_stale = True
        return False

    def _leave(self) -> None:
        left = self._levels.pop()
        left.sort_children()
        if left.largest * 2 < left.grown:
            # No single entry explains its growth, so it is the one to name.
            self._offer(left.grown, left.name, is_directory=True)
        if not self._levels:
            return
        for _ in range(self._descent.leave(self._bound)):
            self._missed.vanished += len(self._levels.pop().names)
        parent = self._levels[-1]
        parent.grown += left.grown
        parent.largest = max(parent.largest, left.grown)

    def _read(self, name: str, status: os.stat_result, known: Directory | None) -> _Level:
        self._linked, self._links = {}, {}
        if status.st_ctime > self._now - _LATE and (known is None or known.changed != status.st_ctime_ns):
            self.is_moving = True
        found = self._list(0 if known is None else known.weight)
        hot_files = {file: blocks for blocks, file in heapq.nlargest(_HOT_FILES, found.large)}
        new = Directory(
            changed=status.st_ctime_ns,
            is_hot=self._is_hot(status, found),
            children=tuple(found.names),
            size=found.size,
            blocks=found.blocks + status.st_blocks,
            files=found.files,
            read=self._seen,
            seen=self._seen,
        )
        if self._links:
            new.links = self._links
        kept = 0 if known is None else len(known.hot_files)
        if hot_files and self._table.hot_names - kept + len(hot_files) <= _MOST_HOT_NAMES:
            new.hot_files = hot_files
        grown = self._table.put(status.st_ino, new, self._linked)
        level = _Level(name, new)
        level.grown = grown
        watched = {} if known is None else known.hot_files
        for file, blocks in hot_files.items():
            file_grown = blocks - watched[file] if file in watched else min(blocks, grown)
            level.largest = max(level.largest, file_grown)
            self._offer(file_grown, name, file, is_directory=False)
        return level

    def _is_hot(self, status: os.stat_result, found: Found) -> bool:
        return (
            found.has_recent
            or found.unreadable > 0
            or status.st_ctime > self._now - _TICK
            or any(self._linked[inode].is_new and self._table.may_be_stray(inode) for inode in self._links)
        )

    def _list(self, known: int) -> Found:
        """List the directory, of which so many names are kept already."""
        found, ledger, held = Found(), self._table.ledger, 0

        def pace(entries: int) -> None:
            nonlocal held
            self._bound(entries)
            if len(found.large) > BATCH:
                found.large = heapq.nlargest(_HOT_FILES, found.large)
            names = len(found.names) + len(self._links) - known
            ledger.held += names - held
            held = names
            weight = self._table.weight + names
            if weight > self._room or ledger.is_exceeded(weight):
                raise TableFullError

        try:
            with os.scandir(self._descent.fd) as entries:
                look(entries, found, pace=pace, is_counted=self._note, recent=self._recent)
        except OSError as error:
            found.miss(error)
        finally:
            ledger.held -= held
        self._missed.vanished += found.vanished
        self._missed.unreadable += found.unreadable
        return found

    def _note(self, status: os.stat_result) -> bool:
        """Note a file that has several names; it does not count with the others."""
        inode = status.st_ino
        self._links[inode] = self._links.get(inode, 0) + 1
        if inode not in self._linked:
            known = self._table.linked.get(inode)
            if known is None or known.seen != self._seen:
                self._bound.allow(status.st_nlink)
            self._linked[inode] = Linked(
                size=status.st_size,
                blocks=status.st_blocks,
                links=status.st_nlink,
                is_whiteout=stat.S_ISCHR(status.st_mode) and status.st_rdev == 0,
                is_new=status.st_ctime >= self._linked_since,
                seen=self._seen,
            )
        return False

    def _put_unread(self, name: str) -> None:
        """Record a directory that was not entered: its own blocks are known all the same."""
        status = self._descent.peek(name)
        if status is not None:
            self._table.put(status.st_ino, Directory(is_hot=True, blocks=status.st_blocks, seen=self._seen), {})

    def _offer(self, blocks: int, *names: str, is_directory: bool) -> None:
        if blocks > 0:
            self._growers.offer(blocks * BLOCK, self._levels, names, is_directory=is_directory)
