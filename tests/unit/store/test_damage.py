"""Every record of a store, damaged in every way: one problem that says where and what, and nothing else is lost."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.store.damage import Kind, Record, assert_one_problem, differences, every_record
from tests.unit.store.hosts import DENIED, Host, make_sparse, scan, survey, unprivileged

MOVED = "a symbolic link, which is not followed: mount the directory here instead (mount --bind)"


def test_a_store_at_rest_has_no_problem(host: Host) -> None:
    """Where nothing is damaged, nothing is told; whatever each record is, it is read."""
    store = survey(host.root)
    assert store.problems == ()
    assert tuple(
        len(values) for values in (store.layers, store.images, store.references, store.containers, store.mounts)
    ) == (4, 3, 4, 2, 3)
    assert 4 + 2 * 2 + 1 == len(store.directories) == len(store.short_links)


@every_record
def test_a_record_that_is_missing(host: Host, record: Record) -> None:
    """One problem says so, unless the engine itself leaves the record out at times."""
    before = scan(host.root)
    record.path(host).unlink()
    if record.missing is None:
        assert survey(host.root).problems == ()
    else:
        assert_one_problem(host, before, record, record.missing)


@every_record
def test_a_record_that_is_empty(host: Host, record: Record) -> None:
    """After a power loss a file is there and holds nothing."""
    before = scan(host.root)
    os.truncate(record.path(host), 0)
    assert_one_problem(host, before, record, record.empty)


@every_record
def test_a_record_of_white_space(host: Host, record: Record) -> None:
    """Blanks and line ends are as good as nothing."""
    before = scan(host.root)
    record.path(host).write_bytes(b" \r\n\t\n")
    assert_one_problem(host, before, record, record.empty)


@every_record
def test_a_record_that_ends_early(host: Host, record: Record) -> None:
    """Two thirds of a record name nothing that is there, or is none at all."""
    before = scan(host.root)
    path = record.path(host)
    os.truncate(path, path.stat().st_size * 2 // 3)
    if record.truncated is None:
        assert survey(host.root).problems == ()
    else:
        assert_one_problem(host, before, record, record.truncated)


@every_record
@pytest.mark.parametrize(
    "content",
    [b"\x00" * 64, bytes(range(256)), b"\xff\xfe" * 300, b"\x80"],
    ids=["NULs", "all bytes", "UTF-16", "one byte"],
)
def test_a_record_of_binary_rubbish(host: Host, record: Record, content: bytes) -> None:
    """Bytes that are no text are told as such, and are not in the reason."""
    before = scan(host.root)
    record.path(host).write_bytes(content)
    kind = record.malformed
    if content.isascii():  # NULs are ASCII: they are a text, that names nothing
        kind = {"link": Kind.SHORT_LINK_DANGLING, "lower": Kind.LOWER_DANGLING}.get(record.path(host).name, kind)
    assert_one_problem(host, before, record, kind)
    assert survey(host.root).problems[0].reason.isprintable()


@every_record
def test_a_record_of_100_megabytes(host: Host, record: Record) -> None:
    """What is longer than any honest record is not read, however much of it is hole."""
    before = scan(host.root)
    make_sparse(record.path(host), 100_000_000)
    assert_one_problem(host, before, record, record.malformed, reason=f"longer than the {record.limit} bytes")


@every_record
def test_a_record_that_is_a_directory(host: Host, record: Record) -> None:
    """A directory in a file's place is no record."""
    before = scan(host.root)
    record.path(host).unlink()
    record.path(host).mkdir()
    assert_one_problem(host, before, record, record.malformed, reason="not a regular file")


@every_record
def test_a_record_that_is_a_fifo(host: Host, record: Record) -> None:
    """Nobody writes into it, and nobody waits for that."""
    before = scan(host.root)
    record.path(host).unlink()
    os.mkfifo(record.path(host))
    assert_one_problem(host, before, record, record.malformed, reason="not a regular file")


@every_record
def test_a_record_that_is_a_socket(host: Host, record: Record) -> None:
    """A socket cannot even be opened; it is told as what it is."""
    before = scan(host.root)
    record.path(host).unlink()
    os.mknod(record.path(host), stat.S_IFSOCK | 0o600)
    assert_one_problem(host, before, record, record.malformed, reason="not a regular file")


@every_record
@pytest.mark.parametrize("dangling", [False, True], ids=["to a sound record", "to nothing"])
def test_a_record_that_is_a_symlink(host: Host, record: Record, tmp_path: Path, *, dangling: bool) -> None:
    """A symlink is not followed, not even to a record that would be sound."""
    before = scan(host.root)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(record.path(host), elsewhere)
    record.path(host).symlink_to(elsewhere.with_name("nothing") if dangling else elsewhere)
    assert_one_problem(host, before, record, record.malformed, reason="a symbolic link")


@every_record
def test_a_record_that_this_user_may_not_read(open_host: Host, record: Record) -> None:
    """A file without permissions is a problem of its own, with the system's reason."""
    host = open_host
    before = scan(host.root)
    record.path(host).chmod(0)
    with unprivileged():
        assert_one_problem(host, before, record, Kind.UNREADABLE_RECORD, reason=DENIED)


@every_record
@pytest.mark.parametrize(
    "text", ["0123456789abcdef", "sha256:" + "z" * 64, "../../etc/passwd", "sha256:" + "A" * 64, "-1"]
)
def test_an_identity_that_is_none(host: Host, record: Record, text: str) -> None:
    """Text that is no identity: short, not hexadecimal, in capitals, or a path that leads out of the store."""
    before = scan(host.root)
    record.path(host).write_text(text)
    kind = record.malformed
    match record.path(host).name:
        case "link":
            kind = Kind.SHORT_LINK_DANGLING
        case "lower":
            kind = Kind.LOWER_DANGLING
        case "mount-id" | "init-id" | "cache-id" if "/" not in text:
            kind = Kind.MISSING_DIFF_DIRECTORY
        case "size" if text.isdigit():
            kind = Kind.MALFORMED_RECORD
    assert_one_problem(host, before, record, kind)


