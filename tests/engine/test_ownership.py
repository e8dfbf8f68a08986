"""Whose every storage directory is, on a real engine: nothing live is an orphan, and every real orphan is found."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from exporter.account.owners import DRIVER_DIRECTORY, Owner, Ownership
from exporter.measure.walk import measure
from exporter.store.buildkit import BuildCacheReader
from exporter.store.catalog import CacheID, ProblemKind, Store
from exporter.store.detect import Root
from exporter.survey import RecordSurvey
from tests.engine.agreement import allocated
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.processes import ProcessError

STEPS = int(os.environ.get("LAYERSTORE_CRASH_STEPS", "14"))
SEED = os.environ.get("LAYERSTORE_SEED")
LONG_AGO = 1_600_000_000


LEFT_BY_CRASHES = frozenset(
    {ProblemKind.STALE_WRITE_SET, ProblemKind.REMOVING_LEFT_OVER, ProblemKind.MOUNT_WITHOUT_CONTAINER}
)
"""What is wrong with a store because its engine died, and stays so."""


class Observer:
    """Sees one engine's store again and again, as the daemon does, and holds what it says against the disk."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self._records = RecordSurvey([Root(path=str(docker.data_root))])
        self._cache = BuildCacheReader()
        self.expected: frozenset[ProblemKind] = frozenset()
        """What may be wrong with the store."""
        self.problems: Counter[ProblemKind] = Counter()
        """What was."""
        self.compared: Counter[str] = Counter()

    @property
    def directory(self) -> Path:
        return self._docker.data_root / "overlay2"

    def look(self) -> tuple[Store, Ownership]:
        (store,) = self._records.catalog().stores
        return store, self._records.ownership[store.name]

    def agree(self) -> Ownership:
        """Every entry has one owner, all owners together have what du says, and nothing that is live is an orphan."""
        self._settle()
        store, ownership = self.look()
        self.problems = Counter(problem.kind for problem in store.problems)
        assert self.problems.keys() <= self.expected
        entries = {path.name for path in self.directory.iterdir()}
        assert entries == set(ownership.owners) - {DRIVER_DIRECTORY}
        assert sum(ownership.counts().values()) == len(entries)
        measured = self.measure()
        assert sum(ownership.allocated(measured).values()) == allocated(str(self.directory))
        orphans = set(ownership.of(Owner.ORPHAN))
        live = self.live()
        assert not orphans & live
        assert Owner.ORPHAN not in ownership.untold
        self.compared += Counter(looks=1, directories=len(entries), live=len(live & entries), orphans=len(orphans))
        return ownership

    def _settle(self) -> None:
        """Wait until the engine has done what it still does after a client was told that it is done, or has gone."""
        deadline, before = time.monotonic() + 20, -1
        while (now := allocated(str(self.directory))) != before and time.monotonic() < deadline:
            before = now
            time.sleep(0.2)

    def measure(self) -> dict[CacheID, int]:
        """Every entry of the driver's directory, and that directory itself."""
        return {
            DRIVER_DIRECTORY: self.directory.lstat().st_blocks * 512,
            **{
                CacheID(path.name): measure(str(path)).usage.allocated
                if path.is_dir()
                else path.lstat().st_blocks * 512
                for path in self.directory.iterdir()
            },
        }

    def live(self) -> set[str]:
        """All directories that the engine tells of itself, or that its records name as they lie on the disk."""
        return {*self._told(), *self.recorded()}

    def _told(self) -> Iterator[str]:
        api = self._docker.api
        for image in api("/images/json?all=1"):
            yield from _names(api(f"/images/{image['Id']}/json")["GraphDriver"]["Data"])
        for container in api("/containers/json?all=1"):
            yield from _names(api(f"/containers/{container['Id']}/json")["GraphDriver"]["Data"])

    def recorded(self) -> set[str]:
        """By files alone; the builder's database is read by the one reader that there is for it."""
        layerdb = self._docker.data_root / "image/overlay2/layerdb"
        files = [*layerdb.glob("sha256/*/cache-id"), *layerdb.glob("mounts/*/*-id")]
        cache = self._cache.read(str(self._docker.data_root))
        assert cache.complete
        return {file.read_text() for file in files} | set(cache.known_directories)

    def leaked(self) -> set[str]:
        """What lies there without a record."""
        return {path.name for path in self.directory.iterdir() if path.name != "l"} - self.recorded()


