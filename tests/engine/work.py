"""What an engine is kept busy with while it is scanned."""

import os
import threading
import time
from collections.abc import Sequence

from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build

CYCLES = int(os.environ.get("LAYERSTORE_CYCLES", "5"))
"""How often each of the workers pulls, builds, runs and removes: ten operations each time."""

WRITING = "mkdir /data; for i in $(seq 200); do echo $i > /data/$i; done; rm -r /srv; exec sleep 86400"


def push_one(docker: Docker, registry: Registry, number: int) -> str:
    """An image in the registry that shares all layers but one with the others there; the engine keeps none of it."""
    name = f"{registry.address}/pulled{number}"
    image = build(docker, f"{BASE}\nRUN head -c 3000000 /dev/urandom > /srv/{number}", tag=name)
    docker.cli("push", "--quiet", name)
    docker.cli("rmi", "--force", image)
    return name


def work(docker: Docker, worker: str, pulled: Sequence[str]) -> int:
    """Operations of all sorts, ``CYCLES`` times; how many there were. Some images and a container stay.

    A machine that takes longer than eight seconds for each time makes fewer of them.

    Each worker has images of its own: one must not remove what another is about to use, but for layers.
    """
    operations = 0
    deadline = time.monotonic() + 8 * CYCLES
    base = BASE.replace("FROM scratch", f"FROM scratch\nLABEL worker={worker}")

    def do(*command: str) -> None:
        nonlocal operations
        operations += 1
        docker.cli(*command)

    for cycle in range(CYCLES):
        if time.monotonic() > deadline:
            break
        name, container = pulled[cycle % len(pulled)], f"{worker}-{cycle}"
        do("pull", "--quiet", name)
        do("create", f"--name={worker}-made", "--network=none", name, "true")
        do("rm", f"{worker}-made")
        do("rmi", name)
        for buildkit in (False, True):
            dockerfile = f"{base}\nRUN echo {cycle}{buildkit} > /srv/new"
            build(docker, dockerfile, tag=f"{worker}:{buildkit}", buildkit=buildkit)
            operations += 1
        do("run", "--detach", f"--name={container}", "--network=none", f"{worker}:True", "sh", "-c", WRITING)
        do("tag", f"{worker}:True", f"{worker}:{cycle}")
        if cycle > 0:
            do("rm", "--force", f"{worker}-{cycle - 1}")
            do("rmi", f"{worker}:{cycle - 1}")
    return operations


def hurry(docker: Docker, image: str, done: threading.Event, *, at_least: int) -> int:
    """Make and remove containers and images as fast as the engine does it, until ``done``; how many operations."""
    operations = 0
    while not done.is_set() or operations < at_least:
        container = docker.api("/containers/create", method="POST", body={"Image": image, "Cmd": ["true"]})["Id"]
        docker.api(f"/commit?container={container}&repo=hurried", method="POST")
        docker.api(f"/images/{image}/tag?repo=hurried&tag=other", method="POST")
        docker.api(f"/containers/{container}", method="DELETE")
        docker.api("/images/hurried:latest", method="DELETE")
        docker.api("/images/hurried:other", method="DELETE")
        operations += 6
    return operations