DIRECTORIES: dict[str, tuple[Callable[[Host], Path], Callable[[Host], set[str]]]] = {
    "image": (lambda host: host.layer(host.middle), lambda host: {host.middle}),
    "mount": (lambda host: host.mount(host.running), lambda host: {host.running}),
    "container": (lambda host: host.container(host.running), lambda host: {host.running}),
    "layer's directory": (
        lambda host: host.directory(host.middle),
        lambda host: {host.directory(host.middle).name},
    ),
    "upper": (lambda host: host.upper(host.running), lambda host: {host.upper(host.running).name}),
    "image's metadata": (lambda host: host.metadata(host.web), lambda host: {host.web}),
}
every_directory = pytest.mark.parametrize(("path", "keys"), DIRECTORIES.values(), ids=DIRECTORIES.keys())
Keys = Callable[[Host], set[str]]


def _to_file(path: Path) -> None:
    path.write_bytes(b"no directory")


def _to_symlink(path: Path) -> None:
    path.symlink_to(path.parent.parent / "moved")


@every_directory
@pytest.mark.parametrize("replace", [_to_file, os.mkfifo, _to_symlink], ids=["file", "fifo", "symlink"])
def test_a_records_directory_that_is_none(
    host: Host, path: Callable[[Host], Path], keys: Keys, replace: Callable[[Path], None]
) -> None:
    """A file, a fifo, or a symlink (to the sound directory, moved away) in a directory's place: one problem."""
    before = scan(host.root)
    there = path(host)
    there.rename(there.parent.parent / "moved")
    replace(there)
    after = survey(host.root)
    assert len(after.problems) == 1
    assert set() == {key for _, key in differences(before, after)} - keys(host)


@every_directory
def test_a_records_directory_that_this_user_may_not_read(
    open_host: Host, path: Callable[[Host], Path], keys: Keys
) -> None:
    """One problem for the directory, not one for each of its files."""
    before = scan(open_host.root)
    path(open_host).chmod(0)
    with unprivileged():
        after = survey(open_host.root)
        assert [(Kind.UNREADABLE_RECORD, str(path(open_host)), DENIED)] == [
            (problem.kind, problem.path, problem.reason) for problem in after.problems
        ]
        assert set() == {key for _, key in differences(before, after)} - keys(open_host)
    path(open_host).chmod(0o700)


HOLDERS: dict[str, tuple[Callable[[Host], Path], str]] = {
    "overlay2": (lambda host: host.store.graph.home, "directories"),
    "overlay2/l": (lambda host: host.store.graph.home / "l", "short_links"),
    "layerdb/sha256": (lambda host: host.records / "layerdb" / "sha256", "layers"),
    "layerdb/mounts": (lambda host: host.records / "layerdb" / "mounts", "mounts"),
    "imagedb/content/sha256": (lambda host: host.records / "imagedb" / "content" / "sha256", "images"),
    "imagedb/metadata/sha256": (lambda host: host.records / "imagedb" / "metadata" / "sha256", "images"),
    "containers": (lambda host: host.root / "containers", "containers"),
}
every_holder = pytest.mark.parametrize(("path", "mapping"), HOLDERS.values(), ids=HOLDERS.keys())


@every_holder
def test_a_directory_of_records_that_this_user_may_not_read(
    open_host: Host, path: Callable[[Host], Path], mapping: str
) -> None:
    """What it holds is unknown, which is one problem; that others name what is unknown is none."""
    before = scan(open_host.root)
    mode = path(open_host).stat().st_mode
    path(open_host).chmod(0)
    with unprivileged():
        after = survey(open_host.root)
    path(open_host).chmod(mode)
    assert [(Kind.UNREADABLE_RECORD, str(path(open_host)), DENIED)] == [
        (problem.kind, problem.path, problem.reason) for problem in after.problems
    ]
    below = {"directories": {"short_links"}}.get(mapping, set())
    assert {mapping} == {name for name, _ in differences(before, after)} - below


@every_holder
def test_a_directory_of_records_that_is_gone(host: Host, path: Callable[[Host], Path], mapping: str) -> None:
    """One problem for the directory, where what is left needs it. Without metadata an image only has no parent, and
    without containers there is nothing that needs any."""
    shutil.rmtree(path(host))
    expected = (
        [] if "metadata" in str(path(host)) or mapping == "containers" else [(Kind.MISSING_RECORD, str(path(host)))]
    )
    assert expected == [(problem.kind, problem.path) for problem in survey(host.root).problems]


@every_holder
@pytest.mark.parametrize(
    ("replace", "reason"),
    [
        pytest.param(_to_file, os.strerror(errno.ENOTDIR), id="file"),
        pytest.param(os.mkfifo, os.strerror(errno.ENOTDIR), id="fifo"),
        pytest.param(_to_symlink, MOVED, id="symlink"),
    ],
)
def test_a_directory_of_records_that_is_none(
    host: Host, path: Callable[[Host], Path], mapping: str, replace: Callable[[Path], None], reason: str
) -> None:
    """It is not read, not even through a symlink, of which it is told what to do instead."""
    there = path(host)
    there.rename(there.parent.parent / "moved")
    replace(there)
    after = survey(host.root)
    assert [(Kind.UNREADABLE_RECORD, str(there), reason)] == [
        (problem.kind, problem.path, problem.reason) for problem in after.problems
    ]
    assert len(getattr(after, mapping)) == (3 if "metadata" in str(there) else 0)
