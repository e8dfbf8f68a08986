"""Trackers of containers that write at random, all at once: their quick passes against everything that can tell.

``LAYERSTORE_SEED`` chooses what is written; without it, every run writes something else.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack

from exporter.measure.tracker import Pass, Tracker
from exporter.measure.usage import Usage
from exporter.measure.walk import measure
from tests.engine.agreement import allocated
from tests.engine.attacker import attacking
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.processes import run

SEED = int(os.environ.get("LAYERSTORE_SEED") or random.SystemRandom().randrange(1_000_000))
CONTAINERS = 4
ROUNDS = 4
WRITING = 2.5
"""Seconds of each round."""


def test_quick_passes_beside_writers(docker: Docker, tell: Tell) -> None:
    """After quiet, a quick pass tells the same as a fresh walk, du, and the engine: round after round."""
    build(docker, BASE, tag="scribbled")
    command = ("run", "--detach", "--network=none", "scribbled", "sleep", "86400")
    containers = [docker.api(f"/containers/{docker.cli(*command)}/json") for _ in range(CONTAINERS)]
    uppers = {str(container["Id"]): str(container["GraphDriver"]["Data"]["UpperDir"]) for container in containers}
    trackers = {container: Tracker(upper, clock=time.time) for container, upper in uppers.items()}
    counts = Counter(seed=SEED)
    for number in range(ROUNDS):
        with ExitStack() as writers:
            running = [
                writers.enter_context(attacking(container["State"]["Pid"], "scribble", SEED + number * 100 + place))
                for place, container in enumerate(containers)
            ]
            until = time.monotonic() + WRITING
            while time.monotonic() < until:
                count(counts, {container: tracker.quick() for container, tracker in trackers.items()})
        counts["operations"] += sum(attack.done for attack in running)

        theirs, walked, tracked = at_rest(docker, uppers, trackers, counts)

        assert theirs == walked, f"LAYERSTORE_SEED={SEED}, round {number}"
        assert walked == tracked, f"LAYERSTORE_SEED={SEED}, round {number}"
    tell(counts)
    assert counts["quick_passes"] > counts["full_passes"]
    docker.cli("rm", "--force", *uppers)


Usages = dict[str, Usage]


def at_rest(
    docker: Docker, uppers: Mapping[str, str], trackers: Mapping[str, Tracker], counts: Counter[str]
) -> tuple[Usages, Usages, Usages]:
    """What the engine and du say, what a fresh walk finds, and what the trackers' next quick passes do.

    The file system allocates some time after a write; where that shows, all are asked again.
    """
    while True:
        before = told(docker, uppers)
        passes = {container: tracker.quick() for container, tracker in trackers.items()}
        walked = {container: measure(upper).usage for container, upper in uppers.items()}
        count(counts, passes)
        if before == told(docker, uppers):
            return before, walked, {container: done.walked.usage for container, done in passes.items()}


def told(docker: Docker, uppers: Mapping[str, str]) -> Usages:
    """The size by the engine, allocated bytes and inodes by du."""
    return {
        container: Usage(
            # The engine leaves out a size of 0.
            size=docker.api(f"/containers/{container}/json?size=1").get("SizeRw", 0),
            allocated=allocated(upper),
            inodes=int(run("du", "-s", "--inodes", upper).split()[0]),
        )
        for container, upper in uppers.items()
    }


def count(counts: Counter[str], passes: Mapping[str, Pass]) -> None:
    """Add passes to the counts."""
    for done in passes.values():
        counts["full_passes" if done.full else "quick_passes"] += 1
        counts["inodes"] = max(counts["inodes"], done.walked.usage.inodes)
