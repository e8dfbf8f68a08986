"""Containers that try to hide, to lie or to burn whoever measures them, beside the running exporter.

``LAYERSTORE_SCALE=1`` makes the attacks as large as they are meant (10,000 levels, a million names of files, 300,000
files, half a million entries in a directory); by default they are about a thirtieth of that.

What is held against the exporter's figures is du(1) on the same directory, for allocated bytes and inodes, and the
engine's own ``SizeRw``, for the size. Neither is asked about a tree that still changes: there the bound is what the
attack could at most have made.
"""

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.measure.measurer import START
from exporter.rhythm import SHARE
from tests.engine.agreement import allocated
from tests.engine.attacker import attacking
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.processes import run
from tests.engine.serving import Exporter, Scrape, exporting

SCALE = float(os.environ.get("LAYERSTORE_SCALE", "0.03"))
BUDGET = 0.05
"""Share of one core. More than by default, since these tests want to see many passes in a short time."""
INTERVAL = 1.0
SETTLING = 60 + 600 * SCALE
"""Seconds in which the figures have to be right, once the tree is at rest: within the budget, that takes its time."""
SLOWEST_SCRAPE = 2.0
"""Seconds. No measure of the exporter, but of being stuck: what a scrape takes is in the summary."""

STILL = {
    "nest": max(2000, int(10_000 * SCALE)),
    "link": int(1_000_000 * SCALE),
    "inflate": 1,
    "crumble": int(300_000 * SCALE),
    "crowd": int(500_000 * SCALE),
    "name": int(6_000 * SCALE),
    "mislead": int(4_000 * SCALE),
    "lurk": int(2_000 * SCALE),
}
"""Trees that are at rest once they are made, and how much of each."""

MOVING = {"swap": 50, "append": 0, "grow": int(2_000_000 * SCALE), "reshape": 20}
"""Trees that change all the time, and how much of each."""
MOVED_FOR = 4.0
STAYING = "mkdir -p /staying/below && head -c 300000 /dev/zero > /staying/file && ln /staying/file /staying/below/name"
"""What a container has besides, and that nobody touches."""

FIGURES = {
    "size": "layerstore_container_upper_size_bytes",
    "allocated": "layerstore_container_upper_allocated_bytes",
    "inodes": "layerstore_container_upper_inodes",
}
MEASURED = "layerstore_container_upper_measured_timestamp_seconds"
WALK_CPU = "layerstore_walk_cpu_seconds_total"


class Scraper:
    """Scrapes all the time, as a far too eager Prometheus would, and keeps the time that each took."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._scrape)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _scrape(self) -> None:
        while not self._over.wait(0.05):
            began = time.perf_counter()
            try:
                self._exporter.get("/metrics")
            except OSError as error:
                self.failures.append(str(error))
            self.seconds.append(time.perf_counter() - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The exporter, scraped all the time."""

    exporter: Exporter
    scraper: Scraper
    began: float
    """When it was started; monotonic seconds."""


