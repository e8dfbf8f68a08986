"""What the two passes of a tracker see, what they cost, and who grew."""

import os
import time
from pathlib import Path

import pytest

from exporter.measure.descent import HELD
from exporter.measure.growers import Grower
from exporter.measure.ledger import LEAST, Ledger
from exporter.measure.listing import BATCH
from exporter.measure.tracker import HOT_FOR, Tracker
from exporter.measure.walk import measure
from tests.unit.measure.trees import (
    MIB,
    Ahead,
    by_system,
    descriptors,
    fill,
    grow,
    make_deep,
    remove,
    settle,
    stopped_after,
)


def test_the_first_pass_is_full(top: Path, tracker: Tracker) -> None:
    """Nothing is known before it."""
    fill(top, directories=3, files=3)
    first = tracker.quick()
    assert first.full
    assert first.walked == measure(str(top))
    assert by_system(top) == first.walked.usage


def test_a_quick_pass_costs_by_directories(top: Path, tracker: Tracker) -> None:
    """Of 1,000 rested files in 10 directories it looks at the directories alone."""
    fill(top, directories=10, files=100)
    assert tracker.full().looked == 1010
    quick = tracker.quick()
    assert (quick.full, quick.looked) == (False, 11)


def test_a_quick_pass_reads_the_directories_that_changed(top: Path, tracker: Tracker) -> None:
    """A new file costs one look at its directory's files, and is seen."""
    fill(top, directories=10, files=100)
    tracker.full()
    (top / "directory3" / "new").write_bytes(b"x" * 5000)
    quick = tracker.quick()
    assert (quick.full, quick.looked) == (False, 11 - 1 + 101)
    assert by_system(top) == quick.walked.usage


