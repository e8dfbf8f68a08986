"""What was measured once is remembered across restarts, whatever happens to the state file."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.measure.memory import (
    KEEP,
    Identity,
    Memory,
    Remembered,
    default_state_path,
    identity_of,
    open_memory,
)
from exporter.measure.statefile import put_aside
from exporter.measure.usage import Usage
from tests.requirements import required, required_root

DAY = 86_400.0
LAYER = "/var/lib/docker/overlay2/0a1b"


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append({"level": "info", "event": event, **fields})

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append({"level": "warning", "event": event, **fields})

    @property
    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]


def remembered(number: int = 1) -> Remembered:
    return Remembered(
        identity=Identity(inode=number, diff_inode=number + 1, diff_changed=1_700_000_000_123_456_789 + number),
        changed=1_700_000_001_000_000_000,
        diff=Usage(size=12_345, allocated=16_384, inodes=7),
        rest=8_192,
    )


def opened(path: Path, log: Lines, *, now: Callable[[], float] = lambda: 1_760_000_000.0) -> Memory:
    return open_memory(str(path), now=now, monotonic=lambda: 0.0, log=log)


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "measured.sqlite"


def test_a_figure_comes_back_after_a_restart(path: Path, log: Lines) -> None:
    """What one process remembered, the next one recalls, to the byte."""
    known = remembered()
    first = opened(path, log)
    first.remember(LAYER, known)
    first.close()

    second = opened(path, log)

    assert known == second.recall(LAYER, known.identity)
    assert log.lines == []
    second.close()


def test_a_figure_comes_back_after_a_crash(path: Path, log: Lines) -> None:
    """What was flushed is there after the process was killed without a word."""
    script = (
        "import os; from tests.unit.measure.test_memory import *\n"
        f"memory = open_memory({str(path)!r}, now=lambda: 1_760_000_000.0)\n"
        "memory.remember(LAYER, remembered()); memory.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9

    memory = opened(path, log)

    assert remembered() == memory.recall(LAYER, remembered().identity)
    assert log.lines == []
    memory.close()


@pytest.mark.parametrize("what", ["inode", "diff_inode", "diff_changed"])
def test_a_directory_made_anew_inherits_nothing(path: Path, log: Lines, what: str) -> None:
    """Where the inode of either directory or the time of change differs, it is another directory of the same name."""
    known = remembered()
    memory = opened(path, log)
    memory.remember(LAYER, known)
    memory.flush()
    parts = {name: getattr(known.identity, name) for name in ("inode", "diff_inode", "diff_changed")}

    other = Identity(**{**parts, what: parts[what] + 1})

    assert memory.recall(LAYER, other) is None
    memory.close()


def test_a_real_directory_made_anew_has_another_identity(tmp_path: Path) -> None:
    """Even a tree that looks the same and got the old modification times back is told from the one before."""
    directory = tmp_path / "0a1b"

    def make() -> Identity:
        (directory / "diff").mkdir(parents=True)
        os.utime(directory / "diff", (1, 1))
        return identity_of(str(directory), "diff")[0]

    first = make()
    (directory / "diff").rmdir()
    directory.rmdir()

    assert first != make()


def test_without_a_state_file_it_remembers_nothing(log: Lines) -> None:
    """No state path is no fault: nothing is kept, and nothing is said."""
    memory = open_memory(None, log=log)

    memory.remember(LAYER, remembered())
    memory.flush()
    found = memory.recall(LAYER, remembered().identity)
    memory.close()

    assert (found, memory.is_kept, log.lines) == (None, False, [])


def test_only_its_owner_may_read_it(path: Path, log: Lines) -> None:
    """The state file and what lies beside it have mode 0600, also where it was there with a wider one."""
    path.touch(mode=0o644)
    memory = opened(path, log)
    memory.remember(LAYER, remembered())
    memory.flush()

    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {0o600}
    memory.close()


def test_directories_not_seen_for_long_are_forgotten(path: Path, log: Lines) -> None:
    """A directory that nobody asked for in `KEEP` seconds is dropped; one that was asked for stays."""
    memory = opened(path, log)
    for name in ("gone", "used"):
        memory.remember(name, remembered())
    memory.close()
    half = opened(path, log, now=lambda: 1_760_000_000.0 + KEEP - DAY)
    half.recall("used", remembered().identity)
    half.close()

    later = opened(path, log, now=lambda: 1_760_000_000.0 + KEEP + DAY)
    later.remember("new", remembered())
    later.flush()

    found = {name for name in ("gone", "used", "new") if later.recall(name, remembered().identity) is not None}
    assert found == {"used", "new"}
    later.close()


def test_names_that_are_no_text(path: Path, log: Lines) -> None:
    """A directory's name may be any bytes."""
    name = os.fsdecode(b"/store/\xff\n'\"")
    memory = opened(path, log)
    memory.remember(name, remembered())
    memory.close()

    again = opened(path, log)

    assert remembered() == again.recall(name, remembered().identity)
    again.close()


