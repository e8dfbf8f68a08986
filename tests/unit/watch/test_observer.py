"""The watch, on real directories and the kernel's own events."""

import os
import resource
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from exporter.watch.hints import Hint
from exporter.watch.observer import Watch

PATIENCE = 30.0
"""Seconds until what must come is given up: machines that run tests are slow, and a test that passes does not wait."""


class Seen:
    """What a watch said: its hints, and its own figures."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.hints: list[Hint] = []
        self.events = 0
        self.overflows = 0
        self.held = 0
        self.expected = 0

    def hint(self, hint: Hint) -> None:
        with self._changed:
            self.hints.append(hint)
            self._changed.notify_all()

    def watch_events(self, count: int = 1, /) -> None:
        with self._changed:
            self.events += count
            self._changed.notify_all()

    def watch_overflow(self) -> None:
        with self._changed:
            self.overflows += 1
            self._changed.notify_all()

    def watching(self, *, held: int, expected: int) -> None:
        self.held, self.expected = held, expected

    def until(self, happened: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(happened, timeout=PATIENCE)

    def until_hint(self, directory: Path | None) -> None:
        """Wait for a hint from *directory*."""
        self.until(lambda: Hint(directory=None if directory is None else str(directory)) in self.hints)

    def forget(self) -> None:
        with self._changed:
            self.hints.clear()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watch(seen: Seen) -> Iterator[Watch]:
    watch = Watch(seen.hint, vitals=seen)
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "docker"
    root.mkdir()
    return root


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def expect(watch: Watch, seen: Seen, *directories: Path) -> None:
    """Watch *directories*, and forget the hints that this alone gives."""
    watch.expect([str(directory) for directory in directories])
    seen.forget()


def settle(watch: Watch, seen: Seen, *directories: Path) -> None:
    """Wait until the watch has seen all that happened so far in *directories*, and watch a place to mark as well.

    The kernel's queue is in order: once the mark is seen, all before it has been.
    """
    place = directories[0].parent / f"settle-{time.monotonic_ns()}"
    place.mkdir()
    watch.expect([str(directory) for directory in (*directories, place)])
    (place / "mark").touch()
    seen.until(lambda: seen.hints.count(Hint(directory=str(place))) == 2)  # watched, and marked
    seen.hints = [hint for hint in seen.hints if hint.directory != str(place)]


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is created": lambda root: (root / "new").touch(),
    "a directory is created": lambda root: (root / "new").mkdir(),
    "a symlink is created": lambda root: (root / "new").symlink_to("elsewhere"),
    "a file is deleted": lambda root: (root / "file").unlink(),
    "a directory is deleted": lambda root: (root / "directory").rmdir(),
    "an entry is renamed": lambda root: (root / "file").rename(root / "other"),
    "an entry is moved in": lambda root: (root.parent / "outside").rename(root / "inside"),
    "an entry is moved out": lambda root: (root / "directory").rename(root.parent / "away"),
    "a temporary file gets its name": lambda root: (root / ".tmp-repositories.json1").rename(
        root / "repositories.json"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_entries_that_come_and_go_give_a_hint(
    watch: Watch, seen: Seen, root: Path, change: Callable[[Path], object]
) -> None:
    """An entry that is created, deleted or renamed gives a hint that names its directory, and is counted."""
    (root / "directory").mkdir()
    for file in ("file", ".tmp-repositories.json1", "../outside"):
        (root / file).touch()
    expect(watch, seen, root)
    change(root)
    seen.until_hint(root)
    assert set(seen.hints) == {Hint(directory=str(root))}
    assert seen.events >= 1


NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "the directory is listed": os.listdir,
    "a file is read": lambda root: (root / "file").read_bytes(),
    "a file is written": lambda root: (root / "file").write_bytes(b"x" * 100_000),
    "a file's mode changes": lambda root: (root / "file").chmod(0o600),
    "the directory's times change": os.utime,
    "an entry is made below": lambda root: (root / "directory" / "deep").mkdir(),
    "an entry is made beside": lambda root: (root.parent / "beside").mkdir(),
    "a temporary file is made": lambda root: (root / ".tmp-a").touch(),
    "a temporary file is removed": lambda root: (root / ".tmp-old").unlink(),
}


@pytest.mark.parametrize("act", NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_what_changes_no_entry_gives_no_hint(
    watch: Watch, seen: Seen, root: Path, act: Callable[[Path], object]
) -> None:
    """Reading must not wake the reader, nor may a file that is written: only the directory's own entries count."""
    (root / "directory").mkdir()
    (root / "file").touch()
    (root / ".tmp-old").touch()
    expect(watch, seen, root)
    act(root)
    settle(watch, seen, root)
    assert seen.hints == []


