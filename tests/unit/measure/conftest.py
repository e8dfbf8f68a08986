"""Where hostile trees are built."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.measure.tracker import Tracker
from tests.unit.measure.trees import Ahead, remove


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that may be filled with anything, and is removed by means that cope with it."""
    path = Path(tempfile.mkdtemp(prefix="layerstore-measure-"))
    yield path
    remove(path)


@pytest.fixture
def top(root: Path) -> Path:
    """The tree to measure: beside it, a container could reach nothing."""
    path = root / "diff"
    path.mkdir()
    return path


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def tracker(top: Path, clock: Ahead) -> Tracker:
    return Tracker(str(top), clock=clock)
