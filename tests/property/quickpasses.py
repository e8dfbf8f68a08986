"""What quick passes promise: a model that knows of each file by what they miss it, told by the tree alone."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Amount:
    """What a file takes of the disk, or what is missed of it."""

    size: int = 0
    blocks: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.size + other.size, self.blocks + other.blocks)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.size - other.size, self.blocks - other.blocks)


NOTHING = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it is now."""

    amount: Amount
    names: int
    changed: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory as it is now."""

    changed: int
    """Its own time of change; nanoseconds."""
    files: Mapping[int, File]
    """By inode, as everywhere here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a pass kept of a directory when it last read it."""

    changed: int
    is_hot: bool
    """Whether the next pass reads it again for certain: a file had changed lately, or has its first name elsewhere, and
    that still counts, too."""
    is_open: bool
    """Whether a file with several names had got one since the last full pass. The next passes may read such a directory
    again, for as long as not all of them are found: the model does not know for how long."""
    single: Mapping[int, Amount]
    """Files that had one name."""
    shared: frozenset[int]
    """Files that had several."""


class Tree:
    """A tree between two passes: what the last one kept of it, and what it is now."""

    def __init__(self, top: Path, readings: Mapping[int, Reading]) -> None:
        self.directories = dict(_directories(top))
        self.readings = readings
        self.due = {inode for inode, directory in self.directories.items() if self._is_due(inode, directory)}
        """Directories that the next quick pass reads for certain."""

    def _is_due(self, inode: int, directory: Directory) -> bool:
        known = self.readings.get(inode)
        return known is None or known.is_hot or known.changed != directory.changed

    @property
    def files(self) -> dict[int, File]:
        return {inode: file for directory in self.directories.values() for inode, file in directory.files.items()}

    def in_directories(self, among: set[int]) -> set[int]:
        """Files with names there."""
        return {file for inode in among for file in self.directories[inode].files}

    def kept(self) -> dict[int, Amount]:
        """Files that count as they were when they had one name, since the directory of that is not read again."""
        rested = self.directories.keys() - self.due
        return {file: amount for inode in rested for file, amount in self.readings[inode].single.items()}

    def known_further(self, among: set[int]) -> set[int]:
        """Files of which a further name was found there, and is there still."""
        return {
            file
            for inode in among & self.readings.keys()
            for file in self.readings[inode].shared & self.directories[inode].files.keys()
        }


class Model:
    """Knows of each file by what a quick pass misses it: what changed in place since it was last looked at.

    It is looked at when a directory is read that holds a name of it. A file that gets a further name elsewhere goes on
    to count as it was when the directory of the first was read; growth since the further one was found is seen by that,
    for as long as it is there.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._readings: dict[int, Reading] = {}
        self.amounts: Mapping[int, Amount] = {}
        """At the last pass."""
        self.missed: dict[int, Amount] = {}
        """By the last pass."""
        self.named: set[int] = set()
        """Files that got a name since the last full pass."""
        self.is_torn = False
        """Whether a pass was stopped since the last one that was not: nobody knows what it has read."""

    def tree(self) -> Tree:
        return Tree(self._top, self._readings)

    def quick(self, *, recent: int) -> None:
        """A quick pass is done, to which files are hot that changed since *recent*, Unix seconds."""
        tree = self.tree()
        kept, further = tree.kept(), tree.known_further(set(tree.directories))
        left = [known for inode, known in self._readings.items() if inode in tree.due or inode not in tree.directories]
        seen = tree.in_directories(tree.due).union(*(known.single for known in left))
        missed = {}
        for inode, file in tree.files.items():
            before = self.missed.get(inode, NOTHING)
            if inode in kept:
                missed[inode] = before if inode in further else file.amount - kept[inode]
            elif inode not in seen:
                missed[inode] = before + file.amount - self.amounts[inode]
        self.missed = {inode: amount for inode, amount in missed.items() if amount != NOTHING}
        self._read(tree, tree.due, recent)

    def full(self, *, recent: int) -> None:
        """A full pass is done."""
        tree = self.tree()
        self.missed = {}
        self.named.clear()
        self._read(tree, set(tree.directories), recent)

    def total(self) -> Amount:
        """All that the last pass missed."""
        return sum(self.missed.values(), NOTHING)

    def is_certain(self) -> bool:
        """Whether it is certain what the next quick pass misses.

        It is not where a further name by which growth was seen has gone, and another one has come: that depends on
        which directory is read first.
        """
        tree = self.tree()
        files, kept, further = tree.files, tree.kept(), tree.known_further(set(tree.directories))
        known = {inode for reading in self._readings.values() for inode in reading.shared}
        return not any(
            files[inode].amount - amount != self.missed.get(inode, NOTHING)
            for inode, amount in kept.items()
            if inode in known and (self.is_torn or (inode not in further and files[inode].names > 1))
        )

    def changeable(self) -> tuple[set[int], set[int]]:
        """Files whose change in place the next quick pass sees for certain, and those whose change it misses."""
        tree = self.tree()
        rested = tree.directories.keys() - tree.due
        kept = tree.kept().keys()
        further = tree.known_further(set(tree.directories))
        maybe = tree.in_directories({inode for inode in rested if self._readings[inode].is_open})
        held = tree.in_directories(tree.due)
        if self.is_torn:
            return set(), tree.in_directories(rested) - held - maybe - further
        seen = (held - kept) | ((tree.known_further(tree.due) & kept) - maybe)
        return seen, tree.in_directories(rested) - (held - kept) - maybe - (kept & further)

    def _read(self, tree: Tree, due: set[int], recent: int) -> None:
        self.is_torn = False
        self.amounts = {inode: file.amount for inode, file in tree.files.items()}
        left = [self._readings[inode] for inode in tree.directories.keys() - due]
        # What is read again before a further name is found counts elsewhere no more.
        twice = {file for reading in left if not reading.is_open for file in reading.single}
        self._readings = {
            inode: self._reading(directory, recent, twice) if inode in due else self._readings[inode]
            for inode, directory in tree.directories.items()
        }

    def _reading(self, directory: Directory, recent: int, twice: set[int]) -> Reading:
        shared = frozenset(inode for inode, file in directory.files.items() if file.names > 1)
        return Reading(
            changed=directory.changed,
            is_hot=any(file.changed >= recent for file in directory.files.values()) or not shared.isdisjoint(twice),
            is_open=not shared.isdisjoint(self.named),
            single={inode: file.amount for inode, file in directory.files.items() if inode not in shared},
            shared=shared,
        )


def _directories(top: Path) -> Iterator[tuple[int, Directory]]:
    for path, _, _ in os.walk(top):
        with os.scandir(path) as entries:
            files = [entry.stat(follow_symlinks=False) for entry in entries if not entry.is_dir(follow_symlinks=False)]
        status = os.stat(path)
        yield status.st_ino, Directory(changed=status.st_ctime_ns, files={file.st_ino: _file(file) for file in files})


def _file(status: os.stat_result) -> File:
    return File(
        amount=Amount(status.st_size, status.st_blocks),
        names=status.st_nlink,
        changed=status.st_ctime_ns // SECOND,
    )
