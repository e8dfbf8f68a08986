"""Keeps the policy up to date with its files: certificates are renewed, and users change, while the exporter runs."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from exporter.export.webconfig.config import WebConfig, read_config
from exporter.export.webconfig.errors import WebConfigError
from exporter.export.webconfig.policy import Policy
from exporter.export.webconfig.tls import server_context
from exporter.export.webconfig.users import Users

INTERVAL = 5.0
"""Seconds between two looks at the files. One is a few ``stat`` calls."""

_Stamp = tuple[int, ...] | None


class Told(Protocol):
    """Where it is counted how reading went."""

    def web_config_read(self, *, success: bool) -> None:
        """The web configuration was read and taken over, or could not be."""


class PolicyKeeper:
    """Reads the web configuration when it is made, and again when one of its files changed or when asked to.

    A configuration that cannot be used is logged and counted, and the one before stays in force until it can.
    """

    def __init__(
        self,
        path: str,
        *,
        told: Told,
        interval: float = INTERVAL,
        reloading: Callable[[], None] = lambda: None,
        reloaded: Callable[[], None] = lambda: None,
    ) -> None:
        """*reloading* and *reloaded* are called, in a thread of its own, around each reading that was asked for.

        Raises:
            WebConfigError: The configuration cannot be used.
        """
        self._path = path
        self._told = told
        self._interval = interval
        self._reloading = reloading
        self._reloaded = reloaded
        self._log = structlog.get_logger()
        self._failure = ""
        self._stamps: Mapping[str, _Stamp] = {}
        # Not a condition: see watch.hints. True asks for a reading, False for the end.
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="web-config", daemon=True)
        self._policy = self._load()
        told.web_config_read(success=True)
        self._warn()

    def policy(self) -> Policy:
        """What is in force now. From any thread."""
        return self._policy

    def start(self) -> None:
        """Look after the files from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End that."""
        if self._thread.is_alive():
            self._bell.put(False)
            self._thread.join()

    def reload(self) -> None:
        """Read everything again soon. From any thread or signal handler."""
        self._bell.put(True)

    def look(self) -> None:
        """Read everything again if a file changed, or could not be used before."""
        if self._failure or self._stamps != {path: _stamp(path) for path in self._stamps}:
            self.read()

    def read(self) -> None:
        """Read everything again."""
        try:
            self._policy = self._load()
        except WebConfigError as error:
            self._told.web_config_read(success=False)
            if self._failure != str(error):
                self._log.error(
                    "the web configuration cannot be used: the one before stays in force",
                    reason=str(error),
                    advice="it is tried again until it can be used",
                )
            self._failure = str(error)
            return
        self._failure = ""
        self._told.web_config_read(success=True)
        self._log.info("web configuration read again", path=self._path)
        self._warn()

    def _run(self) -> None:
        while True:
            asked = None
            with suppress(Empty):
                asked = self._bell.get(timeout=self._interval)
            if asked is None:
                self.look()
            elif asked:
                self._reloading()
                self.read()
                self._reloaded()
            else:
                return

    def _load(self) -> Policy:
        # Each file's times before its content: should it change in between, the next look sees that.
        own = _stamp(self._path)
        config = read_config(self._path)
        stamps = {path: _stamp(path) for path in config.files} | {self._path: own}
        policy = _policy(config)
        self._config: WebConfig = config
        self._stamps = stamps
        return policy

    def _warn(self) -> None:
        if self._config.users and self._config.tls is None:
            self._log.warning(
                "passwords go over the network in the clear",
                path=self._path,
                advice="add tls_server_config, unless something before the exporter speaks TLS",
            )


def _policy(config: WebConfig) -> Policy:
    return Policy(
        tls=None if config.tls is None else server_context(config.tls),
        allowed_sans=None if config.tls is None else config.tls.allowed_sans,
        users=Users(config.users) if config.users else None,
        headers=config.headers,
    )


def _stamp(path: str) -> _Stamp:
    """What changes with the file at *path*; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
