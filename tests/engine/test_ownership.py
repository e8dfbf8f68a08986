"""Whose every storage directory is, on a real engine: nothing live is an orphan, and every real orphan is found."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.account.owners import Owner
from tests.engine.agreement import allocated
from tests.engine.conftest import Tell
from tests.engine.crashes import CrashLife
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.lives import random_life
from tests.engine.observer import LONG_AGO, Observer, plant
from tests.engine.processes import run
from tests.engine.serving import REPOSITORY

STEPS = int(os.environ.get("LAYERSTORE_CRASH_STEPS", "14"))


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


HIDDEN = "unshare --pid --fork --mount-proc --mount --propagation"
"""A process namespace of its own, in which the engine's process cannot be seen, as in a container."""


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("exec {command}", "orphan"),
        (f"exec {HIDDEN} private {{command}}", "suspect"),
        (f"mount --rbind {{root}} {{root}} && mount --make-rshared {{root}} && {HIDDEN} slave {{command}}", "orphan"),
    ],
    ids=["on the host", "in a container", "in a container with rslave"],
)
def test_where_mounts_can_be_seen(shared: Docker, place: str, expected: str) -> None:
    """In a container that does not see what the engine mounts, nothing is an orphan, and there is no figure of them."""
    orphan = f"{7:064x}"
    command = (
        f"env PYTHONPATH={REPOSITORY} {sys.executable} -m exporter {{}} --json --path.docker-root={shared.data_root}"
    )

    def told(arguments: str) -> Any:
        script = place.format(root=shared.data_root, command=command.format(arguments))
        # Begins with what the engine has mounted, in a mount namespace of its own.
        engine = ("nsenter", f"--target={shared.daemon.pid}", "--mount", "--wdns=/")
        return json.loads(run(*engine, "unshare", "--mount", "--propagation", "private", "sh", "-c", script))

    (match,) = told(f"inspect {orphan}")["matches"]
    (disk,) = told("report")["disk"]
    owners = {row["owner"]: row["directories"] for row in disk["owners"]}
    assert (expected, 1 if expected == "orphan" else None) == (match["directory"]["owner"], owners["orphan"])
    assert ("orphans" in disk["reclaimable"]) == (expected == "orphan")


@pytest.fixture(scope="module")
def shared() -> Iterator[Docker]:
    """An engine with an image, a container that runs, and an orphan that lies there since before it was started."""
    with Docker() as docker:
        build(docker, BASE, tag="base")
        docker.cli("run", "--detach", "--network=none", "base", "sleep", "86400")
        plant(docker.data_root / "overlay2", 7, made=LONG_AGO)
        yield docker


def test_crashes(own_docker: Docker, registry: Registry, tell: Tell) -> None:
    """Builds, prunes, aborted pulls, restarts, and power cuts during pull, build, prune and removal: at no moment is
    anything live an orphan, or anything wrong but what crashes leave; after each restart exactly what the crash left is
    an orphan. Deleting it takes nothing from the engine.

    ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_CRASH_STEPS`` makes it longer.
    """
    with random_life(tell) as (random, story):
        life = CrashLife(own_docker, registry, random, story)
        life.watcher.start()
        try:
            life.live(STEPS)
        finally:
            life.watcher.end()
    tell(life.observer.compared + life.crashed + Counter(looks_meanwhile=life.watcher.looks))
    assert life.watcher.looks > 10 * STEPS
    assert life.crashed["leaked_directories"] > 0
