"""A small engine root for each test to damage."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.hosts import NOBODY, Host, build_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A small engine root that belongs to whoever runs the tests."""
    return build_host(tmp_path / "docker")


@pytest.fixture
def open_host() -> Iterator[Host]:
    """The same, of which everything can be read without privileges, until a mode is taken away."""
    above = Path(tempfile.mkdtemp())
    try:
        host = build_host(above / "docker")
        if os.geteuid() == 0:
            for directory, _, files in os.walk(above):
                for path in (directory, *(f"{directory}/{name}" for name in files)):
                    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        yield host
    finally:
        shutil.rmtree(above)
