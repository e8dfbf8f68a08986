"""What others do each minute on the same files: the engine's own figures, and a walk as cAdvisor's."""

import os
import shutil
import statistics
import time
from pathlib import Path

from tests.bench.figures import Figure, du_cpu
from tests.bench.service import cpu_of
from tests.engine.docker import DAEMON, Docker

MINUTE = 60.0
LOOKS = 3


def figures(root: Path) -> list[Figure]:
    """``docker system df`` and a walk, each as if done every minute; the former where an engine can be started."""
    walk = statistics.median(du_cpu(str(root)) for _ in range(LOOKS))
    found = [_each_minute("a walk each minute, CPU", walk, f"du -s takes {walk:.2f} s of CPU")]
    if os.geteuid() == 0 and shutil.which(DAEMON):
        with Docker(data_root=root) as docker:
            found.append(_docker_system_df(docker))
    return found


def _docker_system_df(docker: Docker) -> Figure:
    cpu, wall = [], []
    for _ in range(LOOKS):
        used, began = cpu_of(docker.daemon.pid), time.monotonic()
        docker.api("/system/df")
        wall.append(time.monotonic() - began)
        cpu.append(cpu_of(docker.daemon.pid) - used)
    seconds = statistics.median(cpu)
    told = f"it takes {seconds:.2f} s of CPU, {statistics.median(wall):.2f} s until it answers"
    return _each_minute("docker system df each minute, CPU", seconds, told)


def _each_minute(what: str, cpu: float, reference: str) -> Figure:
    return Figure(what=what, value=cpu / MINUTE * 100, unit="% of a core", reference=reference)
