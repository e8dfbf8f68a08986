"""Giving up to write, in processes of their own: it cannot be taken back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import json, os, sys, threading
from exporter.confine import renounce_writing

directory, state = sys.argv[1:]
made = open(f"{directory}/opened", "w")
confinement = renounce_writing(but_in=state or None)
TRIES = {
    "read": lambda: open(f"{directory}/file").read(),
    "list": lambda: os.listdir(directory),
    "write what was open": lambda: made.write("x") and made.flush(),
    "write": lambda: open(f"{directory}/file", "w"),
    "append": lambda: open(f"{directory}/file", "a"),
    "truncate": lambda: os.truncate(f"{directory}/file", 0),
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
    "state: truncate": lambda: os.truncate(f"{state}/old", 0),
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
            outcome[name] = "refused"

thread = threading.Thread(target=attempt)  # one that is started afterwards
thread.start()
thread.join()
print(json.dumps({"version": confinement.version, "refused": confinement.refused, "outcome": outcome}))
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
    if not told["version"]:
        pytest.skip(f"this kernel has no Landlock: {told['refused']}")
    outcome: dict[str, str] = told["outcome"]
    return outcome


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("content")
    (tmp_path / "empty").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path


ALLOWED = {"read", "list", "write what was open"}
OF_STATE = {"state: make", "state: put aside", "state: write", "state: truncate", "state: remove"}


def test_nothing_is_changed_any_more(directory: Path) -> None:
    """Reading goes on, in threads too; whatever would change a file or run one is refused, to root as well."""
    outcome = confined(directory, "")
    assert {name for name, became in outcome.items() if became == "done"} == ALLOWED
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
