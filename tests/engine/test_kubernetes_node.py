"""A node's containerd: what ``ctr`` says of namespace ``k8s.io``, and what the whole report says."""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from exporter.account.inspect.index import reference_name
from exporter.account.owners import Owner
from exporter.account.report import Report, StoreReport
from exporter.store.detect import CONTAINERD, Root
from exporter.store.entries import CacheID, ContainerState
from exporter.survey import RecordSurvey, Survey
from tests.engine.agreement import problems_of, store_report
from tests.engine.conftest import Tell
from tests.engine.containerd import Containerd
from tests.engine.lives import after_each_step, random_life
from tests.engine.modern_agreement import layer_sums
from tests.engine.patience import until_it_holds
from tests.engine.processes import ProcessError
from tests.engine.test_areas import du
from tests.engine.test_containerd_records import start, tarball
from tests.stack.monitoring import exporter, fetch, wait_for

READINGS = int(os.environ.get("LAYERSTORE_READINGS", "1500"))
MOST_CONTAINERS = 6
NAMESPACES = ("k8s.io", "default")
"""The other one's store shares directories and content with Kubernetes', and speaks for all while that has none."""
NAMES = [f"docker.io/library/image:{number}" for number in range(4)]
SCRIPTS = (
    "/bin/busybox dd if=/dev/urandom of=/data/{number} bs=1k count={size}",
    "/bin/busybox rm -rf /data",
    "/bin/busybox truncate -s 100M /sparse",
    "/bin/busybox mkdir -p /many/a/b/c; /bin/busybox ln -f /bin/busybox /many/linked",
)


