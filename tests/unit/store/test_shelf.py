"""What did not change is not read again; what may have changed is."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import pytest

from exporter.store.graphdir import DirectoryReader
from exporter.store.layerdb import LayerReader
from exporter.store.records import Folder, Scan, open_folder
from exporter.store.shelf import TURNS
from tests.unit.store.hosts import LATER, Host


class Counting(Folder):
    """Counts which files are read."""

    reads: ClassVar[list[str]] = []

    def read(self, name: str, limit: int) -> bytes:
        Counting.reads.append(self.path_of(name))
        return super().read(name, limit)

    def target(self, name: str) -> str:
        Counting.reads.append(self.path_of(name))
        return super().target(name)

    @classmethod
    def at(cls, path: Path | str) -> Self:
        """The directory *path*, with nothing counted yet."""
        cls.reads.clear()
        return cls(str(path), os.open(path, os.O_RDONLY | os.O_DIRECTORY))

    @classmethod
    def records(cls, above: Path) -> set[str]:
        """Which entries of *above* something was read of."""
        return {path.removeprefix(f"{above}/").partition("/")[0] for path in cls.reads}


class Repeated:
    """One reader that looks at one directory again and again, as scans do."""

    def __init__(self, home: Path, *, now: float | None = None) -> None:
        self.home = home
        self.reader = LayerReader()
        self.turn = 0
        self.now = time.time() + LATER if now is None else now
        self.scan = Scan(now=self.now, turn=0)

    def look(self) -> set[str]:
        """The names of the records that were read, not remembered."""
        self.turn += 1
        self.scan = Scan(now=self.now, turn=self.turn)
        with Counting.at(self.home) as folder:
            self.found = self.reader.read(folder, self.scan)
        return Counting.records(self.home)


@pytest.fixture
def repeated(host: Host) -> Repeated:
    return Repeated(host.store.layerdb.layers)


def names(host: Host) -> set[str]:
    return {path.name for path in host.store.layerdb.layers.iterdir()}


def test_an_unchanged_record_is_read_once_in_so_many_scans(host: Host, repeated: Repeated) -> None:
    """After the first look each record is read again in exactly one of 64, so no scan has to read all of them."""
    assert repeated.look() == names(host)
    again = [name for _ in range(TURNS) for name in repeated.look()]
    assert sorted(again) == sorted(names(host))
    assert len(repeated.found) == 4


def test_a_changed_record_is_read_again(host: Host, repeated: Repeated) -> None:
    """An entry that comes, goes or is replaced touches the record's directory."""
    repeated.look()
    record = host.layer(host.middle)
    (record / "size.new").write_text("4242")
    (record / "size.new").rename(record / "size")
    assert record.name in repeated.look()
    assert repeated.found[host.middle].size == 4242


def test_a_record_overwritten_in_place_is_seen_within_so_many_scans(host: Host, repeated: Repeated) -> None:
    """Writing into a file changes no time of its directory; 64 scans later at the latest it is seen all the same."""
    repeated.look()
    (host.layer(host.middle) / "size").write_text("4242")
    sizes = []
    for _ in range(TURNS):
        repeated.look()
        sizes.append(repeated.found[host.middle].size)
    assert set(sizes) <= {host.store.layers[host.middle].size, 4242}
    assert sizes[-1] == 4242


def test_a_young_record_is_always_read(host: Host) -> None:
    """Two changes in one tick of the filesystem's clock leave the same times: nothing younger than 2 s is kept."""
    repeated = Repeated(host.store.layerdb.layers, now=time.time())
    assert [repeated.look() for _ in range(3)] == [names(host)] * 3
    (host.layer(host.middle) / "size").write_text("4242")
    repeated.look()
    assert repeated.found[host.middle].size == 4242


def test_a_damaged_record_is_always_read(host: Host, repeated: Repeated) -> None:
    """So a second look looks at the disk, and what is mended in place is well at once."""
    size = host.layer(host.middle) / "size"
    sound = size.read_text()
    size.write_text("")
    for _ in range(3):
        assert host.layer(host.middle).name in repeated.look()
        assert [problem.path for problem in repeated.scan.problems] == [str(size)]
    size.write_text(sound)
    repeated.look()
    assert repeated.scan.problems == []


def test_a_removed_record_is_forgotten(host: Host, repeated: Repeated) -> None:
    """What comes back under the same name is read anew; in between there is nothing."""
    repeated.look()
    away = host.root / "away"
    host.layer(host.other).rename(away)
    repeated.look()
    assert host.other not in repeated.found
    away.rename(host.layer(host.other))
    assert host.layer(host.other).name in repeated.look()
    assert host.other in repeated.found


def test_short_links_are_read_once(host: Host) -> None:
    """A symlink cannot change in place: while the directory of short links is as it was, none of them is read, but in
    one of 64 scans."""
    reader, home = DirectoryReader(), host.store.graph.home / "l"

    def look(turn: int) -> tuple[Mapping[str, str], set[str]]:
        with Counting.at(home) as folder:
            links = reader.read_short_links(folder, Scan(now=time.time() + LATER, turn=turn))
        return links, Counting.records(home)

    before, reads = look(0)
    assert reads == set(before)
    quiet = [turn for turn in range(1, TURNS + 1) if look(turn) == (before, set())]
    assert len(quiet) >= TURNS - 1
    (home / "NEW").symlink_to("../somewhere/diff")
    after, reads = look(quiet[0])
    assert after == {**before, "NEW": "../somewhere/diff"}
    assert "NEW" in reads


def test_a_short_link_that_is_replaced_is_read_again(host: Host) -> None:
    """The symlink of the same name is another inode."""
    reader, home = DirectoryReader(), host.store.graph.home / "l"
    with open_folder(str(home)) as folder:
        before = reader.read_short_links(folder, Scan(now=time.time() + LATER, turn=1))
    name = min(before)
    (home / "other").symlink_to("../elsewhere/diff")
    (home / "other").rename(home / name)
    with open_folder(str(home)) as folder:
        after = reader.read_short_links(folder, Scan(now=time.time() + LATER, turn=2))
    assert after == {**before, name: "../elsewhere/diff"}
