"""What a walk counts, and what it withstands."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.measure.descent import HELD
from exporter.measure.usage import Usage
from exporter.measure.walk import measure
from tests.requirements import required_root
from tests.unit.measure.trees import by_system, descriptors, du, make_deep, stopped_after

WHITEOUT = stat.S_IFCHR, os.makedev(0, 0)


def usage(top: Path) -> Usage:
    return measure(str(top)).usage


def once(act: Callable[[], None]) -> Callable[[int], None]:
    """A pace that acts the first time it is called: when the top directory was listed and none of its own entered."""
    acted: list[bool] = []

    def pace(_: int) -> None:
        if not acted:
            acted.append(True)
            act()

    return pace


def test_an_empty_directory_is_one_inode_with_its_own_blocks(top: Path) -> None:
    """The top directory counts, its size does not."""
    assert Usage(size=0, allocated=top.stat().st_blocks * 512, inodes=1) == usage(top)


def test_every_kind_of_entry_counts_as_du_counts_it(top: Path) -> None:
    """Files, holes, symlinks by their length, fifos, sockets: sizes to the byte."""
    (top / "file").write_bytes(b"x" * 5000)
    (top / "empty").touch()
    with (top / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (top / "symlink").symlink_to("x" * 300)
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(top / "socket"))
    (top / "below").mkdir()
    (top / "below" / "file").write_bytes(b"y")
    assert by_system(top) == usage(top)
    assert usage(top).size == 5000 + (1 << 40) + 300 + 1


def test_whiteouts_are_inodes_without_bytes(top: Path) -> None:
    """A whiteout is a character device 0:0. Overlayfs makes all of a mount from one inode, which counts once."""
    required_root()
    os.mknod(top / "gone", *WHITEOUT)
    os.link(top / "gone", top / "gone-too")
    assert Usage(size=0, allocated=top.stat().st_blocks * 512, inodes=2) == usage(top)


def test_an_inode_counts_once_however_many_names_it_has(top: Path) -> None:
    """Hard links in one directory and across directories."""
    (top / "below").mkdir()
    (top / "file").write_bytes(b"x" * 10_000)
    for number in range(3000):
        os.link(top / "file", top / ("below" if number % 2 else ".") / f"link{number}")
    walked = measure(str(top))
    assert by_system(top) == walked.usage
    assert (walked.usage.size, walked.usage.inodes, walked.links) == (10_000, 3, 3001)


def test_names_may_be_any_bytes(top: Path) -> None:
    """255 bytes of control characters, of invalid UTF-8, of newlines."""
    for letter in (b"\x01", b"\xff", b"\n", b"\xed\xa0\x80"):
        name = os.fsencode(top) + b"/" + letter * (255 // len(letter))
        os.mkdir(name)
        Path(os.fsdecode(name + b"/" + letter)).write_bytes(b"1")
    assert by_system(top) == usage(top)


def test_sizes_may_exceed_any_machine_word(top: Path) -> None:
    """Three sparse files of the greatest length that the filesystem takes, and their sum."""
    length = (1 << 63) - 1
    for name in ("a", "b", "c"):
        with (top / name).open("wb") as file:
            while True:
                try:
                    file.truncate(length)
                except OSError:
                    length //= 2
                else:
                    break
    assert 3 * length == usage(top).size
    assert by_system(top) == usage(top)


def test_symlinks_lead_nowhere(top: Path) -> None:
    """Neither the root, nor a parent, nor this process's own descriptors."""
    for number, target in enumerate(("/", "..", ".", "/proc/self/fd", "/dev/zero", "nowhere")):
        (top / f"link{number}").symlink_to(target)
    assert usage(top).inodes == 7
    assert by_system(top) == usage(top)


def test_a_tree_far_deeper_than_any_path_is_measured_whole(top: Path) -> None:
    """10,000 levels, half a megabyte of path: by few descriptors and without recursion."""
    make_deep(top, levels=10_000)
    before, most, calls = descriptors(), 0, 0

    def pace(_: int) -> None:
        nonlocal most, calls
        calls += 1
        if calls % 100 == 0:
            most = max(most, descriptors())

    walked = measure(str(top), pace=pace)
    assert by_system(top) == walked.usage
    assert (walked.usage.inodes, walked.directories, walked.vanished) == (20_001, 10_001, 0)
    assert most - before <= 2 * HELD + 2


def test_a_directory_of_very_many_directories_is_measured_whole(top: Path) -> None:
    """It is listed and entered in turns."""
    for number in range(4200):
        (top / f"directory{number}").mkdir()
    assert by_system(top) == usage(top)
    assert measure(str(top)).directories == 4201


def test_what_pace_raises_ends_the_walk_and_leaves_nothing_open(top: Path) -> None:
    """A signal stops the walk wherever it is."""
    make_deep(top, levels=100, name="deep")
    before = descriptors()
    with pytest.raises(KeyboardInterrupt):
        measure(str(top), pace=stopped_after(89))
    assert before == descriptors()


def test_a_directory_that_becomes_a_symlink_leads_nowhere(root: Path, top: Path) -> None:
    """Swapped between being listed and being entered, it has vanished."""
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_bytes(b"x" * 100)
    (top / "victim").mkdir()

    def swap() -> None:
        (top / "victim").rmdir()
        (top / "victim").symlink_to("../outside")

    walked = measure(str(top), pace=once(swap))
    assert (walked.usage.size, walked.usage.inodes, walked.vanished) == (0, 1, 1)


