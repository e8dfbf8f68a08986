"""When the engine was started: what its root and the kernel's list of processes tell of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.store.detect import Root
from exporter.store.engine import EngineClock, boot_time
from exporter.store.scanner import Scanner

BOOT = 1_700_000_000.0
TICKS = 100
"""Of a process's start, in a second."""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """What the kernel tells, with no process at all."""
    directory = tmp_path / "proc"
    (directory / "self").mkdir(parents=True)
    (directory / "self" / "mountinfo").touch()
    return directory


def run(proc: Path, pid: int, *command: str, seconds: float) -> None:
    """Let a process run that was started so many seconds after the boot."""
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "comm").write_text(f"{command[0]}\n")
    (proc / str(pid) / "cmdline").write_text("\0".join([*command, ""]))
    fields = ["S", *["0"] * 18, str(round(seconds * TICKS)), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) 7 (name) {' '.join(fields)}\n")


def boots(*times: float) -> Iterator[float]:
    """Boot times as a clock tells them one after the other; the last one from then on."""
    yield from times
    while True:
        yield times[-1]


def clock(proc: Path, *times: float) -> EngineClock:
    """An engine clock on a machine that tells these times of its boot."""
    told = boots(*(times or (BOOT,)))
    return EngineClock(proc=str(proc), booted=lambda: next(told))


def test_nothing_tells(proc: Path) -> None:
    """Without a sign in the root and without a process nobody knows."""
    assert clock(proc).started("/var/lib/docker") is None


def test_the_process_tells(proc: Path) -> None:
    """The engine's process was started so long after the boot."""
    run(proc, 10, "dockerd", "--data-root", "/var/lib/docker", seconds=42.5)

    assert clock(proc).started("/var/lib/docker") == BOOT + 42.5


@pytest.mark.parametrize(
    "command",
    [
        ("dockerd", "--data-root", "/elsewhere"),
        ("dockerd", "--data-root=/elsewhere"),
        ("dockerd", "-g", "/elsewhere"),
        ("containerd", "--data-root", "/var/lib/docker"),
    ],
    ids=" ".join,
)
def test_another_process_tells_nothing(proc: Path, command: tuple[str, ...]) -> None:
    """An engine of another root, and any other program, is not asked."""
    run(proc, 10, *command, seconds=42.5)

    assert clock(proc).started("/var/lib/docker") is None


def test_a_remapped_root(proc: Path) -> None:
    """The engine whose root is given uses the directory for remapped users in it as well."""
    run(proc, 10, "dockerd", "--data-root=/var/lib/docker", seconds=42.5)

    assert clock(proc).started("/var/lib/docker/100000.100000") == BOOT + 42.5


def test_an_engine_that_was_started_again(proc: Path) -> None:
    """Once the process that was known has ended, the one that took its place tells; also under the same number."""
    engines = clock(proc)
    run(proc, 10, "dockerd", seconds=42.5)
    assert engines.started("/var/lib/docker") == BOOT + 42.5

    run(proc, 10, "dockerd", seconds=99.0)

    assert engines.started("/var/lib/docker") == BOOT + 99.0


def test_the_start_is_told_the_same_each_time(proc: Path) -> None:
    """However unevenly the machine tells when it was booted, the start stays what it was, to the last digit."""
    run(proc, 10, "dockerd", seconds=42.5)
    engines = clock(proc, BOOT, BOOT + 0.004, BOOT - 0.007, BOOT + 0.001)

    told = {engines.started("/var/lib/docker") for _ in range(4)}

    assert told == {BOOT + 42.5}


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_was_set(proc: Path, step: float) -> None:
    """Once somebody sets the clock, the earlier of the two answers holds: what the engine made before has times by the
    clock as it was, what it makes from now on by the clock as it is."""
    run(proc, 10, "dockerd", seconds=42.5)
    engines = clock(proc, BOOT, BOOT + step)
    engines.started("/var/lib/docker")

    assert engines.started("/var/lib/docker") == BOOT + min(0, step) + 42.5


def test_the_boot_is_in_the_past() -> None:
    """The machine's own boot time is one, and the same at every look."""
    first, second = boot_time(), boot_time()

    assert first == pytest.approx(second, abs=0.001)
    assert 0 < first < time.time()


def test_a_store_that_did_not_change_is_the_same_one(tmp_path: Path, proc: Path) -> None:
    """Beside a running engine, too, a scan of a store that rests gives the very object of the scan before."""
    builder = StoreBuilder(tmp_path / "docker")
    builder.container(builder.image(builder.layer({"file": 1}), tags=["app:1"]), name="app")
    run(proc, 10, "dockerd", "--data-root", str(builder.root), seconds=0.0)
    scanner = Scanner([Root(path=str(builder.root))], daemon_config="/nonexistent", proc=str(proc))

    later = time.time() + 600
    (first,) = scanner.scan(later).stores
    (second,) = scanner.scan(later).stores

    assert first.engine_started is not None
    assert first is second


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ()),
        (("--storage-opt", "overlay2.size=10G"), ("overlay2.size=10G",)),
        (
            ("--storage-opt=overlay2.size=1G", "-D", "--storage-opt", "overlay2.size=2G"),
            ("overlay2.size=1G", "overlay2.size=2G"),
        ),
    ],
)
def test_the_command_line_tells_storage_options(proc: Path, arguments: tuple[str, ...], told: tuple[str, ...]) -> None:
    """Each in its order."""
    run(proc, 10, "dockerd", *arguments, seconds=1.0)
    engines = clock(proc)
    engines.started("/var/lib/docker")
    assert engines.storage_options("/var/lib/docker") == told


def test_of_two_engines_no_options_are_told(proc: Path) -> None:
    """Where either may be the one, neither's options are taken for its own."""
    run(proc, 10, "dockerd", "--storage-opt=overlay2.size=10G", seconds=1.0)
    run(proc, 11, "dockerd", seconds=1.0)
    engines = clock(proc)
    engines.started("/var/lib/docker")
    assert engines.storage_options("/var/lib/docker") == ()


def test_the_command_line_sets_a_limit(tmp_path: Path, proc: Path) -> None:
    """``--storage-opt overlay2.size`` holds for the store that the engine uses."""
    builder = StoreBuilder(tmp_path / "docker")
    run(proc, 10, "dockerd", f"--data-root={builder.root}", "--storage-opt=overlay2.size=10G", seconds=0.0)
    scanner = Scanner([Root(path=str(builder.root))], daemon_config="/nonexistent", proc=str(proc))
    (store,) = scanner.scan(time.time()).stores
    assert store.engine_limit == 10 << 30
