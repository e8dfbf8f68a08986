"""A machine of its own in a container: Debian with systemd as its first process, beside an engine of the tests.

Units are not only looked at but run, by the manager that they are written for. The machine stands in the engine's mount
namespace, as a host does: the engine's root is ``/var/lib/docker`` there, and mounts of containers come and go in it.
"""

from pathlib import Path

from tests.engine.docker import Docker
from tests.engine.processes import Daemon, ProcessError, run
from tests.engine.server import Server
from tests.requirements import required

REPOSITORY = Path(__file__).parents[2]
SOURCE, WHEELS, DOCKER_ROOT = "/src", "/wheels", "/var/lib/docker"
"""Where the machine has the repository, the packages that an installation is made of, and the engine's root."""


class Machine(Server):
    """Debian. What is written in it is gone afterwards.

    Args:
        tree: What :func:`tests.engine.debian.make_debian` made; it is not changed.
        docker: The engine that runs beside it.
        wheels: A directory of Python packages.
    """

    name = "machine"

    def __init__(self, tree: Path, *, docker: Docker, wheels: Path) -> None:
        super().__init__()
        self._tree = tree
        self._docker = docker
        self._wheels = wheels

    def _run(self) -> Daemon:
        in_engines_place = [required("nsenter"), f"--target={self._docker.daemon.pid}", "--mount", "--"]
        beside_it = [required("unshare"), "--mount", "--propagation", "slave"]
        boot = [
            required("systemd-nspawn"),
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--boot",
            "--console=pipe",
            f"--directory={self._tree}",
            "--volatile=overlay",
            # What a machine's kernel offers to every program, and this kind of container does not by itself.
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            f"--bind-ro={REPOSITORY}:{SOURCE}",
            f"--bind-ro={self._wheels}:{WHEELS}",
            f"--bind={self._docker.data_root}:{DOCKER_ROOT}",
        ]
        return Daemon(*in_engines_place, *beside_it, *boot, log=self.root / "console.log")

    def stop(self) -> None:
        """Shut it down. Nothing here depends on how: it is not waited for long."""
        if self._daemon is not None:
            self._daemon.end(seconds=5)
            self._daemon = None

    def _answers(self) -> bool:
        try:
            return self.run("systemctl", "is-system-running", "--wait") != ""
        except ProcessError as error:
            # "degraded" comes with an exit code too: in a container not all of a machine's units work.
            return "degraded" in str(error)

    def run(self, *argv: str, stdin: bytes = b"", environment: dict[str, str] | None = None) -> str:
        """What a program in the machine prints, run by its root."""
        inside = f"--mount --uts --ipc --pid --cgroup --root --wd --target={self.first_process}".split()
        return run(required("nsenter"), *inside, "--", *argv, stdin=stdin, env=environment).strip()

    def write(self, path: str, text: str) -> None:
        """Write a file in the machine."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0"', path, stdin=text.encode())

    def show(self, unit: str, what: str) -> str:
        """A property of a unit, as ``systemctl show`` knows it."""
        return self.run("systemctl", "show", "--property", what, "--value", unit)

    def status(self, unit: str) -> dict[str, str]:
        """``/proc/<pid>/status`` of a unit's main process."""
        text = self.run("cat", f"/proc/{self.show(unit, 'MainPID')}/status")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}

    def journal(self, unit: str) -> str:
        """What a unit has said."""
        return self.run("journalctl", "--unit", unit, "--output=cat", "--no-pager")

    @property
    def first_process(self) -> int:
        """The machine's systemd, as the tests see it.

        Raises:
            ProcessError: if it is not running, or has not come so far yet.
        """
        started = self.daemon.pid
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if lines["PPid"].strip() == str(started) and lines["NSpid"].split()[1:] == ["1"]:
                return int(lines["Pid"])
        raise ProcessError("the machine has no first process yet")
