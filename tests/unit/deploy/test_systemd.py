"""The unit and its settings as they are looked at without running them."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from exporter import settings
from tests.requirements import required

REPOSITORY = Path(__file__).parents[3]
SYSTEMD = REPOSITORY / "deploy/systemd"
MOST = 2.0
"""Exposure, of 10, that the unit may have."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is installed, its program replaced by one that is on every host."""
    text = (SYSTEMD / "layerstore-exporter.service").read_text("utf-8")
    installed = text.replace("@LIBDIR@/bin/layerstore-exporter", "/bin/true").replace("@SYSCONFDIR@", "/etc")
    path = tmp_path / "layerstore-exporter.service"
    path.write_text(installed, "utf-8")
    return path


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [required("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C.UTF-8"},
    )


def exposure(unit: Path) -> float:
    """What systemd reckons that the service could do to its host, of 10."""
    said = analyze("security", "--offline=true", unit).stdout
    (figure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    return float(figure)


def test_the_unit_asks_for_little(unit: Path) -> None:
    """systemd's own security review finds next to nothing to shut."""
    assert exposure(unit) <= MOST


@pytest.mark.parametrize("line", ["DynamicUser=yes", "CapabilityBoundingSet=CAP_DAC_READ_SEARCH"])
def test_the_review_sees_a_weaker_unit(unit: Path, line: str) -> None:
    """Without one of the lines that matter most the review says so: it does look at this unit."""
    strong = exposure(unit)
    unit.write_text(unit.read_text("utf-8").replace(f"{line}\n", ""), "utf-8")
    assert exposure(unit) > strong


def test_the_unit_is_clean(unit: Path) -> None:
    """systemd has no complaint about any line."""
    checked = analyze("verify", "--man=no", unit)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_wrong_line_is_seen(unit: Path) -> None:
    """A line that systemd does not know is told, so that no word above is merely passed over."""
    unit.write_text(unit.read_text("utf-8").replace("ProtectClock=", "ProtectClocks="), "utf-8")
    assert "ProtectClocks" in analyze("verify", "--man=no", unit).stderr


def test_no_placeholder_is_left(unit: Path) -> None:
    """What the installation puts in is all that is to be put in."""
    assert re.findall(r"@[A-Z]+@", unit.read_text("utf-8")) == []


def test_the_settings_are_ones_that_there_are() -> None:
    """Each variable in the file of settings is a flag's, with a value that the flag takes."""
    text = (SYSTEMD / "layerstore-exporter.env").read_text("utf-8")
    told = dict(re.findall(r"^#(LAYERSTORE_\w+)=(.*)$", text, re.MULTILINE))
    options = (*settings.READING, *settings.SERVING, *settings.LOGGING)
    known = {option.variable: option.parse for option in options} | {settings.VOLUMES_VARIABLE: str}
    assert told != {}
    assert told.keys() - known.keys() == set()
    for variable, value in told.items():
        known[variable](value)


def test_installations_are_made_of_what_the_project_asks_for() -> None:
    """Every dependency is pinned, by a version that the project takes, with hashes; make lock renews them."""
    lock = (REPOSITORY / "deploy/requirements.txt").read_text("utf-8")
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==([^\s;]+)(?: ; [^\\]+)? \\\n +--hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    )
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for line in project["dependencies"]:
        wanted = Requirement(line)
        version = pinned.get(wanted.name.lower(), "none")
        assert version != "none", f"{wanted.name} is not in deploy/requirements.txt: make lock"
        assert wanted.specifier.contains(version), f"{wanted} is pinned to {version}: make lock"
