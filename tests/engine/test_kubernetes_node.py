"""A node's containerd: what ``ctr`` says of namespace ``k8s.io``, and what the whole report says."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from exporter.account.inspect.index import reference_name
from exporter.account.owners import Owner
from exporter.account.report import Report, StoreReport
from exporter.store.detect import CONTAINERD, Root
from exporter.store.entries import CacheID, ChainID, ContainerState
from exporter.survey import RecordSurvey, Survey
from tests.engine.agreement import problems_of, store_report
from tests.engine.conftest import Tell
from tests.engine.containerd import Containerd
from tests.engine.lives import after_each_step, random_life
from tests.engine.patience import until_it_holds
from tests.engine.processes import ProcessError
from tests.engine.test_areas import du
from tests.engine.test_containerd_records import start, tarball
from tests.stack.monitoring import exporter, fetch, wait_for

READINGS = int(os.environ.get("LAYERSTORE_READINGS", "1500"))
MOST_CONTAINERS = 6
NAMES = [f"docker.io/library/image:{number}" for number in range(4)]
SCRIPTS = (
    "/bin/busybox dd if=/dev/urandom of=/data/{number} bs=1k count={size}",
    "/bin/busybox rm -rf /data",
    "/bin/busybox truncate -s 100M /sparse",
    "/bin/busybox mkdir -p /many/a/b/c; /bin/busybox ln -f /bin/busybox /many/linked",
)


@pytest.fixture
def containerd() -> Iterator[Containerd]:
    with Containerd() as daemon:
        yield daemon


def survey_of(containerd: Containerd) -> Survey:
    """A survey of this containerd alone."""
    return Survey([Root(path=str(containerd.data_root), engine=CONTAINERD)])


@dataclass(slots=True, kw_only=True)
class Life:
    """A node, and what was done on it."""

    containerd: Containerd
    random: Random
    images: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    made: int = 0
    story: list[str] = field(default_factory=list)

    def step(self) -> None:
        """Do one thing, at random."""
        acts = [self.pull, self.restart]
        if self.images:
            acts += [self.tag, self.remove_image]
        if self.images and len(self.containers) < MOST_CONTAINERS:
            acts += [self.run, self.run]
        if self.containers:
            acts += [self.write, self.write, self.write, self.remove]
        self.story.append(self.random.choice(acts)())

    def pull(self) -> str:
        name = self.random.choice(NAMES)
        self.made += 1
        self.containerd.ctr("image", "import", "-", stdin=tarball(name)[0])
        self.images = sorted({*self.images, name})
        return f"import {name}"

    def run(self) -> str:
        self.made += 1
        name = f"container{self.made}"
        start(self.containerd, self.random.choice(self.images), name)
        self.containers.append(name)
        return f"run {name}"

    def tag(self) -> str:
        old, new = self.random.choice(self.images), self.random.choice(NAMES)
        self.containerd.ctr("image", "tag", "--force", old, new)
        self.images = sorted({*self.images, new})
        return f"tag {old} {new}"

    def write(self) -> str:
        name = self.random.choice(self.containers)
        self.made += 1
        script = self.random.choice(SCRIPTS).format(number=self.made, size=self.random.randrange(300))
        try:
            self.containerd.ctr(
                "task", "exec", "--exec-id", f"exec{self.made}", name, "/bin/busybox", "sh", "-c", f"{script}; true"
            )
        except ProcessError as error:  # the container's task went with a restart
            return f"{name} does not run: {str(error)[-80:]}"
        return f"in {name}: {script}"

    def remove(self) -> str:
        name = self.containers.pop(self.random.randrange(len(self.containers)))
        for command in (("task", "rm", "--force"), ("container", "rm")):
            try:
                self.containerd.ctr(*command, name)
            except ProcessError:
                if command[0] == "container":
                    raise
        return f"remove {name}"

    def remove_image(self) -> str:
        name = self.images.pop(self.random.randrange(len(self.images)))
        self.containerd.ctr("image", "rm", "--sync", name)
        return f"remove image {name}"

    def restart(self) -> str:
        if self.made % 5:
            return "nothing"
        self.containerd.stop()
        self.containerd.start()
        return "restart"


def agree(containerd: Containerd, survey: Survey) -> Counter[str]:
    """Hold a whole report against ``ctr`` and ``du``; again while they differ, for containers write and containerd
    collects its garbage when it likes."""
    return until_it_holds(lambda: _compare(containerd, survey))


def _compare(containerd: Containerd, survey: Survey) -> Counter[str]:
    report = survey.whole_report()
    assert problems_of(report) == Counter()
    images = set(containerd.ctr("image", "ls", "--quiet").split())
    rows = {row[0]: row for row in containerd.rows("snapshot", "ls")}
    if not images and not rows:
        assert report.stores == ()
        return Counter()
    found = store_report(report, "containerd/k8s.io")
    store = found.store
    assert images == {reference_name(reference) for reference in store.references if reference.tag}
    usage = {row[0]: int(row[1]) for row in containerd.rows("snapshot", "usage", "-b")}

    committed = {key: (row[1] if len(row) == 3 else None) for key, row in rows.items() if row[-1] == "Committed"}
    assert committed == {layer.chain_id: layer.parent for layer in store.layers.values()}
    assert {key: usage[key] for key in committed} == {layer.chain_id: layer.size for layer in store.layers.values()}
    assert {ChainID(key): usage[key] for key in committed} == found.layer_allocated

    active = {key: row[1] for key, row in rows.items() if row[-1] == "Active"}
    assert active == {mount.name: mount.parent for mount in store.mounts.values()}
    assert set(containerd.ctr("container", "ls", "--quiet").split()) == set(store.containers)
    assert {key: usage[key] for key in active} == {name: upper.usage.allocated for name, upper in found.uppers.items()}
    _adds_up(containerd, report, found)
    return Counter(images=len(images), snapshots=len(rows), uppers=len(found.uppers))


def _adds_up(containerd: Containerd, report: Report, found: StoreReport) -> None:
    assert sum(sum(store.areas.values()) for store in report.stores) == du(containerd.data_root)
    assert found.ownership is not None
    owned = found.ownership.allocated(found.directory_allocated)
    assert sum(owned.values()) == du(found.store.directory_root)
    for name in found.uppers:
        upper = found.store.upper_of(name)
        assert upper is not None
        assert found.uppers[name].usage.allocated == du(found.store.diff_path(upper))


def test_every_step_of_a_random_life(containerd: Containerd, tell: Tell) -> None:
    """After each step of a random sequence images, snapshots, parents and usage are what ``ctr`` says, each upper layer
    is what ``du`` says, owners and areas add up, and nothing is wrong. ``LAYERSTORE_SEED`` repeats a life."""
    survey = survey_of(containerd)
    with random_life(tell) as (random, story):
        life = Life(containerd=containerd, random=random, story=story)
        tell(after_each_step(life.step, lambda: agree(containerd, survey), steps=25))


def test_no_catalog_contradicts_itself(containerd: Containerd, tell: Tell) -> None:
    """Read without a pause beside a node at work, each catalog is one in which every layer and every upper layer has
    what it lies on, every directory one owner, and nothing that is wrong. ``LAYERSTORE_READINGS`` makes it longer."""
    records = RecordSurvey([Root(path=str(containerd.data_root), engine=CONTAINERD)])
    life = Life(containerd=containerd, random=Random(1))  # noqa: S311 - any life does
    done, failed = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            while not done.is_set():
                life.step()
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    seen: Counter[str] = Counter()
    states = set()
    try:
        while seen["readings"] < READINGS and not failed:
            catalog = records.catalog()
            seen["readings"] += 1
            for store in catalog.stores:
                assert store.problems == ()
                assert {layer.parent for layer in store.layers.values()} <= {None, *store.layers}
                assert {mount.parent for mount in store.mounts.values()} <= {None, *store.layers}
                directories = [mount.mount_id for mount in store.mounts.values()]
                directories += [layer.cache_id for layer in store.layers.values()]
                assert None not in directories
                assert len(set(directories)) == len(directories)
                assert set(records.ownership[store.name].owners) >= set(store.directories)
                states.add((tuple(store.layers), tuple(store.mounts), tuple(store.images)))
    finally:
        done.set()
        thread.join()
    assert failed == []
    tell(seen + Counter(states=len(states), steps=len(life.story)))
    assert len(states) > 3


def test_a_container_as_the_kubelet_labels_it(containerd: Containerd) -> None:
    """Pod and namespace are in its record, and it runs while its root is mounted."""
    containerd.ctr("image", "import", "-", stdin=tarball(NAMES[0])[0])
    start(containerd, NAMES[0], "web")
    (store,) = survey_of(containerd).catalog().stores
    (container,) = store.containers.values()
    assert (container.workload.namespace, container.workload.pod, container.name) == ("shop", "web-0", "shop/web-0")
    assert (store.engine, store.driver, store.root, store.active) == (
        "containerd",
        "overlayfs",
        str(containerd.data_root),
        True,
    )
    assert (container.image_id in store.images, container.state) == (True, ContainerState.RUNNING)


def test_a_directory_that_no_row_names(containerd: Containerd) -> None:
    """It is being removed for all that is known, until nothing was committed for a while; then it is an orphan, if it
    is older than containerd's start. containerd removes it with the next snapshot that it removes."""
    containerd.ctr("image", "import", "-", stdin=tarball(NAMES[0])[0])
    left = containerd.snapshotter / "snapshots/4711"
    (left / "fs").mkdir(parents=True)
    (left / "fs/file").write_bytes(b"x" * 100_000)
    long_ago = time.time() - 10 * 86_400
    os.utime(left, (long_ago, long_ago))

    def owner() -> Owner | None:
        report = survey_of(containerd).whole_report()
        ownership = store_report(report, "containerd/k8s.io").ownership
        return None if ownership is None else ownership.owners.get(CacheID("4711"))

    assert owner() is Owner.REMOVING
    os.utime(containerd.snapshotter / "metadata.db", (long_ago, long_ago))
    assert owner() is Owner.ORPHAN
    reclaimable = store_report(survey_of(containerd).whole_report(), "containerd/k8s.io").reclaimable
    assert reclaimable["orphans"] == du(left)
    containerd.ctr("image", "rm", "--sync", NAMES[0])
    assert not left.exists()


