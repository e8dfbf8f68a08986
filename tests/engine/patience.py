"""Waiting for an engine that goes on with its work after it has told its client that it is done.

A busy machine takes its time, so there is plenty of it; and what is true in the end has to be true as a whole.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds until what should come at once has to be there, on a machine that has much else to do."""
PAUSE = 0.1
"""Seconds between two attempts."""


def until_it_holds(compare: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """What *compare* gives, as soon as it raises nothing. When the time is up, what it raises is raised: it may have
    caught the engine in the middle of something once, but not for so long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return compare()
        except Exception:
            if time.monotonic() > deadline:
                raise
        time.sleep(PAUSE)


def at_rest(ask: Callable[[], T], *, quiet: float = 0.3) -> T:
    """What *ask* says once it says the same again *quiet* seconds later. Where it raises something, what it looked at
    went under its hands, and it is asked again."""

    def twice() -> T:
        before = ask()
        time.sleep(quiet)
        after = ask()
        assert before == after, f"it does not come to rest: {before}, then {after}"
        return after

    return until_it_holds(twice)
