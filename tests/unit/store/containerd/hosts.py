"""Hosts with containerd, and how to look at them."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from exporter.store.catalog import Catalog, Store
from exporter.store.detect import CONTAINERD, Root
from exporter.store.scanner import Scanner
from exporter.survey import RecordSurvey
from tests.quiet import QUIET_PROC
from tests.store.containerd_roots import ContainerdRootBuilder
from tests.unit.store.hosts import LATER, NO_CONFIG, HeldClock

CONTAINER = "c0ffee" + "0" * 58
"""The ID of Docker's container."""


def roots(*, docker: Path | None = None, containerd: Path | None = None) -> list[Root]:
    """The roots of a host."""
    found = [] if docker is None else [Root(path=str(docker))]
    return found if containerd is None else [*found, Root(path=str(containerd), engine=CONTAINERD)]


def scanner(*, docker: Path | None = None, containerd: Path | None = None, config: str = NO_CONFIG) -> Scanner:
    """A scanner that no engine of this machine influences."""
    return Scanner(roots(docker=docker, containerd=containerd), daemon_config=config, proc=QUIET_PROC)


def scan(*, docker: Path | None = None, containerd: Path | None = None, config: str = NO_CONFIG) -> Catalog:
    """What a first scan reads, long after all was written."""
    return scanner(docker=docker, containerd=containerd, config=config).scan(time.time() + LATER)


def survey(
    *, docker: Path | None = None, containerd: Path | None = None, clock: HeldClock | None = None
) -> RecordSurvey:
    """A survey whose second look takes no time."""
    return RecordSurvey(
        roots(docker=docker, containerd=containerd),
        clock=clock or HeldClock(),
        daemon_config=NO_CONFIG,
        proc=QUIET_PROC,
    )


def store_of(catalog: Catalog, name: str) -> Store:
    """The only store of the name."""
    (found,) = [store for store in catalog.stores if store.name == name]
    return found


def kubernetes(path: Path) -> ContainerdRootBuilder:
    """A node with two images that share a layer, and a pod of a sandbox and a container."""
    builder = ContainerdRootBuilder(path)
    _, pause = builder.pulled("k8s.io", "registry.k8s.io/pause:3.9", "pause")
    _, web = builder.pulled("k8s.io", "docker.io/library/web:1", "base", "web")
    builder.pulled("k8s.io", "docker.io/library/tool:1", "base", "tool")
    pod = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop"}
    builder.container(
        "k8s.io",
        "sandbox-id",
        image_name="registry.k8s.io/pause:3.9",
        parent=pause[-1],
        texts={**pod, "io.cri-containerd.kind": "sandbox"},
    )
    builder.container(
        "k8s.io",
        "container-id",
        image_name="docker.io/library/web:1",
        parent=web[-1],
        texts={**pod, "io.cri-containerd.kind": "container", "io.kubernetes.container.name": "nginx"},
        files={"data": b"x" * 50_000},
    )
    builder.status("container-id", StartedAt=2)
    return builder.write()


def docker(path: Path) -> ContainerdRootBuilder:
    """A Docker root whose own containerd has the images: one of two layers, and a container."""
    builder = ContainerdRootBuilder(path / "containerd/daemon")
    target, chain = builder.pulled("moby", "docker.io/library/web:1", "base", "web")
    builder.dockers_container(CONTAINER, parent=chain[-1], files={"data": b"x" * 50_000})
    write_container(path, CONTAINER, image=target)
    return builder.write()


def docker_beside_containerd(path: Path) -> ContainerdRootBuilder:
    """A host whose containerd has Docker's images, one of one layer, and a container; their roots are ``docker`` and
    ``containerd`` in *path*. Docker's builder has made the directory that it makes then."""
    builder = ContainerdRootBuilder(path / "containerd")
    target, chain = builder.pulled("moby", "docker.io/library/web:1", "web")
    builder.dockers_container(CONTAINER, parent=chain[-1])
    builder.write()
    (path / "docker/buildkit/containerd-overlayfs").mkdir(parents=True)
    write_container(path / "docker", CONTAINER, image=target)
    return builder


def write_container(
    path: Path, container: str, *, image: str, driver: str = "overlayfs", state: Mapping[str, object] | None = None
) -> None:
    """Docker's own records of a container."""
    directory = path / "containers" / container
    directory.mkdir(parents=True)
    config = {
        "ID": container,
        "Name": "/web",
        "Created": "2024-05-06T07:08:09Z",
        "Image": image,
        "Driver": driver,
        "Config": {"Image": "web:1", "Labels": {"com.docker.compose.project": "shop"}},
        "State": state or {"Running": True, "Pid": 4321, "StartedAt": "2024-05-06T07:08:10Z"},
    }
    (directory / "config.v2.json").write_text(json.dumps(config))
    (directory / "hostconfig.json").write_text(json.dumps({"LogConfig": {"Type": "json-file"}}))
