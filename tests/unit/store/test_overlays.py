"""What is mounted, by the kernel's own list, and whether the engine's mounts can be in it."""

from pathlib import Path

import pytest

from exporter.store.entries import CacheID, Directory
from exporter.store.overlays import Overlays, mounted_directories, propagates, read_overlays

ROOT = "/var/lib/docker"
MOUNT = "31 1 8:1 / / rw - ext4 /dev/sda1 rw"
FIRST, OTHER = "pid:[4026531836]", "pid:[4026532201]"


def overlay(options: str, *, point: str = "/merged") -> str:
    return f"100 31 0:50 / {point} rw,relatime - overlay overlay rw,{options}"


def proc(directory: Path, *, namespace: str = FIRST, **tables: str) -> str:
    """A ``/proc`` with these mountinfos: of ``self``, and of processes by their numbers (``p1``)."""
    for process, table in {"self": MOUNT, **tables}.items():
        place = directory / process.removeprefix("p")
        place.mkdir(parents=True)
        (place / "mountinfo").write_text(table)
    (directory / "self" / "ns").mkdir()
    (directory / "self" / "ns" / "pid").symlink_to(namespace)
    return str(directory)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("lowerdir=/d/l/A:/d/l/B,upperdir=/d/x/diff,workdir=/d/x/work", ["/d/l/A", "/d/l/B", "/d/x/diff", "/d/x/work"]),
        ("lowerdir=l/A:l/B,upperdir=x/diff,workdir=x/work", ["l/A", "l/B", "x/diff", "x/work"]),
        ("lowerdir+=/d/l/A,lowerdir+=/d/l/B", ["/d/l/A", "/d/l/B"]),
        (r"lowerdir=/a\134:b/l/A:/c\054d/x/diff", ["/a:b/l/A", "/c,d/x/diff"]),
        (r"lowerdir=/with\040space/x/diff,index=off", ["/with space/x/diff"]),
        ("index=off,xino=off", []),
    ],
    ids=["absolute", "relative", "one by one", "with separators", "with a space", "none"],
)
def test_options(options: str, expected: list[str]) -> None:
    """All directories that an overlay's options name, as whoever mounted it wrote them."""
    assert expected == list(mounted_directories([MOUNT, overlay(options), ""]))


@pytest.mark.parametrize(
    "line", ["", "\n", " - overlay ", "a - ext4 b lowerdir=/x", "1 2 - overlay", "- overlay - overlay"]
)
def test_lines_that_name_none(line: str) -> None:
    """What is no overlay's line names nothing."""
    assert [] == list(mounted_directories([line]))


def test_directories(tmp_path: Path) -> None:
    """Uppers, works and lowers by their names; short names by where they lead, and by the directory that has them."""
    made = Directory(
        name=CacheID("owner"), link="B", lower=None, committed=True, has_diff=True, has_work=False, has_merged=False,
        modified=0.0,
    )  # fmt: skip
    table = overlay(f"lowerdir={ROOT}/overlay2/l/A:{ROOT}/overlay2/l/B,upperdir={ROOT}/overlay2/up/diff")
    found = read_overlays(proc(tmp_path, self=table), root=ROOT)
    links = {"A": "../below/diff", "C": "../other/diff"}
    assert {"up", "below", "owner"} == found.directories(links, {made.name: made})


@pytest.mark.parametrize("process", ["self", "p1", "p77"])
def test_every_list_counts(tmp_path: Path, process: str) -> None:
    """This process's, the first one's, and that of the engine, which may mount where nobody else sees it."""
    table = overlay("upperdir=/d/x/diff")
    assert {"x"} == read_overlays(proc(tmp_path, **{process: table}), root=ROOT, engines=[77]).names


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    """Without this process's own list something is wrong; without others' it is as if they were not there."""
    found = read_overlays(str(tmp_path), root=ROOT, engines=[77])
    assert [f"{tmp_path}/self/mountinfo"] == [path for path, _ in found.unreadable]
    assert not found.seen


# Whether they are seen