class Named(NamedTuple):
    """An image, a container or a snapshot."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}"


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
    images: list[Named] = field(default_factory=list)
    containers: list[Named] = field(default_factory=list)
    loose: list[Named] = field(default_factory=list)
    """Snapshots that belong to no container and to no image."""
    made: int = 0
    story: list[str] = field(default_factory=list)

    def step(self) -> None:
        """Do one thing, at random."""
        acts = {self.pull: 3, self.restart: 1}
        if self.images:
            acts |= {self.tag: 2, self.remove_image: 3}
        if self.images and len(self.containers) < MOST_CONTAINERS:
            acts |= {self.run: 4, self.prepare: 1}
        if self.containers:
            acts |= {self.write: 6, self.end: 1, self.remove: 2}
        if self.loose:
            acts |= {self.drop: 1}
        (act,) = self.random.choices(list(acts), list(acts.values()))
        self.story.append(act())

    def pull(self) -> str:
        made, unpacked = self._named(), self.random.random() < 0.8
        options = [] if unpacked else ["--no-unpack"]
        self._ctr(made, "image", "import", *options, "-", stdin=tarball(made.name)[0])
        self.images = sorted({*self.images, made})
        return f"import {made} {' '.join(options)}"

    def run(self) -> str:
        image = self.random.choice(self.images)
        made = Named(image.namespace, f"container{self._number()}")
        start(self.containerd, image.name, made.name, namespace=made.namespace)
        self.containers.append(made)
        return f"run {made} from {image}"

    def prepare(self) -> str:
        """A snapshot as a build or a debugger makes one; ``ctr`` keeps it from being collected."""
        image = self.random.choice(self.images)
        parents = [row[0] for row in self.containerd.rows("snapshot", "ls", namespace=image.namespace)]
        parents = [key for key in parents if key == tarball(image.name)[1]]
        made = Named(image.namespace, f"loose{self._number()}")
        self._ctr(made, "snapshot", "prepare", made.name, *parents)
        self.loose.append(made)
        return f"prepare {made} on {parents}"

    def drop(self) -> str:
        gone = self.loose.pop(self.random.randrange(len(self.loose)))
        self._ctr(gone, "snapshot", "rm", gone.name)
        return f"remove snapshot {gone}"

    def tag(self) -> str:
        old = self.random.choice(self.images)
        # With the same name, it would be without one for a moment, and could be collected in it.
        new = self.random.choice([name for name in NAMES if name != old.name])
        self._ctr(old, "image", "tag", "--force", old.name, new)
        self.images = sorted({*self.images, Named(old.namespace, new)})
        return f"tag {old} {new}"

    def write(self) -> str:
        container, number = self.random.choice(self.containers), self._number()
        script = self.random.choice(SCRIPTS).format(number=number, size=self.random.randrange(300))
        command = ("/bin/busybox", "sh", "-c", f"{script}; true")
        try:
            self._ctr(container, "task", "exec", "--exec-id", f"exec{number}", container.name, *command)
        except ProcessError as error:  # its task went with a restart
            return f"{container} does not run: {str(error)[-80:]}"
        return f"in {container}: {script}"

    def end(self) -> str:
        """What ran in it; the container stays."""
        container = self.random.choice(self.containers)
        with contextlib.suppress(ProcessError):
            self._ctr(container, "task", "rm", "--force", container.name)
        return f"end {container}"

    def remove(self) -> str:
        container = self.containers.pop(self.random.randrange(len(self.containers)))
        with contextlib.suppress(ProcessError):
            self._ctr(container, "task", "rm", "--force", container.name)
        self._ctr(container, "container", "rm", container.name)
        return f"remove {container}"

    def remove_image(self) -> str:
        image = self.images.pop(self.random.randrange(len(self.images)))
        options = self.random.choice([("--sync",), ()])
        self._ctr(image, "image", "rm", *options, image.name)
        return f"remove image {image} {' '.join(options)}"

    def restart(self) -> str:
        self.containerd.stop()
        self.containerd.start()
        return "restart"

    def _named(self) -> Named:
        return Named(self.random.choice(NAMESPACES), self.random.choice(NAMES))

    def _number(self) -> int:
        self.made += 1
        return self.made

    def _ctr(self, of: Named, *args: str, stdin: bytes = b"") -> str:
        return self.containerd.ctr(*args, namespace=of.namespace, stdin=stdin)


def agree(containerd: Containerd, survey: Survey) -> Counter[str]:
    """Hold a whole report against ``ctr`` and ``du``; again while they differ, for containers write and containerd
    collects its garbage when it likes."""
    return until_it_holds(lambda: _compare(containerd, survey))


def _compare(containerd: Containerd, survey: Survey) -> Counter[str]:
    report = survey.whole_report()
    assert problems_of(report) == Counter()
    compared: Counter[str] = Counter()
    for namespace in NAMESPACES:
        images = set(containerd.ctr("image", "ls", "--quiet", namespace=namespace).split())
        rows = {row[0]: row for row in containerd.rows("snapshot", "ls", namespace=namespace)}
        usage = {row[0]: int(row[1]) for row in containerd.rows("snapshot", "usage", "-b", namespace=namespace)}
        containers = set(containerd.ctr("container", "ls", "--quiet", namespace=namespace).split())
        name = f"containerd/{namespace}"
        assert bool(images or rows) == (name in {store.store.name for store in report.stores})
        if images or rows:
            _compare_store(store_report(report, name), images, rows, usage, containers)
        compared += Counter(images=len(images), snapshots=len(rows), uppers=len(containers))
    if report.stores:
        _adds_up(containerd, report)
    return compared


def _compare_store(
    found: StoreReport,
    images: set[str],
    rows: Mapping[str, Sequence[str]],
    usage: Mapping[str, int],
    containers: set[str],
) -> None:
    store = found.store
    assert images == {reference_name(reference) for reference in store.references if reference.tag}

    parents = {key: (row[1] if len(row) == 3 else None) for key, row in rows.items()}
    committed = {key: parent for key, parent in parents.items() if rows[key][-1] == "Committed"}
    assert committed == {layer.chain_id: layer.parent for layer in store.layers.values()}
    assert {key: usage[key] for key in committed} == {layer.chain_id: layer.size for layer in store.layers.values()}
    assert committed.keys() == found.layer_allocated.keys()
    for told, measured in layer_sums(found):
        assert told == measured

    others = {key: parent for key, parent in parents.items() if key not in committed}
    assert others == {mount.name: mount.parent for mount in store.mounts.values()}
    assert containers == set(store.containers)
    assert {key: usage[key] for key in containers} == {
        name: upper.usage.allocated for name, upper in found.uppers.items()
    }
    for name in found.uppers:
        upper = store.upper_of(name)
        assert upper is not None
        assert found.uppers[name].usage.allocated == du(store.diff_path(upper))


def _adds_up(containerd: Containerd, report: Report) -> None:
    """What one namespace's store has of the directories, and of the root, and what the other one's has."""
    assert sum(sum(store.areas.values()) for store in report.stores) == du(containerd.data_root)
    owned = 0
    for store in report.stores:
        assert store.ownership is not None
        owned += sum(store.ownership.allocated(store.directory_allocated).values())
    assert owned == du(containerd.snapshotter / "snapshots")


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
