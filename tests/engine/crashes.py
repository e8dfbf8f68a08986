"""A random life of an engine with power cuts in it, and somebody who looks on all the time."""

import contextlib
import os
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exporter.account.owners import Owner
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.detect import Root
from exporter.store.entries import CacheID
from exporter.survey import RecordSurvey
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.observer import Observer, delete_by_hand
from tests.engine.processes import ProcessError

MANY = "mkdir /many; i=0; while [ $i -lt 4000 ]; do : > /many/$i; i=$((i+1)); done"


LEFT_BY_CRASHES = frozenset(
    {ProblemKind.STALE_WRITE_SET, ProblemKind.REMOVING_LEFT_OVER, ProblemKind.MOUNT_WITHOUT_CONTAINER}
)
_CONFIGURATION = re.compile(r".*/containers/[0-9a-f]{64}/config\.v2\.json")


def is_left_by_a_crash(problem: Problem) -> bool:
    """Whether this is wrong with a store because its engine died, and stays so. A container that was being made may
    have one of its two files only: the engine never looks at it again."""
    is_half_made = problem.kind is ProblemKind.MISSING_RECORD and _CONFIGURATION.fullmatch(problem.path) is not None
    return problem.kind in LEFT_BY_CRASHES or is_half_made


class Watcher(threading.Thread):
    """Looks at the store without a pause, whatever is done to it, and keeps all that it ever called an orphan."""

    def __init__(self, docker: Docker) -> None:
        super().__init__()
        self._docker = docker
        self._records = RecordSurvey([Root(path=str(docker.data_root))])
        self._done = threading.Event()
        self.called: set[CacheID] = set()
        self.problems: set[Problem] = set()
        """What was wrong while the engine was running, but for what crashes leave."""
        self.looks = 0

    def run(self) -> None:
        while not self._done.wait(0.05):
            was_running = self._docker.is_running
            catalog = self._records.catalog()
            if was_running and self._docker.is_running:
                wrong = (problem for store in catalog.stores for problem in store.problems)
                self.problems.update(problem for problem in wrong if not is_left_by_a_crash(problem))
            for ownership in self._records.ownership.values():
                self.called.update(ownership.of(Owner.ORPHAN))
            self.looks += 1

    def end(self) -> None:
        self._done.set()
        self.join()


@dataclass
class CrashLife:
    """One engine, and what was done to it."""

    docker: Docker
    registry: Registry
    random: Random
    story: list[str] = field(default_factory=list)
    crashed: Counter[str] = field(default_factory=Counter)
    left: set[str] = field(default_factory=set)
    """What power cuts left without a record."""
    made: list[str] = field(default_factory=list)
    """Containers that wrote a file ``x``."""
    number: int = 0

    def __post_init__(self) -> None:
        self.observer = Observer(self.docker)
        self.watcher = Watcher(self.docker)
        self.observer.is_expected = is_left_by_a_crash

    def live(self, steps: int) -> None:
        self._prepare()
        acts: list[Callable[[], str]] = [
            self._classic,
            self._buildkit,
            self._run,
            self._prune_builder,
            self._prune_images,
            self._aborted_pull,
            self._restart,
        ]
        crashes: list[Callable[[], str]] = [
            self._crash_in_pull,
            self._crash_in_classic_build,
            self._crash_in_buildkit,
            self._crash_in_removal,
            self._crash_in_image_removal,
            self._crash_in_prune,
        ]
        plan = [*crashes, *self.random.choices(acts, k=max(0, steps - len(crashes)))]
        self.random.shuffle(plan)
        for act in plan:
            self.story.append(act())
            self.observer.agree()
            assert self.watcher.called <= self.left
            assert self.watcher.problems == set()
        assert self.watcher.is_alive()
        assert self.watcher.called
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
        try:
            self.docker.cli("builder", "prune", "--force", *self.random.choice([(), ("--all",)]))
        except ProcessError as error:
            # The builder deletes a lease before what it kept; if it dies in between it never gets rid of that.
            if not re.search("failed to remove .*: lease .*: not found", str(error)):
                raise
            return "builder prune, which fails over what a power cut left"
        return "builder prune"

    def _prune_images(self) -> str:
        self.docker.cli("image", "prune", "--force")
        return "image prune"

    def _aborted_pull(self) -> str:
        with self._pull_under_way() as client:
            client.kill()
        return "pull aborted by the client"

    def _restart(self) -> str:
        self.docker.stop()
        time.sleep(1.0)
        self.docker.start()
        return "restart"

    def _crash_in_pull(self) -> str:
        with self._pull_under_way():
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
        container = self.docker.cli("run", "--detach", "--network=none", "base", "sh", "-c", MANY)
        self.docker.cli("wait", container)
        self._cut_off(f"/containers/{container}/json", "rm", container)
        return "power cut in a container's removal"

    def _crash_in_image_removal(self) -> str:
        image = build(self.docker, f"FROM base\nRUN echo {self._next()} && {MANY}")
        self._cut_off(f"/images/{image}/json", "rmi", image)
        return "power cut in an image's removal"

    def _crash_in_prune(self) -> str:
        image = build(self.docker, f"FROM base\nRUN echo {self._next()} && {MANY}", buildkit=True)
        upper = self._upper(f"/images/{image}/json")
        self.docker.cli("rmi", image)
        self._cut_off_in(upper, "builder", "prune", "--all", "--force")
        return "power cut in a prune of the build cache"

    def _upper(self, path: str) -> Path:
        return Path(self.docker.api(path)["GraphDriver"]["Data"]["UpperDir"])

    def _cut_off(self, path: str, *command: str) -> None:
        self._cut_off_in(self._upper(path), *command)

    def _cut_off_in(self, upper: Path, *command: str) -> None:
        """A power cut when the engine has begun to delete the many files of an upper layer."""
        with self._meanwhile(*command):
            deadline = time.monotonic() + 10
            with contextlib.suppress(FileNotFoundError):
                while len(os.listdir(upper / "many")) == 4000 and time.monotonic() < deadline:
                    pass
            self._power_cut(upper)

    @contextlib.contextmanager
    def _meanwhile(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of the client's, which may fail."""
        with self.docker.client(*command) as client:
            yield client
            client.wait(30)

    @contextlib.contextmanager
    def _pull_under_way(self) -> Iterator[subprocess.Popen[bytes]]:
        """The engine has made a directory that no record names, and had a while longer, but not all that it takes to
        record it."""
        before = self.observer.leaked()
        with self._meanwhile("pull", self.pulled) as client:
            deadline = time.monotonic() + 20
            while self.observer.leaked() <= before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(self.random.uniform(0, 0.05))
            yield client

    def _power_cut(self, removed: Path | None = None) -> None:
        """End the engine at once and start it again; then everything that it left without a record is an orphan.
        *removed* is what it was removing."""
        self.docker.kill()
        self.crashed["removals_cut_off"] += removed is not None and removed.exists()
        left = self.observer.leaked()
        self.left |= left
        # As whoever looks all the time does. For who did not, what lost its record in between may have lost it to the
        # new engine, which is removing it then.
        self.observer.look()
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
            delete_by_hand(self.observer.directory / name)
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
