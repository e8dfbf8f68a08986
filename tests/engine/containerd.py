"""A real containerd with a root and a socket of its own, spoken to by ``ctr``."""

import tempfile
from pathlib import Path
from typing import Self

from tests.engine.processes import Daemon, ProcessError, delete, run
from tests.requirements import required, required_root

SNAPSHOTTER = "overlayfs"


class Containerd:
    """A containerd that is started on entering the context, and ended and deleted on leaving it."""

    def __init__(self) -> None:
        required_root()
        self._program, self._client = required("/usr/bin/containerd"), required("/usr/bin/ctr")
        required("runc")
        self._daemon: Daemon | None = None
        self._directory: Path | None = None

    @property
    def root(self) -> Path:
        """containerd's ``root``: what lies in ``/var/lib/containerd`` elsewhere."""
        return self._own / "root"

    @property
    def metadata(self) -> Path:
        return self.root / "io.containerd.metadata.v1.bolt/meta.db"

    @property
    def snapshotter(self) -> Path:
        """The directory of the overlayfs snapshotter."""
        return self.root / f"io.containerd.snapshotter.v1.{SNAPSHOTTER}"

    @property
    def _own(self) -> Path:
        if self._directory is None:
            raise ProcessError("containerd has not been started")
        return self._directory

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="layerstore-containerd-"))
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
        delete(self._own)

    def start(self) -> None:
        """Start containerd and wait until it answers: also again, on the same root."""
        # The CRI plug-in would want to set up networks, the others filesystems that are not there.
        disabled = ["grpc.v1.cri", *(f"snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs"))]
        (self._own / "config.toml").write_text(
            "version = 2\n"
            f'root = "{self.root}"\n'
            f'state = "{self._own}/state"\n'
            f"disabled_plugins = {[f'io.containerd.{name}' for name in disabled]}\n"
            f'[grpc]\naddress = "{self._socket}"\n'
            f'[ttrpc]\naddress = "{self._socket}.ttrpc"\n'
        )
        self._daemon = Daemon(self._program, "--config", f"{self._own}/config.toml", log=self._own / "daemon.log")
        self._daemon.wait_until(self._answers)

    def stop(self) -> None:
        """End containerd and its containers."""
        if self._daemon is not None:
            self._daemon.end()
            self._daemon = None

    def ctr(self, *args: str, namespace: str = "k8s.io", stdin: bytes = b"") -> str:
        """What ``ctr <args>`` prints, without the white space around it.

        Raises:
            ProcessError: with what it said, if it fails.
        """
        return run(self._client, "--address", self._socket, "--namespace", namespace, *args, stdin=stdin).strip()

    def rows(self, *args: str, namespace: str = "k8s.io") -> list[list[str]]:
        """The table that ``ctr <args>`` prints, without its head: columns are apart by a tab or two spaces."""
        return [line.split() for line in self.ctr(*args, namespace=namespace).splitlines()[1:]]

    @property
    def _socket(self) -> str:
        return f"{self._own}/containerd.sock"

    def _answers(self) -> bool:
        try:
            return bool(self.ctr("version"))
        except ProcessError:
            return False
