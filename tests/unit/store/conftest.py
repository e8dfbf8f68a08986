"""A small engine root for each test to damage."""

from pathlib import Path

import pytest

from tests.unit.store.hosts import Host, build_host, give_away


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A small engine root that belongs to whoever runs the tests."""
    return build_host(tmp_path / "docker")


@pytest.fixture
def open_host(open_directory: Path) -> Host:
    """The same, of which everything can be read without privileges, until a mode is taken away."""
    host = build_host(open_directory / "docker")
    give_away(open_directory)
    return host