def _names(data: dict[str, str] | None) -> Iterator[str]:
    for paths in (data or {}).values():
        yield from (Path(path).parent.name for path in paths.split(":"))


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


def plant(directory: Path, number: int, *, made: float) -> CacheID:
    """A storage directory as a pull leaves it that the engine did not survive."""
    name, link = f"{number:064x}", f"{number:026d}"
    (directory / name / "diff/usr").mkdir(parents=True)
    (directory / name / "diff/usr/file").write_bytes(os.urandom(100_000 * (number + 1)))
    (directory / "l" / link).symlink_to(f"../{name}/diff")
    (directory / name / "link").write_text(link)
    os.utime(directory / name / "link", (made, made))
    return CacheID(name)


# A random life with crashes


def test_crashes(own_docker: Docker, registry: Registry, tell: Tell) -> None:
    """Builds, prunes, aborted pulls, and power cuts during pull, build and removal: after each step nothing live is an
    orphan, and after each restart exactly what the crash left is. Deleting it takes nothing from the engine.

    ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_CRASH_STEPS`` makes it longer.
    """
    seed = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    life = CrashLife(own_docker, registry, Random(seed))  # noqa: S311 - to be repeated
    try:
        life.live(STEPS)
    except BaseException as error:
        error.add_note(f"LAYERSTORE_SEED={seed}, after:\n" + "\n".join(life.story))
        raise
    tell(Counter({f"seed {seed}": 1}))
    tell(life.observer.compared + life.crashed)
    assert life.crashed["leaked_directories"] > 0


