"""The service as systemd runs it: installed as its users install it, on a machine with an engine, by a real systemd."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.agreement import agree, survey_of, told_by_engine
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, free_port
from tests.engine.machine import DOCKER_ROOT, SOURCE, WHEELS, Machine
from tests.engine.restrictions import LATE
from tests.engine.scraped import expected_of_scrape, populate, told_by_scrape
from tests.engine.serving import Target

UNIT = "layerstore-exporter"
INSTALL = f"{SOURCE}/deploy/systemd/install.sh"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS}
SETTINGS = f"/etc/default/{UNIT}"
DROP_IN = f"/etc/systemd/system/{UNIT}.service.d/test.conf"
DYNAMIC_USERS = range(61184, 65520)
"""systemd.exec(5), ``DynamicUser=``."""
DAC_READ_SEARCH = f"{1 << 2:016x}"


@pytest.fixture(scope="module")
def engine() -> Iterator[Docker]:
    """An engine with something of everything."""
    with Docker() as docker:
        populate(docker)
        yield docker


@pytest.fixture(scope="module")
def machine(engine: Docker, debian: Path, wheels: Path) -> Iterator[Machine]:
    """A machine on which the service is installed, and not started."""
    with Machine(debian, docker=engine, wheels=wheels) as machine:
        machine.run(INSTALL, "install", environment=OFFLINE)
        yield machine


@pytest.fixture
def target(machine: Machine) -> Iterator[Target]:
    """The service, started and ready; stopped afterwards, and its settings as they were."""
    as_installed = machine.run("cat", SETTINGS)
    address = f"127.0.0.1:{free_port()}"
    machine.write(SETTINGS, f"ARGS=--web.listen-address={address}\nLAYERSTORE_SCAN_INTERVAL=1h\n")
    machine.run("systemctl", "start", UNIT)
    yield Target(address)
    machine.run("systemctl", "stop", UNIT)
    machine.write(SETTINGS, as_installed)


def with_drop_in(machine: Machine, *lines: str) -> None:
    """Change the unit as its users would."""
    machine.write(DROP_IN, "\n".join(("[Service]", *lines, "")))
    machine.run("systemctl", "daemon-reload")


def wait_until(machine: Machine, what: str, expected: str, *, seconds: float = 30) -> None:
    """Wait for a property of the unit."""
    deadline = time.monotonic() + seconds
    while machine.show(UNIT, what) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machine.show(UNIT, what) == expected, machine.journal(UNIT)


def test_everything_is_read(engine: Docker, machine: Machine, target: Target, tell: Tell) -> None:
    """Without root, with one capability, behind the unit's filters: each figure is the engine's, no stage failed."""
    tell(agree(engine, survey_of(engine)))
    scrape, _ = target.scrape_until(
        lambda scrape: set(scrape.by("stage", "layerstore_scan_success").values()) == {1.0}, seconds=30
    )
    figures = expected_of_scrape(told_by_engine(engine))
    assert figures == told_by_scrape(scrape)
    assert dict.fromkeys(("catalog", "uppers", "layers", "areas"), 1.0) == scrape.by("stage", "layerstore_scan_success")
    errors = scrape.samples["layerstore_scan_errors_total"]
    assert {labels: count for labels, count in errors.items() if count and dict(labels)["reason"] != "vanished"} == {}
    assert scrape.samples["layerstore_watches"] == scrape.samples["layerstore_watches_expected"]
    assert "stores" in machine.show(UNIT, "StatusText")
    tell(Counter(scraped_figures=sum(len(values) for values in figures.values())))


@pytest.mark.usefixtures("target")
def test_the_process_has_next_to_no_rights(machine: Machine) -> None:
    """A user of its own, one capability and no way to another, a system call filter."""
    status = machine.status(UNIT)
    (user,) = set(status["Uid"].split())
    assert int(user) in DYNAMIC_USERS
    assert {DAC_READ_SEARCH} == {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("manner", ["plain", "confined"])
def test_nothing_can_be_written(engine: Docker, machine: Machine, manner: str, tell: Tell) -> None:
    """In the exporter's place, each try to write, to reach further or to become more is refused, and what it needs
    works. By the unit alone, one thing is left: a directory that a container, started later, opens to everybody. Giving
    up to write, as the exporter does, shuts that too."""
    python, program = f"/usr/local/lib/{UNIT}/bin/python", f"{SOURCE}/tests/engine/restrictions.py"
    with_drop_in(
        machine,
        "Type=exec",
        "Restart=no",
        "WatchdogSec=0",
        "ExecStart=",
        f"ExecStart={python} -I {program} {DOCKER_ROOT} {manner}",
    )
    engine_socket = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/run/docker.sock'); s.listen()"
    machine.run("python3", "-c", f"import os; os.umask(0o117); {engine_socket}")
    make_open = f"mkdir -m 1777 /open && > /{LATE} && exec sleep 86400"
    try:
        engine.cli("exec", "web", "mkdir", "-p", "-m", "1777", "/open")
        machine.run("systemctl", "start", UNIT)
        engine.cli("run", "--detach", "--network=none", "--name=late", "base", "sh", "-c", make_open)
        wait_until(machine, "SubState", "dead")
        told = json.loads(machine.journal(UNIT).splitlines()[-2])
    finally:
        machine.run("rm", "-f", DROP_IN, "/run/docker.sock")
        machine.run("systemctl", "daemon-reload")
        engine.cli("rm", "--force", "late")
    tell(Counter(tries_refused=sum(became != "done" for tries in told.values() for became in tries.values())))
    done = {name: {attempt for attempt, became in tries.items() if became == "done"} for name, tries in told.items()}
    assert done["needs"] == set(told["needs"])
    assert done["more"] == set()
    open_to_all = {attempt for attempt in told["writes"] if attempt.startswith("write where anybody may")}
    assert len(open_to_all) >= 4, "the upper layers and root filesystems of two containers"
    if manner == "confined":
        assert done["writes"] == set()
    else:
        assert all(attempt.endswith("/merged/open") for attempt in done["writes"])


def test_a_loop_that_hangs_is_started_anew(machine: Machine, target: Target) -> None:
    """The watchdog leaves alone what works, though it scans once an hour, and ends and restarts what stands still."""
    with_drop_in(machine, "WatchdogSec=2s", "RestartSec=100ms")
    try:
        machine.run("systemctl", "restart", UNIT)
        time.sleep(5)  # more than twice the watchdog's patience
        assert machine.show(UNIT, "NRestarts") == "0", machine.journal(UNIT)
        machine.run("/bin/kill", "-STOP", machine.show(UNIT, "MainPID"))
        wait_until(machine, "NRestarts", "1")
        wait_until(machine, "ActiveState", "active")
        assert target.is_ready()
    finally:
        machine.run("rm", "-f", DROP_IN)
        machine.run("systemctl", "daemon-reload")


def test_a_reload_reaches_the_service(machine: Machine, target: Target) -> None:
    """``systemctl reload`` has the web configuration read again, by the same process, which says when that is done."""
    config = "/etc/layerstore/web.yaml"
    machine.write(config, "http_server_config: {headers: {X-Frame-Options: deny}}")
    machine.run("sed", "-i", f"s|^ARGS=|&--web.config.file={config} |", SETTINGS)
    machine.run("systemctl", "restart", UNIT)
    process = machine.show(UNIT, "MainPID")
    assert target.is_ready()
    machine.write(config, "http_server_config: {headers: {X-Frame-Options: sameorigin}}")
    machine.run("systemctl", "reload", UNIT)
    wait_until(machine, "ActiveState", "active")
    assert (process, "sameorigin") == (machine.show(UNIT, "MainPID"), target.header("X-Frame-Options"))


def test_a_stop_is_quick_and_a_success(machine: Machine, target: Target) -> None:
    """It goes when it is told to."""
    assert target.is_ready()
    machine.run("systemctl", "stop", UNIT)
    assert (machine.show(UNIT, "Result"), machine.show(UNIT, "ExecMainStatus")) == ("success", "0")


def test_an_upgrade_keeps_what_is_the_users(machine: Machine, target: Target) -> None:
    """Installing again starts the new version, with the settings, drop-ins and state of before."""
    with_drop_in(machine, "Nice=18")
    kept = [SETTINGS, DROP_IN, f"/var/lib/private/{UNIT}/measured.sqlite"]
    before = machine.run("sha256sum", *kept[:2])
    process = machine.show(UNIT, "MainPID")
    said = machine.run(INSTALL, "install", environment=OFFLINE)
    assert f"kept      {SETTINGS}" in said
    assert target.is_ready()
    assert process != machine.show(UNIT, "MainPID")
    assert before == machine.run("sha256sum", *kept[:2])
    assert machine.run("sh", "-c", f"ls {kept[2]}") == kept[2]
    machine.run("rm", DROP_IN)
    machine.run("systemctl", "daemon-reload")


def test_a_package_can_be_made_of_it(machine: Machine) -> None:
    """Installed below DESTDIR, with another prefix, it works once it is where it belongs, and names no other place."""
    place = {
        "DESTDIR": "/stage",
        "PREFIX": "/opt/layerstore",
        "UNITDIR": "/usr/lib/systemd/system",
        "PYTHON": "python3",
    }
    machine.run(INSTALL, "install", environment={**OFFLINE, **place})
    assert machine.run("find", "/stage", "-mindepth", "1", "-maxdepth", "2", "-printf", "%P\n").split() != []
    named = "grep --recursive --files-with-matches /stage /stage || true"
    assert machine.run("sh", "-c", named) == ""
    machine.run("cp", "-a", "/stage/opt/layerstore", "/opt/layerstore")
    assert machine.run("/opt/layerstore/bin/layerstore-exporter", "--version").startswith("layerstore-exporter ")
    assert "/opt/layerstore/lib/" in machine.run("cat", f"/stage/usr/lib/systemd/system/{UNIT}.service")
    machine.run(INSTALL, "uninstall", environment={**place, "PURGE": "1"})
    assert machine.run("find", "/stage", "!", "-type", "d") == ""


def test_removing_it_leaves_what_is_the_users(machine: Machine, target: Target) -> None:
    """Uninstalled, the service is ended and gone; its settings and state stay until they are asked to go too."""
    assert target.is_ready()
    machine.run("systemctl", "enable", "--quiet", UNIT)
    mine = [f"/usr/local/lib/{UNIT}", f"/usr/local/bin/{UNIT}", f"/etc/systemd/system/{UNIT}.service"]
    theirs = [SETTINGS, f"/var/lib/private/{UNIT}"]
    look = "for path; do [ ! -e $path ] && [ ! -L $path ] || echo $path; done"
    try:
        machine.run(INSTALL, "uninstall")
        assert machine.show(UNIT, "LoadState") == "not-found"
        assert machine.run("sh", "-c", look, "sh", *mine, *theirs).split() == theirs
        assert not target.is_ready()
        machine.run(INSTALL, "uninstall", environment={"PURGE": "1"})
        assert machine.run("sh", "-c", look, "sh", *mine, *theirs) == ""
    finally:
        machine.run(INSTALL, "install", environment=OFFLINE)
