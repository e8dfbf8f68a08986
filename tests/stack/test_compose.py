"""The files that ``deploy/compose.yaml`` hands to Prometheus, Alertmanager and Grafana."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.requirements import required

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
COMPOSE = DEPLOY / "compose.yaml"

pytestmark = pytest.mark.stack


def mounts() -> dict[str, Path]:
    """The repository's files and directories by where they are mounted read-only."""
    found = re.findall(r"^ +- (\.\S+):(/\S+):ro$", COMPOSE.read_text("utf-8"), re.MULTILINE)
    return {target: (DEPLOY / source).resolve() for source, target in found}


def check(tool: str, *arguments: str | Path) -> str:
    """What the tool says; it must be content."""
    done = subprocess.run([required(tool), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """Laid out as in the container, the configuration is valid and finds the rules."""
    for target, source in mounts().items():
        if target.startswith("/etc/prometheus/"):
            shutil.copy(source, tmp_path / Path(target).name)
    assert "1 rule files found" in check("promtool", "check", "config", tmp_path / "prometheus.yaml")


def test_alertmanager_takes_its_configuration() -> None:
    """The configuration is valid."""
    assert "SUCCESS" in check("amtool", "check-config", mounts()["/etc/alertmanager/alertmanager.yaml"])


def test_grafana_finds_the_dashboards() -> None:
    """The directory that Grafana is told to load is the one that holds the dashboards, and each mount exists."""
    provider = (REPOSITORY / "grafana/provisioning/dashboards/layerstore.yaml").read_text("utf-8")
    (told,) = re.findall(r"^ +path: (\S+)$", provider, re.MULTILINE)
    assert mounts()[told] == REPOSITORY / "grafana" / "dashboards"
    assert [source for source in mounts().values() if not source.exists()] == []
