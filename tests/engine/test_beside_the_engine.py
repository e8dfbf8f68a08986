"""What exporter and engine notice of each other while both work: the one no false problem, the other nothing."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exporter.account.report import StoreReport
from exporter.measure.usage import Usage
from exporter.store.entries import ContainerID
from exporter.survey import Survey
from tests.engine.agreement import agree, allocated, problems_of, store_report, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.scanner import PAUSE, scanning_inside
from tests.engine.work import hurry, push_one, work


def test_scans_during_pulls_builds_and_removes(own_docker: Docker, registry: Registry, tell: Tell) -> None:
    """Scans at any moment of 200 pulls, builds, runs and removals end and see no problem; the one after is exact.

    One scanner goes as fast as it can; another one is so short of CPU that the engine gets far in each of its scans.
    """
    pulled = [push_one(own_docker, registry, number) for number in range(4)]
    build(own_docker, BASE, tag="base")
    survey = survey_of(own_docker)

    with scanning_inside(own_docker, starved=True) as slow, ThreadPoolExecutor(4) as threads:
        worked, done = threading.Event(), threading.Event()
        hurried = threads.submit(hurry, own_docker, "base", worked, at_least=200)
        scanning = threads.submit(scan_until, done, survey)
        workers = [threads.submit(work, own_docker, name, pulled[part::2]) for part, name in enumerate("ab")]
        try:
            operations = sum(worker.result() for worker in workers)
            worked.set()
            operations += hurried.result()
        finally:
            worked.set()
            done.set()
        scans, problems = scanning.result()

    tell(Counter(scans=scans, scans_short_of_cpu=slow["scans"], operations_meanwhile=operations))
    assert (Counter(), {}) == (problems, slow["problems"])
    assert scans > operations / 2, "too few scans for so much work to prove anything"
    tell(agree(own_docker, survey))
    assert timeless(survey) == timeless(survey_of(own_docker))


def scan_until(done: threading.Event, survey: Survey) -> tuple[int, Counter[str]]:
    """Survey again and again. How often, and every problem with the number of reports that had it."""
    scans, problems = 0, Counter[str]()
    while not done.wait(PAUSE):
        problems += problems_of(survey.report())
        scans += 1
    return scans, problems


def timeless(survey: Survey) -> tuple[object, ...]:
    """All that the next report says, but for when it was made."""
    report = survey.report()

    def uppers(store: StoreReport) -> dict[ContainerID, Usage]:
        return {container_id: upper.usage for container_id, upper in store.uppers.items()}

    return tuple(
        (
            store.store,
            store.layer_use,
            store.image_use,
            store.image_states,
            store.layer_usage,
            uppers(store),
            store.logs,
        )
        for store in report.stores
    )


def test_removal_beside_scans_in_the_same_mount_namespace(own_docker: Docker, tell: Tell) -> None:
    """Beside scans that see all its mounts the engine removes containers and images, and nothing stays behind."""
    build(own_docker, BASE, tag="base")
    with scanning_inside(own_docker) as seen:
        for cycle in range(4):
            build(own_docker, f"FROM base\nRUN echo {cycle} > /srv/cycle", tag="derived")
            own_docker.cli("run", "--detach", "--name=stopped", "--network=none", "derived", "sleep", "86400")
            own_docker.cli("run", "--detach", "--name=killed", "--network=none", "derived", "sleep", "86400")
            own_docker.cli("exec", "killed", "sh", "-c", "mkdir /d; for i in $(seq 300); do echo > /d/$i; done")
            own_docker.cli("stop", "--time=0", "stopped")
            own_docker.cli("rm", "stopped")
            own_docker.cli("rm", "--force", "killed")
            own_docker.cli("rmi", "derived")

    tell(Counter(scans=seen["scans"], removals_beside_them=4 * 3))
    assert seen["problems"] == {}
    assert seen["mounts"] > 0, "the scanner stood where no container's mount is visible"
    assert "busy" not in own_docker.daemon.log.read_text()
    store = store_report(survey_of(own_docker).report()).store
    used = {layer.cache_id for layer in store.layers.values()}
    assert {"l", *used} == set(os.listdir(own_docker.data_root / "overlay2"))


def test_nothing_is_held_open(docker: Docker) -> None:
    """Between scans no descriptor below the engine's root is held."""
    build(docker, BASE, tag="held")
    container_id = docker.cli("run", "--detach", "--network=none", "held", "sleep", "86400")

    survey = survey_of(docker)
    survey.report()

    held = [target for target in descriptors() if target.startswith(str(docker.data_root))]
    assert held == []
    docker.cli("rm", "--force", container_id)


def descriptors() -> Iterator[str]:
    """What this process holds open."""
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            # The descriptor by which the list itself was read.
            continue


def test_nothing_is_written(own_docker: Docker) -> None:
    """A report changes nothing on the engine's disk: no name, size, mode or time of any file or directory."""
    build(own_docker, BASE, tag="unchanged")
    own_docker.cli("create", "--network=none", "unchanged", "true")
    own_docker.stop()
    before = everything(own_docker.data_root)

    survey_of(own_docker).report()

    assert before == everything(own_docker.data_root)


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    """Every entry below the root, with all that a write would change. Reading may change only the time of access."""
    found: dict[str, tuple[int, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (".", *directories, *files):
            status = os.lstat(f"{directory}/{name}")
            times = (status.st_mtime_ns, status.st_ctime_ns)
            found[f"{directory}/{name}"] = (status.st_ino, status.st_mode, status.st_nlink, status.st_size, *times)
    return found


def test_a_dead_engine(own_docker: Docker, tell: Tell) -> None:
    """After a power cut the store is read as it lies there, without complaint; and again when the engine is back."""
    survey = survey_of(own_docker)
    build(own_docker, BASE, tag="cut")
    container_id = ContainerID(own_docker.cli("run", "--detach", "--network=none", "cut", "sleep", "86400"))
    own_docker.cli("exec", container_id, "sh", "-c", "echo written > /written; rm /srv/file; ln /written /linked")
    tell(agree(own_docker, survey))

    own_docker.kill()
    report = survey.report()
    dead = store_report(report)
    upper = dead.store.upper_of(container_id)
    assert upper is not None
    assert allocated(dead.store.diff_path(upper)) == dead.uppers[container_id].usage.allocated
    assert problems_of(report) == Counter()

    own_docker.start()
    tell(agree(own_docker, survey))
    assert str(store_report(survey.report()).store.containers[container_id].state) == "exited"
