"""The alert of a container that writes without end, on a node whose containers are containerd's: real parts all the
way."""

import time
from pathlib import Path

import pytest

from tests.engine.containerd import SNAPSHOTTER, Containerd
from tests.engine.test_containerd_records import tarball
from tests.stack.monitoring import Receiver, alertmanager, exporter, prometheus, wait_for
from tests.stack.test_full_stack import ALERT, FOR, RULES, SCRAPE_INTERVAL, configuration_of, scaled

pytestmark = [pytest.mark.engine, pytest.mark.stack]

IMAGE, NAME = "docker.io/library/web:1", "writer"
SOUND = ("LayerstoreIntegrityProblems", "LayerstoreNoStore", "LayerstoreScanFailing", "LayerstoreOrphanedBytes")
"""Alerts that there must be none of."""
POD = {
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.container.name": "nginx",
    "io.cri-containerd.kind": "container",
}
WRITER = """
while [ ! -e /go ]; do /bin/busybox sleep 0.1; done
while :; do /bin/busybox dd if=/dev/zero bs=1M count=1 >> /written 2>/dev/null; /bin/busybox sleep 0.2; done
"""


def test_a_runaway_pod_is_told_in_time(tmp_path: Path) -> None:
    """The webhook hears of it within three scrape intervals, and what the alert waits, after it began; it hears which
    container of which pod on which node that is; and that it is over once the container is removed. Nothing is said of
    a node that is sound."""
    receiver = Receiver()
    (tmp_path / "no docker").mkdir()
    with (
        Containerd() as containerd,
        receiver.listening() as webhook,
        alertmanager(webhook, directory=tmp_path) as manager,
    ):
        _run(containerd)
        flags = ["--path.containerd-root", str(containerd.data_root), "--path.docker-root", str(tmp_path / "no docker")]
        flags += ["--scan.interval=1s", "--scan.cpu-budget=50%"]
        with (
            exporter(*flags, log=tmp_path / "node.log") as node,
            prometheus(
                configuration_of([{"targets": [node]}], manager),
                rules=scaled(RULES.read_text("utf-8")),
                directory=tmp_path,
            ) as monitor,
        ):
            known = f'layerstore_container_upper_allocated_bytes{{container_id="{NAME}"}}'
            wait_for(lambda: len(monitor.query(f"count_over_time({known}[1m]) > 1")) == 1, "two scrapes", seconds=40)
            identity = {"alertname": ALERT, "instance": node, "container_id": NAME}

            began = time.monotonic()
            containerd.ctr("task", "exec", "--exec-id", "go", NAME, "/bin/busybox", "touch", "/go")
            wait_for(lambda: receiver.first("firing", identity) is not None, "the alert", seconds=60)
            fired = receiver.first("firing", identity)
            containerd.ctr("task", "rm", "--force", NAME)
            containerd.ctr("container", "rm", NAME)
            removed = time.monotonic()
            wait_for(lambda: receiver.first("resolved", identity) is not None, "its end", seconds=60)
            resolved = receiver.first("resolved", identity)
            others = monitor.query(f'ALERTS{{alertname=~"{"|".join(SOUND)}"}}')

    assert fired is not None
    assert resolved is not None
    assert fired.at - began <= 3 * SCRAPE_INTERVAL + FOR
    assert resolved.at - removed <= 3 * SCRAPE_INTERVAL + 1
    assert (
        fired.labels.items()
        >= {
            "store": "containerd/k8s.io",
            "name": "shop/web-0/nginx",
            "namespace": "shop",
            "pod": "web-0",
            "container": "nginx",
            "image": IMAGE,
        }.items()
    )
    assert "Container shop/web-0/nginx" in fired.annotations["summary"]
    assert others == []


def _run(containerd: Containerd) -> None:
    """A container that writes when it is told to, with a kubelet's labels."""
    containerd.ctr("image", "import", "-", stdin=tarball(IMAGE)[0])
    labels = [part for label, value in POD.items() for part in ("--label", f"{label}={value}")]
    runc = ["--runc-root", f"{containerd.data_root}/runc"]
    script = ["/bin/busybox", "sh", "-c", WRITER]
    containerd.ctr("run", *runc, "--detach", *labels, "--snapshotter", SNAPSHOTTER, IMAGE, NAME, *script)
