"""A random life of an engine, compared after each step."""

import os
from collections import Counter
from random import Random, SystemRandom

from tests.engine.agreement import agree, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.sequence import Life

STEPS = int(os.environ.get("LAYERSTORE_STEPS", "60"))
SEED = os.environ.get("LAYERSTORE_SEED")


def test_every_step_of_a_random_life(own_docker: Docker, tell: Tell) -> None:
    """After each step of a random sequence every size, count, name and state is the engine's; nothing is wrong.

    ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_STEPS`` makes it longer.
    """
    seed = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    survey = survey_of(own_docker)
    life = Life(docker=own_docker, random=Random(seed))  # noqa: S311 - to be repeated
    compared: Counter[str] = Counter(steps=STEPS)
    try:
        for _ in range(STEPS):
            life.step()
            compared += agree(own_docker, survey)
    except BaseException as error:
        error.add_note(f"LAYERSTORE_SEED={seed}, after {len(life.story)} steps:\n" + "\n".join(life.story))
        raise
    tell(Counter({f"seed {seed}": 1}))
    tell(compared)
