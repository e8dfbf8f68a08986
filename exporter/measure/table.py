"""What a tracker remembers of one tree: sums by directory, and the inodes that have several names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from exporter.measure.ledger import Ledger
from exporter.measure.listing import BLOCK
from exporter.measure.usage import Usage

# One for all, since most directories have neither links nor hot files, and there may be very many directories.
_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
_NO_FILES: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class Directory:
    """One directory as it was when it was last read; its subdirectories have records of their own."""

    changed: int = 0
    """Its time of change (``st_ctime_ns``) before it was read.

    Every change of its entries sets that, and unlike the time of modification no process can set it back.
    """
    is_hot: bool = False
    """Whether the next pass reads it again in any case."""
    children: tuple[str, ...] = ()
    """Names of its subdirectories, first those that had subdirectories of their own when a pass last came by."""
    branches: int = 0
    """How many of them had."""
    size: int = 0
    blocks: int = 0
    """The directory's own blocks, and those of its files that have one name."""
    files: int = 0
    """Those that have one name."""
    links: Mapping[int, int] = field(default_factory=lambda: _NOTHING)
    """Inodes with several names → how many of those are in here."""
    hot_files: Mapping[str, int] = field(default_factory=lambda: _NO_FILES)
    """The largest of the files that changed lately → blocks."""
    read: int = 0
    """The last pass that read it."""
    seen: int = 0
    """The last pass that came by."""

    @property
    def weight(self) -> int:
        """How many names are kept of what is in it."""
        return len(self.children) + len(self.links)


@dataclass(slots=True, kw_only=True)
class Linked:
    """An inode with several names, as last looked at. It counts once for the whole tree."""

    size: int
    blocks: int
    links: int
    """Names that the filesystem counts, wherever they are."""
    is_whiteout: bool
    """Overlayfs gives all whiteouts of a mount one inode, which has a name in the work directory too."""
    is_new: bool
    """Whether it may have got its names since another of them was read."""
    seen: int
    """The last pass that came by."""
    names: int = 0
    """Names found in the tree."""

    @property
    def lacks_names(self) -> bool:
        """Whether it has names that were not found."""
        return self.names < self.links and not self.is_whiteout


@dataclass(slots=True, kw_only=True)
class Stray:
    """What may count twice of a file: it got a further name, and where it had the first it still counts as one of one
    name, because that directory did not change. It does, as long as the file lacks a name."""

    size: int
    blocks: int
    since: int
    """The pass that found the further name."""
    was_complete: bool = False
    """Whether the last pass knew of all its names."""


