"""Whose every storage directory is, on a real engine: nothing live is an orphan, and every real orphan is found."""

import os
import time
from collections import Counter
from random import Random, SystemRandom

from exporter.account.owners import Owner
from tests.engine.agreement import allocated
from tests.engine.conftest import Tell
from tests.engine.crashes import CrashLife
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.observer import LONG_AGO, Observer, plant

STEPS = int(os.environ.get("LAYERSTORE_CRASH_STEPS", "14"))
SEED = os.environ.get("LAYERSTORE_SEED")


def test_planted_orphans_are_found_after_two_scans(own_docker: Docker) -> None:
    """The first scan suspects what no record names and is older than the engine; the second one calls it an orphan,
    with the bytes that du gives it. What is younger than the engine is none until that was started again."""
    build(own_docker, BASE, tag="base")
    observer = Observer(own_docker)
    observer.agree()
    old = {plant(observer.directory, number, made=LONG_AGO) for number in range(3)}
    new = plant(observer.directory, 3, made=time.time())

    assert old == set(observer.agree().of(Owner.SUSPECT))
    ownership = observer.agree()
    assert old == set(ownership.of(Owner.ORPHAN))
    assert (new,) == ownership.of(Owner.IN_FLIGHT)
    expected = sum(allocated(str(observer.directory / name)) for name in old)
    assert expected == ownership.allocated(observer.measure())[Owner.ORPHAN]

    own_docker.stop()
    time.sleep(1.0)
    own_docker.start()
    observer.look()
    assert {*old, new} == set(observer.look()[1].of(Owner.ORPHAN))


def test_crashes(own_docker: Docker, registry: Registry, tell: Tell) -> None:
    """Builds, prunes, aborted pulls, restarts, and power cuts during pull, build, prune and removal: at no moment is
    anything live an orphan, and after each restart exactly what the crash left is. Deleting it takes nothing from the
    engine.

    ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_CRASH_STEPS`` makes it longer.
    """
    seed = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    life = CrashLife(own_docker, registry, Random(seed))  # noqa: S311 - to be repeated
    life.watcher.start()
    try:
        life.live(STEPS)
    except BaseException as error:
        error.add_note(f"LAYERSTORE_SEED={seed}, after:\n" + "\n".join(life.story))
        raise
    finally:
        life.watcher.end()
    tell(Counter({f"seed {seed}": 1}))
    tell(life.observer.compared + life.crashed + Counter(looks_meanwhile=life.watcher.looks))
    assert life.watcher.looks > 10 * STEPS
    assert life.crashed["leaked_directories"] > 0
