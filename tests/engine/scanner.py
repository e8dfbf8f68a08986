"""A process that surveys an engine's root again and again, from where an exporter stands on a real host.

It stands in the engine's own mount namespace, beside every running container's mounts. Run as ``python -m
tests.engine.scanner ROOT``, it goes on until its standard input ends, and then prints what it saw, as JSON.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from exporter.store.detect import Root
from exporter.survey import Survey
from tests.engine.agreement import problems_of
from tests.engine.docker import Docker
from tests.engine.processes import mount_points
from tests.requirements import required

PAUSE = 0.01
"""Seconds between two surveys: next to none, and enough for the engine to get on with what it is watched at."""
READY = b"ready\n"
"""What the scanner says before it begins."""


@contextmanager
def scanning_inside(docker: Docker, *, starved: bool = False) -> Iterator[dict[str, Any]]:
    """Survey the engine's root from within its mount namespace; at the end the dictionary holds what was seen.

    Args:
        starved: Let the scanner run only for moments, as one with little CPU on a busy host does. Then much happens
            in the middle of each of its scans.
    """
    enter = [required("nsenter"), f"--target={docker.daemon.pid}", "--mount", "--"]
    scan = [sys.executable, "-m", "tests.engine.scanner", str(docker.data_root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    seen: dict[str, Any] = {}
    with subprocess.Popen([*enter, *scan], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        fed = threading.Event()
        starving = threading.Thread(target=starve, args=(process.pid, fed))
        assert process.stdout is not None
        assert process.stdout.readline() == READY
        if starved:
            starving.start()
        try:
            yield seen
        finally:
            fed.set()
            if starved:
                starving.join()
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, "the scanner's own words are on standard error"
    seen.update(json.loads(output))


def starve(pid: int, fed: threading.Event) -> None:
    """Let a process run for a millisecond or two at a time, so that it stops at every point of what it does."""
    random = Random(0)  # noqa: S311 - any moments do
    while not fed.is_set():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.05))
        os.kill(pid, signal.SIGCONT)
        time.sleep(random.uniform(0, 0.002))


def main() -> None:
    (root,) = sys.argv[1:]
    survey = Survey(roots=[Root(path=root)])
    scans, mounts, problems = 0, 0, Counter[str]()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        problems += problems_of(survey.report())
        scans += 1
        mounts = max(mounts, sum(path.startswith(f"{root}/overlay2/") for path in mount_points()))
    sys.stdout.write(json.dumps({"scans": scans, "mounts": mounts, "problems": problems}))


if __name__ == "__main__":
    main()
