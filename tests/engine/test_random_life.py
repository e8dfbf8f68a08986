"""A random life of an engine, compared after each step."""

from tests.engine.agreement import agree, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, Registry
from tests.engine.lives import after_each_step, random_life
from tests.engine.sequence import Life


def test_every_step_of_a_random_life(own_docker: Docker, registry: Registry, tell: Tell) -> None:
    """From the very beginning, and after each step of a random sequence, every size, count, name and state is the
    engine's; nothing is wrong. ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_STEPS`` makes it longer."""
    survey = survey_of(own_docker)
    with random_life(tell) as (random, story):
        life = Life(docker=own_docker, random=random, registry=registry, story=story)
        tell(after_each_step(life.step, lambda: agree(own_docker, survey), steps=60))