def cpu_of(exporter: Exporter) -> float:
    """CPU seconds of the whole process."""
    fields = Path(f"/proc/{exporter.daemon.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def walking_cpu_of(exporter: Exporter) -> float:
    """CPU seconds of all passes that have ended."""
    return exporter.scrape().samples[WALK_CPU][frozenset()]


@pytest.fixture(scope="module")
def watched(docker: Docker) -> Iterator[Watched]:
    """One exporter for all attacks, so that each meets one that has gone through those before."""
    build(docker, BASE, tag="victim")
    began = time.monotonic()
    options = (f"--scan.interval={INTERVAL}s", f"--scan.cpu-budget={BUDGET}")
    with exporting(docker.data_root, *options) as exporter:
        scraper = Scraper(exporter)
        scraper.start()
        try:
            yield Watched(exporter=exporter, scraper=scraper, began=began)
        finally:
            scraper.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A running container."""

    docker: Docker
    container_id: str
    pid: int
    """Of its first process."""
    upper: str

    def truth(self) -> dict[str, float]:
        """What du and the engine say of its upper layer; no size, where the engine cannot tell one."""
        files = int(run("du", "-s", "--inodes", self.upper).split()[0])
        known: dict[str, float] = {"allocated": allocated(self.upper), "inodes": files}
        size = self.docker.api(f"/containers/{self.container_id}/json?size=1").get("SizeRw", 0)
        return known | ({"size": size} if size >= 0 else {})


@pytest.fixture
def victim(docker: Docker, watched: Watched) -> Iterator[Victim]:
    """A container to be attacked from within."""
    del watched
    container_id = docker.cli("run", "--detach", "--network=none", "victim", "sleep", "86400")
    inspected = docker.api(f"/containers/{container_id}/json")
    try:
        yield Victim(
            docker=docker,
            container_id=container_id,
            pid=inspected["State"]["Pid"],
            upper=inspected["GraphDriver"]["Data"]["UpperDir"],
        )
    finally:
        docker.cli("rm", "--force", container_id)


def reported(scrape: Scrape, container_id: str) -> dict[str, float]:
    """The exporter's figures of a container; none of one that was not measured yet."""
    found = {what: scrape.by("container_id", metric).get(container_id[:12]) for what, metric in FIGURES.items()}
    return {what: value for what, value in found.items() if value is not None}


def settle(watched: Watched, victim: Victim) -> tuple[dict[str, float], dict[str, float], float]:
    """What is true and what is reported, as soon as that is the same, and after how many seconds."""
    began = time.monotonic()
    while True:
        theirs = victim.truth()
        ours = reported(watched.exporter.scrape(), victim.container_id)
        waited = time.monotonic() - began
        if theirs == {what: ours[what] for what in theirs if what in ours} or waited > SETTLING:
            return theirs, {what: ours[what] for what in theirs if what in ours}, waited
        time.sleep(0.2)


@contextmanager
def costing(watched: Watched, tell: Tell, counts: Counter[str]) -> Iterator[None]:
    """Hold what must hold of the exporter under every attack, and tell what it cost."""
    first, cpu, began = len(watched.scraper.seconds), cpu_of(watched.exporter), time.monotonic()
    yield
    scrapes = watched.scraper.seconds[first:]
    slowest = statistics.quantiles(scrapes, n=100, method="inclusive")[98]
    scrape = watched.exporter.scrape()
    length = time.monotonic() - began
    counts["scrapes"] = len(scrapes)
    counts["ms_of_a_scrape_at_p99"] = round(slowest * 1000)
    counts["ms_of_the_slowest_scrape"] = round(max(scrapes) * 1000)
    counts["promille_of_a_core"] = round((cpu_of(watched.exporter) - cpu) / length * 1000)
    tell(counts)
    assert watched.scraper.failures == []
    assert slowest < SLOWEST_SCRAPE
    # After a start it may spend some seconds at once; from then on the budget holds.
    assert walking_cpu_of(watched.exporter) <= START + 2 * BUDGET * (time.monotonic() - watched.began)
    errors = scrape.samples["layerstore_scan_errors_total"]
    assert {dict(labels)["reason"] for labels, count in errors.items() if count} <= {"vanished"}


@pytest.mark.parametrize("attack", STILL)
def test_a_tree_made_to_be_measured_badly(attack: str, watched: Watched, victim: Victim, tell: Tell) -> None:
    """However deep, wide, linked, sparse or misnamed: the figures are those of du and of the engine."""
    counts: Counter[str] = Counter()
    with costing(watched, tell, counts):
        with attacking(victim.pid, attack, STILL[attack]):
            pass
        theirs, ours, waited = settle(watched, victim)
        counts["inodes"] = round(theirs["inodes"])
        counts["ms_until_right"] = round(waited * 1000)
    assert theirs == ours
    # The engine walks by whole paths, and gives up where they are longer than the kernel takes.
    assert ("size" in theirs) == (attack != "nest")


def measured_at(scrape: Scrape, victim: Victim) -> float:
    """When the exporter's figures of a container were measured, Unix seconds."""
    return scrape.by("container_id", MEASURED).get(victim.container_id[:12], 0.0)


def next_pass(watched: Watched, victim: Victim) -> dict[str, float]:
    """What is reported after a pass that began after now: the second one to end, as one may be under way."""
    scrape = watched.exporter.scrape()
    for _ in range(2):
        last = measured_at(scrape, victim)
        scrape, _ = watched.exporter.scrape_until(
            lambda scrape, last=last: measured_at(scrape, victim) > last,  # type: ignore[misc]
            seconds=SETTLING,
        )
        assert measured_at(scrape, victim) > last
    return reported(scrape, victim.container_id)


@pytest.mark.parametrize("attack", MOVING)
def test_a_tree_that_changes_while_it_is_measured(attack: str, watched: Watched, victim: Victim, tell: Tell) -> None:
    """While it changes each walk ends, nothing outside of it is ever counted, and nothing lacks that stays in place; at
    rest its figures are right with the next pass."""
    counts: Counter[str] = Counter()
    seen: list[dict[str, float]] = []
    passes = set()
    victim.docker.cli("exec", victim.container_id, "sh", "-c", STAYING)
    staying, ours, _ = settle(watched, victim)
    assert staying == ours
    with costing(watched, tell, counts):
        with attacking(victim.pid, attack, MOVING[attack]) as running:
            until = time.monotonic() + MOVED_FOR
            while time.monotonic() < until:
                scrape = watched.exporter.scrape()
                seen.append(reported(scrape, victim.container_id))
                passes.add(measured_at(scrape, victim))
                time.sleep(0.1)
        began = time.monotonic()
        ours = next_pass(watched, victim)
        theirs = victim.truth()
        counts["inodes"] = round(theirs["inodes"])
        counts["done"] = running.done
        counts["passes_meanwhile"] = len(passes)
        counts["ms_until_right"] = round((time.monotonic() - began) * 1000)
    assert theirs == ours
    assert len(passes) > 1
    least = {what: min(figures[what] for figures in seen) for what in FIGURES}
    assert all(least[what] >= staying[what] for what in FIGURES), (least, staying)
    assert max(figures["inodes"] for figures in seen) <= theirs["inodes"]


def test_a_deleted_file_that_is_open(watched: Watched, victim: Victim, tell: Tell) -> None:
    """No walk can see it, neither du's nor the engine's: the figures lack exactly what the holder of the file holds."""
    hidden = 32 << 20
    counts: Counter[str] = Counter()
    with costing(watched, tell, counts), attacking(victim.pid, "hide", hidden) as running:
        theirs, ours, _ = settle(watched, victim)
        held = [file.stat().st_blocks * 512 for file in Path(f"/proc/{running.pid}/fd").iterdir() if file.is_file()]
        counts["bytes_hidden"] = max(held)
    assert theirs == ours
    assert ours["allocated"] < hidden <= max(held)


def test_what_is_spent_stays_within_the_budget(docker: Docker, victim: Victim, tell: Tell) -> None:
    """A directory that must be read again in every pass could burn a core, with ten passes a second wanted: measuring
    takes its share, and all else no more than its own."""
    budget, length = 0.01, 20.0
    with attacking(victim.pid, "crowd", 20_000):
        pass
    with exporting(docker.data_root, "--scan.interval=100ms", f"--scan.cpu-budget={budget}") as exporter:
        # The first pass is what a start may spend more on.
        scrape, _ = exporter.scrape_until(lambda scrape: bool(reported(scrape, victim.container_id)), seconds=30)
        assert reported(scrape, victim.container_id) != {}
        walked, used = walking_cpu_of(exporter), cpu_of(exporter)
        time.sleep(length)
        walked, used = walking_cpu_of(exporter) - walked, cpu_of(exporter) - used
    tell(Counter(ms_of_cpu_for_walking=round(walked * 1000), ms_of_cpu=round(used * 1000), seconds=round(length)))
    assert 0 < walked <= 2 * budget * length
    # Reading records and publishing reports may take their shares too.
    assert used <= (2 * budget + 2 * SHARE) * length
