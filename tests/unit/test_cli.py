"""The command line: which command, which roots, which exit code, and what a person is told."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import exporter.people
import exporter.serve
from exporter import __version__, cli, settings
from exporter.store.detect import DEFAULT_ROOT, Root, default_root
from tests.unit.store.hosts import NOBODY, Host, build_host, make_sparse, unprivileged

NO_CONFIG = ("--path.docker-config", "/nonexistent/daemon.json")
READY_MADE = (exporter.people, exporter.serve)
"""What the commands import when they run: imported before a test drops its privileges."""


def run(
    arguments: Sequence[str], environ: Mapping[str, str] | None = None, *, code: int = 2
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which must end by itself, with this exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        env={"PATH": os.environ["PATH"], **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (code, done.stderr) == (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return done


@contextmanager
def writing(host: Host, path: str) -> Iterator[None]:
    """The running container writes to this file, again and again."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.02):
            host.store.write(host.running, path, 1 << 16, append=True)

    host.store.write(host.running, path, 1 << 16)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build_host(tmp_path / "docker").root


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory below which every user may look."""
    path = Path(tempfile.mkdtemp())
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


class TestRootsThatCannotBeRead:
    """Exit code 2, and one sentence that says which root, why, and what to do."""

    @pytest.mark.parametrize("command", ["serve", "report", "inspect"])
    def test_a_root_that_is_missing(self, tmp_path: Path, command: str) -> None:
        """Of every command that reads a root."""
        arguments = [command, *(["x"] if command == "inspect" else [])]
        done = run([*arguments, f"--path.docker-root={tmp_path}/none"])
        assert done.stderr == (
            f"layerstore-exporter: {tmp_path}/none does not exist. Name Docker's root directory with "
            "--path.docker-root (docker info prints it as Docker Root Dir).\n"
        )
        assert done.stdout == ""

    @pytest.mark.parametrize("below", ["", "/docker"])
    def test_a_root_that_is_a_file(self, tmp_path: Path, below: str) -> None:
        """It, or what it should lie in."""
        (tmp_path / "file").write_text("")
        done = run([f"--path.docker-root={tmp_path}/file{below}"])
        assert done.stderr == (
            f"layerstore-exporter: {tmp_path}/file{below} is not a directory. "
            "Name Docker's root directory with --path.docker-root.\n"
        )

    def test_a_root_that_this_user_may_not_list(self, open_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Docker's own root is closed to everybody but root."""
        root = open_directory / "docker"
        root.mkdir()
        if os.geteuid() == 0:
            os.chown(root, NOBODY, NOBODY)
        root.chmod(0o111)
        with unprivileged():
            assert cli.main(["report", f"--path.docker-root={root}", *NO_CONFIG], {}) == 2
        assert capsys.readouterr().err == (
            f"layerstore-exporter: {root} cannot be read by this user: permission denied. "
            "Run as root, or with the capability CAP_DAC_READ_SEARCH.\n"
        )
        root.chmod(0o700)

    def test_a_root_whose_way_is_closed(self, open_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The directory above may be the one that cannot be entered."""
        root = open_directory / "closed" / "docker"
        root.mkdir(parents=True)
        root.parent.chmod(0)
        with unprivileged():
            assert cli.main(["report", f"--path.docker-root={root}", *NO_CONFIG], {}) == 2
        assert "permission denied" in capsys.readouterr().err
        root.parent.chmod(0o700)

    def test_a_root_that_is_a_symlink_to_itself(self, tmp_path: Path) -> None:
        """What else the system may say is told in its words."""
        (tmp_path / "loop").symlink_to("loop")
        assert "Too many levels of symbolic links" in run([f"--path.docker-root={tmp_path}/loop"]).stderr

    def test_one_of_two_roots_is_missing(self, root: Path, tmp_path: Path) -> None:
        """Both were asked for, so one is not enough."""
        done = run(["report", f"--path.docker-root={root}", f"--path.docker-root={tmp_path}/none"])
        assert f"{tmp_path}/none does not exist" in done.stderr
        assert done.stdout == ""


class TestFlags:
    """Wrong ones, from the command line or the environment."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--no.such-flag"], "unrecognized arguments: --no.such-flag"),
            (["frobnicate"], "'frobnicate' is no command: write one of serve, demo, report, inspect, check, health"),
            (["report", "surplus"], "unrecognized arguments: surplus"),
            (["--scan.interval", "soon"], "'soon' is no duration"),
            (["--scan.interval", "0"], "'0' is no duration"),
            (["--scan.interval"], "expected one argument"),
            (["--scan.int", "5s"], "unrecognized arguments: --scan.int"),
            (["--layers.limit", "-1"], "no whole number"),
            (["--log.level", "loud"], "'loud' is none of debug, info, warning, error"),
            (["--log.format", "xml"], "'xml' is none of auto, json, console"),
            (["--path.docker-root", "docker"], "'docker' is no absolute path"),
            (["--web.telemetry-path", "metrics"], "'metrics' is no path"),
            (["--web.telemetry-path", "/-/ready"], "taken"),
            (["inspect"], "required: X"),
            (["report", "--top", "few"], "no whole number"),
        ],
    )
    def test_a_wrong_flag(self, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2, with what is wrong and where to read on."""
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments, {})
        shown = capsys.readouterr().err
        assert ended.value.code == 2
        assert told in shown
        assert shown.startswith("layerstore-exporter")
        assert shown.endswith(" --help tells all flags and commands.\n")
        assert shown.count("\n") == 2

    @pytest.mark.parametrize(
        ("variable", "told"),
        [
            ("LAYERSTORE_SCAN_INTERVAL", "--scan.interval"),
            ("LAYERSTORE_LAYERS_LIMIT", "--layers.limit"),
            ("LAYERSTORE_LOG_LEVEL", "--log.level"),
            ("LAYERSTORE_PATH_DOCKER_CONFIG", "--path.docker-config"),
            ("LAYERSTORE_PATH_DOCKER_ROOT", "variable LAYERSTORE_PATH_DOCKER_ROOT"),
        ],
    )
    def test_a_wrong_variable(self, variable: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
        """It is refused as the flag is."""
        with pytest.raises(SystemExit) as ended:
            cli.main([], {variable: "nonsense"})
        assert ended.value.code == 2
        assert told in capsys.readouterr().err

    def test_an_address_that_cannot_be_listened_on(self, root: Path) -> None:
        """What is wrong with an address is one sentence as well."""
        done = run([f"--path.docker-root={root}", "--web.listen-address=:notaport"])
        assert done.stderr.splitlines()[-1].startswith("layerstore-exporter: ")

    def test_a_web_configuration_that_is_no_good(self, root: Path, tmp_path: Path) -> None:
        """Exit code 2, and one sentence with file and key: nothing is served under half a configuration."""
        config = tmp_path / "web.yml"
        config.write_text("tls_server_config: {cert_fil: a}\n")
        done = run([f"--path.docker-root={root}", "--web.listen-address=127.0.0.1:0", f"--web.config.file={config}"])
        assert done.stderr.startswith(
            f"layerstore-exporter: {config}: tls_server_config.cert_fil: that key is not known"
        )
        assert done.stderr.count("\n") == 1

    def test_a_sample_where_no_engine_was_started(self, tmp_path: Path) -> None:
        """An empty root has as little to show as a missing one: a sample is served instead, and that is said."""
        (tmp_path / "docker/containers").mkdir(parents=True)
        config = tmp_path / "config.toml"
        config.write_text(f'root = "{tmp_path}/none"\n')
        done = run(
            [
                "--sample-fallback",
                f"--path.docker-root={tmp_path}/docker",
                f"--path.containerd-config={config}",
                "--web.listen-address=:notaport",
            ]
        )
        assert done.stderr.startswith(f"layerstore-exporter: {tmp_path}/docker holds nothing: no engine")
        assert "SAMPLE" in done.stderr

    def test_the_version(self) -> None:
        """The exporter's own, and Python's."""
        done = run(["--version"], code=0)
        assert done.stdout.startswith(f"layerstore-exporter {__version__} (Python 3.")

    @pytest.mark.parametrize("command", ["", "serve", "demo", "report", "inspect"])
    def test_help(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Every command explains each of its flags, with its variable, and lists the commands."""
        with pytest.raises(SystemExit) as ended:
            cli.main([*filter(None, [command]), "--help"], {})
        shown = capsys.readouterr().out
        assert ended.value.code == 0
        for name in ("serve", "demo", "report", "inspect"):
            assert f"\n  {name}" in shown
        reads_roots = command != "demo"
        assert ("LAYERSTORE_PATH_DOCKER_ROOT" in shown) == reads_roots


class TestWhichRoots:
    """Flags, else the variable, else the engine's own configuration, else its default."""

    def roots(self, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[Root, ...]:
        """What a command would read."""
        parser, variables = argparse.ArgumentParser(), environ or {}
        settings.add_options(parser, settings.READING, variables)
        return cli.usable_roots(parser.parse_args(list(arguments)), variables)

    def test_the_engines_default(self) -> None:
        """Where nobody says anything, the root is tried that the engine itself would use."""
        try:
            assert self.roots(NO_CONFIG) == (Root(path=DEFAULT_ROOT, followed=True),)
        except cli.UnusableRoot as error:
            assert str(error).startswith(DEFAULT_ROOT)

    def test_the_engines_configuration(self, root: Path, tmp_path: Path) -> None:
        """``data-root`` of ``daemon.json``."""
        config = tmp_path / "daemon.json"
        config.write_text(f'{{"data-root": "{root}"}}')
        assert self.roots([f"--path.docker-config={config}"]) == (Root(path=str(root), followed=True),)
        assert self.roots([], {"LAYERSTORE_PATH_DOCKER_CONFIG": str(config)}) == (Root(path=str(root), followed=True),)

    def test_the_variable_beats_the_configuration(self, root: Path, tmp_path: Path) -> None:
        """It may name several, separated by commas."""
        config = tmp_path / "daemon.json"
        config.write_text('{"data-root": "/nonexistent"}')
        found = self.roots([f"--path.docker-config={config}"], {"LAYERSTORE_PATH_DOCKER_ROOT": f"{root}, {tmp_path}"})
        assert found == (Root(path=str(root)), Root(path=str(tmp_path), prefix=f"{tmp_path}/"))

    def test_the_flag_beats_the_variable(self, root: Path) -> None:
        """And replaces it."""
        arguments = [f"--path.docker-root={root}/", *NO_CONFIG]
        assert self.roots(arguments, {"LAYERSTORE_PATH_DOCKER_ROOT": "/nonexistent"}) == (Root(path=str(root)),)

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "null", '{"data-root": 5}', '{"data-root": "relative"}', "[" * 100_000, '"\\ud800"']
    )
    def test_a_configuration_that_says_nothing(self, tmp_path: Path, content: str) -> None:
        """The engine's own trouble: the default is what is left."""
        config = tmp_path / "daemon.json"
        config.write_text(content)
        assert default_root(str(config)) == DEFAULT_ROOT

    def test_a_configuration_that_is_no_file(self, tmp_path: Path) -> None:
        """Neither a directory, nor a fifo that nobody writes, nor a huge one keeps the exporter from starting."""
        os.mkfifo(tmp_path / "fifo")
        make_sparse(tmp_path / "huge", 100_000_000)
        for name in ("fifo", "huge", "none", "."):
            assert default_root(str(tmp_path / name)) == DEFAULT_ROOT


