"""A real containerd with a root and a socket of its own, spoken to by ``ctr``."""

from pathlib import Path

from tests.engine.processes import Daemon, ProcessError, run
from tests.engine.server import Server
from tests.requirements import required, required_root

SNAPSHOTTER = "overlayfs"


class Containerd(Server):
    """A containerd; ending it ends its containers too."""

    name = "containerd"

    def __init__(self) -> None:
        super().__init__()
        required_root()
        self._program, self._client = required("/usr/bin/containerd"), required("/usr/bin/ctr")
        required("runc")

    @property
    def data_root(self) -> Path:
        """What it calls ``root``: what lies in ``/var/lib/containerd`` elsewhere."""
        return self.root / "data"

    @property
    def metadata(self) -> Path:
        return self.data_root / "io.containerd.metadata.v1.bolt/meta.db"

    @property
    def snapshotter(self) -> Path:
        """The directory of the overlayfs snapshotter."""
        return self.data_root / f"io.containerd.snapshotter.v1.{SNAPSHOTTER}"

    def _run(self) -> Daemon:
        # The CRI plug-in would want to set up networks, the others filesystems that are not there.
        disabled = ["grpc.v1.cri", *(f"snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs"))]
        (self.root / "config.toml").write_text(
            "version = 2\n"
            f'root = "{self.data_root}"\n'
            f'state = "{self.root}/state"\n'
            f"disabled_plugins = {[f'io.containerd.{name}' for name in disabled]}\n"
            f'[grpc]\naddress = "{self._socket}"\n'
            f'[ttrpc]\naddress = "{self._socket}.ttrpc"\n'
        )
        return Daemon(self._program, "--config", f"{self.root}/config.toml", log=self.root / "daemon.log")

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
        return f"{self.root}/containerd.sock"

    def _answers(self) -> bool:
        try:
            return bool(self.ctr("version"))
        except ProcessError:
            return False
