"""Random lives: told by a seed, so that one that comes out wrong can be lived again."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random, SystemRandom

from tests.engine.conftest import Tell

SEED = os.environ.get("LAYERSTORE_SEED")
"""Repeats a life."""
STEPS = os.environ.get("LAYERSTORE_STEPS")
"""Makes it longer."""


@contextmanager
def random_life(tell: Tell) -> Iterator[tuple[Random, list[str]]]:
    """Where all that is random comes from, and a list for what was done. What fails inside tells the seed and the list,
    what does not, tells the seed in the summary."""
    seed = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    story: list[str] = []
    try:
        yield Random(seed), story  # noqa: S311 - to be repeated
    except BaseException as error:
        error.add_note(f"LAYERSTORE_SEED={seed}, after {len(story)} steps:\n" + "\n".join(story))
        raise
    tell(Counter({f"seed {seed}": 1}))


def after_each_step(step: Callable[[], None], agree: Callable[[], Counter[str]], *, steps: int) -> Counter[str]:
    """Take so many steps, unless ``LAYERSTORE_STEPS`` says how many, and hold all against the engine before the first
    one and after each; what was compared."""
    taken = int(STEPS or steps)
    compared = Counter(steps=taken) + agree()
    for _ in range(taken):
        step()
        compared += agree()
    return compared