def test_a_size_beyond_what_can_be_stored(path: Path, log: Lines) -> None:
    """Holes in an image's files may add up to more than 2⁶³ bytes: that figure is not remembered, all others are."""
    known = remembered()
    huge = Remembered(identity=known.identity, changed=0, diff=Usage(size=1 << 63, allocated=0, inodes=3), rest=0)
    memory = opened(path, log)

    memory.remember("huge", huge)
    memory.remember(LAYER, known)
    memory.flush()

    assert [memory.recall(name, known.identity) for name in ("huge", LAYER)] == [None, known]
    assert log.lines == []
    memory.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 97):
        content[at] ^= 0xFF
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _without_table(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE directory")
    database.close()


@pytest.mark.parametrize("harm", [_garbage, _flipped, _cut, _without_table])
def test_a_damaged_state_file_is_put_aside(path: Path, log: Lines, harm: Callable[[Path], None]) -> None:
    """It is renamed with the time, a new one is begun, and one line in the log says so; the new one works."""
    memory = opened(path, log)
    for number in range(2000):
        memory.remember(f"{LAYER}{number}", remembered(number))
    memory.close()
    harm(path)
    damaged = path.read_bytes()

    again = opened(path, log)
    again.remember(LAYER, remembered())
    again.flush()

    assert damaged == (path.parent / f"{path.name}.damaged-1760000000").read_bytes()
    assert log.events == ["the state file was put aside and begun anew"]
    assert again.is_kept
    assert remembered() == again.recall(LAYER, remembered().identity)
    again.close()


def test_what_is_put_aside(path: Path) -> None:
    """What SQLite keeps beside the file goes with it, and of files put aside for one reason only the last is kept."""
    for now in (1.0, 2.0):
        path.write_text(f"state {now}")
        Path(f"{path}-wal").write_text(f"log {now}")
        put_aside(str(path), "damaged", now=now)

    found = {file.name: file.read_text() for file in path.parent.iterdir()}

    assert found == {f"{path.name}.damaged-2": "state 2.0", f"{path.name}.damaged-2-wal": "log 2.0"}


def test_a_later_version_is_put_aside(path: Path, log: Lines) -> None:
    """The layout of a later version is not guessed at; its file is kept for when that version comes back."""
    opened(path, log).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()

    memory = opened(path, log)

    assert memory.is_kept
    assert (path.parent / f"{path.name}.newer-1760000000").exists()
    assert log.events == ["the state file was put aside and begun anew"]
    memory.close()


def test_somebody_elses_database_is_left_alone(path: Path, log: Lines) -> None:
    """A path that names another program's database is a mistake, and costs that program nothing."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE dashboards (title TEXT)")
    database.close()
    before = path.read_bytes()

    memory = opened(path, log)
    memory.remember(LAYER, remembered())
    memory.close()

    assert before == path.read_bytes()
    assert [line["reason"] for line in log.lines] == ["it is another program's database"]


@pytest.mark.parametrize("what", ["directory", "fifo", "missing"])
def test_a_path_that_is_no_file(tmp_path: Path, log: Lines, what: str) -> None:
    """A directory, a fifo, or a file in a missing directory: in memory, with one line that says what to do."""
    path = tmp_path / "missing" / "state" if what == "missing" else tmp_path / "state"
    if what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)

    memory = opened(path, log)
    memory.remember(LAYER, remembered())
    memory.flush()
    memory.close()

    assert [line["level"] for line in log.lines] == ["warning"]
    assert [bool(line["advice"]) for line in log.lines] == [True]


def test_two_exporters_on_one_state_file(path: Path, log: Lines) -> None:
    """The second goes on in memory and says what to do; the first notices nothing."""
    holding = "import sys; from exporter.measure.memory import *; memory = open_memory(sys.argv[1])\n"
    holding += "print(memory.is_kept, flush=True); sys.stdin.read(); memory.close()"
    command = [sys.executable, "-c", holding, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"

        second = opened(path, log)

        assert not second.is_kept
        assert ["another exporter" in str(line["advice"]) for line in log.lines] == [True]
    assert first.returncode == 0


IN_NAMESPACE = """
import json, sys
from tests.unit.measure.test_memory import *
log = Lines()
time = [0.0]
memory = open_memory(sys.argv[1], now=lambda: 1_760_000_000.0, monotonic=lambda: time[0], log=log)
{steps}
memory.close()
print(json.dumps([str(line["level"]) + ": " + str(line.get("advice", line["event"])) for line in log.lines]))
"""


def _in_namespace(directory: Path, prepare: str, steps: str) -> list[str]:
    """What is logged by a memory on a filesystem of its own, which nobody else sees."""
    required_root()
    script = directory / "script.py"
    script.write_text(IN_NAMESPACE.format(steps=steps))
    mount = directory / "mount"
    mount.mkdir()
    command = f'mount -t tmpfs -o size=192k none "$0" && {prepare} && exec "$@"'
    done = subprocess.run(
        [required("unshare"), "--mount", "sh", "-c", command, mount, sys.executable, script, mount / "state"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == ""
    lines: list[str] = json.loads(done.stdout)
    return lines


def test_a_read_only_filesystem(tmp_path: Path) -> None:
    """In memory, with one line that says what to do."""
    lines = _in_namespace(tmp_path, 'mount -o remount,ro "$0"', "memory.remember(LAYER, remembered()); memory.flush()")

    assert lines == ["warning: name a file in a directory that can be written to"]


def test_a_state_file_that_became_read_only(tmp_path: Path) -> None:
    """Also where the file was there before: nothing is lost but the memory."""
    make = "import sys; from exporter.measure.memory import *; open_memory(sys.argv[1]).close()"
    prepare = f"""{sys.executable} -c '{make}' "$0/state" && mount -o remount,ro "$0\""""

    lines = _in_namespace(tmp_path, prepare, "assert not memory.is_kept")

    assert lines == ["warning: let the exporter write to it and to its directory, or name another by --state.path"]


def test_a_full_disk(tmp_path: Path) -> None:
    """It is said once, the exporter goes on, and once there is room again everything is written that was not."""
    lines = _in_namespace(
        tmp_path,
        "true",
        """
for number in range(3000):
    memory.remember(f"{LAYER}{number}", remembered(number))
    if number % 100 == 0:
        time[0] += 100.0
        memory.flush()
import subprocess, os
subprocess.run(["mount", "-o", "remount,size=8m", os.path.dirname(sys.argv[1])], check=True)
time[0] += 100.0
memory.flush()
memory.close()
memory = open_memory(sys.argv[1], now=lambda: 1_760_000_000.0, log=log)
assert all(memory.recall(f"{LAYER}{number}", remembered(number).identity) for number in range(3000))
""",
    )

    assert lines == [
        "warning: free some space on its filesystem, or name a file on another one by --state.path",
        "info: the state file is written again",
    ]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"STATE_DIRECTORY": ""}, None),
        ({"STATE_DIRECTORY": "/var/lib/layerstore"}, "/var/lib/layerstore/measured.sqlite"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a/measured.sqlite"),
    ],
)
def test_the_default_is_below_systemds_state_directory(environ: dict[str, str], expected: str | None) -> None:
    """Without one, nothing is kept."""
    assert expected == default_state_path(environ)