@dataclass
class CrashLife:
    """One engine, and what was done to it."""

    docker: Docker
    registry: Registry
    random: Random
    story: list[str] = field(default_factory=list)
    crashed: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)
    """Containers that wrote a file ``x``."""
    number: int = 0

    def __post_init__(self) -> None:
        self.observer = Observer(self.docker)
        self.observer.expected = LEFT_BY_CRASHES

    def live(self, steps: int) -> None:
        self._prepare()
        acts: list[Callable[[], str]] = [
            self._classic,
            self._buildkit,
            self._run,
            self._prune_builder,
            self._prune_images,
            self._aborted_pull,
        ]
        crashes: list[Callable[[], str]] = [
            self._crash_in_pull,
            self._crash_in_classic_build,
            self._crash_in_buildkit,
            self._crash_in_removal,
        ]
        plan = [*crashes, *self.random.choices(acts, k=max(0, steps - len(crashes)))]
        self.random.shuffle(plan)
        for act in plan:
            self.story.append(act())
            self.observer.agree()
        self._delete_orphans()

    def _prepare(self) -> None:
        self.pulled = f"{self.registry.address}/large"
        dockerfile = f"{BASE}\nRUN head -c 90000000 /dev/urandom > /large\nRUN head -c 60000000 /dev/urandom > /larger"
        image = build(self.docker, dockerfile, tag=self.pulled)
        self.docker.cli("push", "--quiet", self.pulled)
        self.docker.cli("rmi", "--force", image)
        build(self.docker, BASE, tag="base")
        self.observer.agree()

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _dockerfile(self) -> str:
        return f"FROM base\nRUN echo {self._next()} > /new && head -c 300000 /dev/urandom > /data\nCOPY busybox /again"

    def _classic(self) -> str:
        build(self.docker, self._dockerfile(), tag=f"classic{self.number % 3}")
        return "classic build"

    def _buildkit(self) -> str:
        build(self.docker, self._dockerfile(), tag=f"buildkit{self.number % 3}", buildkit=True)
        return "BuildKit build"

    def _run(self) -> str:
        name = f"c{self._next()}"
        self.docker.cli("run", f"--name={name}", "--network=none", "base", "sh", "-c", "echo x > /x")
        self.made.append(name)
        return f"run {name}"

    def _prune_builder(self) -> str:
        self.docker.cli("builder", "prune", "--force", *self.random.choice([(), ("--all",)]))
        return "builder prune"

    def _prune_images(self) -> str:
        self.docker.cli("image", "prune", "--force")
        return "image prune"

    def _aborted_pull(self) -> str:
        with self._meanwhile("pull", self.pulled) as client:
            self._wait_for_new_directory()
            client.kill()
        return "pull aborted by the client"

    def _crash_in_pull(self) -> str:
        with self._meanwhile("pull", self.pulled):
            self._wait_for_new_directory()
            self._power_cut()
        return "power cut in a pull"

    def _crash_in_classic_build(self) -> str:
        return self._crash_in_build(buildkit=False)

    def _crash_in_buildkit(self) -> str:
        return self._crash_in_build(buildkit=True)

    def _crash_in_build(self, *, buildkit: bool) -> str:
        dockerfile = f"{self._dockerfile()}\nRUN head -c 50000000 /dev/urandom > /more && sleep 30"
        failed = threading.Thread(target=self._build_that_fails, args=(dockerfile, buildkit))
        before = len(list(self.observer.directory.iterdir()))
        failed.start()
        deadline = time.monotonic() + 10
        while len(list(self.observer.directory.iterdir())) < before + 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(self.random.uniform(0, 0.5))
        self._power_cut()
        failed.join()
        return f"power cut in a build by {'BuildKit' if buildkit else 'the classic builder'}"

    def _build_that_fails(self, dockerfile: str, buildkit: bool) -> None:
        with contextlib.suppress(ProcessError):
            build(self.docker, dockerfile, buildkit=buildkit)

    def _crash_in_removal(self) -> str:
        many = "mkdir /many; i=0; while [ $i -lt 4000 ]; do : > /many/$i; i=$((i+1)); done"
        container = self.docker.cli("run", "--detach", "--network=none", "base", "sh", "-c", many)
        self.docker.cli("wait", container)
        upper = Path(self.docker.api(f"/containers/{container}/json")["GraphDriver"]["Data"]["UpperDir"])
        with self._meanwhile("rm", container):
            deadline = time.monotonic() + 10
            while len(os.listdir(upper / "many")) == 4000 and time.monotonic() < deadline:
                pass
            self._power_cut()
        return "power cut in a removal"

    @contextlib.contextmanager
    def _meanwhile(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of the client's, which may fail."""
        with self.docker.client(*command) as client:
            yield client
            client.wait(30)

    def _wait_for_new_directory(self) -> None:
        """Until the engine makes a directory that no record names, and a while longer, but not until it is recorded."""
        deadline = time.monotonic() + 20
        while not self.observer.leaked() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(self.random.uniform(0, 0.05))

    def _power_cut(self) -> None:
        """End the engine at once and start it again; then everything that it left without a record is an orphan."""
        self.docker.kill()
        left = self.observer.leaked()
        # What was made just before the engine started may be the new one's.
        time.sleep(1.0)
        self.docker.start()
        self.observer.look()
        ownership = self.observer.agree()
        assert left & self.observer.leaked() == set(ownership.of(Owner.ORPHAN))
        self.crashed += Counter(power_cuts=1, leaked_directories=len(left))

    def _delete_orphans(self) -> None:
        """What is called an orphan can be deleted: everything still works, also after a restart, and none is left."""
        ownership = self.observer.agree()
        for name in ownership.of(Owner.ORPHAN):
            link = self.observer.directory / "l" / (self.observer.directory / name / "link").read_text()
            link.unlink(missing_ok=True)
            shutil.rmtree(self.observer.directory / name)
        for restarted in (False, True):
            if restarted:
                self.docker.stop()
                self.docker.start()
            for image in self.docker.api("/images/json"):
                self.docker.cli("run", "--rm", "--network=none", image["Id"], "true")
            for made in self.made:
                self.docker.api(f"/containers/{made}/archive?path=/x", method="HEAD")
            self._buildkit()
            self.observer.look()
            assert self.observer.agree().of(Owner.ORPHAN) == ()