def test_a_change_is_seen_without_waiting_for_the_next_scan(containerd: Containerd, tmp_path: Path) -> None:
    """A new image, a new container and its end each touch a directory that is watched, so they are told of soon,
    however seldom the records are read; nothing of what is gone is left."""
    containerd.ctr("image", "import", "-", stdin=tarball(NAMES[0])[0])
    (tmp_path / "no docker").mkdir()
    flags = ["--path.containerd-root", str(containerd.data_root), "--path.docker-root", str(tmp_path / "no docker")]
    with exporter(*flags, "--scan.interval=1h", log=tmp_path / "log") as address:

        def told() -> str:
            return fetch(f"http://{address}/metrics").decode()

        wait_for(lambda: 'tag="0"' in told(), "the image that was there", seconds=20)
        containerd.ctr("image", "import", "-", stdin=tarball(NAMES[1])[0])
        wait_for(lambda: 'tag="1"' in told(), "the new image", seconds=20)
        start(containerd, NAMES[1], "web")
        wait_for(lambda: "layerstore_container_info{" in told(), "the container", seconds=20)
        containerd.ctr("task", "rm", "--force", "web")
        containerd.ctr("container", "rm", "web")
        containerd.ctr("image", "rm", "--sync", NAMES[1])
        wait_for(lambda: 'container_id="web"' not in told() and 'tag="1"' not in told(), "its end", seconds=20)