def test_a_hint_names_the_directory_that_it_came_from(watch: Watch, seen: Seen, root: Path) -> None:
    """Of several directories the one that changed is named."""
    layers, containers = root / "layers", root / "containers"
    layers.mkdir()
    containers.mkdir()
    expect(watch, seen, layers, containers)
    (containers / "new").mkdir()
    seen.until_hint(containers)
    assert set(seen.hints) == {Hint(directory=str(containers))}


def test_what_is_newly_watched_gives_a_hint_itself(watch: Watch, seen: Seen, root: Path) -> None:
    """Entries may have come between a scan and the watch that follows it, so another scan follows; but only one."""
    watch.expect([str(root)])
    assert seen.hints == [Hint(directory=str(root))]
    watch.expect([str(root)])
    assert seen.hints == [Hint(directory=str(root))]


def test_what_is_no_longer_expected_is_no_longer_watched(watch: Watch, seen: Seen, root: Path) -> None:
    """A store that is gone takes its watches with it."""
    layers, containers = root / "layers", root / "containers"
    layers.mkdir()
    containers.mkdir()
    expect(watch, seen, layers, containers)
    assert (seen.held, seen.expected) == (2, 2)
    expect(watch, seen, containers)
    assert (seen.held, seen.expected) == (1, 1)
    (layers / "new").mkdir()
    settle(watch, seen, containers)
    assert seen.hints == []


def test_a_missing_directory_is_normal(watch: Watch, seen: Seen, root: Path, log: list[EventDict]) -> None:
    """What is not there yet is neither expected nor a fault; once it is there, it is watched."""
    mounts = root / "image" / "mounts"
    expect(watch, seen, root, mounts)
    assert (seen.held, seen.expected) == (1, 1)
    mounts.mkdir(parents=True)
    expect(watch, seen, root, mounts)
    assert (seen.held, seen.expected) == (2, 2)
    (mounts / "new").mkdir()
    seen.until_hint(mounts)
    assert log == []


def test_a_directory_that_was_replaced_is_watched_anew(watch: Watch, seen: Seen, root: Path) -> None:
    """An engine's new directory in the place of the old one is another directory, though the path is the same."""
    layers = root / "layers"
    layers.mkdir()
    expect(watch, seen, layers)
    layers.rename(root / "old")
    layers.mkdir()
    watch.expect([str(layers)])
    assert seen.hints == [Hint(directory=str(layers))]
    seen.forget()
    (root / "old" / "late").mkdir()
    (layers / "new").mkdir()
    seen.until_hint(layers)
    assert seen.held == 1


def test_a_directory_that_was_deleted_gives_a_hint_and_is_watched_when_made_again(
    watch: Watch, seen: Seen, root: Path
) -> None:
    """Also where the filesystem gives the new directory the old one's inode number, as ext4 does."""
    layers = root / "layers"
    layers.mkdir()
    for _ in range(5):
        expect(watch, seen, root, layers)
        layers.rmdir()
        seen.until_hint(layers)
        seen.until_hint(root)
        layers.mkdir()
        expect(watch, seen, root, layers)
        (layers / "new").mkdir()
        seen.until_hint(layers)
        (layers / "new").rmdir()
        settle(watch, seen, root, layers)


