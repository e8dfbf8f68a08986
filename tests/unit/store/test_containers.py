"""``containers``: who a container is, what it runs, how much it may write."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.store.entries import Container, ContainerState, MountPoint, Workload
from tests.unit.store.hosts import Host, rewrite, survey

CREATED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
HEX = "a" * 64


def read(host: Host) -> Container:
    """The running container as it is read now, without any problem."""
    store = survey(host.root)
    assert store.problems == ()
    return store.containers[host.running]


def change(host: Host, alter: Callable[[Any], object]) -> None:
    rewrite(host.container(host.running) / "config.v2.json", alter)


def test_what_a_container_says(host: Host) -> None:
    """Its name without the slash that the engine puts before it."""
    container = read(host)
    assert (container.container_id, container.name, container.image_reference) == (host.running, "web-1", "web:1")
    assert (container.image_id, container.driver, container.state) == (host.web, "overlay2", ContainerState.RUNNING)
    assert (container.created, container.removing, container.log_driver) == (CREATED, False, "json-file")
    assert container.mount_points == (
        MountPoint(
            destination="/data",
            kind="volume",
            name="data",
            source=f"{host.root}/volumes/data/_data",
            writable=True,
        ),
    )


@pytest.mark.parametrize("state", list(ContainerState))
def test_states(host: Host, state: ContainerState) -> None:
    """All six, as the engine itself derives them."""
    host.store.set_state(host.running, state)
    container = read(host)
    assert (container.state, container.removing) == (state, state is ContainerState.DEAD)


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"Running": True, "Paused": True, "Restarting": True}, ContainerState.PAUSED),
        ({"Running": True, "Restarting": True}, ContainerState.RESTARTING),
        ({"Running": True, "Dead": True}, ContainerState.RUNNING),
        ({"Paused": True, "Restarting": True}, ContainerState.EXITED),
        ({"Dead": True, "StartedAt": "0001-01-01T00:00:00Z"}, ContainerState.DEAD),
        ({"StartedAt": "0001-01-01T00:00:00Z"}, ContainerState.CREATED),
        ({}, ContainerState.EXITED),
    ],
)
def test_the_order_of_flags(host: Host, flags: dict[str, object], state: ContainerState) -> None:
    """Running in its three forms, then dead, created, exited."""
    base = {
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "Dead": False,
        "StartedAt": "2026-01-01T00:00:00Z",
    }
    change(host, lambda config: config.update(State={**base, **flags}))
    assert read(host).state == state


@pytest.mark.parametrize("flag", ["Running", "Paused", "Restarting", "Dead", "RemovalInProgress"])
def test_a_state_that_is_not_known_is_none(host: Host, flag: str) -> None:
    """A flag that is no flag: better no state than a wrong one."""
    change(
        host,
        lambda config: config["State"].update({"Running": flag in {"Paused", "Restarting", "Running"}, flag: "yes"}),
    )
    store = survey(host.root)
    assert (store.containers[host.running].state, len(store.problems)) == (None, 1)


def test_compose_and_kubernetes_labels(host: Host) -> None:
    """Who the container belongs to."""
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "api",
        "io.kubernetes.pod.namespace": "prod",
        "io.kubernetes.pod.name": "api-1",
        "io.kubernetes.container.name": "main",
        "other": "x",
    }
    change(host, lambda config: config["Config"].update(Labels=labels))
    assert read(host).workload == Workload(
        compose_project="shop", compose_service="api", namespace="prod", pod="api-1", container="main"
    )


@pytest.mark.parametrize("text", ['quo"te', "back\\slash", "new\nline", "\u202e\u05d0\x00", "\U0001f40b"])
def test_odd_labels_and_names_are_kept(host: Host, text: str) -> None:
    """A label is whatever its owner wrote."""
    change(host, lambda config: config["Config"].update(Labels={"com.docker.compose.project": text, text: text}))
    change(host, lambda config: config.update(Name=f"/{text}"))
    container = read(host)
    assert (container.workload.compose_project, container.name) == (text, text)


def test_labels_that_are_no_text_hide_no_container(host: Host) -> None:
    """Bytes that are no UTF-8, half a character: replaced, with one problem, and all else as before."""
    path = host.container(host.running) / "config.v2.json"
    raw = path.read_bytes()
    for name in (b"web-1\xff", rb"web-1\ud800"):
        path.write_bytes(raw.replace(b"web-1", name))
        store = survey(host.root)
        assert (store.containers[host.running].name, len(store.problems)) == ("web-1\ufffd", 1)
        assert store.containers[host.running].state == ContainerState.RUNNING


def test_an_image_that_is_no_id(host: Host) -> None:
    """The container is there, its image unknown."""
    change(host, lambda config: config.update(Image="sha256:zz"))
    store = survey(host.root)
    assert (store.containers[host.running].image_id, len(store.problems)) == (None, 1)


@pytest.mark.parametrize("name", ["abc", HEX + "0", HEX.upper(), "\udcff"])
def test_a_strange_name_among_containers(host: Host, name: str) -> None:
    """A container's directory is named by its ID."""
    (host.root / "containers" / name).mkdir()
    (problem,) = survey(host.root).problems
    assert problem.path == f"{host.root}/containers/{name}"


def test_a_container_of_another_store(host: Host) -> None:
    """A root that switched to containerd's store keeps its containers in the same directory."""
    change(host, lambda config: config.update(Driver="overlayfs"))
    assert set(survey(host.root).containers) == {host.exited}


def test_secrets_are_not_kept(host: Host) -> None:
    """The environment of a container holds passwords: nothing of it is in the catalog, nor in a reason."""
    change(host, lambda config: config["Config"].update(Env=["PASSWORD=hunter2"]))
    assert "hunter2" not in repr(survey(host.root))
    path = host.container(host.running) / "config.v2.json"
    path.write_text(path.read_text()[:-1])
    assert "hunter2" not in repr(survey(host.root))
