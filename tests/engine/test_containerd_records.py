"""containerd's databases: what we read from them is what ``ctr`` says, and what lies in the directories."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from exporter.store.boltrecords import Contents
from exporter.store.containerd.metadata import Metadata, MetadataReader, Namespace
from exporter.store.containerd.snapshotter import BackendSnapshot, Kind, SnapshotterReader
from exporter.survey import SETTLE
from tests.engine.conftest import Tell
from tests.engine.containerd import SNAPSHOTTER, Containerd
from tests.engine.images import archive, busybox
from tests.engine.patience import until_it_holds
from tests.engine.processes import run

LABELS = {
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.cri-containerd.kind": "container",
}
WRITE = "/bin/busybox dd if=/dev/zero of=/data/file bs=1k count=50; /bin/busybox rm /etc/name; /bin/busybox sleep 1000"


@pytest.fixture
def containerd() -> Iterator[Containerd]:
    with Containerd() as daemon:
        yield daemon


def tarball(name: str) -> tuple[bytes, str]:
    """An image of two layers as ``docker save`` writes it, and the chain ID of its upper layer."""
    layers = [archive({"bin/busybox": busybox(), "data/keep": b""}), archive({"etc/name": name.encode()})]
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["0.tar", "1.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    chain = hashlib.sha256(" ".join(diff_ids).encode()).hexdigest()
    return archive({**files, "0.tar": layers[0], "1.tar": layers[1]}), f"sha256:{chain}"


def start(containerd: Containerd, image: str, name: str, *, namespace: str = "k8s.io") -> None:
    labels = [part for label, value in LABELS.items() for part in ("--label", f"{label}={value}")]
    # runc's own state, too, belongs below the test's directory.
    containerd.ctr(
        "run",
        "--runc-root",
        f"{containerd.data_root}/runc",
        # Nobody else's container of this name, on whatever containerd, is in its control group, and killed with it.
        "--cgroup",
        f"/{namespace}/{containerd.root.name}-{name}",
        "--detach",
        *labels,
        "--snapshotter",
        SNAPSHOTTER,
        image,
        name,
        "/bin/busybox",
        "sh",
        "-c",
        WRITE,
        namespace=namespace,
    )


def agree(containerd: Containerd, metadata: MetadataReader, snapshotter: SnapshotterReader) -> Counter[str]:
    """Hold both databases against ``ctr`` and the directories, and count what was compared; again while they differ,
    for containerd collects its garbage when it likes, and directories after the records."""
    return until_it_holds(lambda: _compare(containerd, metadata, snapshotter))


def _compare(containerd: Containerd, metadata: MetadataReader, snapshotter: SnapshotterReader) -> Counter[str]:
    records, rows = metadata.read(str(containerd.metadata)), snapshotter.read(f"{containerd.snapshotter}/metadata.db")
    assert (records.complete, records.problems, rows.complete, rows.problems) == (True, (), True, ())
    namespaces = records.value.namespaces
    assert set(containerd.ctr("namespace", "ls", "--quiet").split()) == set(namespaces)

    counts: Counter[str] = Counter()
    for namespace in namespaces.values():
        counts += _agree_on_records(containerd, namespace) + _agree_on_snapshots(containerd, namespace, rows.value)
    names = {
        record.name
        for namespace in namespaces.values()
        for keys in namespace.snapshots.values()
        for record in keys.values()
    }
    assert names == set(rows.value)
    directories = {path.name for path in (containerd.snapshotter / "snapshots").iterdir()}
    assert {str(row.number) for row in rows.value.values()} == directories
    return counts


def _agree_on_records(containerd: Containerd, namespace: Namespace) -> Counter[str]:
    images = {row[0]: (row[1], row[2]) for row in containerd.rows("image", "ls", namespace=namespace.name)}
    assert images == {image.name: (image.media_type, image.digest) for image in namespace.images.values()}

    blobs = set(containerd.ctr("content", "ls", "--quiet", namespace=namespace.name).split())
    stored = containerd.data_root / "io.containerd.content.v1.content/blobs/sha256"
    sizes = {blob: (stored / blob.removeprefix("sha256:")).stat().st_size for blob in blobs}
    assert sizes == {blob.digest: blob.size for blob in namespace.blobs.values()}

    containers = containerd.ctr("container", "ls", "--quiet", namespace=namespace.name).split()
    assert set(containers) == set(namespace.containers)
    for container in namespace.containers.values():
        told = json.loads(containerd.ctr("container", "info", container.container_id, namespace=namespace.name))
        expected = (told["Image"], told["Snapshotter"], told["SnapshotKey"], told["Runtime"]["Name"], told["Labels"])
        shown = (container.image, container.snapshotter, container.snapshot_key, container.runtime, container.labels)
        assert expected == shown
        assert container.created == pytest.approx(datetime.fromisoformat(told["CreatedAt"]).timestamp(), abs=0.001)

    leases = containerd.ctr("leases", "ls", "--quiet", namespace=namespace.name).split()
    assert set(leases) == set(namespace.leases)
    return Counter(images=len(images), blobs=len(blobs), containers=len(containers), leases=len(leases))


def _agree_on_snapshots(
    containerd: Containerd, namespace: Namespace, rows: Mapping[str, BackendSnapshot]
) -> Counter[str]:
    shown = {key: rows[record.name] for key, record in namespace.snapshots.get(SNAPSHOTTER, {}).items()}
    told = {
        row[0]: (row[-1], row[1] if len(row) == 3 else "")
        for row in containerd.rows("snapshot", "ls", namespace=namespace.name)
    }
    parents = {key: "" if row.parent is None else rows[row.parent].key for key, row in shown.items()}
    assert told == {key: (row.kind.name.capitalize(), parents[key]) for key, row in shown.items()}
    assert parents == {key: record.parent or "" for key, record in namespace.snapshots.get(SNAPSHOTTER, {}).items()}
    assert {(namespace.name, key) for key in shown} == {(row.namespace, row.key) for row in shown.values()}

    for key, size, inodes in containerd.rows("snapshot", "usage", "-b", namespace=namespace.name):
        row = shown[key]
        directory = containerd.snapshotter / f"snapshots/{row.number}/fs"
        figures = (int(size), int(inodes))
        if row.kind is Kind.COMMITTED:
            assert figures == (row.size, row.inodes)
        # A view is not measured: nothing is written to it.
        measured = _du(directory, "--block-size=1"), _du(directory, "--inodes")
        assert figures == ((0, 0) if row.kind is Kind.VIEW else measured)
    for image in namespace.images.values():
        assert namespace.snapshots_of(image.digest, SNAPSHOTTER) <= set(shown)
    return Counter(snapshots=len(shown))


def _du(directory: Path, unit: str) -> int:
    return int(run("du", "--summarize", unit, str(directory)).split()[0])


def test_the_records_are_as_ctr_tells(containerd: Containerd, tell: Tell) -> None:
    """After imports, runs, removals and a restart, images, blobs, snapshots, containers and leases are containerd's."""
    metadata, snapshotter = MetadataReader(), SnapshotterReader()
    tell(agree(containerd, metadata, snapshotter))
    chains = {}
    for name in ("docker.io/library/one:1", "docker.io/library/two:1"):
        image, chains[name] = tarball(name)
        containerd.ctr("image", "import", "-", stdin=image)
    tell(agree(containerd, metadata, snapshotter))
    namespace = metadata.read(str(containerd.metadata)).value.namespaces["k8s.io"]
    for name, chain in chains.items():
        assert namespace.snapshots_of(namespace.images[name].digest, SNAPSHOTTER) == {chain}
        assert len(namespace.blobs_of(namespace.images[name].digest)) == 4

    start(containerd, "docker.io/library/one:1", "web")
    containerd.ctr("leases", "create", "--id", "kept", "kept.by=hand")
    until_it_holds(lambda: keep_a_view(containerd, "seen", chains["docker.io/library/two:1"]))
    wait_for_the_container(containerd)
    tell(agree(containerd, metadata, snapshotter))
    container = metadata.read(str(containerd.metadata)).value.namespaces["k8s.io"].containers["web"]
    assert LABELS.items() <= container.labels.items()

    containerd.ctr("task", "rm", "--force", "web")
    containerd.ctr("container", "rm", "web")
    containerd.ctr("snapshot", "--snapshotter", SNAPSHOTTER, "rm", "seen")
    containerd.ctr("image", "rm", "--sync", "docker.io/library/one:1")
    tell(agree(containerd, metadata, snapshotter))
    containerd.stop()
    containerd.start()
    tell(agree(containerd, metadata, snapshotter))