def test_a_directory_that_is_gone_is_no_longer_held(watch: Watch, seen: Seen, root: Path) -> None:
    """Between an engine's stop and its next start nothing is expected."""
    layers = root / "layers"
    layers.mkdir()
    expect(watch, seen, layers)
    layers.rmdir()
    expect(watch, seen, layers)
    assert (seen.held, seen.expected) == (0, 0)


def test_a_root_may_be_reached_through_a_symlink(watch: Watch, seen: Seen, root: Path) -> None:
    """Data roots are moved to larger disks and linked from where they were; hints name the path that was expected."""
    (root / "image").mkdir()
    link = root.parent / "var-lib-docker"
    link.symlink_to(root)
    expect(watch, seen, link, link / "image")
    assert (seen.held, seen.expected) == (2, 2)
    (root / "image" / "new").mkdir()
    seen.until_hint(link / "image")


def test_a_root_that_is_linked_elsewhere_is_watched_there(watch: Watch, seen: Seen, root: Path) -> None:
    """A link that leads to another directory now is another root."""
    other, link = root.parent / "other", root.parent / "var-lib-docker"
    other.mkdir()
    link.symlink_to(root)
    expect(watch, seen, link)
    link.unlink()
    link.symlink_to(other)
    expect(watch, seen, link)
    (root / "new").mkdir()
    settle(watch, seen, link)
    assert seen.hints == []
    (other / "new").mkdir()
    seen.until_hint(link)


@pytest.mark.parametrize("linked", ["image", "image/overlay2"])
def test_below_a_root_no_symlink_is_followed(
    watch: Watch, seen: Seen, root: Path, log: list[EventDict], linked: str
) -> None:
    """A link inside the root leads nowhere: said once, and seen as a watch that is missing."""
    elsewhere = root.parent / "elsewhere"
    (elsewhere / "overlay2").mkdir(parents=True)
    (root / linked).parent.mkdir(exist_ok=True)
    (root / linked).symlink_to(elsewhere / "overlay2" if linked.endswith("overlay2") else elsewhere)
    for _ in range(3):
        expect(watch, seen, root, root / "image/overlay2")
    assert (seen.held, seen.expected) == (1, 2)
    assert [(line["log_level"], line["directories"]) for line in log] == [("warning", [str(root / "image/overlay2")])]


def test_a_file_in_the_place_of_a_directory_is_not_watched(
    watch: Watch, seen: Seen, root: Path, log: list[EventDict]
) -> None:
    """What is no directory is said once; when it is one, that is said too."""
    place = root / "containers"
    place.touch()
    for _ in range(3):
        expect(watch, seen, root, place)
    assert (seen.held, seen.expected) == (1, 2)
    place.unlink()
    place.mkdir()
    expect(watch, seen, root, place)
    assert (seen.held, seen.expected) == (2, 2)
    assert [line["log_level"] for line in log] == ["warning", "info"]


def test_two_paths_to_one_directory_are_one_watch(watch: Watch, seen: Seen, root: Path) -> None:
    """A root that is named twice, once through a link, is watched once, and dropped without a fault."""
    link = root.parent / "link"
    link.symlink_to(root)
    expect(watch, seen, root, link)
    assert (seen.held, seen.expected) == (1, 1)
    expect(watch, seen, link)
    assert (seen.held, seen.expected) == (1, 1)
    expect(watch, seen)
    assert (seen.held, seen.expected) == (0, 0)


def test_no_inotify_instance_left_means_periodic_scans_and_one_warning(
    watch: Watch, seen: Seen, root: Path, log: list[EventDict]
) -> None:
    """Where the kernel has no instance for us, the exporter works on, says once what to do, and recovers by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    blockers = [os.open("/dev/null", os.O_RDONLY) for _ in range(used)]
    try:
        # The lowest free number is now above the limit but for the two that looking at a directory takes for a moment.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(blockers) + 2, hard))
        for _ in range(3):
            expect(watch, seen, root)
        assert (seen.held, seen.expected) == (0, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for blocker in blockers:
            os.close(blocker)
    assert len(log) == 1
    expect(watch, seen, root)
    assert (seen.held, seen.expected) == (1, 1)
    assert [line["log_level"] for line in log] == ["warning", "info"]


STORM = """
import os, sys
os.chdir(sys.argv[1])
for name in ("a", "b"):
    if not os.path.exists(name):
        os.mkdir(name)
