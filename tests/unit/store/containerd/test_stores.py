"""Which stores a host with containerd has, what they are called, and which of them is in use."""

import json
import os
import time
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Source
from exporter.store.containerd.roots import DEFAULT_ROOT, containerd_roots, read_configuration
from exporter.store.detect import CONTAINERD, Root
from exporter.store.entries import ContainerID
from exporter.store.scanner import Scanner
from tests.quiet import QUIET_PROC
from tests.store.containerd_roots import ContainerdRootBuilder
from tests.unit.store.containerd.hosts import (
    CONTAINER,
    docker,
    docker_beside_containerd,
    kubernetes,
    roots,
    scan,
    store_of,
    write_container,
)
from tests.unit.store.hosts import LATER, NO_CONFIG


def stores(*, docker: Path | None = None, containerd: Path | None = None, config: str = NO_CONFIG) -> dict[str, bool]:
    """The stores of a host, and whether each is in use."""
    found = scan(docker=docker, containerd=containerd, config=config)
    assert found.problems == ()
    return {store.name: store.active for store in found.stores}


def test_every_namespace_that_holds_images_or_snapshots(tmp_path: Path) -> None:
    """Each is a store; one with containers alone (a Docker with a graph driver) or content alone (the history of its
    builds) is none. Of all that share the snapshotter, one speaks."""
    builder = kubernetes(tmp_path)
    builder.pulled("default", "docker.io/library/tool:1", "tool")
    builder.snapshot("other", "prepared")
    builder.space("moby").containers[b"a" * 64] = {}
    builder.content("moby_history", b"{}")
    builder.write()

    assert stores(containerd=tmp_path) == dict.fromkeys(
        ("containerd/k8s.io", "containerd/default", "containerd/other"), True
    )
    assert [store.name for store in scan(containerd=tmp_path).stores if store.speaks] == ["containerd/k8s.io"]
    assert store_of(scan(containerd=tmp_path), "containerd/default").root == str(tmp_path)


def test_a_snapshotter_that_is_not_known_is_named(tmp_path: Path) -> None:
    """Beside another it has a store of its own; what it takes is not measured, and nothing is missed."""
    builder = kubernetes(tmp_path)
    target, _ = builder.manifest("k8s.io", "lazy", snapshotter="stargz")
    builder.image("k8s.io", "docker.io/library/lazy:1", target)
    builder.container("k8s.io", "lazy-id", image_name="docker.io/library/lazy:1", snapshotter="stargz")
    builder.write()

    found = scan(containerd=tmp_path)

    store = store_of(found, "containerd/k8s.io/stargz")
    assert (store.driver, store.measurable, len(store.layers), set(store.containers)) == (
        "stargz",
        False,
        1,
        {ContainerID("lazy-id")},
    )
    assert [store.problems for store in found.stores] == [(), ()]
    only = ContainerdRootBuilder(tmp_path / "only")
    only.manifest("k8s.io", "lazy", snapshotter="native")
    only.write()
    assert [(found.name, found.driver) for found in scan(containerd=only.path).stores] == [
        ("containerd/k8s.io", "native")
    ]


def test_a_snapshotter_that_is_elsewhere(tmp_path: Path) -> None:
    """The configuration names its ``root_path``, and containerd's root."""
    builder = ContainerdRootBuilder(tmp_path / "root", snapshotter=tmp_path / "fast disk")
    builder.pulled("k8s.io", "docker.io/library/tool:1", "tool")
    builder.write()
    config = tmp_path / "config.toml"
    config.write_text(
        f'root = "{builder.path}"\n'
        '[plugins."io.containerd.snapshotter.v1.overlayfs"]\n'
        f'root_path = "{builder.snapshotter}"\n'
    )

    (store,) = Scanner(containerd_roots((), config=str(config)), proc=QUIET_PROC).scan(time.time()).stores

    assert store.directory_root == f"{tmp_path}/fast disk/snapshots"
    assert set(store.directories) == {"1"}


@pytest.mark.parametrize("text", ["", "root = 5", "root = [", 'plugins = "none"', 'root = "relative"', "\x00"])
def test_a_configuration_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    """It is as if there were none."""
    config = tmp_path / "config.toml"
    config.write_text(text)
    assert (read_configuration(str(config)).root, read_configuration(str(config)).snapshotters) == (DEFAULT_ROOT, {})
    assert read_configuration("/nonexistent").root == DEFAULT_ROOT


def test_a_root_that_nobody_named_may_be_missing(tmp_path: Path) -> None:
    """Not every host has a containerd; one that was named and is missing is a problem."""
    StoreBuilder(tmp_path / "docker", seed=1)
    missing = str(tmp_path / "none")
    known = roots(docker=tmp_path / "docker")

    unnamed = Scanner([*known, Root(path=missing, engine=CONTAINERD, followed=True)], proc=QUIET_PROC).scan(time.time())
    named = Scanner([*known, Root(path=missing, engine=CONTAINERD)], proc=QUIET_PROC).scan(time.time())

    assert (len(unnamed.stores), unnamed.problems) == (1, ())
    assert [(problem.path, problem.kind.value) for problem in named.problems] == [(missing, "unreadable_record")]