def keep_a_view(containerd: Containerd, key: str, parent: str) -> None:
    """A view that is not collected. Fails if it was before it was labelled."""
    containerd.ctr("snapshot", "--snapshotter", SNAPSHOTTER, "view", key, parent)
    containerd.ctr("snapshot", "--snapshotter", SNAPSHOTTER, "label", key, "containerd.io/gc.root=now")


def wait_for_the_container(containerd: Containerd) -> None:
    """Return once the only container with a write layer has written what it has to write."""
    deadline = time.monotonic() + 20
    while not any(path.is_char_device() for path in containerd.snapshotter.glob("snapshots/*/fs/etc/name")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _read(containerd: Containerd) -> tuple[Contents[Metadata], Contents[Mapping[str, BackendSnapshot]]]:
    records = MetadataReader().read(str(containerd.metadata))
    return records, SnapshotterReader().read(f"{containerd.snapshotter}/metadata.db")


def test_reading_while_containerd_writes(containerd: Containerd, tell: Tell) -> None:
    """Beside imports and removals each reading is of one state, in which parents, children and names fit together; and
    what seems wrong is right at the second look, as when containerd has made a database and not yet written to it."""
    images = [tarball(f"docker.io/library/image:{number}") for number in range(4)]
    counts: Counter[str] = Counter()

    def work() -> None:
        for _ in range(6):
            for image, _ in images:
                containerd.ctr("image", "import", "-", stdin=image)
            for name in containerd.ctr("image", "ls", "--quiet").split():
                containerd.ctr("image", "rm", "--sync", name)

    states = set()
    with ThreadPoolExecutor(1) as executor:
        working = executor.submit(work)
        while not working.done():
            records, rows = _read(containerd)
            counts["readings"] += 1
            counts["given_up"] += (not records.complete) + (not rows.complete)
            if first := {*records.problems, *rows.problems}:
                time.sleep(SETTLE)
                records, rows = _read(containerd)
                assert not first.intersection((*records.problems, *rows.problems))
            for namespace in records.value.namespaces.values():
                keys = namespace.snapshots.get(SNAPSHOTTER, {})
                assert {record.parent for record in keys.values()} <= {None, *keys}
            assert {row.parent for row in rows.value.values()} <= {None, *rows.value}
            assert len({row.number for row in rows.value.values()}) == len(rows.value)
            states.add(tuple(rows.value))
        working.result()
    counts["states"] = len(states)
    tell(counts)
    assert counts["given_up"] < counts["readings"] / 100
    tell(agree(containerd, MetadataReader(), SnapshotterReader()))
