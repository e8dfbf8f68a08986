"""What records take on the disk, each measured again only after it changed.

Records are many and small; most never change. One is a file, or a directory of files that the engine replaces whole, so
that the directory's own times tell of every change; all that grows in place are the logs of running containers, which
nobody asks for here.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping

from exporter.measure.walk import measure
from exporter.store.records import Stamp, stamp_of
from exporter.store.shelf import SETTLED_NS


class RecordSizes:
    """Measures records, and remembers those that were asked for last."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._known: dict[str, tuple[Stamp, int]] = {}

    def allocated(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Allocated bytes of each record, a directory with all that is in it; 0 where there is none, absent where that
        does not tell."""
        known: dict[str, tuple[Stamp, int]] = {}
        sizes: dict[str, int] = {}
        settled_before = int(self._now() * 1e9) - SETTLED_NS
        for path in paths:
            try:
                status = os.lstat(path)
                stamp = stamp_of(status)
                memory = self._known.get(path)
                if memory is None or memory[0] != stamp:
                    memory = (stamp, _measured(path, status))
            except FileNotFoundError:
                sizes[path] = 0
                continue
            except OSError:
                continue
            sizes[path] = memory[1]
            if max(stamp[2:]) < settled_before:
                known[path] = memory
        self._known = known
        return sizes


def _measured(path: str, status: os.stat_result) -> int:
    if not stat.S_ISDIR(status.st_mode):
        return status.st_blocks * 512
    walked = measure(path)
    if walked.unreadable:
        raise PermissionError(path)
    return walked.usage.allocated