def test_a_node_needs_no_docker(tmp_path: Path) -> None:
    """A Docker root that is empty, or that nobody named and is missing, is not looked for beside a containerd; without
    one it is. So is one with empty directories, which agents that collect logs make on each node."""
    kubernetes(tmp_path / "containerd")
    (tmp_path / "docker/containers").mkdir(parents=True)
    followed = Root(path=str(tmp_path / "none"), followed=True)
    node = Root(path=str(tmp_path / "containerd"), engine=CONTAINERD)

    beside = scan(docker=tmp_path / "docker", containerd=tmp_path / "containerd")
    scanner = Scanner([followed, node], daemon_config=daemon(tmp_path), proc=QUIET_PROC)

    assert [store.name for store in beside.stores] == ["containerd/k8s.io"]
    assert (beside.problems, beside.storeless) == ((), ())
    assert (scanner.scan(time.time()).problems, scanner.lost) == ((), ())
    assert scan(docker=tmp_path / "docker").storeless == (f"{tmp_path}/docker",)


@pytest.mark.parametrize(
    ("followed", "images_elsewhere", "told"), [(True, True, 0), (True, False, 1), (False, True, 1)]
)
def test_a_containerd_that_has_nothing(tmp_path: Path, followed: bool, images_elsewhere: bool, told: int) -> None:
    """Most that nobody named run containers for a Docker that has its images elsewhere, which is worth no word; any
    other is named, and is no problem."""
    ContainerdRootBuilder(tmp_path / "containerd").write()
    root = Root(path=str(tmp_path / "containerd"), engine=CONTAINERD, followed=followed)
    if images_elsewhere:
        StoreBuilder(tmp_path / "docker", seed=1)
    known = roots(docker=tmp_path / "docker") if images_elsewhere else []

    found = Scanner([*known, root], daemon_config=NO_CONFIG, proc=QUIET_PROC).scan(time.time() + LATER)

    assert (found.storeless, found.problems) == ((root.path,) * told, ())


def daemon(tmp_path: Path) -> str:
    """A configuration of Docker's whose ``data-root`` is missing."""
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"data-root": str(tmp_path / "none")}))
    return str(config)


