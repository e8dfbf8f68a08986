"""Long-running programs of a test: each in a mount namespace of its own, ended by process id, nothing left behind.

An engine mounts every running container's layers below its root. In a namespace of its own those mounts are invisible
to the tests, and go when the last process in it ends: what a test deletes afterwards never holds a mount, however the
engine died. The files are the same ones in every namespace, so what is measured is what the engine wrote.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.requirements import required

_PLAIN_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
"""Without a proxy, which would stand between an engine and its registry, and without a user's own settings."""


class ProcessError(Exception):
    """A program did not start, or failed at what it was asked to do."""


class Daemon:
    """One program that runs until it is told to end, with all that it has started."""

    def __init__(self, *argv: str, log: Path) -> None:
        self.log = log
        # Both prefixes replace themselves by what follows, so the process id is the program's own. The first lets it
        # end with the tests, should they be killed.
        prefix = f"{required('setpriv')} --pdeathsig TERM {required('unshare')} --mount --propagation private".split()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*prefix, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_PLAIN_ENVIRONMENT
            )
        self._namespace: int | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 60) -> None:
        """Return as soon as ``ready()`` says so.

        Raises:
            ProcessError: if the program ends before, or the time is up.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None:
                raise ProcessError(f"ended with {self._process.returncode} while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"not ready after {seconds} s:\n{self.log_tail()}")
            time.sleep(0.02)
        self._note_namespace()

    def log_tail(self, *, lines: int = 30) -> str:
        """The last lines of what the program has written, but for mere information."""
        written = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in written if "level=info" not in line][-lines:])

    def end(self, *, seconds: float = 20) -> int:
        """Ask the program to end, wait, then kill it and whatever it has left running; its exit code."""
        self._note_namespace()
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._kill_all()

    def kill(self) -> None:
        """End the program and all that it started as a power cut would: at once, without a word to it."""
        self._note_namespace()
        self._process.kill()
        self._kill_all()

    def _note_namespace(self) -> None:
        """Hold the program's mount namespace open, so that the number it is known by is given to no other."""
        if self._namespace is None and self._process.poll() is None:
            self._namespace = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)

    def _kill_all(self) -> int:
        exit_code = self._process.wait()
        if self._namespace is not None:
            try:
                _kill_family(os.fstat(self._namespace).st_ino)
            finally:
                os.close(self._namespace)
                self._namespace = None
        return exit_code


def delete(root: Path) -> None:
    """Delete a directory and everything in it.

    Raises:
        ProcessError: if anything is mounted at or below it: what lies there may be somebody else's.
    """
    mounted = [path for path in mount_points() if Path(path).is_relative_to(root.resolve())]
    if mounted:
        raise ProcessError(f"{root} is not deleted: mounted there: {', '.join(mounted)}")
    shutil.rmtree(root)


def mount_points(pid: int | str = "self") -> Iterator[str]:
    """Where something is mounted, as a process sees it (proc(5), ``mountinfo``)."""
    for line in Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape").splitlines():
        # Space, tab, newline and backslash are written in octal.
        yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4])


def run(*argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, seconds: float = 120) -> str:
    """What a program prints.

    Raises:
        ProcessError: with what it said, if it fails.
    """
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        env={**_PLAIN_ENVIRONMENT, **(env or {})},
        timeout=seconds,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace")
        raise ProcessError(f"exit code {done.returncode} from: {' '.join(argv)}\n{said}")
    return done.stdout.decode(errors="replace")


def _kill_family(namespace: int) -> None:
    deadline = time.monotonic() + 10
    while family := _family(namespace):
        for pid in family:
            _kill(pid)
        if time.monotonic() > deadline:
            raise ProcessError(f"processes {sorted(family)} do not end")
        time.sleep(0.02)


def _family(namespace: int) -> set[int]:
    """The living processes in a mount namespace other than ours, and their descendants, which may have made their own.

    Nothing but a program, its offspring and what a test put beside it is ever in the namespace that was made for the
    program: no name and no pattern is needed to find them.
    """
    if namespace == _mount_namespace(os.getpid()):
        return set()
    parents = {pid: parent for pid in _processes() if (parent := _living_parent(pid)) is not None}
    family = {pid for pid in parents if _mount_namespace(pid) == namespace}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return family


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _living_parent(pid: int) -> int | None:
    """The parent's process id; None for a process that has ended, be it a zombie still."""
    try:
        # The name, in parentheses, may hold anything; after it come the state and the parent.
        state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(parent)


def _mount_namespace(pid: int) -> int | None:
    """None for a process that has ended, and for one that is hidden from us, which is none of ours."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
