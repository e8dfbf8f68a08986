"""Where a measurement lets its pace have its say: there it rests, and there it can be stopped."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.measure.descent import HELD
from exporter.measure.listing import BATCH, Pace
from exporter.measure.parts import measure_parts
from exporter.measure.tracker import Tracker
from exporter.measure.walk import measure
from tests.unit.measure.trees import make_deep

LEVELS = 200

Measuring = Callable[[str, Pace], object]


def track(path: str, pace: Pace) -> object:
    return Tracker(path, clock=time.time).full(pace=pace)


def look_again(path: str, pace: Pace) -> object:
    tracker = Tracker(path, clock=time.time)
    tracker.full()
    return tracker.quick(pace=pace)


def by_part(path: str, pace: Pace) -> object:
    return measure_parts(path, top="", part_of=lambda _names, part: part, levels=1, pace=pace)


WAYS = pytest.mark.parametrize(
    "measuring", [lambda path, pace: measure(path, pace=pace), track, look_again, by_part],
    ids=["walk", "full pass", "quick pass", "parts"],
)  # fmt: skip


@WAYS
def test_on_the_way_up_too(top: Path, measuring: Measuring) -> None:
    """From below the directories that are held open, each step up costs system calls, and there may be very many."""
    make_deep(top, levels=LEVELS)
    calls: list[int] = []
    measuring(str(top), calls.append)
    assert sum(calls) >= LEVELS
    assert calls[-(LEVELS - HELD) :] == [0] * (LEVELS - HELD)


@WAYS
def test_within_a_large_directory_too(top: Path, measuring: Measuring) -> None:
    """A stop does not wait for its end."""
    for number in range(1000):
        (top / f"file{number}").touch()
    calls: list[int] = []
    measuring(str(top), calls.append)
    assert sum(calls) >= 1000
    assert max(calls) <= BATCH
