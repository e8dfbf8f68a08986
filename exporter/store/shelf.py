"""Remembering what records said, for as long as their own times stay as they were.

There are thousands of records, and hardly any changed since the last scan.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from exporter.store.records import Folder, Reading, Scan, Stamp, guarded

T = TypeVar("T")

SETTLED_NS = 2_000_000_000
"""A record younger than this when it was read may change again without its times showing it: filesystem clocks
tick coarsely."""
TURNS = 64
"""Each record is read again at least every so many scans, whatever its times say: a file that is overwritten in
place (a repair by hand, a damaged disk) does not touch the times of the directory that is looked at."""


class Shelf(Generic[T]):
    """Readings kept from one scan to the next, by name and stamp. What a scan does not ask for is forgotten with it."""

    def __init__(self, *, exact: bool = False) -> None:
        """*exact*: the stamps are those of the files that are read, not of directories that they lie in.

        Otherwise what is damaged is read again each time, so that a second look looks at the disk.
        """
        self._exact = exact
        self._kept: dict[str, tuple[Stamp, bool, Reading[T]]] = {}

    def read_all(
        self,
        folder: Folder,
        names: Iterable[str],
        *,
        scan: Scan,
        read: Callable[[str], Reading[T]],
        stamp: Callable[[str], Stamp | None],
    ) -> dict[str, T]:
        """The values of all records in *names* that have one, by name; their problems go to *scan*.

        *stamp* looks at a record from outside: None for an entry that is no record. *read* reads it anew. Either raises
        FileNotFoundError for what vanished.
        """
        kept: dict[str, tuple[Stamp, bool, Reading[T]]] = {}
        values: dict[str, T] = {}
        old, settled_before, turn = self._kept, int(scan.now * 1e9) - SETTLED_NS, scan.turn % TURNS
        for name in names:
            scan.check()
            try:
                seen = stamp(name)
                if seen is None:
                    continue
                memory = old.get(name)
                if memory is None or memory[0] != seen or not memory[1] or hash(name) % TURNS == turn:
                    reading = guarded(read, name, folder)
                    if memory is not None and memory[2] == reading:
                        reading = memory[2]  # the same object, so that nothing looks changed to whoever compares
                    lasts = reading.complete and (self._exact or not reading.problems)
                    memory = (seen, lasts and max(seen[3::4]) < settled_before, reading)
            except FileNotFoundError:
                scan.vanished += 1
                continue
            except OSError as error:
                scan.unreadable(folder.path_of(name), error)
                continue
            kept[name] = memory
            reading = memory[2]
            if reading.value is not None:
                values[name] = reading.value
            if reading.problems:
                scan.problems.extend(reading.problems)
        self._kept = kept
        return values
