"""Trees that need a filesystem with wider bounds than ext4's: one in memory.

``LAYERSTORE_SCALE=1`` gives a file a million names; by default it has a tenth of that, still more than ext4 allows.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.measure.pair import measure_all
from exporter.measure.tracker import Tracker
from exporter.measure.usage import Usage
from exporter.measure.walk import measure
from tests.unit.measure.trees import by_system, remove

NAMES = int(1_000_000 * float(os.environ.get("LAYERSTORE_SCALE", "0.1")))
IN_A_DIRECTORY = 10_000
LARGEST = (1 << 63) - 1


@pytest.fixture
def memory() -> Iterator[Path]:
    """The top of a tree in memory."""
    try:
        root = Path(tempfile.mkdtemp(prefix="layerstore-measure-", dir="/dev/shm"))
    except OSError as error:
        pytest.skip(f"there is no filesystem in memory: {error}")
    yield root
    remove(root)


def test_a_file_with_very_many_names_counts_once(memory: Path) -> None:
    """In a walk, by two processes that share it, and in full and quick passes, which see a name come and go."""
    (memory / "file").write_bytes(b"x" * 5000)
    for number in range(NAMES):
        if number % IN_A_DIRECTORY == 0:
            (memory / f"{number}").mkdir()
        os.link(memory / "file", memory / f"{number - number % IN_A_DIRECTORY}" / f"{number}")
    directories = 1 + NAMES // IN_A_DIRECTORY
    expected = Usage(size=5000, allocated=8192, inodes=1 + directories)
    walked = measure(str(memory))
    assert (walked.usage, walked.links) == (expected, NAMES + 1)
    assert [walked] == measure_all([str(memory)], patience=0.0)
    tracker = Tracker(str(memory), clock=time.time)
    assert tracker.full().walked == walked
    os.link(memory / "file", memory / "one more")
    assert tracker.quick().walked.links == NAMES + 2
    (memory / "0" / "0").unlink()
    again = tracker.quick().walked
    assert (again.usage, again.links) == (expected, NAMES + 1)


def test_a_file_of_the_largest_size_there_is(memory: Path) -> None:
    """8 EiB less one byte, and nothing allocated; several of them are more than any machine word holds."""
    for name in ("a", "b", "c"):
        with (memory / name).open("wb") as file:
            file.truncate(LARGEST)
    expected = Usage(size=3 * LARGEST, allocated=0, inodes=4)
    assert measure(str(memory)).usage == expected == by_system(memory)
    assert Tracker(str(memory), clock=time.time).full().walked.usage == expected