def test_a_file_in_use_is_looked_at_in_every_pass(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """Growth in place changes no directory, but the file is hot."""
    clock.seconds = HOT_FOR / 2
    fill(top, directories=2, files=2)
    tracker.full()
    for _ in range(3):
        grow(top / "directory0" / "file0", 10_000)
        assert by_system(top) == tracker.quick().walked.usage


def test_a_file_in_use_stays_hot_however_seldom_passes_come(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """What changed since the last pass is hot, even if that was long ago."""
    fill(top, directories=2, files=2)
    clock.seconds = 0.0
    tracker.full()
    grow(top / "directory0" / "file0", 10_000)
    clock.seconds = 100 * HOT_FOR
    tracker.quick()
    grow(top / "directory0" / "file0", 10_000)
    assert by_system(top) == tracker.quick().walked.usage


def test_a_clock_that_is_set_back_hides_nothing(top: Path, clock: Ahead) -> None:
    """Files that rest are read again at once, and not when the clock has caught up with what it showed before."""
    tracker = Tracker(str(top), clock=clock)
    fill(top, directories=10, files=100)
    tracker.full()
    grow(top / "directory0" / "file0", 10_000)
    clock.seconds -= 7 * HOT_FOR
    found = tracker.quick(full_period=60.0)
    assert found.full
    assert by_system(top) == found.walked.usage
    assert not tracker.quick(full_period=60.0).full


def test_a_process_cannot_make_a_change_look_old(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """Times of modification may be set at will; times of change may not."""
    clock.seconds = HOT_FOR / 2
    fill(top, directories=2, files=2)
    before = (top / "directory0").stat()
    tracker.full()
    (top / "directory0" / "new").write_bytes(b"x" * 5000)
    grow(top / "directory1" / "file1", 5000)
    os.utime(top / "directory0" / "new", (1, 1))
    os.utime(top / "directory1" / "file1", (1, 1))
    os.utime(top / "directory0", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert by_system(top) == tracker.quick().walked.usage


def test_in_place_growth_of_a_rested_file_waits_for_a_full_pass(top: Path, tracker: Tracker) -> None:
    """The one thing that a quick pass cannot see."""
    fill(top, directories=1, files=1)
    before = tracker.full().walked.usage
    grow(top / "directory0" / "file0", 10_000)
    assert tracker.quick().walked.usage == before
    assert tracker.full().walked.usage == by_system(top)


def test_changes_within_a_tick_of_the_clock_are_not_lost(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """A directory that changed just before it was read is read again, as its next change may bear the same time."""
    clock.seconds = 0.0
    for number in range(100):
        (top / f"file{number}").touch()
        tracker.quick()
        (top / f"file{number}").unlink()
        assert tracker.quick().walked.usage.inodes == 1


def test_a_full_pass_may_be_done_in_parts(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """Each quick pass reads a part of what rested, so that after the period everything has been read."""
    fill(top, directories=10, files=100)
    began = clock.seconds
    tracker.full()
    grow(top / "directory0" / "file0", 10_000)
    grow(top / "directory9" / "file0", 10_000)
    looked = []
    quick = tracker.quick()
    for _ in range(22):
        clock.seconds += 15
        quick = tracker.quick(full_period=150)
        assert not quick.full
        looked.append(quick.looked)
    assert max(looked) <= 11 + 202
    assert by_system(top) == quick.walked.usage
    assert quick.read_since >= time.time() + began + 149
    assert sum(looked) < 22 * 11 + 2 * 1010 + 202


def test_one_large_directory_does_not_fill_every_pass(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """What cannot be divided is read once a period."""
    fill(top, directories=1, files=500)
    tracker.full()
    refreshed = []
    for _ in range(30):
        clock.seconds += 10
        refreshed.append(tracker.quick(full_period=100).refreshed > 400)
    assert 2 <= sum(refreshed) <= 3


def test_a_moved_directory_is_not_read_again_below(top: Path, tracker: Tracker) -> None:
    """A directory is known by its inode, wherever it goes."""
    fill(top, directories=10, files=100)
    tracker.full()
    (top / "directory0").rename(top / "directory1" / "moved")
    (top / "directory5").rename(top / "renamed")
    quick = tracker.quick()
    # The moved ones are read, as their own time of change tells of the move; and the one that it went into.
    assert quick.looked <= 22 + 3 * 101
    assert (quick.full, quick.walked.usage) == (False, by_system(top))


def test_a_large_tree_is_measured_by_walks_alone(top: Path, clock: Ahead) -> None:
    """Above the limit it keeps nothing, says so, and tracks again once the tree is small."""
    tracker = Tracker(str(top), clock=clock, max_directories=10)
    fill(top, directories=11, files=1)
    large = tracker.quick()
    assert (large.full, tracker.full_only, tracker.weight) == (True, True, 1)
    assert by_system(top) == large.walked.usage
    assert tracker.quick().full
    for number in range(5):
        (top / f"directory{number}" / "file0").unlink()
        (top / f"directory{number}").rmdir()
    assert tracker.quick().walked.usage == by_system(top)
    assert not tracker.full_only
    tracker.quick()
    assert not tracker.quick().full


def test_trees_that_are_too_many_together(root: Path, clock: Ahead) -> None:
    """Each may be below its own limit: what leaves no room in the common memory is walked, until others make room."""
    ledger = Ledger(limit=LEAST + 150)
    trackers = [make_tracker(root / name, directories=LEAST + 100, clock=clock, ledger=ledger) for name in "ab"]
    small = make_tracker(root / "small", directories=LEAST - 1, clock=clock, ledger=ledger)

    passes = [tracker.quick() for tracker in (*trackers, small)]

    assert [done.full_only for done in passes] == [False, True, False]
    assert [done.walked.usage for done in passes] == [by_system(root / name) for name in ("a", "b", "small")]
    assert ledger.held == LEAST + 100 + LEAST - 1
    assert trackers[1].quick().full_only

    trackers[0].forget()
    small.forget()
    assert ledger.held == 0
    assert not trackers[1].quick().full_only
    assert not trackers[1].quick().full_only
    assert trackers[1].quick().walked.usage == by_system(root / "b")
    assert ledger.held == LEAST + 100


def test_what_is_not_kept_any_more_makes_room(top: Path, clock: Ahead) -> None:
    """Whatever comes and goes, the common memory knows what is kept."""
    ledger = Ledger()
    tracker = make_tracker(top, directories=20, clock=clock, ledger=ledger)
    for number in range(30):
        (top / f"file{number}").touch()
        os.link(top / f"file{number}", top / "directory0" / f"link{number}")
    tracker.quick()
    assert ledger.held == tracker.weight - 1 == 20 + 2 * 30
    for number in range(10):
        remove(top / f"directory{number}")
    tracker.quick()
    assert ledger.held == tracker.weight - 1 == 10


def test_one_directory_of_very_many_is_not_listed_to_its_end(top: Path, clock: Ahead) -> None:
    """Names count while they are read, not only once all are known."""
    ledger = Ledger(limit=LEAST)
    tracker = make_tracker(top, directories=3 * LEAST, clock=clock, ledger=ledger)
    held: list[int] = []
    done = tracker.quick(pace=lambda _: held.append(ledger.held))
    assert (done.full_only, done.walked.usage) == (True, by_system(top))
    assert max(held) <= LEAST + BATCH
    assert ledger.held == 0


def make_tracker(top: Path, *, directories: int, clock: Ahead, ledger: Ledger) -> Tracker:
    top.mkdir(exist_ok=True)
    for number in range(directories):
        (top / f"directory{number}").mkdir()
    settle()
    return Tracker(str(top), clock=clock, ledger=ledger)


def test_a_pass_that_was_stopped_is_made_up_for(top: Path, tracker: Tracker) -> None:
    """What it left half done is done in full by the next."""
    fill(top, directories=20, files=2)
    tracker.full()
    before = descriptors()
    (top / "directory0" / "new").write_bytes(b"x" * 5000)
    with pytest.raises(KeyboardInterrupt):
        tracker.full(pace=stopped_after(9))
    assert descriptors() == before
    quick = tracker.quick()
    assert (quick.full, quick.walked.usage) == (True, by_system(top))


def test_a_quick_pass_that_was_stopped_is_gone_on_with(top: Path, tracker: Tracker) -> None:
    """What it has read is not read again, and what it saw grow is told by the one that comes to the end."""
    fill(top, directories=20, files=2)
    settle()
    tracker.full()
    left = 0

    def pace(entries: int) -> None:
        nonlocal left
        left -= entries
        if left < 0:
            raise KeyboardInterrupt

    for number in range(20):
        for file in range(200):
            (top / f"directory{number}" / f"new{file}").write_bytes(b"x" * 5000)
    settle()
    for _ in range(2):
        left = 1500
        with pytest.raises(KeyboardInterrupt):
            tracker.quick(pace=pace)
    left = 1500
    done = tracker.quick(pace=pace)
    assert (done.full, done.walked.usage) == (False, by_system(top))
    grown = {grower.path: grower.grown for grower in done.growers}
    assert set(grown) <= {f"directory{number}" for number in range(20)} | {""}
    assert sum(grown.values()) > 0


def test_a_deep_tree_moved_away_around_a_pass_is_a_lower_bound(root: Path, top: Path, tracker: Tracker) -> None:
    """Moves far down, to and fro, keep a pass from what lies beside its way: it says so, and the next one is right."""
    make_deep(top, levels=HELD + 50, name="d")
    for level in range(HELD + 1, HELD + 20):
        top.joinpath(*["d"] * level, "beside").mkdir()
    halfway = top.joinpath(*["d"] * (HELD + 20))
    (root / "outside").mkdir()
    calls = 0

    def pace(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == HELD + 40:
            halfway.rename(root / "outside" / "d")

    assert tracker.full(pace=pace).walked.cut
    (root / "outside" / "d").rename(halfway)
    walked = tracker.quick().walked
    assert (walked.cut, walked.usage) == (False, by_system(top))


def test_a_deep_tree_is_tracked_whole(top: Path, tracker: Tracker) -> None:
    """Quick passes too go down by descriptors, few and without recursion."""
    make_deep(top, levels=1000)
    settle()
    tracker.full()
    bottom = os.open(top, os.O_RDONLY)
    for _ in range(1000):
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=bottom)
        os.close(bottom)
        bottom = below
    os.close(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=bottom))
    os.close(bottom)
    quick = tracker.quick()
    assert (quick.full, quick.walked.usage.inodes) == (False, 2002)


def test_a_directory_swapped_for_a_symlink_leads_nowhere(root: Path, top: Path, tracker: Tracker) -> None:
    """Nor does what lies below it: no step names more than one component."""
    (root / "outside" / "below").mkdir(parents=True)
    (root / "outside" / "below" / "secret").write_bytes(b"x" * 100)
    (top / "victim" / "below").mkdir(parents=True)
    settle()
    tracker.full()
    (top / "victim").rename(root / "old")
    (top / "victim").symlink_to("../outside")
    assert by_system(top) == tracker.quick().walked.usage


def test_it_names_the_files_that_grew(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """The largest growth first, by bytes on disk; what explains its directory's growth stands for it."""
    clock.seconds = HOT_FOR / 2
    fill(top, directories=3, files=3)
    grow(top / "directory1" / "log", 2 * MIB)
    tracker.full()
    grow(top / "directory1" / "log", 5 * MIB)
    grow(top / "directory2" / "new", 3 * MIB)
    grown = tracker.quick().growers
    assert grown == (
        Grower(grown=5 * MIB, path="directory1/log", is_directory=False),
        Grower(grown=3 * MIB, path="directory2/new", is_directory=False),
    )


def test_it_names_the_directory_where_no_single_file_explains_it(top: Path, tracker: Tracker) -> None:
    """A cache that grows in many small files over many directories is named as a whole."""
    fill(top, directories=1, files=3)
    (top / "cache").mkdir()
    for number in range(16):
        (top / "cache" / f"{number:x}").mkdir()
    settle()
    tracker.full()
    for number in range(64):
        (top / "cache" / f"{number % 16:x}" / f"new{number}").write_bytes(b"x" * 8192)
    first = tracker.quick().growers[0]
    assert (first.path, first.is_directory, first.grown) == ("cache", True, 64 * 8192)


def test_nobody_grew_in_the_first_pass_and_nobody_by_shrinking(top: Path, tracker: Tracker) -> None:
    """Growth is since the last pass."""
    fill(top, directories=2, files=2)
    grow(top / "large", 2 * MIB)
    assert tracker.full().growers == ()
    (top / "large").unlink()
    assert tracker.quick().growers == ()


def test_a_path_too_long_to_print_is_cut_in_the_middle(top: Path, tracker: Tracker, clock: Ahead) -> None:
    """A container chooses the names; a log line is no place for megabytes of them."""
    clock.seconds = HOT_FOR / 2
    make_deep(top, levels=300)
    settle()
    tracker.full()
    bottom = os.open(top, os.O_RDONLY)
    for _ in range(300):
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=bottom)
        os.close(bottom)
        bottom = below
    new = os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=bottom)
    os.write(new, b"x" * 2 * MIB)
    os.close(new)
    os.close(bottom)
    path = tracker.quick().growers[0].path
    assert path.endswith("/new")
    assert len(path) <= 4097
