"""A real Docker daemon with a root of its own, and a registry beside it, both on loopback only."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engine.patience import until_it_holds
from tests.engine.processes import Daemon, ProcessError, delete, run
from tests.engine.server import Server
from tests.requirements import required, required_root

CLIENT = "/usr/bin/docker"
"""By its path: a newer client that is found earlier would want a plug-in to build with BuildKit."""
DAEMON = "/usr/sbin/dockerd"
API_VERSION = "v1.41"


class Docker(Server):
    """A Docker daemon; a shutdown ends its containers too.

    Args:
        driver: The graph driver.
        data_root: An existing engine root to start on, which is kept; otherwise a fresh one, deleted at the end.
        remapped_to: Give containers user namespaces, in which their root is this user and group of the host.
    """

    name = "docker"

    def __init__(
        self, *, driver: str = "overlay2", data_root: Path | None = None, remapped_to: int | None = None
    ) -> None:
        super().__init__()
        required_root()
        self._client, self._program = required(CLIENT), required(DAEMON)
        for needed in ("containerd", "runc"):
            required(needed)
        self._driver = driver
        self._remapped_to = remapped_to
        self._given_data_root = data_root

    @property
    def data_root(self) -> Path:
        """What ``docker info`` calls Docker Root Dir."""
        return self._given_data_root or self.root / "data"

    def _clean_up(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ProcessError):
            self._kill_containers()
        super()._clean_up()

    def shut_down(self) -> None:
        """End containers, then the daemon, without waiting for what does not want to end."""
        self._kill_containers()
        self.stop()

    def _kill_containers(self) -> None:
        # Most containers here ignore the signal that asks them to end, and the engine would give each ten seconds.
        for container in self.api("/containers/json"):
            self.api(f"/containers/{container['Id']}/kill", method="POST")

    def _run(self) -> Daemon:
        remapping = self._remapping()
        return Daemon(
            *remapping,
            self._program,
            f"--data-root={self.data_root}",
            f"--exec-root={self.root}/exec",
            f"--pidfile={self.root}/pid",
            f"--host=unix://{self._socket}",
            f"--storage-driver={self._driver}",
            "--log-level=warn",
            "--iptables=false",
            "--bridge=none",
            "--ip-forward=false",
            *(["--userns-remap=daemon"] if remapping else []),
            log=self.root / "daemon.log",
        )

    def _remapping(self) -> list[str]:
        """A command that shows the daemon, and it alone, files that say which users and groups it may map to."""
        if self._remapped_to is None:
            return []
        subordinate = self.root / "subordinate"
        subordinate.write_text(f"daemon:{self._remapped_to}:65536\n")
        # A container's root, a stranger now, has to pass through.
        self.root.chmod(0o711)
        mount = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
        return ["/bin/sh", "-c", mount, str(subordinate)]

    def kill(self) -> None:
        """End the daemon and its containers as a power cut does: the data root stays as it is at this moment.

        What is in memory on a real host does not outlive it: the exec root, the pidfile, the control groups.
        """
        self.daemon.kill()
        self._daemon = None
        delete(self.root / "exec")
        (self.root / "pid").unlink()
        # What was just killed may be in its group a moment longer.
        until_it_holds(self._remove_control_groups)

    def _remove_control_groups(self) -> None:
        for container in os.listdir(self.data_root / "containers"):
            for pattern in (f"docker/{container}", f"*/docker/{container}"):
                for group in Path("/sys/fs/cgroup").glob(pattern):
                    group.rmdir()

    def cli(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What ``docker <args>`` prints, without the white space around it.

        Raises:
            ProcessError: with what client and daemon said, if it fails.
        """
        try:
            return run(self._client, *args, stdin=stdin, env={**self._addressed, **(env or {})}).strip()
        except ProcessError as error:
            raise ProcessError(f"{error}\nThe daemon's last lines:\n{self.daemon.log_tail()}") from None

    @property
    def _addressed(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self._socket}", "DOCKER_CONFIG": f"{self.root}/client"}

    def client(self, *args: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """``docker <args>``, running: to be killed, to see its engine die, or to be fed bit by bit."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            [self._client, *args], env=self._addressed, stdin=stdin, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def api(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """The JSON that the engine answers (Docker Engine API v1.41); None where it answers nothing.

        Raises:
            ProcessError: if the engine refuses.
        """
        with contextlib.closing(http.client.HTTPConnection("localhost")) as connection:
            # A connection that finds its socket made does not make one: this is HTTP over a unix socket.
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(60)
            connection.sock.connect(self._socket)
            headers = {} if body is None else {"Content-Type": "application/json"}
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/{API_VERSION}{path}", payload, headers)
            response = connection.getresponse()
            content = response.read()
        if response.status >= 400:
            raise ProcessError(f"{response.status} from {method} {path}: {content.decode(errors='replace')}")
        return json.loads(content) if content else None

    @property
    def _socket(self) -> str:
        return f"{self.root}/docker.sock"

    def _answers(self) -> bool:
        try:
            return bool(self.api("/version"))
        except (OSError, http.client.HTTPException, ProcessError):
            return False


class Registry(Server):
    """Docker's own registry on a free loopback port, which an engine speaks to without TLS."""

    name = "registry"

    def __init__(self) -> None:
        super().__init__()
        required_root()
        self._program = required("/usr/bin/docker-registry")
        self.address = ""
        """``127.0.0.1:<port>``: the first part of the names of its repositories."""

    def _run(self) -> Daemon:
        self.address = f"127.0.0.1:{free_port()}"
        configuration = self.root / "config.yml"
        configuration.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )
        return Daemon(self._program, "serve", str(configuration), log=self.root / "daemon.log")

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}/v2/") as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
