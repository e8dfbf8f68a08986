"""A small Debian to install into, and the Python packages that an installation is made of: fetched once a test run."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.engine.processes import run
from tests.requirements import missing, required, required_root

SUITE, PYTHON = "bookworm", "3.11"
"""The release, and the version of Python that it has."""
PACKAGES = ("python3", "python3-venv", "procps", "systemd", "systemd-sysv")
TREE = "LAYERSTORE_DEBIAN"
"""Names a tree that was made before: it spares who runs these tests again and again a minute each time."""
LOCK = Path(__file__).parents[2] / "deploy" / "requirements.txt"
BUILD = ("hatchling>=1.27", "pip", "setuptools")
"""What a wheel of the project is built with, and pip, for those who do not take their system's."""


def make_debian(tree: Path) -> None:
    """Make a small Debian with Python and systemd. Takes the better part of a minute."""
    required_root()
    include = f"--include={','.join(PACKAGES)}"
    run(required("debootstrap"), "--variant=minbase", include, SUITE, str(tree), seconds=600)
    shutil.rmtree(tree / "var/cache/apt/archives")
    shutil.rmtree(tree / "var/lib/apt/lists")


def fetch_wheels(directory: Path) -> None:
    """Fetch what ``deploy/requirements.txt`` pins, for that Debian, and what builds the project's own wheel."""
    machine = platform.machine()
    kinds = ("cp311", "abi3", "none")
    target = [
        f"--python-version={PYTHON}",
        "--implementation=cp",
        *(f"--abi={kind}" for kind in kinds),
        *(f"--platform={platform}_{machine}" for platform in ("manylinux2014", "manylinux_2_28")),
    ]
    for wanted in ([f"--requirement={LOCK}"], BUILD):
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        fetched = subprocess.run(
            [*download, "--only-binary=:all:", f"--dest={directory}", *target, *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode != 0:
            missing(f"packages to install cannot be fetched: {fetched.stderr.strip()[-500:]}")
