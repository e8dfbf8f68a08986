"""Files with several names, in quick passes: each counts once, wherever its names come and go."""

import contextlib
import os
import stat
import time
from functools import partial
from pathlib import Path

import pytest

from exporter.measure.tracker import HOT_FOR, Tracker
from tests.requirements import required_root
from tests.unit.measure.trees import (
    MIB,
    REST,
    Ahead,
    acting_after,
    by_system,
    fill,
    grow,
    lay_down,
    remove,
    settle,
    stopped_after,
)

PERIOD = 100.0
FILES = 18


def link(top: Path, old: str, new: str) -> None:
    os.link(top / old, top / new)
    settle()


@pytest.fixture
def rested(top: Path) -> Tracker:
    """Of directories to put names in, and one with files that rests: by the real clock, since passes tell by that what
    changes while they last."""
    lay_down(top, directories=3, files=FILES)
    time.sleep(REST)
    tracker = Tracker(str(top), clock=time.time, hot_for=0.0)
    tracker.full()
    return tracker


def move(source: Path, target: Path) -> None:
    """Move the links from one directory to the other."""
    for file in source.glob("link*"):
        file.rename(target / file.name)


def test_a_further_name_of_a_rested_file_is_not_counted_again(top: Path, tracker: Tracker) -> None:
    """Although the directory of the old name is not read again, as nothing changed there."""
    fill(top, directories=3, files=3)
    tracker.full()
    link(top, "directory0/file0", "directory1/link")
    quick = tracker.quick()
    assert (quick.full, quick.looked) == (False, 4 - 1 + 4)
    assert by_system(top) == quick.walked.usage