def seen(found: Overlays) -> bool:
    assert not found.unreadable
    return found.seen


def test_on_the_host(tmp_path: Path) -> None:
    """The first process of the machine is in the host's namespace: in another namespace it is anybody."""
    assert seen(read_overlays(proc(tmp_path / "host", p1=MOUNT), root=ROOT))
    assert not seen(read_overlays(proc(tmp_path / "inside", p1=MOUNT, namespace=OTHER), root=ROOT))
    assert not seen(read_overlays(proc(tmp_path / "hidden"), root=ROOT))


def test_an_engine_that_can_be_seen(tmp_path: Path) -> None:
    """Its own list settles it. If that cannot be read, the engine may mount where nobody else sees it; and where
    several could be the engine, those of all of them are needed, but for one that has ended meanwhile."""
    place = proc(tmp_path, p77=MOUNT, p1=MOUNT, namespace=OTHER)
    (tmp_path / "78/mountinfo").mkdir(parents=True)
    assert seen(read_overlays(place, root=ROOT, engines=[77]))
    assert not seen(read_overlays(place, root=ROOT, engines=[78]))
    assert not seen(read_overlays(place, root=ROOT, engines=[77, 78]))
    assert seen(read_overlays(place, root=ROOT, engines=[77, 79]))
    assert not seen(read_overlays(place, root=ROOT, engines=[79]))


def test_a_container_that_the_root_is_mounted_into(tmp_path: Path) -> None:
    """With ``rslave`` the mount takes over what the host mounts; a private one does not."""
    for flags, expected in (("master:7 ", True), ("shared:3 ", True), ("", False)):
        table = f"{MOUNT}\n40 31 8:1 {ROOT} {ROOT} ro {flags}- ext4 /dev/sda1 rw"
        found = read_overlays(proc(tmp_path / f"with {flags}", namespace=OTHER, self=table), root=ROOT)
        assert expected == seen(found)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (["/ shared:1"], True),
        (["/ shared:1", "/var/lib/docker"], False),
        (["/", "/var/lib/docker master:4"], True),
        (["/ shared:1", "/var/lib/dock"], True),
        (["/ shared:1", "/var/lib/docker/overlay2/x/merged"], True),
        (["/ shared:1", "/var/lib master:1", "/var/lib"], False),
        (["/ shared:1", "/var/lib", "/var/lib master:1"], True),
        (["/ unbindable"], False),
        ([], False),
    ],
)
def test_the_mount_that_a_directory_lies_on(points: list[str], expected: bool) -> None:
    """It is the one whose mount point is nearest above; of several at one place, the last."""
    lines = []
    for point in points:
        where, _, flag = point.partition(" ")
        lines.append(f"1 1 8:1 / {where} rw {flag + ' ' if flag else ''}- ext4 /dev/sda1 rw")
    assert expected == propagates([*lines, "", "cut"], ROOT)


def test_a_mount_point_with_a_space() -> None:
    """Mount points are written in octal where they need to be."""
    assert propagates([r"1 1 8:1 / /my\040docker rw master:1 - ext4 x rw"], "/my docker")


class TestSnapshotters:
    """Directories that go by numbers, of which every containerd has the same."""

    ROOT = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"

    def test_only_what_is_in_this_very_directory(self) -> None:
        """Another containerd's are others."""
        other = "/srv/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
        overlays = Overlays(paths=frozenset({f"{self.ROOT}/12/fs", f"{self.ROOT}/7/fs", f"{other}/9/fs"}))
        assert overlays.inside(self.ROOT) == {"12", "7"}
        assert overlays.inside(other) == {"9"}

    def test_whoever_mounted_may_have_seen_it_at_another_path(self) -> None:
        """Then the last two parts of the directory tell."""
        overlays = Overlays(paths=frozenset({f"{self.ROOT}/12/fs", "/var/lib/docker/overlay2/12/diff"}))
        assert overlays.inside(f"/host{self.ROOT}") == {"12"}
        assert overlays.inside("/elsewhere/snapshots") == frozenset()