class TestCommands:
    """That they run from the command line; what they print is tested where it is made."""

    def test_report(self, root: Path) -> None:
        """It looks once and is done."""
        done = run(["report", f"--path.docker-root={root}", *NO_CONFIG], code=0)
        assert "web-1" in done.stdout

    def test_report_as_json(self, root: Path) -> None:
        """Nothing but JSON on standard output."""
        done = run(["report", "--json", f"--path.docker-root={root}", *NO_CONFIG], code=0)
        assert (done.stdout[0], done.stdout[-2:]) == ("{", "}\n")

    def test_inspect_something(self, root: Path) -> None:
        """Exit code 0 where it is found."""
        done = run(["inspect", "web-1", f"--path.docker-root={root}", *NO_CONFIG], code=0)
        assert "web-1" in done.stdout

    @pytest.mark.parametrize("command", [["report"], ["inspect", "web-1"]])
    def test_growth(self, tmp_path: Path, command: Sequence[str]) -> None:
        """It measures twice, and names the file that a container adds to meanwhile."""
        host = build_host(tmp_path / "docker")
        with writing(host, "out/grows.log"):
            done = run([*command, "--growth=1s", f"--path.docker-root={host.root}", *NO_CONFIG], code=0)
        assert "/out/grows.log" in done.stdout
        again = run([*command, "--growth=10ms", f"--path.docker-root={host.root}", *NO_CONFIG], code=0)
        assert "/out/grows.log" not in again.stdout

    def test_inspect_nothing(self, root: Path) -> None:
        """Exit code 1: the command works, and the answer is no."""
        run(["inspect", "no-such-thing", f"--path.docker-root={root}", *NO_CONFIG], code=1)

    def test_a_damaged_store_is_reported_all_the_same(self, root: Path) -> None:
        """Damage is part of the answer, not the end of it."""
        for config in root.glob("containers/*/config.v2.json"):
            config.write_bytes(b"\xff\x00")
        (root / "image" / "overlay2" / "repositories.json").write_text("{}")
        run(["report", f"--path.docker-root={root}", *NO_CONFIG], code=0)
