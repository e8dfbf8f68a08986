"""A program that tries what the exporter must not be able to do, and tells what became of it, as one line of JSON.

It is run in the exporter's place, by the exporter's own interpreter and under the same restrictions: ``python -I
restrictions.py ROOT confined|plain``, beside a container that is started after it. ``confined`` has it give up writing
first, as the exporter does.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

LATE = "open/late"
"""A file of the container that is started last."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNS = 0x10000000, 0x00020000
_PROT_ALL, _PRIVATE_ANONYMOUS = 0x7, 0x22


def called(name: str, *arguments: object) -> None:
    """Call a function of the C library.

    Raises:
        OSError: It fails.
    """
    if getattr(_LIBC, name)(*arguments) in {-1, 2**64 - 1}:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def write(path: str) -> None:
    with open(path, "ab"):  # noqa: PTH123 - it is opening that is tried
        pass


def read(path: Path) -> None:
    path.read_bytes()


def listed(path: str) -> None:
    os.listdir(path)


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(path)


def opened(family: int, kind: int) -> None:
    socket.socket(family, kind).close()


def writable_and_executable() -> None:
    mmap = _LIBC.mmap
    mmap.restype = ctypes.c_size_t
    called("mmap", None, 4096, _PROT_ALL, _PRIVATE_ANONYMOUS, -1, 0)


def ways_to_write(root: str) -> Mapping[str, Callable[[], None]]:
    """Into whatever lies below an engine's root, each file and each directory on which the rights allow it most."""
    config = next(Path(root, "containers").glob("*/config.v2.json"))
    open_to_all = [path for path in Path(root).glob("overlay2/*/*/open") if path.parent.name in {"diff", "merged"}]
    return {
        "write a record": lambda: write(str(config)),
        "make a file in the root": lambda: write(f"{root}/new"),
        "remove a record": config.unlink,
        "rename a record": lambda: os.rename(config, f"{config}.old"),
        "change a record's mode": lambda: config.chmod(0o666),
        "change a record's times": lambda: os.utime(config),
        "make a directory": lambda: os.mkdir(f"{root}/new"),
        **{
            f"write where anybody may: {path}": lambda path=path: write(f"{path}/written")  # type: ignore[misc]
            for path in open_to_all
        },
        **{
            f"write what is a container's: {path}": lambda path=path: write(str(path))  # type: ignore[misc]
            for path in Path(root).glob(f"overlay2/*/*/{LATE}")
        },
    }


def ways_to_more(root: str) -> Mapping[str, Callable[[], None]]:
    """To become more than it is, or reach further."""
    return {
        "write to /etc": lambda: write("/etc/hostname"),
        "write to /usr": lambda: write("/usr/new"),
        "write its own program": lambda: write(__file__),
        "become root": lambda: os.setuid(0),
        "make a user namespace": lambda: called("unshare", _CLONE_NEWUSER),
        "make a mount namespace": lambda: called("unshare", _CLONE_NEWNS),
        "mount": lambda: called("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount": lambda: called("umount2", root.encode(), 2),
        "trace the first process": lambda: called("ptrace", 16, 1, None, None),
        "end the first process": lambda: os.kill(1, signal.SIGKILL),
        "make a device": lambda: os.mknod(f"{os.environ['STATE_DIRECTORY']}/device", 0o60666, os.makedev(8, 0)),
        "hear all packets": lambda: opened(socket.AF_PACKET, socket.SOCK_RAW),
        "ask the kernel about interfaces": lambda: opened(socket.AF_NETLINK, socket.SOCK_RAW),
        "speak to the engine": lambda: connect("/run/docker.sock"),
        "make memory that may be written and run": writable_and_executable,
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    }


def ways_it_needs(root: str) -> Mapping[str, Callable[[], None]]:
    """What must work, or the rest proves nothing."""
    state = os.environ["STATE_DIRECTORY"]
    return {
        "read a record": lambda: read(next(Path(root, "containers").glob("*/config.v2.json"))),
        "list all layers": lambda: listed(f"{root}/overlay2"),
        "write its state": lambda: write(f"{state}/probe"),
        "put its state aside": lambda: os.rename(f"{state}/probe", f"{state}/aside"),
        "remove its state": lambda: os.unlink(f"{state}/aside"),
    }


def await_container(root: str) -> None:
    """Wait for a container that was started after this program: its mount came when all else here was settled."""
    deadline = time.monotonic() + 30
    while not list(Path(root).glob(f"overlay2/*/merged/{LATE}")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no container shows /{LATE}")
        time.sleep(0.05)


def outcome(action: Callable[[], None]) -> str:
    """``done``, or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def main() -> None:
    root, manner = sys.argv[1:]
    await_container(root)
    given_up = {}
    if manner == "confined":
        from exporter.confine.renounce import renounce_writing  # noqa: PLC0415 - as installed, where it is asked for

        confinement = renounce_writing(but_in=os.environ["STATE_DIRECTORY"])
        given_up = {"give up files": confinement.landlock or "done", "give up calls": confinement.seccomp or "done"}
    told = {
        "needs": given_up | {name: outcome(action) for name, action in ways_it_needs(root).items()},
        "writes": {name: outcome(action) for name, action in ways_to_write(root).items()},
        "more": {name: outcome(action) for name, action in ways_to_more(root).items()},
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
