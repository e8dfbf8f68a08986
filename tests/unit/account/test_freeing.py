"""What frees what could be freed: never another engine's commands."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.account.freeing import WAYS, Manager, Way, manager_of, way_of
from exporter.account.reclaim import Kind
from exporter.store.catalog import Layout, Store
from tests.unit.account.records import Records

RUNBOOK = Path(__file__).parents[3] / "deploy/prometheus/runbook.md"
IMAGES = (Kind.DANGLING_IMAGES, Kind.UNUSED_IMAGES)


def in_containerd(namespace: str, *, active: bool = True) -> Store:
    return replace(
        Records().store(), engine="containerd", layout=Layout.SNAPSHOTTER, namespace=namespace, active=active
    )


def programs(store: Store) -> set[str]:
    """What would be run for any kind."""
    commands = (way_of(store, kind).command for kind in Kind)
    return {command.split()[0] for command in commands if command is not None}


def test_every_kind_has_a_way_for_everybody() -> None:
    """Each names a command, or says why there is none."""
    assert set(WAYS) == set(Manager)
    for ways in WAYS.values():
        assert set(ways) == set(Kind)
        assert all(way.command or way.remark for way in ways.values())


def test_dockers_commands_free_what_docker_has() -> None:
    """With a graph driver, and in Docker's namespace of containerd."""
    assert programs(Records().store()) == {"docker"}
    assert programs(in_containerd("moby")) == {"docker"}


def test_on_a_kubernetes_node_nothing_is_docker() -> None:
    """Unused images go by ``crictl``, which the kubelet does not wait for; what ended goes with its pod."""
    node = in_containerd("k8s.io")
    assert programs(node) == {"crictl", "kubectl", "buildctl"}
    assert {way_of(node, kind).command for kind in IMAGES} == {"crictl rmi --prune"}
    assert "the kubelet does it itself" in way_of(node, Kind.UNUSED_IMAGES).remark


def test_another_namespace_is_named_to_ctr() -> None:
    """Whoever uses it, ``ctr`` comes with containerd."""
    plain = in_containerd("default")
    assert programs(plain) == {"ctr", "buildctl"}
    assert "ctr --namespace default images prune --all" == way_of(plain, Kind.UNUSED_IMAGES).command


def test_a_namespace_cannot_speak_to_the_shell() -> None:
    """Its name is somebody else's to choose, and the command is there to be pasted."""
    hostile = in_containerd("x; rm -rf {namespace}")
    assert "ctr --namespace 'x; rm -rf {namespace}' images prune --all" == way_of(hostile, Kind.UNUSED_IMAGES).command


def test_orphans_have_no_command() -> None:
    """containerd deletes them itself; with a graph driver it is done by hand."""
    assert {None} == {ways[Kind.ORPHANS].command for ways in WAYS.values()}
    assert way_of(Records().store(), Kind.ORPHANS).remark == "by hand, after inspect has told of each"
    for namespace in ("moby", "k8s.io", "default"):
        assert way_of(in_containerd(namespace), Kind.ORPHANS).remark.startswith("containerd deletes them itself")


@pytest.mark.parametrize("left", [replace(Records().store(), active=False), in_containerd("moby", active=False)])
def test_nothing_is_to_be_run_for_a_store_that_was_left(left: Store) -> None:
    """Docker's commands would clean up the store that it uses instead."""
    assert manager_of(left) is Manager.NOBODY
    assert {way_of(left, kind) for kind in Kind} == {
        Way(command=None, remark="no command, while Docker uses another store")
    }


def test_the_runbook_has_every_command() -> None:
    """Who comes from an alert is told the same as who reads ``report``."""
    runbook = RUNBOOK.read_text()
    commands = (way.command for ways in WAYS.values() for way in ways.values() if way.command is not None)
    assert [] == [command for command in commands if f"`{command.format(namespace='NAMESPACE')}`" not in runbook]