print("ready", flush=True)
sys.stdin.read(1)
for _ in range(int(sys.argv[2])):
    os.rename("a", "c")
    os.rename("b", "a")
    os.rename("c", "b")
"""


def storm(directory: Path, renames: int) -> subprocess.Popen[bytes]:
    """Another process that renames entries as fast as it can, once it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", STORM, directory, str(renames)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_an_overflow_of_the_kernels_queue_is_counted_and_hints_at_everything(
    watch: Watch, seen: Seen, root: Path
) -> None:
    """When events were lost, any directory may have changed: one hint without a directory, and a count.

    For a real overflow the watching threads are kept from running, while another process makes more events than the
    kernel's queue holds.
    """
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    expect(watch, seen, root)
    with storm(root, renames=queue // 2) as process:
        assert process.stdin is not None
        process.stdin.write(b"!")
        process.stdin.flush()
        give_up = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < give_up:
            sum(range(10_000_000))  # one call: no other thread of this process runs before it returns
    seen.until(lambda: seen.overflows > 0)
    seen.until_hint(None)
    seen.forget()
    (root / "after").mkdir()
    seen.until_hint(root)


def test_an_unmount_is_a_hint_and_the_directory_is_watched_when_mounted_again(
    watch: Watch, seen: Seen, root: Path
) -> None:
    """The kernel drops the watches of a filesystem that goes away; back again, its inodes have the numbers they had.

    The event is handed to watchdog's reader as the kernel's would be: mounting takes rights that a test may not have.
    """
    expect(watch, seen, root)
    reader = watch._observer._reader  # type: ignore[union-attr]
    from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor  # noqa: PLC0415

    reader.handle_event(InotifyEvent(WatchDescriptor(1), InotifyConstants.IN_UNMOUNT, 0, b""))
    reader.handle_event(InotifyEvent(WatchDescriptor(1), InotifyConstants.IN_IGNORED, 0, b""))
    seen.until_hint(None)
    expect(watch, seen, root)
    assert (seen.held, seen.expected) == (1, 1)
    (root / "new").mkdir()
    seen.until_hint(root)


def test_a_storm_leaves_no_memory_behind(watch: Watch, seen: Seen, root: Path) -> None:
    """Thousands of events are thousands of hints on their way, and nothing once they have passed."""
    names = [str(root / str(number)) for number in range(2_000)]

    def burst() -> None:
        before = seen.events
        for name in names:
            os.mkdir(name)
        for name in names:
            os.rmdir(name)
        seen.until(lambda: seen.events == before + 2 * len(names))
        seen.forget()

    expect(watch, seen, root)
    burst()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        burst()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000  # half of what 4,000 paths take


def test_stopping_is_quick_and_leaves_nothing(seen: Seen, root: Path) -> None:
    """After a stop there are no threads, no descriptors and no hints left; starting again works."""
    for number in range(20):
        (root / str(number)).mkdir()
    watch = Watch(seen.hint, vitals=seen)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        watch.start()
        expect(watch, seen, *root.iterdir())
        assert seen.held == 20
        (root / "0").rename(root / "moved")
        (root / "moved").rename(root / "0")
        watch.stop()
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert (seen.held, seen.expected) == (0, 0)
    seen.forget()
    (root / "0" / "new").mkdir()
    assert seen.hints == []


def test_before_the_start_and_after_the_stop_nothing_is_watched(seen: Seen, root: Path) -> None:
    """A scan that ends while the program does is not the one that starts threads."""
    watch = Watch(seen.hint, vitals=seen)
    watch.expect([str(root)])
    watch.start()
    watch.stop()
    watch.expect([str(root)])
    watch.stop()
    assert (seen.held, seen.hints) == (0, [])
