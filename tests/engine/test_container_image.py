"""The exporter's own image: built by a real engine without a network, and run beside what it measures."""

import io
import json
import re
import shlex
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.agreement import agree, survey_of, told_by_engine
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, free_port
from tests.engine.processes import run
from tests.engine.restrictions import LATE
from tests.engine.scraped import expected_of_scrape, populate, told_by_scrape
from tests.engine.serving import Target

REPOSITORY = Path(__file__).parents[2]
ROOT = "/var/lib/docker"
PYTHON = "/usr/local/lib/layerstore-exporter/bin/python"
DOCUMENTED_MOUNT = f"type=bind,source={ROOT},target={ROOT},readonly,bind-propagation=rslave"
NOT_RESTRICTING = {"-d": 0, "--name": 1, "--restart": 1, "-p": 1}
"""Options of the documented command that a test chooses itself, with how many words follow each."""
LARGEST = 64_000_000
"""Bytes that the image may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The exporter's image in an engine that has something of everything else."""

    docker: Docker
    name: str

    def restricted(self, *options: str) -> list[str]:
        """The options that restrict it, as documented, on this engine's root; and *options*."""
        mount = f"type=bind,source={self.docker.data_root},target={ROOT},readonly,bind-propagation=rslave"
        return [mount if option == DOCUMENTED_MOUNT else option for option in documented()] + list(options)

    def start(self, name: str, *options: str) -> None:
        """Run the exporter so."""
        self.docker.cli("run", "--detach", f"--name={name}", *self.restricted(*options), self.name)

    def health(self, name: str, *, seconds: float = 30) -> str:
        """What the engine's health check says of a container, once it says anything."""
        deadline = time.monotonic() + seconds
        while (told := self.docker.cli("inspect", "--format={{.State.Health.Status}}", name)) == "starting":
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return told

    def files(self) -> list[str]:
        """All that is in it."""
        self.docker.cli("create", "--name=looked-at", self.name)
        try:
            exported = self.docker.root / "exported.tar"
            self.docker.cli("export", f"--output={exported}", "looked-at")
            with tarfile.open(exported) as tar:
                return tar.getnames()
        finally:
            self.docker.cli("rm", "looked-at")


def documented() -> list[str]:
    """The options of the command by which the documentation runs the image, as far as they restrict it."""
    text = (REPOSITORY / "deploy/README.md").read_text("utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^\$ docker run (.* )layerstore-exporter$", text, re.MULTILINE)
    words = shlex.split(command)
    options: list[str] = []
    while words:
        word = words.pop(0)
        if word in NOT_RESTRICTING:
            del words[: NOT_RESTRICTING[word]]
        else:
            options.append(word)
    return options