def test_nor_once_the_old_name_is_found(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """Everything is read in the course of a period, and the file has two names that are known from then on."""
    fill(top, directories=3, files=3)
    tracker.full()
    link(top, "directory0/file0", "directory1/link")
    for _ in range(8):
        clock.seconds += PERIOD / 4
        assert by_system(top) == tracker.quick(full_period=PERIOD).walked.usage
    quick = tracker.quick()
    assert (quick.looked, quick.walked.links) == (4, 2)


def test_nor_if_the_pass_that_found_it_was_stopped(top: Path, tracker: Tracker) -> None:
    """Wherever that was: what it noted holds for the one that comes to the end."""
    fill(top, directories=6, files=1)
    settle()
    tracker.full()
    for calls in range(12):
        os.link(top / "directory0" / "file0", top / f"directory{1 + calls % 5}" / f"again{calls}")
        settle()
        with contextlib.suppress(KeyboardInterrupt):
            tracker.quick(pace=stopped_after(calls))
        done = tracker.quick()
        assert (done.full, done.walked.usage) == (False, by_system(top))
        for name in top.glob("directory*/again*"):
            name.unlink()
        settle()
        tracker.full()


@pytest.mark.parametrize("is_known", [False, True])
def test_nor_if_a_name_is_moved_while_a_pass_lasts(top: Path, rested: Tracker, *, is_known: bool) -> None:
    """It may be found in both places then, and stand for the one that counts elsewhere as the only one."""
    for calls in range(FILES):
        link(top, f"rests/file{calls}", f"directory{calls % 3}/link{calls}")
        if is_known:
            rested.quick()
        source, target = top / f"directory{calls % 3}", top / f"directory{(calls + 1) % 3}"
        rested.quick(pace=acting_after(calls % 6, partial(move, source, target)))
        settle()
        done = rested.quick()
        assert (done.full, done.walked.usage) == (False, by_system(top))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_nor_if_a_name_is_removed_where_a_pass_has_been(top: Path, rested: Tracker, gone: int) -> None:
    """It still counts for one then, while the file is known to have one less."""
    for calls in range(FILES):
        for directory in range(3):
            link(top, f"rests/file{calls}", f"directory{directory}/link{calls}")
        rested.quick()
        unlink = partial((top / f"directory{gone}" / f"link{calls}").unlink, missing_ok=True)
        rested.quick(pace=acting_after(calls % 6, unlink))
        settle()
        done = rested.quick()
        assert (done.full, done.walked.usage) == (False, by_system(top))


def test_nor_if_it_is_moved_to_a_directory_while_that_is_listed(top: Path, rested: Tracker) -> None:
    """Its time of change was looked at before."""
    crowd = top / "crowd"
    crowd.mkdir()
    for number in range(5000):
        (crowd / f"{number:0100}").touch()
    settle()
    for number in range(FILES):
        link(top, f"rests/file{number}", f"directory{number % 3}/link{number}")
        rested.quick()
        rested.quick(pace=acting_after(2 + number % 8, partial(move, top / f"directory{number % 3}", crowd)))
        settle()
        done = rested.quick()
        assert (done.full, done.walked.usage) == (False, by_system(top))


def test_growth_by_the_new_name_is_seen(top: Path, tracker: Tracker) -> None:
    """Whoever holds a name of a file of which another one is missing is read in each pass."""
    fill(top, directories=3, files=3)
    tracker.full()
    link(top, "directory0/file0", "directory1/link")
    tracker.quick()
    grow(top / "directory1" / "link", MIB)
    assert by_system(top) == tracker.quick().walked.usage


@pytest.mark.parametrize("gone", ["directory0", "directory0/file0", "directory1", "directory1/link"])
def test_one_of_the_names_goes(top: Path, tracker: Tracker, gone: str) -> None:
    """The file stays, with the other one: of both directories it is known who has what."""
    fill(top, directories=3, files=3)
    tracker.full()
    link(top, "directory0/file0", "directory1/link")
    link(top, "directory0/file0", "directory2/link")
    tracker.quick()
    remove(top / gone)
    settle()
    assert by_system(top) == tracker.quick().walked.usage
    remove(top / "directory2" / "link")
    settle()
    assert by_system(top) == tracker.quick().walked.usage


def test_new_names_in_every_pass_keep_nothing_from_being_read(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """A container may make names without end; what grew in place is found within the period all the same."""
    fill(top, directories=20, files=20)
    (top / "names").mkdir()
    settle()
    tracker.full()
    for number in range(20):
        grow(top / f"directory{number}" / "file0", 10_000)
    for number in range(20):
        clock.seconds += PERIOD / 5
        link(top, f"directory{number}/file1", f"names/{number}")
        assert not tracker.quick(full_period=PERIOD).full
    quick = tracker.quick()
    assert by_system(top) == quick.walked.usage
    assert quick.read_since > clock() - 2.5 * PERIOD


def test_a_name_outside_of_the_tree_is_found_nowhere(root: Path, top: Path, tracker: Tracker, clock: Ahead) -> None:
    """The file counts once everything was read since, without a name that would count twice."""
    fill(top, directories=2, files=2)
    tracker.full()
    grow(root / "outside", 5000)
    os.link(root / "outside", top / "directory0" / "inside")
    settle()
    tracker.quick(full_period=PERIOD)
    for _ in range(10):
        clock.seconds += PERIOD / 4
        tracker.quick(full_period=PERIOD)
    quick = tracker.quick()
    assert (quick.looked, quick.walked.usage) == (3, by_system(top))


def test_whiteouts_lack_no_name(top: Path, tracker: Tracker) -> None:
    """All are one inode, which has a name outside of the layer too."""
    required_root()
    fill(top, directories=2, files=2)
    os.mknod(top.parent / "work", stat.S_IFCHR, os.makedev(0, 0))
    tracker.full()
    os.link(top.parent / "work", top / "directory0" / "gone")
    settle()
    for _ in range(2):
        assert by_system(top) == tracker.quick().walked.usage
    assert tracker.quick().looked == 3


def test_hard_links_count_against_the_limit(top: Path, clock: Ahead) -> None:
    """Each that is remembered costs memory as a directory does."""
    tracker = Tracker(str(top), clock=clock, max_directories=10)
    for number in range(11):
        (top / f"file{number}").touch()
        os.link(top / f"file{number}", top / f"link{number}")
    assert by_system(top) == tracker.full().walked.usage
    assert tracker.full_only


def test_a_million_names_of_one_file_are_one_record(top: Path, clock: Ahead) -> None:
    """Names in one directory are counted, not kept."""
    tracker = Tracker(str(top), clock=clock, max_directories=10)
    (top / "file").write_bytes(b"x" * 5000)
    for number in range(1000):
        os.link(top / "file", top / f"link{number}")
    assert by_system(top) == tracker.full().walked.usage
    assert (tracker.full_only, tracker.weight) == (False, 2)


def test_names_of_files_in_use_are_bounded(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """One large file in use has any number of names, in any number of directories: few are kept, to tell who grew."""
    clock.seconds = HOT_FOR / 2
    grow(top / "file", 2 * MIB)
    for number in range(300):
        (top / f"directory{number}").mkdir()
        for name in range(5):
            os.link(top / "file", top / f"directory{number}" / f"name{name}")
    tracker.full()
    assert 900 <= tracker.hot_names <= 1000
    remove(top)
    top.mkdir()
    tracker.quick()
    assert tracker.hot_names == 0
