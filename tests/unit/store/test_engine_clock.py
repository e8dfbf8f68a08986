"""When the engine was started, where what it leaves on the disk, its process and the clock disagree: never too late."""

import os
from pathlib import Path

import pytest

from exporter.store.engine import EngineClock
from tests.requirements import required_root

TICKS = os.sysconf("SC_CLK_TCK")
UPTIME = 10_000.0
NOW = 1_800_000_000.0
BOOTED = NOW - UPTIME
ROOT = "/var/lib/docker"


class Machine:
    """A ``/proc`` of processes that were started so many seconds after the boot, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.root = directory / "docker"
        (self.root / "volumes").mkdir(parents=True)
        self.proc.mkdir()
        self.now = NOW
        self.clock = EngineClock(proc=str(self.proc), booted=lambda: self.now - UPTIME, now=lambda: self.now)

    def process(self, pid: int, after: float, *arguments: str, name: str = "dockerd", state: str = "S") -> None:
        place = self.proc / str(pid)
        place.mkdir(exist_ok=True)
        (place / "comm").write_text(f"{name}\n")
        (place / "cmdline").write_text("\0".join(["dockerd", *arguments]) + "\0")
        fields = [state, *["0"] * 18, str(int(after * TICKS)), "0"]
        (place / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)}\n")

    def end(self, pid: int) -> None:
        for file in (self.proc / str(pid)).iterdir():
            file.unlink()
        (self.proc / str(pid)).rmdir()

    def device(self, at: float) -> None:
        """The block device that the engine makes at each start."""
        required_root()
        path = self.root / "volumes/backingFsBlockDev"
        path.unlink(missing_ok=True)
        os.mknod(path, 0o060600, os.makedev(7, 99))
        os.utime(path, (at, at))

    def started(self, root: str | None = None) -> float | None:
        return self.clock.started(str(self.root) if root is None else root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_file_is_no_device(machine: Machine) -> None:
    """Anybody may leave a file of that name in a copy of a root."""
    (machine.root / "volumes/backingFsBlockDev").write_bytes(b"")
    assert machine.started() is None


@pytest.mark.parametrize(("device", "process"), [(200.0, 100.0), (100.0, 200.0)])
def test_the_earlier_one_holds(machine: Machine, device: float, process: float) -> None:
    """Where both tell, the earlier moment does: too early is safe."""
    machine.device(BOOTED + device)
    machine.process(7, process)
    assert BOOTED + 100 == machine.started()


def test_an_engine_with_another_root(machine: Machine) -> None:
    """It is another engine; one that does not say its root, or has users remapped below it, may be ours."""
    machine.process(7, 100.0, "--data-root=/elsewhere")
    assert machine.started() is None
    machine.process(8, 300.0, "--data-root", f"{machine.root}/")
    machine.process(9, 200.0)
    machine.device(BOOTED + 400)
    assert BOOTED + 200 == machine.started()
    remapped = machine.root / "100000.100000"
    remapped.mkdir()
    assert BOOTED + 200 == machine.started(str(remapped))


def test_an_engine_that_ended(machine: Machine) -> None:
    """What is left of it is its device: it holds nothing in memory any more, and none has been started since."""
    machine.device(BOOTED + 101)
    machine.process(7, 100.0)
    assert BOOTED + 100 == machine.started()
    machine.end(7)
    assert BOOTED + 101 == machine.started()


@pytest.mark.parametrize("state", ["Z", "X"])
def test_an_engine_whose_end_nobody_waited_for(machine: Machine, state: str) -> None:
    """It is as good as gone, though the kernel still lists it: its mounts, for one, cannot be read any more."""
    machine.process(7, 100.0)
    assert BOOTED + 100 == machine.started()
    machine.process(7, 100.0, state=state)
    assert (machine.started(), machine.clock.processes(str(machine.root))) == (None, ())


def test_an_engine_that_is_about_to_end(machine: Machine) -> None:
    """It has lost its command line already, so nobody can tell whose engine it was: it may have been another one's."""
    machine.process(7, 200.0, f"--data-root={machine.root}")
    machine.process(8, 100.0)
    (machine.proc / "8" / "cmdline").write_text("")
    assert (machine.started(), machine.clock.processes(str(machine.root))) == (BOOTED + 200, (7,))


def test_a_clock_that_is_set_forward(machine: Machine) -> None:
    """What the engine made before is older by the clock than its start is then: the start by the old clock holds."""
    machine.process(7, 100.0)
    assert BOOTED + 100 == machine.started()
    machine.now += 86_400 * 365
    assert BOOTED + 100 == machine.started()


def test_a_clock_that_is_set_back(machine: Machine) -> None:
    """What the engine makes after it has times before the device's: that tells nothing any more, the process does."""
    machine.device(BOOTED + 100)
    assert BOOTED + 100 == machine.started()
    machine.now = BOOTED - 3_600
    assert machine.started() is None
    machine.process(7, 100.0)
    machine.device(BOOTED + 99)
    assert machine.now - UPTIME + 100 == machine.started()


def test_a_device_that_was_of_the_future(machine: Machine) -> None:
    """When the clock has caught up, what was made meanwhile still has times before the device's."""
    machine.device(NOW + 3_600)
    assert machine.started() is None
    machine.now += 7_200
    assert machine.started() is None
    machine.device(NOW + 7_000)
    assert NOW + 7_000 == machine.started()


def test_processes_that_cannot_be_read(machine: Machine) -> None:
    """What ends while it is looked at, or hides itself, is as if it were not there."""
    (machine.proc / "9").mkdir()
    (machine.proc / "stat").write_text("cpu 1 2 3\n")
    machine.process(7, 100.0)
    (machine.proc / "7/stat").write_text("7 (dockerd) S\n")
    assert machine.started() is None
    assert EngineClock(proc="/nonexistent").started(ROOT) is None
