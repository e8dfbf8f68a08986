"""Trackers of containers that write at random, all at once: their quick passes against everything that can tell.

``LAYERSTORE_SEED`` chooses what is written; without it, every run writes something else.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

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


RESTING = 200
"""Directories that are made first."""
HOT_FOR = 4.0
"""Of trackers that let directories rest, seconds."""


def test_quick_passes_beside_writers(docker: Docker, tell: Tell) -> None:
    """After quiet, a quick pass tells the same as a fresh walk, du, and the engine: round after round."""
    containers = run_containers(docker)
    trackers = {container.id: Tracker(container.upper, clock=time.time) for container in containers}
    counts = Counter(seed=SEED)
    for number in range(ROUNDS):
        write(containers, "scribble", number, trackers, counts)

        theirs, walked, tracked = at_rest(docker, containers, lambda: quick(trackers), counts)

        assert theirs == walked, f"LAYERSTORE_SEED={SEED}, round {number}"
        assert walked == tracked, f"LAYERSTORE_SEED={SEED}, round {number}"
    tell(counts)
    assert counts["quick_passes"] > counts["full_passes"]
    docker.cli("rm", "--force", *trackers)


def test_quick_passes_where_most_of_the_tree_rests(docker: Docker, tell: Tell) -> None:
    """They read little of it, and tell the same all the same, with names, files and directories going to and fro; what
    changes in place in the part that rests is all that waits for a full pass."""
    containers = run_containers(docker)
    for container in containers:
        with attacking(container.pid, "rest", RESTING):
            pass
    time.sleep(HOT_FOR + 1)
    trackers = {container.id: Tracker(container.upper, clock=time.time, hot_for=HOT_FOR) for container in containers}
    counts = Counter(seed=SEED)
    count(counts, quick(trackers))
    for number in range(ROUNDS):
        write(containers, "stir", number, trackers, counts)

        theirs, walked, tracked = at_rest(docker, containers, lambda: quick(trackers), counts)

        assert theirs == walked, f"LAYERSTORE_SEED={SEED}, round {number}"
        assert walked == tracked, f"LAYERSTORE_SEED={SEED}, round {number}"
    assert counts["promille_looked_at_rest"] < 500, f"LAYERSTORE_SEED={SEED}"

    for container in containers:
        docker.cli("exec", container.id, "sh", "-c", "for file in /rested/*/file1; do echo more >> $file; done")
    _, walked, tracked = at_rest(docker, containers, lambda: quick(trackers), counts)
    assert all(tracked[container].inodes == walked[container].inodes for container in trackers)
    assert all(tracked[container].size < walked[container].size for container in trackers)

    write(containers, "scribble", ROUNDS, trackers, counts)
    theirs, walked, tracked = at_rest(docker, containers, lambda: full(trackers), counts)
    assert theirs == walked == tracked, f"LAYERSTORE_SEED={SEED}"
    tell(counts)
    docker.cli("rm", "--force", *trackers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A running one."""

    id: str
    pid: int
    """Of its first process."""
    upper: str


def run_containers(docker: Docker) -> list[Container]:
    build(docker, BASE, tag="scribbled")
    command = ("run", "--detach", "--network=none", "scribbled", "sleep", "86400")
    inspected = [docker.api(f"/containers/{docker.cli(*command)}/json") for _ in range(CONTAINERS)]
    return [
        Container(id=found["Id"], pid=found["State"]["Pid"], upper=found["GraphDriver"]["Data"]["UpperDir"])
        for found in inspected
    ]


def write(
    containers: Sequence[Container], attack: str, number: int, trackers: Mapping[str, Tracker], counts: Counter[str]
) -> None:
    """Let all containers write at once, in the round of this number, with quick passes meanwhile."""
    with ExitStack() as writers:
        running = [
            writers.enter_context(attacking(container.pid, attack, SEED + number * 100 + place))
            for place, container in enumerate(containers)
        ]
        until = time.monotonic() + WRITING
        while time.monotonic() < until:
            count(counts, quick(trackers))
    counts["operations"] += sum(attack.done for attack in running)


def quick(trackers: Mapping[str, Tracker]) -> dict[str, Pass]:
    return {container: tracker.quick() for container, tracker in trackers.items()}


def full(trackers: Mapping[str, Tracker]) -> dict[str, Pass]:
    return {container: tracker.full() for container, tracker in trackers.items()}


Usages = dict[str, Usage]


def at_rest(
    docker: Docker, containers: Sequence[Container], track: Callable[[], Mapping[str, Pass]], counts: Counter[str]
) -> tuple[Usages, Usages, Usages]:
    """What the engine and du say, what a fresh walk finds, and what the trackers' next passes do.

    The file system allocates some time after a write; where that shows, all are asked again.
    """
    while True:
        before = told(docker, containers)
        passes = track()
        walked = {container.id: measure(container.upper).usage for container in containers}
        count(counts, passes)
        looked = [done.looked * 1000 // done.walked.usage.inodes for done in passes.values() if not done.full]
        counts["promille_looked_at_rest"] = max(counts["promille_looked_at_rest"], *looked, 0)
        if before == told(docker, containers):
            return before, walked, {container: done.walked.usage for container, done in passes.items()}


def told(docker: Docker, containers: Sequence[Container]) -> Usages:
    """The size by the engine, allocated bytes and inodes by du."""
    return {
        container.id: Usage(
            # The engine leaves out a size of 0.
            size=docker.api(f"/containers/{container.id}/json?size=1").get("SizeRw", 0),
            allocated=allocated(container.upper),
            inodes=int(run("du", "-s", "--inodes", container.upper).split()[0]),
        )
        for container in containers
    }


def count(counts: Counter[str], passes: Mapping[str, Pass]) -> None:
    """Add passes to the counts."""
    for done in passes.values():
        counts["full_passes" if done.full else "quick_passes"] += 1
        counts["inodes"] = max(counts["inodes"], done.walked.usage.inodes)