def context(wheels: Path) -> bytes:
    """What a build is given: this repository's files, through .dockerignore, and packages instead of a network."""
    tracked = run("git", "-C", str(REPOSITORY), "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in tracked:
            if not name.startswith(("tests/", "grafana/")) and (REPOSITORY / name).exists():
                tar.add(REPOSITORY / name, name)
        for wheel in wheels.iterdir():
            tar.add(wheel, f"wheels/{wheel.name}")
    return buffer.getvalue()


def build(docker: Docker, wheels: Path, *, buildkit: bool) -> str:
    """Build the image as the documentation says, and return its name."""
    name = f"layerstore-exporter:{'buildkit' if buildkit else 'classic'}"
    offline = {"BASE": "debian", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/src/wheels"}
    docker.cli(
        "build",
        "--quiet",
        "--network=none",
        "--file=deploy/container/Dockerfile",
        f"--tag={name}",
        *(f"--build-arg={key}={value}" for key, value in offline.items()),
        "-",
        stdin=context(wheels),
        env={"DOCKER_BUILDKIT": "1" if buildkit else "0"},
    )
    return name


@pytest.fixture(scope="module")
def image(debian: Path, wheels: Path) -> Iterator[Image]:
    with Docker() as docker:
        archive = docker.root / "debian.tar"
        subprocess.run(["tar", "-C", debian, "--exclude=./dev/*", "-cf", archive, "."], check=True)
        docker.cli("import", str(archive), "debian")
        archive.unlink()
        populate(docker)
        yield Image(docker=docker, name=build(docker, wheels, buildkit=False))


@pytest.fixture
def target(image: Image) -> Iterator[Target]:
    """The exporter in its container, on the host's network, scanning as fast as it may."""
    address = f"127.0.0.1:{free_port()}"
    settings = [f"--env=LAYERSTORE_WEB_LISTEN_ADDRESS={address}", "--env=LAYERSTORE_SCAN_INTERVAL=500ms"]
    image.start("exporter", "--network=host", "--health-interval=1s", *settings)
    target = Target(address)
    try:
        target.wait_until_ready()
        yield target
    finally:
        image.docker.cli("rm", "--force", "exporter")


def test_the_image_is_small_and_has_no_tools(image: Image, tell: Tell) -> None:
    """An interpreter and the exporter: nothing to start a shell with, to install or to compile."""
    names = {Path(name).name for name in image.files()}
    assert (
        names & {"sh", "bash", "dash", "busybox", "pip", "pip3", "ensurepip", "apt", "dpkg", "gcc", "cc", "ld"} == set()
    )
    assert "debian.tar" not in names
    size = json.loads(image.docker.cli("image", "inspect", image.name))[0]["Size"]
    tell(Counter({"image bytes": size}))
    assert size < LARGEST


def test_buildkit_builds_the_same(image: Image, wheels: Path) -> None:
    """Both builders of an engine make it, with the same files."""
    other = Image(docker=image.docker, name=build(image.docker, wheels, buildkit=True))
    assert sorted(image.files()) == sorted(other.files())


def test_the_documented_command_restricts_it() -> None:
    """What these tests run, and the documentation says, leaves the container next to nothing."""
    options = " ".join(documented())
    for restriction in (
        "--read-only",
        "--cap-drop ALL --cap-add DAC_READ_SEARCH",
        "no-new-privileges",
        DOCUMENTED_MOUNT,
    ):
        assert restriction in options


def test_everything_is_read(image: Image, target: Target, tell: Tell) -> None:
    """With one capability, a read-only root and the engine's default filters, each figure is the engine's."""
    tell(agree(image.docker, survey_of(image.docker)))
    figures = expected_of_scrape(told_by_engine(image.docker))
    scrape, _ = target.scrape_until(lambda scrape: told_by_scrape(scrape) == figures, seconds=30)
    assert figures == told_by_scrape(scrape)
    scrape, _ = target.scrape_until(
        lambda scrape: set(scrape.by("stage", "layerstore_scan_success").values()) == {1.0}, seconds=30
    )
    assert dict.fromkeys(("catalog", "uppers", "layers", "areas"), 1.0) == scrape.by("stage", "layerstore_scan_success")
    (root,) = {labels["root"] for labels in scrape.labels("layerstore_store_info")}
    assert root == ROOT


def test_the_health_check_passes(image: Image, target: Target) -> None:
    """The engine's health check, which the image brings along, finds the exporter well."""
    assert target.is_ready()
    assert image.health("exporter") == "healthy"


@pytest.mark.usefixtures("target")
def test_containers_come_and_go_beside_it(image: Image, tell: Tell) -> None:
    """Fifty containers are started, written to and removed while it scans, and none is said to be busy."""
    write = ["sh", "-c", "echo > /written; exec sleep 86400"]

    def live(number: int) -> None:
        image.docker.cli("run", "--detach", "--network=none", f"--name=guest{number}", "base", *write)
        image.docker.cli("rm", "--force", f"guest{number}")

    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(live, range(50)))) == 50
    tell(Counter({"containers started and removed": 50}))
    assert "busy" not in image.docker.daemon.log.read_text()
    assert image.docker.cli("ps", "--all", "--quiet", "--filter=name=guest") == ""


def test_nothing_can_be_written(image: Image, tell: Tell) -> None:
    """In the exporter's place, each try to change a record or to reach further is refused, also where a container that
    was started later shows its files."""
    docker = image.docker
    docker.cli("exec", "web", "mkdir", "-p", "-m", "1777", "/open")
    probe = REPOSITORY / "tests/engine/restrictions.py"
    given = [f"--volume={probe}:/probe.py:ro", "--tmpfs=/state", "--env=STATE_DIRECTORY=/state", "--network=none"]
    command = [image.name, "-I", "/probe.py", ROOT, "confined"]
    docker.cli("run", "--detach", "--name=probe", *image.restricted(*given, f"--entrypoint={PYTHON}"), *command)
    try:
        make_open = f"mkdir -m 1777 /open && > /{LATE} && exec sleep 86400"
        docker.cli("run", "--detach", "--network=none", "--name=late", "base", "sh", "-c", make_open)
        docker.cli("wait", "probe")
        told = json.loads(docker.cli("logs", "probe").splitlines()[-1])
    finally:
        docker.cli("rm", "--force", "probe", "late")
    done = {name: {attempt for attempt, became in tries.items() if became == "done"} for name, tries in told.items()}
    assert done["needs"] == set(told["needs"])
    assert done["writes"] == set()
    assert len([attempt for attempt in told["writes"] if attempt.endswith("/merged/open")]) >= 2
    # Root it is, without root's rights, and the first process of its own container.
    itself = {"become root", "end the first process", "make memory that may be written and run"}
    assert done["more"] <= {*itself, "ask the kernel about interfaces"}
    tell(Counter(tries_refused=sum(became != "done" for tries in told.values() for became in tries.values())))


def test_without_a_network_it_still_works(image: Image) -> None:
    """It needs none to read: only to be scraped. Its own health check still reaches it."""
    image.start("lonely", "--network=none", "--health-interval=1s")
    try:
        assert image.health("lonely") == "healthy"
    finally:
        image.docker.cli("rm", "--force", "lonely")
