"""Hints, and when they are due."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.watch.hints import Debounce, Hint, Hints

LAYERS, CONTAINERS = Hint(directory="/r/layerdb"), Hint(directory="/r/containers")
LONG = 30.0
"""Seconds that no test waits, unless what it waits for does not come."""


def after(*hints: float) -> float | None:
    """When a burst of hints at these times is due."""
    debounce = Debounce()
    for now in hints:
        debounce.hint(now)
    return debounce.due()


def test_without_a_hint_nothing_is_due() -> None:
    """No hint, no due time."""
    assert after() is None


def test_one_hint_is_due_half_a_second_later() -> None:
    """A single change waits for more of its kind, but not long."""
    assert after(100.0) == 100.5


def test_each_hint_puts_the_burst_off() -> None:
    """A burst is due half a second after its last hint."""
    assert after(100.0, 100.3, 100.7) == 101.2


def test_a_burst_without_end_is_due_two_seconds_after_its_first_hint() -> None:
    """An engine that is never quiet is scanned all the same."""
    assert after(*(100.0 + i / 10 for i in range(100))) == 102.0


def test_a_hint_after_the_burst_was_taken_begins_another() -> None:
    """Taken means taken: nothing is due until the next hint."""
    debounce = Debounce()
    debounce.hint(100.0)
    debounce.taken()
    assert debounce.due() is None
    debounce.hint(103.0)
    assert debounce.due() == 103.5


@given(st.lists(st.floats(0, 1e9), min_size=1).map(sorted))
def test_a_burst_is_due_between_its_first_hint_and_two_seconds_after(times: list[float]) -> None:
    """Whatever the hints' times: after the first, within two seconds of it, within 0.5 of the last."""
    due = after(*times)
    assert due is not None
    assert times[0] < due <= times[0] + 2.0
    assert due <= times[-1] + 0.5


def quick() -> Hints:
    return Hints(debounce=Debounce(quiet=0.01, longest=0.05))


@contextmanager
def later(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(seconds, call)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_a_hint_ends_the_wait_of_another_thread() -> None:
    """The loop sleeps until a watching thread has a hint; then it knows where from."""
    hints = quick()
    with later(0.05, lambda: hints.put(LAYERS)):
        assert hints.wait(LONG)
    assert hints.last == {LAYERS}


def test_hints_that_came_before_the_wait_are_not_lost() -> None:
    """What came while the loop was scanning ends the next wait, once."""
    hints = quick()
    for hint in (LAYERS, CONTAINERS, LAYERS):
        hints.put(hint)
    assert hints.wait(LONG)
    assert hints.last == {LAYERS, CONTAINERS}
    assert not hints.wait(0.0)
    assert hints.last == frozenset()


def test_without_hints_the_wait_ends_with_its_time() -> None:
    """No hint: the wait lasts as long as it was told to."""
    started = time.monotonic()
    assert not quick().wait(0.05)
    assert time.monotonic() - started >= 0.05


def test_hints_that_are_not_due_stay() -> None:
    """A wait that ends before the burst is due leaves it for the next."""
    hints = Hints(debounce=Debounce(quiet=0.05, longest=1.0))
    hints.put(LAYERS)
    assert not hints.wait(0.0)
    assert hints.wait(LONG)
    assert hints.last == {LAYERS}


def test_a_wake_ends_the_wait_without_a_hint() -> None:
    """Whoever stops the program ends the wait, the present one or the next, and only that one."""
    hints = quick()
    with later(0.05, hints.wake):
        assert not hints.wait(LONG)
    hints.wake()
    started = time.monotonic()
    assert not hints.wait(LONG)
    assert time.monotonic() - started < LONG / 2
    hints.put(LAYERS)
    assert hints.wait(LONG)


def test_a_signal_handler_may_wake() -> None:
    """SIGTERM arrives in the very thread that waits; its handler ends the wait, and cannot lock itself out."""
    hints = quick()
    before = signal.signal(signal.SIGUSR1, lambda *_: hints.wake())
    try:
        with later(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1)):
            assert not hints.wait(LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("waits", [True, False])
def test_ten_thousand_hints_are_held_as_one(waits: bool) -> None:
    """Neither hints nor the rings that announce them pile up, whether the loop waits for them or is busy."""
    hints = Hints(debounce=Debounce(quiet=0.0, longest=0.0))
    for _ in range(10_000):
        hints.put(LAYERS)
        if waits:
            assert hints.wait(LONG)
    assert hints.wait(0.0) is not waits
    assert hints._bell.qsize() == 0
