"""Telling systemd how the service does: sd_notify(3), spoken over the datagram socket that ``NOTIFY_SOCKET`` names.

Without a socket every call does nothing, so the program need not know who started it. A manager that does not listen is
no reason to fail: what cannot be sent is dropped.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf

SIGNS = 4
"""Signs of life that are sent within the time that the manager allows: three may be lost before it acts."""


class Notifier:
    """Sends states of the service to its manager."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """*environ* says who the manager is and whether it watches; *monotonic* gives seconds that never fall."""
        path = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte that an abstract socket's name begins with. Other kinds (vsock) are for machines.
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""
        self._interval = _watchdog_interval(environ)
        self._monotonic = monotonic
        self._next_sign = monotonic()

    @property
    def sign_interval(self) -> float:
        """Seconds after which another sign of life should be sent; infinite where the manager does not watch."""
        return inf if self._interval is None else self._interval / SIGNS

    def ready(self, status: str = "") -> None:
        """The service is up, or has re-read its configuration."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send("", status)

    def alive(self) -> None:
        """A sign of life: for what makes progress to call as often as it likes, never a timer of its own.

        Sent only where the manager watches, and no more often than it needs.
        """
        if self._interval is None or (now := self._monotonic()) < self._next_sign:
            return
        self._next_sign = now + self.sign_interval
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is being re-read, until :meth:`ready`; the time tells this reload from an earlier one."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._send("STOPPING=1")

    def _send(self, state: str, status: str = "") -> None:
        if not self._address:
            return
        # A status with a line break would be read as further assignments.
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + " ".join(status.split()))
        message = "\n".join(lines).encode("utf-8", "backslashreplace")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # a manager that does not read must not hold up the one that it watches
            channel.sendto(message, self._address)


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """The interval of ``WATCHDOG_USEC``, where it is meant for this process (``WATCHDOG_PID``)."""
    wanted, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or process not in {"", str(os.getpid())}:
        return None
    return int(wanted) / 1_000_000