class Table:
    """The records of one tree, and their running sums."""

    __slots__ = (
        "_are_names_kept", "_blocks", "_files", "_newly_linked", "_records", "_size", "_strays", "directories",
        "hot_names", "ledger", "linked",
    )  # fmt: skip

    def __init__(self, ledger: Ledger) -> None:
        """*ledger* is told of every name that is kept."""
        self.ledger = ledger
        self.directories: dict[int, Directory] = {}
        """By inode number: a directory that is renamed or moved stays what it is."""
        self.hot_names = 0
        """Names of hot files that the records keep."""
        self.linked: dict[int, Linked] = {}
        self._size = 0
        self._blocks = 0
        self._files = 0
        self._records = 1
        self._newly_linked: set[int] = set()
        self._are_names_kept = False
        """Whether all directories that hold names of files with several turned out to be as the last pass left them."""
        self._strays: dict[int, Stray] = {}

    @property
    def usage(self) -> Usage:
        """The whole tree's use of the disk."""
        twice = [stray for inode, stray in self._strays.items() if self.linked[inode].lacks_names]
        return Usage(
            size=self._size - sum(stray.size for stray in twice),
            allocated=(self._blocks - sum(stray.blocks for stray in twice)) * BLOCK,
            inodes=self._files + len(self.linked) + len(self.directories) - len(twice),
        )

    @property
    def weight(self) -> int:
        """How many names it keeps, of directories and of files that have several: what its memory goes by."""
        return self._records

    def leave(self) -> None:
        """Give its place in the ledger to others: nobody needs it any more."""
        self.ledger.held -= self._records - 1
        self.ledger = Ledger()

    @property
    def links(self) -> int:
        """How many names the files have that have several."""
        return sum(file.names for file in self.linked.values())

    def put(self, inode: int, new: Directory, linked: Mapping[int, Linked]) -> int:
        """Replace the record of a directory, and return by how many blocks it grew, hard links left out."""
        old = self.directories.get(inode, _NONE)
        self.directories[inode] = new
        self._compare_names(old, new)
        self._exchange(old, new)
        for file, names in new.links.items():
            self._name(file, names, linked[file])
        self._unname(old.links)
        return new.blocks - old.blocks

    def unseen(self, since: int) -> dict[int, Directory]:
        """The directories that no pass from this one on came by."""
        return {inode: directory for inode, directory in self.directories.items() if directory.seen < since}

    def forget(self, inodes: Iterable[int]) -> None:
        """Forget directories that are gone."""
        for inode in inodes:
            gone = self.directories.pop(inode)
            self._compare_names(gone, _NONE)
            self._exchange(gone, _NONE)
            self._unname(gone.links)

    def begin_pass(self) -> None:
        """Begin anew to note which inodes turn out to have several names. Not where one goes on that was interrupted:
        what that one noted was not settled."""
        self._newly_linked.clear()

    def may_be_stray(self, inode: int) -> bool:
        """Whether a file with several names may still count elsewhere as one of one name: whoever holds a name of it
        has to be read in each pass, to see whether it still has the others."""
        return inode not in self.linked or inode in self._newly_linked or inode in self._strays

    def settle(self, number: int, *, read_since: int) -> None:
        """Take off what counts twice, at the end of pass *number* of which nothing was missed.

        Of a file that turned out since `begin_pass` to have several names, and of which not all were found, another one
        lies in a directory that was read when it was the only one: there the file counts once too often until that is
        read again. That is over, too, once every directory was read since by a pass from *read_since* on: then what
        lacks has its place outside of the tree.

        A name that is moved or removed while a pass lasts may be found in two places, or where it is no more, and then
        stands for the one that lacks. So the file is done with only if the next pass finds its names unchanged: what is
        known of them was true then at one time, between the two.
        """
        linked = self.linked
        for inode in self._newly_linked:
            file = linked.get(inode)
            if file is not None and not file.is_whiteout:
                self._strays[inode] = Stray(size=file.size, blocks=file.blocks, since=number)
        self._strays = {
            inode: stray
            for inode, stray in self._strays.items()
            if stray.since >= read_since and not (stray.was_complete and self._are_names_kept)
        }
        for inode, stray in self._strays.items():
            stray.was_complete = not linked[inode].lacks_names
        self._are_names_kept = True

    def _compare_names(self, old: Directory, new: Directory) -> None:
        # Most directories have none, and then these are one object.
        if old.links is not new.links and (old.changed != new.changed or old.links != new.links):
            self._are_names_kept = False

    def _exchange(self, old: Directory, new: Directory) -> None:
        """Let the sums have one record for another."""
        self._size += new.size - old.size
        self._blocks += new.blocks - old.blocks
        self._files += new.files - old.files
        self.hot_names += len(new.hot_files) - len(old.hot_files)
        records = new.weight - old.weight
        self._records += records
        self.ledger.held += records

    def _name(self, inode: int, names: int, latest: Linked) -> None:
        known = self.linked.get(inode)
        if known is None:
            if latest.is_new:
                self._newly_linked.add(inode)
        else:
            latest.names = known.names
            self._size -= known.size
            self._blocks -= known.blocks
        latest.names += names
        self.linked[inode] = latest
        self._size += latest.size
        self._blocks += latest.blocks

    def _unname(self, links: Mapping[int, int]) -> None:
        for inode, names in links.items():
            file = self.linked[inode]
            file.names -= names
            if not file.names:
                del self.linked[inode]
                self._strays.pop(inode, None)
                self._size -= file.size
                self._blocks -= file.blocks


_NONE = Directory()