def test_a_directory_that_becomes_a_fifo_is_not_opened(top: Path) -> None:
    """Opening it would wait for a writer without end."""
    (top / "victim").mkdir()

    def swap() -> None:
        (top / "victim").rmdir()
        os.mkfifo(top / "victim")

    assert measure(str(top), pace=once(swap)).vanished == 1


def test_what_vanishes_while_it_is_walked_is_normal(top: Path) -> None:
    """Removed directories count as vanished, and the rest is right."""
    for name in ("a", "b", "c"):
        (top / name).mkdir()
        (top / name / "file").write_bytes(b"12345")

    def remove() -> None:
        (top / "b" / "file").unlink()
        (top / "b").rmdir()

    walked = measure(str(top), pace=once(remove))
    assert (walked.vanished, walked.unreadable, walked.usage.size) == (1, 0, 10)
    assert by_system(top) == walked.usage


def test_a_directory_moved_while_it_is_walked_counts_once(top: Path) -> None:
    """Moved to where the walk comes by later, its files are not counted twice."""
    for name in ("a", "b"):
        (top / name).mkdir()
        (top / name / "file").write_bytes(b"x")
        (top / name / "below").mkdir()
    listed: list[str] = []

    def pace(_: int) -> None:
        # The second listing is of one of the two; it goes into the other, which is entered after.
        listed.append("")
        if len(listed) == 2:
            access = {name: (top / name).stat().st_ino for name in ("a", "b")}
            held = {os.stat(f"/proc/self/fd/{fd}").st_ino for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
            walked = next(name for name, inode in access.items() if inode in held)
            other = "b" if walked == "a" else "a"
            (top / walked).rename(top / other / "moved")

    walked = measure(str(top), pace=pace)
    assert (2, by_system(top).inodes) == (walked.usage.size, walked.usage.inodes)


def _is_open(fd: str) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def test_a_deep_tree_moved_elsewhere_does_not_lead_the_walk_out(root: Path, top: Path) -> None:
    """The way up from a closed directory is taken only to where it came from."""
    make_deep(top, levels=HELD + 50, name="d")
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_bytes(b"x" * 100)
    halfway = top.joinpath(*["d"] * (HELD + 20))
    calls = 0

    def pace(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == HELD + 40:
            for level in range(HELD + 1, HELD + 20):
                top.joinpath(*["d"] * level, "waiting").mkdir()
            halfway.rename(root / "outside" / "d")

    walked = measure(str(top), pace=pace)
    assert walked.usage.size == 0
    assert walked.directories == HELD + 51
    assert walked.cut, "what lies beside the way was not looked at"


def test_a_tree_that_grows_while_it_is_walked_does_not_keep_the_walk(top: Path) -> None:
    """Each directory gets another one before it is entered; the walk ends at its limit, and says so."""
    (top / "d0").mkdir()
    os.chdir(top)
    made = 0

    def pace(_: int) -> None:
        nonlocal made
        made += 1
        os.mkdir(f"d{made - 1}/d{made}")
        os.rename(f"d{made - 1}/d{made}", "spare")
        os.rename("spare", f"d{made - 1}/d{made}")
        os.chdir(f"d{made - 1}")

    try:
        walked = measure(str(top), pace=pace, limit=500)
    finally:
        os.chdir("/")
    assert walked.cut
    assert 500 <= walked.usage.inodes <= 502


def test_hard_links_do_not_count_against_the_limit(top: Path) -> None:
    """A tree may honestly have more names than inodes."""
    (top / "file").touch()
    for number in range(1000):
        os.link(top / "file", top / f"link{number}")
    assert not measure(str(top), limit=10).cut


def test_what_may_not_be_read_is_counted_as_far_as_it_can_be(top: Path) -> None:
    """A directory that is shut to us counts itself, as with ``du``; others are not affected."""
    required_root()
    top.parent.chmod(0o711)
    (top / "shut" / "inside").mkdir(parents=True)
    (top / "open").mkdir()
    (top / "open" / "file").write_bytes(b"12")
    (top / "shut").chmod(0)
    os.seteuid(65534)
    try:
        walked = measure(str(top))
    finally:
        os.seteuid(0)
    assert (walked.usage.inodes, walked.usage.size, walked.unreadable) == (4, 2, 1)
    assert by_system(top).allocated == walked.usage.allocated + du(top / "shut" / "inside", "--block-size=1")


def test_reading_leaves_no_trace(top: Path) -> None:
    """Where the kernel allows it, not even a time of access."""
    (top / "below").mkdir()
    for path in (top / "below", top):
        os.utime(path, (1_000_000_000, 1_700_000_000))
    measure(str(top))
    assert [int(path.stat().st_atime) for path in (top, top / "below")] == [1_000_000_000] * 2


def test_other_filesystems_are_not_entered(top: Path) -> None:
    """A mounted directory is left out altogether, as by ``du -x``."""
    required_root()
    (top / "mounted").mkdir()
    program = (
        f"mount -t tmpfs none {top}/mounted && touch {top}/mounted/file && du -x --inodes -s {top} | cut -f1 && "
        f"{sys.executable} -c 'from exporter.measure.walk import measure; print(measure(\"{top}\").usage.inodes)'"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize("kind", ["missing", "file", "symlink"])
def test_a_top_that_is_no_directory_is_an_error(root: Path, kind: str) -> None:
    """There is no figure for it, not even zero."""
    (root / "file").touch()
    (root / "symlink").symlink_to(root)
    with pytest.raises(OSError):
        measure(str(root / kind))
