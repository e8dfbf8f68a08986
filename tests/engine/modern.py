"""Docker of a newer Debian, which can keep its images in containerd: its packages unpacked below a directory of their
own, which is the daemon's root directory.

The daemon sees its own directory at the path that everybody else sees it at, so its files are found where it says.
"""

import contextlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.engine.docker import Docker
from tests.engine.processes import Daemon, delete, run
from tests.requirements import missing, required, required_root

SUITE = "trixie"
"""Debian 13: Docker 26.1, containerd 1.7."""
_PACKAGES = ("docker.io", "docker-cli", "containerd", "runc")
_NEEDED = ("docker*", "containerd*", "runc*", "lib*")
"""Of what was fetched, that is unpacked: the programs and their libraries. Nothing is configured."""
_ENTER = """
set -e
mount --bind "$0" "$0"
mount --make-private "$0"
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs tmpfs "$0/run"
mkdir -p "$0$1" "$0/run/host"
mount --bind "$1" "$0$1"
shift
cd "$0"
pivot_root . run/host
exec chroot . /bin/sh -c 'umount --lazy /run/host && exec "$@"' sh "$@"
"""
"""The directory becomes the root of the mount namespace. With chroot alone the host's root would stay that, and what
``docker exec`` runs is put at the root of a container's namespace: it would run on the host's files."""


@contextlib.contextmanager
def unpacked() -> Iterator[Path]:
    """A directory with the newer Docker in it, deleted at the end. Fetches some 80 packages of Debian."""
    required_root()
    required("debootstrap")
    root = Path(tempfile.mkdtemp(prefix="layerstore-trixie-"))
    try:
        included = ",".join(_PACKAGES)
        try:
            run("debootstrap", "--foreign", "--variant=minbase", f"--include={included}", SUITE, str(root), seconds=600)
        except Exception as error:  # noqa: BLE001 - whatever it was, without its packages there is no newer Docker
            missing(f"Debian's packages cannot be had: {str(error)[-300:]}")
        for pattern in _NEEDED:
            for package in sorted((root / "var/cache/apt/archives").glob(f"{pattern}.deb")):
                run("dpkg-deb", "--extract", str(package), str(root))
        run("chroot", str(root), "/sbin/ldconfig")
        shutil.rmtree(root / "var/cache/apt/archives")
        for place in ("proc", "sys", "dev", "run"):
            # debootstrap puts symlinks to the host's there, which lead nowhere once this is the root directory.
            if (root / place).is_symlink():
                (root / place).unlink()
            (root / place).mkdir(exist_ok=True)
        yield root
    finally:
        delete(root)


class ModernDocker(Docker):
    """The newer Docker. ``in_containerd`` says, before each start, where it keeps its images."""

    def __init__(self, distribution: Path, *, in_containerd: bool = True) -> None:
        super().__init__()
        self._distribution = distribution
        self.in_containerd = in_containerd

    @property
    def containerd(self) -> Path:
        """The root of the containerd that it starts itself."""
        return self.data_root / "containerd/daemon"

    def cli(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What ``docker <args>`` prints. A build's context is given as a directory: the older client that is used would
        hand an archive to BuildKit in a way that this daemon does not know any more."""
        if args[0] != "build" or args[-1] != "-" or (env or {}).get("DOCKER_BUILDKIT") != "1":
            return super().cli(*args, stdin=stdin, env=env)
        with tempfile.TemporaryDirectory(dir=self.root) as context:
            with tarfile.open(fileobj=io.BytesIO(stdin)) as archive:
                archive.extractall(context, filter="data")
            return super().cli(*args[:-1], context, env=env)

    def _run(self) -> Daemon:
        configuration = self.root / "daemon.json"
        configuration.write_text(json.dumps({"features": {"containerd-snapshotter": self.in_containerd}}))
        daemon = [
            "dockerd",
            f"--config-file={configuration}",
            f"--data-root={self.data_root}",
            f"--exec-root={self.root}/exec",
            f"--pidfile={self.root}/pid",
            f"--host=unix://{self._socket}",
            "--log-level=warn",
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--ip-forward=false",
        ]
        enter = ["/bin/sh", "-c", _ENTER, str(self._distribution), str(self.root)]
        return Daemon(*enter, *daemon, log=self.root / "daemon.log")
