"""Giving up to write, in processes of their own: it cannot be taken back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import errno, fcntl, json, os, sys, termios, threading
from exporter.confine.renounce import renounce_writing

directory, state = sys.argv[1:]
made = open(f"{directory}/opened", "w")
reading = os.open(f"{directory}/file", os.O_RDONLY)
pipe, _ = os.pipe()
confinement = renounce_writing(but_in=state or None)
SET_FLAGS, NO_DUMP = 0x40086602, bytes((0x40, 0, 0, 0, 0, 0, 0, 0))
TRIES = {
    "read": lambda: open(f"{directory}/file").read(),
    "list": lambda: os.listdir(directory),
    "ask a pipe what it holds": lambda: fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)),
    "write what was open": lambda: made.write("x") and made.flush(),
    "write": lambda: open(f"{directory}/file", "w"),
    "append": lambda: open(f"{directory}/file", "a"),
    "truncate": lambda: os.truncate(f"{directory}/file", 0),
    "truncate by opening to read": lambda: os.open(f"{directory}/file", os.O_RDONLY | os.O_TRUNC),
    "truncate by opening for nothing": lambda: os.open(f"{directory}/file", os.O_ACCMODE | os.O_TRUNC),
    "change the mode": lambda: os.chmod(f"{directory}/file", 0o777),
    "change the mode of what is open": lambda: os.fchmod(reading, 0o777),
    "change the owner": lambda: os.chown(f"{directory}/file", os.getuid(), os.getgid()),
    "change the owner of what is open": lambda: os.fchown(reading, os.getuid(), os.getgid()),
    "change the owner of a symlink": lambda: os.lchown(f"{directory}/file", os.getuid(), os.getgid()),
    "change the times": lambda: os.utime(f"{directory}/file", (0, 0)),
    "change an attribute": lambda: os.setxattr(f"{directory}/file", "user.made", b"x"),
    "change an attribute of what is open": lambda: os.setxattr(reading, "user.made", b"x"),
    "remove an attribute": lambda: os.removexattr(f"{directory}/file", "user.kept"),
    "change the flags of what is open": lambda: fcntl.ioctl(reading, SET_FLAGS, NO_DUMP),
    "make": lambda: open(f"{directory}/new", "w"),
    "make a directory": lambda: os.mkdir(f"{directory}/new"),
    "make a symlink": lambda: os.symlink("file", f"{directory}/new"),
    "make a link": lambda: os.link(f"{directory}/file", f"{directory}/new"),
    "make a pipe": lambda: os.mkfifo(f"{directory}/new"),
    "remove": lambda: os.unlink(f"{directory}/file"),
    "remove a directory": lambda: os.rmdir(f"{directory}/empty"),
    "rename": lambda: os.rename(f"{directory}/file", f"{directory}/new"),
    "run": lambda: os.execv("/bin/sh", ["sh", "-c", "exit 0"]),
    "state: make": lambda: open(f"{state}/new", "w"),
    "state: put aside": lambda: os.rename(f"{state}/new", f"{state}/old"),
    "state: write": lambda: open(f"{state}/old", "r+").write("x"),
    "state: truncate": lambda: os.truncate(os.open(f"{state}/old", os.O_RDWR), 0),
    "state: begin anew": lambda: open(f"{state}/old", "w"),
    "state: remove": lambda: os.unlink(f"{state}/old"),
    "state: make a directory": lambda: os.mkdir(f"{state}/new"),
    "state: take a file along": lambda: os.rename(f"{directory}/file", f"{state}/file"),
}
outcome = {}

def attempt():
    for name, action in TRIES.items():
        try:
            action()
            outcome[name] = "done"
        except OSError as error:
            outcome[name] = errno.errorcode[error.errno]

thread = threading.Thread(target=attempt)  # one that is started afterwards
thread.start()
thread.join()
refused = {"landlock": confinement.landlock, "seccomp": confinement.seccomp}
print(json.dumps({"refused": {name: why for name, why in refused.items() if why}, "outcome": outcome}))
"""


def confined(directory: Path, state: str) -> dict[str, str]:
    """What became of each try."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), state],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    told = json.loads(done.stdout)
    if told["refused"]:
        pytest.skip(f"this kernel refuses: {told['refused']}")
    outcome: dict[str, str] = told["outcome"]
    return outcome


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("content")
    (tmp_path / "empty").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path


ALLOWED = {"read", "list", "ask a pipe what it holds", "write what was open"}
REFUSALS = {"EACCES", "EXDEV"}
"""What the kernel says; that a file cannot be moved elsewhere it says by the latter."""
OF_STATE = {"state: make", "state: put aside", "state: write", "state: truncate", "state: begin anew", "state: remove"}


def test_nothing_is_changed_any_more(directory: Path) -> None:
    """Reading goes on, in threads too; whatever would change a file or run one is refused, to root as well."""
    outcome = confined(directory, "")
    assert {name for name, became in outcome.items() if became == "done"} == ALLOWED
    refused = {became for name, became in outcome.items() if became != "done" and not name.startswith("state:")}
    assert refused <= REFUSALS
    assert (directory / "file").read_text() == "content"
    assert sorted(os.listdir(directory)) == ["empty", "file", "opened", "state"]


def test_the_state_file_alone_may_change(directory: Path) -> None:
    """In its directory files are written, put aside and removed; nothing else is made there, or moved there."""
    outcome = confined(directory, str(directory / "state"))
    assert {name for name, became in outcome.items() if became == "done"} == ALLOWED | OF_STATE
    assert (directory / "file").read_text() == "content"


def test_a_state_directory_that_is_not_there_is_no_exception(directory: Path) -> None:
    """A directory that is missing gives no right to make it, nor to anything beside it."""
    outcome = confined(directory, str(directory / "missing"))
    assert {name for name, became in outcome.items() if became == "done"} == ALLOWED
    refused = {became for name, became in outcome.items() if became != "done" and not name.startswith("state:")}
    assert refused <= REFUSALS
