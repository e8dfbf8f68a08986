"""What engines, registries and machines have in common: a program, and a directory that holds all that is its own."""

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.engine.processes import Daemon, ProcessError, delete


class Server(ABC):
    """Started on entering the context, ended and deleted on leaving it, also where starting it fails."""

    name: str
    """What its directory is called after."""

    def __init__(self) -> None:
        self._daemon: Daemon | None = None
        self._root: Path | None = None

    @property
    def root(self) -> Path:
        """The directory that holds everything of its own."""
        if self._root is None:
            raise ProcessError(f"{self.name} has not been started")
        return self._root

    @property
    def daemon(self) -> Daemon:
        """The program that runs."""
        if self._daemon is None:
            raise ProcessError(f"{self.name} is not running")
        return self._daemon

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._daemon is not None

    def __enter__(self) -> Self:
        self._root = Path(tempfile.mkdtemp(prefix=f"layerstore-{self.name}-"))
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up()

    def _clean_up(self) -> None:
        self.stop()
        delete(self.root)

    def start(self) -> None:
        """Start the program and wait until it answers: also again, in the same directory, after it ended."""
        self._daemon = self._run()
        self._daemon.wait_until(self._answers)

    def stop(self) -> None:
        """End the program and all that it started, as a shutdown does."""
        if self._daemon is not None:
            self._daemon.end()
            self._daemon = None

    @abstractmethod
    def _run(self) -> Daemon:
        """Start the program."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it does what it is for already."""