class TestDocker:
    """Where a Docker keeps its images."""

    def test_its_own_containerd_alone(self, tmp_path: Path) -> None:
        """There is no layer store of a graph driver, and none is missed."""
        docker(tmp_path)
        assert stores(docker=tmp_path) == {"containerd/moby": True}

    def test_the_hosts_containerd(self, tmp_path: Path) -> None:
        """By the directory that its builder makes then, it is known whose namespace ``moby`` there is."""
        builder = docker_beside_containerd(tmp_path)

        found = store_of(scan(docker=tmp_path / "docker", containerd=builder.path), "containerd/moby")

        assert set(found.containers) == {ContainerID(CONTAINER)}
        assert (found.root, found.places and found.places.roots) == (
            f"{tmp_path}/docker",
            (f"{tmp_path}/docker", f"{tmp_path}/containerd"),
        )
        assert found.problems == ()

    def test_one_that_has_nothing_yet(self, tmp_path: Path) -> None:
        """It is as good as any other: its store is there, with nothing in it, and nothing is missed."""
        ContainerdRootBuilder(tmp_path / "containerd/daemon").write()
        (tmp_path / "buildkit/containerd-overlayfs").mkdir(parents=True)

        assert stores(docker=tmp_path) == {"containerd/moby": True}
        (found,) = scan(docker=tmp_path).stores
        assert (found.images, found.layers, found.containers, found.unread) == ({}, {}, {}, frozenset())
        assert (found.speaks, found.root, found.namespace) == (True, str(tmp_path), "moby")

    def test_one_that_went_back_to_a_graph_driver(self, tmp_path: Path) -> None:
        """What was in containerd and is gone is no store any more, though its builder's directory is still there."""
        StoreBuilder(tmp_path, seed=1)
        ContainerdRootBuilder(tmp_path / "containerd/daemon").write()
        (tmp_path / "buildkit/containerd-overlayfs").mkdir(parents=True)
        device = tmp_path / "volumes/backingFsBlockDev"
        device.parent.mkdir(exist_ok=True)
        device.touch()  # only root may make the device that it is
        (tmp_path / "overlay2").touch()
        assert stores(docker=tmp_path) == {"overlay2": True}

    @pytest.mark.parametrize("remapped_last", [False, True])
    def test_one_that_remaps_users_besides(self, tmp_path: Path, remapped_last: bool) -> None:
        """Its directory for them has the graph driver, the root itself the containerd: it is where it was started
        last."""
        remapped = tmp_path / "100.100"
        StoreBuilder(remapped, seed=1)
        docker(tmp_path)
        old = time.time() - 5000
        for base, stamp in ((remapped, None if remapped_last else old), (tmp_path, old if remapped_last else None)):
            device = base / "volumes/backingFsBlockDev"
            device.parent.mkdir(exist_ok=True)
            device.touch()
            for path in (device, base / "overlay2", *(base / "image").rglob("*"), base / "image"):
                if path.exists() and stamp is not None:
                    os.utime(path, (stamp, stamp), follow_symlinks=False)
        assert stores(docker=tmp_path) == {"100.100/overlay2": remapped_last, "containerd/moby": not remapped_last}

    def test_remapped_users_have_a_containerd_of_their_own(self, tmp_path: Path) -> None:
        """It lies in the directory that is Docker's root for them; of all below one root the one that was written to
        last is in use."""
        own = docker(tmp_path / "docker")
        builder = ContainerdRootBuilder(tmp_path / "docker/100.100/containerd/daemon")
        target, chain = builder.pulled("moby", "docker.io/library/new:1", "new")
        builder.dockers_container("d" * 64, parent=chain[-1])
        builder.write()
        write_container(tmp_path / "docker/100.100", "d" * 64, image=target)
        os.utime(own.metadata, (time.time() - 100, time.time() - 100))
        found = scan(docker=tmp_path / "docker").stores
        assert {store.name: (set(store.containers), store.active) for store in found} == {
            "containerd/moby": ({CONTAINER}, False),
            "100.100/containerd/moby": ({"d" * 64}, True),
        }

    def test_of_an_unknown_docker_nothing_is_left_over(self, tmp_path: Path) -> None:
        """Whose containers the upper layers are cannot be told, so none counts as left over."""
        builder = ContainerdRootBuilder(tmp_path / "containerd")
        _, chain = builder.pulled("moby", "docker.io/library/web:1", "web")
        builder.dockers_container(CONTAINER, parent=chain[-1])
        builder.write()
        (found,) = scan(containerd=builder.path).stores
        assert (found.name, found.containers, Source.CONTAINERS in found.unread) == ("containerd/moby", {}, True)

    @pytest.mark.parametrize(
        ("config", "graph_driver"),
        [
            ({"features": {"containerd-snapshotter": True}}, False),
            ({"features": {"containerd-snapshotter": False}}, True),
            ({"storage-driver": "overlay2"}, True),
            ({"storage-driver": "overlayfs"}, False),
        ],
    )
    def test_which_store_is_in_use_by_its_configuration(
        self, tmp_path: Path, config: dict[str, object], graph_driver: bool
    ) -> None:
        """Where the engine left no sign of its start, as one without privileges cannot."""
        StoreBuilder(tmp_path / "docker", seed=1)
        docker(tmp_path / "docker")
        (tmp_path / "docker/volumes/backingFsBlockDev").unlink(missing_ok=True)
        file = tmp_path / "daemon.json"
        file.write_text(json.dumps(config))
        assert stores(docker=tmp_path / "docker", config=str(file)) == {
            "overlay2": graph_driver,
            "containerd/moby": not graph_driver,
        }

    @pytest.mark.parametrize("seen", [False, True])
    def test_a_containerd_that_is_not_seen(self, tmp_path: Path, seen: bool) -> None:
        """A graph driver that was not touched when Docker was started is not in use. Where the images would be instead
        is to be seen, or else is a problem: an empty store would be a silent zero."""
        root = tmp_path / "docker"
        StoreBuilder(root, seed=1)
        (root / "buildkit/containerd-overlayfs").mkdir(parents=True)
        containerd = ContainerdRootBuilder(tmp_path / "containerd").write().path
        device = root / "volumes/backingFsBlockDev"
        device.parent.mkdir(exist_ok=True)
        device.touch()  # only root may make the device that it is
        old = device.stat().st_mtime - 5000
        for path in (root / "overlay2", *(root / "image").rglob("*"), root / "image"):
            os.utime(path, (old, old), follow_symlinks=False)

        found = scan(docker=root, containerd=containerd if seen else None)

        there = [("containerd/moby", True)] if seen else []
        assert [(store.name, store.active) for store in found.stores] == [("overlay2", False), *there]
        assert [problem.path for problem in found.problems] == ([] if seen else [f"{root}/containerd/daemon"])

    @pytest.mark.parametrize("newer", ["overlay2", "containerd/moby"])
    def test_which_store_is_in_use_by_what_was_touched_last(self, tmp_path: Path, newer: str) -> None:
        """Where nothing else tells."""
        root = tmp_path / "docker"
        StoreBuilder(root, seed=1)
        builder = docker(root)
        (root / "volumes/backingFsBlockDev").unlink(missing_ok=True)
        old, now = time.time() - 5000, time.time()
        for path in (root / "overlay2", *(root / "image").rglob("*"), root / "image"):
            os.utime(path, (old, old), follow_symlinks=False)
        stamp = old - 5000 if newer == "overlay2" else now
        os.utime(builder.database, (stamp, stamp))
        assert stores(docker=root) == {"overlay2": newer == "overlay2", "containerd/moby": newer != "overlay2"}
