"""What a container's log takes on disk."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.measure.containerlogs import container_log_allocated
from exporter.store.entries import ContainerID

WEB = ContainerID("ab" * 32)


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    (tmp_path / WEB).mkdir()
    return tmp_path


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n" * size)
    return path


def du(*paths: Path) -> int:
    lines = subprocess.run(
        ["du", "--block-size=1", "--", *paths], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return sum(int(line.split()[0]) for line in lines)


def test_json_file_with_its_rotations(containers: Path) -> None:
    """json-file's files count: the current, the rotated, the compressed, and both of one that is being compressed."""
    names = ("", ".1", ".1.gz", ".2.gz", ".10.gz")
    files = [write(containers / WEB / f"{WEB}-json.log{name}", 5000 * (i + 1)) for i, name in enumerate(names)]
    assert du(*files) == container_log_allocated(str(containers), WEB)


def test_local_with_its_rotations(containers: Path) -> None:
    """The ``local`` driver's files count; its directory does not."""
    files = [write(containers / WEB / "local-logs" / f"container.log{name}", 9000) for name in ("", ".1.gz", ".2.gz")]
    assert du(*files) == container_log_allocated(str(containers), WEB)


def test_the_cache_of_a_remote_driver(containers: Path) -> None:
    """A container that logs to a remote place still has a cache on this disk."""
    files = [write(containers / WEB / f"container-cached.log{name}", 9000) for name in ("", ".1", ".2.gz")]
    assert du(*files) == container_log_allocated(str(containers), WEB)


def test_nothing_else_counts(containers: Path) -> None:
    """Records, mounts, checkpoints and files that are only named alike are no log."""
    log = write(containers / WEB / f"{WEB}-json.log", 9000)
    for name in (
        "config.v2.json",
        "hosts",
        "local-logs/other",
        f"{WEB}-json.logs",
        f"{WEB}-json.log-old",
        "container.log",
        "mounts/shm/container.log",
        f"checkpoints/{WEB}-json.log",
        f"{'cd' * 32}-json.log",
    ):
        write(containers / WEB / name, 50_000)
    assert du(log) == container_log_allocated(str(containers), WEB)


def test_bytes_on_disk_not_length(containers: Path) -> None:
    """A sparse log counts what it takes, not what it claims; ``truncate`` under a writing engine makes one."""
    log = containers / WEB / f"{WEB}-json.log"
    with log.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"x")
    allocated = container_log_allocated(str(containers), WEB)
    assert du(log) == allocated
    assert allocated is not None
    assert allocated < 1 << 20


def test_an_inode_with_two_names_counts_once(containers: Path) -> None:
    """A hard link is no second file."""
    log = write(containers / WEB / f"{WEB}-json.log", 90_000)
    os.link(log, containers / WEB / f"{WEB}-json.log.1")
    assert du(log) == container_log_allocated(str(containers), WEB)


def test_symlinks_and_special_files_are_not_followed(
    containers: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A link to a large file, a link to another directory and a fifo add nothing, and hold nothing up."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    large = write(elsewhere / "container.log", 500_000)
    (containers / WEB / f"{WEB}-json.log").symlink_to(large)
    (containers / WEB / "local-logs").symlink_to(elsewhere)
    os.mkfifo(containers / WEB / "container-cached.log")
    assert container_log_allocated(str(containers), WEB) == 0


def test_a_file_in_the_place_of_a_directory(containers: Path) -> None:
    """``local-logs`` that is no directory is no log, and does not hide the others."""
    log = write(containers / WEB / f"{WEB}-json.log", 9000)
    write(containers / WEB / "local-logs", 9000)
    assert du(log) == container_log_allocated(str(containers), WEB)


def test_a_container_without_logs(containers: Path) -> None:
    """No log file is 0 bytes: that is known."""
    assert container_log_allocated(str(containers), WEB) == 0


def test_a_container_that_vanished_is_unknown(containers: Path) -> None:
    """What cannot be read is not 0: a container or a whole directory that is gone, or one behind a symlink."""
    gone = ContainerID("cd" * 32)
    (containers / gone).symlink_to(containers / WEB)
    assert container_log_allocated(str(containers), gone) is None
    assert container_log_allocated(str(containers), ContainerID("ef" * 32)) is None
    assert container_log_allocated(str(containers / "nowhere"), WEB) is None


def test_a_descriptor_serves_for_many(containers: Path) -> None:
    """By descriptor the answer is the same, and the descriptor stays open; none is left behind."""
    log = write(containers / WEB / "local-logs" / "container.log", 9000)
    with opened(containers) as descriptor:
        before = len(os.listdir("/proc/self/fd"))
        answers = {container_log_allocated(descriptor, WEB) for _ in range(100)}
        answers.add(container_log_allocated(str(containers), WEB))
        container_log_allocated(descriptor, ContainerID("ef" * 32))
        assert len(os.listdir("/proc/self/fd")) == before
    assert answers == {du(log)}


def test_a_rotation_meanwhile_is_no_fault(containers: Path) -> None:
    """While files are renamed on and on, the answer is neither unknown nor that there is no log."""
    base = containers / WEB / f"{WEB}-json.log"
    for suffix in ("", ".1", ".2"):
        write(base.with_name(base.name + suffix), 400_000)
    one = du(base)
    done = threading.Event()

    def rotate() -> None:
        while not done.is_set():
            base.with_name(base.name + ".1").rename(base.with_name(base.name + ".2"))
            base.rename(base.with_name(base.name + ".1"))
            write(base, 400_000)
            time.sleep(0.002)

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        answers = [container_log_allocated(str(containers), WEB) for _ in range(300)]
    finally:
        done.set()
        rotating.join()
    assert all(answer is not None and one <= answer <= 4 * one for answer in answers)
