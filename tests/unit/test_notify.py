"""sd_notify, heard on a real datagram socket."""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import pytest

from exporter.notify import Notifier


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(10)

    def heard(self) -> str:
        return self._socket.recv(65536).decode()

    def fill(self) -> None:
        """Send to itself until the queue is full."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    sender.sendto(b"noise", self._socket.getsockname())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    manager = Manager(path)
    yield manager
    manager.close()


STATES: list[tuple[Callable[[Notifier], None], str]] = [
    (Notifier.ready, "READY=1"),
    (lambda notifier: notifier.ready("first scan took 2 s"), "READY=1\nSTATUS=first scan took 2 s"),
    (lambda notifier: notifier.status("3 stores"), "STATUS=3 stores"),
    (Notifier.stopping, "STOPPING=1"),
]


@pytest.mark.parametrize(("call", "expected"), STATES)
def test_each_state_is_one_datagram(
    manager: Manager, path: str, call: Callable[[Notifier], None], expected: str
) -> None:
    """A state is sent as the assignments that sd_notify(3) names."""
    call(Notifier({"NOTIFY_SOCKET": path}))
    assert expected == manager.heard()


def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    """systemd may listen on an abstract socket, which no directory shows."""
    name = f"layerstore-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.heard() == "READY=1"
    manager.close()


def test_reloading_tells_the_monotonic_time(manager: Manager, path: str) -> None:
    """``Type=notify-reload`` needs the time of the reload, in microseconds of the monotonic clock."""
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": path}).reloading()
    after = time.monotonic_ns() // 1000
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.heard())
    assert match is not None
    assert before <= int(match[1]) <= after


def test_a_status_cannot_carry_a_second_assignment(manager: Manager, path: str) -> None:
    """A line break in a status does not become an assignment of its own, nor do bytes that are no UTF-8 break it."""
    Notifier({"NOTIFY_SOCKET": path}).status("reading \udcff\nREADY=1")
    assert manager.heard() == "STATUS=reading \\udcff READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_nothing_happens(environ: dict[str, str]) -> None:
    """Started by hand, or by a manager that does not speak over a unix socket, every call is silent."""
    for call in (*(call for call, _ in STATES), Notifier.alive):
        call(Notifier({**environ, "WATCHDOG_USEC": "30000000"}))


@pytest.mark.parametrize("address", ["/nonexistent/notify", "/" + "x" * 200])
def test_an_unreachable_manager_is_no_failure(address: str) -> None:
    """A socket that is gone, or that has no possible name, does not stop the service."""
    Notifier({"NOTIFY_SOCKET": address}).ready()


def test_a_manager_that_does_not_read_holds_nobody_up(manager: Manager, path: str) -> None:
    """A full queue drops the state instead of blocking: the loop's sign of life must not be what stops the loop."""
    manager.fill()
    Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"}).alive()
    assert manager.heard() == "noise"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 7.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 7.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, inf),
        ({"WATCHDOG_USEC": "0"}, inf),
        ({"WATCHDOG_USEC": "soon"}, inf),
        ({}, inf),
    ],
)
def test_signs_of_life_are_wanted_where_the_watchdog_is_ours(environ: dict[str, str], expected: float) -> None:
    """The manager asks for signs of life by two variables; one names the process that it means."""
    assert expected == Notifier(environ).sign_interval


def test_signs_of_life_are_as_many_as_the_manager_needs(manager: Manager, path: str) -> None:
    """However often the work gets on, a sign is sent four times within the manager's patience: the first at once."""
    now = 100.0
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}, monotonic=lambda: now)
    sent = []
    for _ in range(60):
        notifier.alive()
        notifier.status(f"at {now:g}")
        while (heard := manager.heard()) == "WATCHDOG=1":
            sent.append(now)
        assert heard == f"STATUS=at {now:g}"
        now += 1
    assert sent == [100, 115, 130, 145]


def test_nobody_who_does_not_watch_is_told_signs_of_life(manager: Manager, path: str) -> None:
    """Without a watchdog a sign of life costs nothing: it is not sent."""
    notifier = Notifier({"NOTIFY_SOCKET": path})
    notifier.alive()
    notifier.stopping()
    assert manager.heard() == "STOPPING=1"
