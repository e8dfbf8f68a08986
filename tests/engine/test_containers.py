"""Containers in every state, with everything that can lie in a container's directories."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.store.entries import ContainerID, ContainerState, Workload
from exporter.survey import Survey
from tests.engine.agreement import agree, store_report, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.processes import run

SLEEP = ("sleep", "86400")


@pytest.fixture(scope="module")
def survey(docker: Docker) -> Survey:
    """One survey for all tests here, so that each is also a test of what it remembers from those before."""
    return survey_of(docker)


@pytest.fixture(scope="module")
def image(docker: Docker) -> str:
    """The image that the containers here are made from."""
    build(docker, BASE, tag="containers")
    return "containers"


def start(docker: Docker, image: str, *options: str, command: tuple[str, ...] = SLEEP) -> ContainerID:
    return ContainerID(docker.cli("run", "--detach", "--network=none", *options, image, *command))


def test_states(docker: Docker, image: str, survey: Survey, tell: Tell) -> None:
    """Created, running, paused and exited containers are told apart as the engine does."""
    containers = {
        "created": ContainerID(docker.cli("create", "--network=none", "--name=made", image, *SLEEP)),
        "running": start(docker, image, "--name=runs"),
        "paused": start(docker, image, "--name=waits"),
        "exited": start(docker, image, "--name=done"),
    }
    docker.cli("pause", containers["paused"])
    docker.cli("stop", "--time=0", containers["exited"])

    tell(agree(docker, survey))

    found = store_report(survey.report()).store.containers
    assert list(containers) == [str(found[container_id].state) for container_id in containers.values()]
    assert [found[container_id].name for container_id in containers.values()] == ["made", "runs", "waits", "done"]
    docker.cli("unpause", containers["paused"])


def test_a_container_that_restarts_again_and_again(docker: Docker, image: str, survey: Survey, tell: Tell) -> None:
    """Between two starts a container is restarting, neither running nor exited."""
    container_id = start(docker, image, "--restart=always", command=("false",))
    deadline = time.monotonic() + 30
    # The engine doubles the pause from 100 ms on: after five there is time to look.
    while not pauses(inspected := docker.api(f"/containers/{container_id}/json")):
        assert time.monotonic() < deadline, inspected["State"]
        time.sleep(0.05)

    tell(agree(docker, survey))

    assert str(store_report(survey.report()).store.containers[container_id].state) == "restarting"
    docker.cli("rm", "--force", container_id)


def pauses(inspected: Mapping[str, Any]) -> bool:
    """Whether a container waits for its sixth start."""
    return bool(inspected["RestartCount"] >= 5 and inspected["State"]["Restarting"])


def test_removed_containers_are_gone(docker: Docker, image: str, survey: Survey, tell: Tell) -> None:
    """The report after a removal has nothing of the container: no record, no upper layer, no count."""
    container_id = start(docker, image)
    report = store_report(survey.report())
    upper = report.store.upper_of(container_id)
    assert container_id in report.uppers
    assert upper in report.store.directories

    docker.cli("rm", "--force", container_id)

    tell(agree(docker, survey))
    report = store_report(survey.report())
    assert {container_id} & {*report.store.containers, *report.store.mounts, *report.uppers, *report.logs} == set()
    assert {upper, f"{upper}-init"} & report.store.directories.keys() == set()


WRITES = {
    "a sparse file": "truncate -s 5000000 /sparse; echo end >> /sparse",
    "hard links": "echo linked > /a; ln /a /b; ln /a /srv/c",
    "a hard link to a file of the image": "ln /srv/file /srv/linked; echo more >> /srv/linked",
    "symlinks, one of them long": "ln -s /etc/hosts /s; ln -s $(head -c 200 /dev/zero | tr '\\0' x) /srv/long",
    "a whiteout": "rm /srv/file",
    "a directory of the image deleted": "rm -r /srv/old",
    "a directory of the image made anew": "rm -r /srv/old; mkdir /srv/old; echo new > /srv/old/new",
    "a file of the image overwritten": "echo longer than before > /srv/file",
    "a file of the image copied up by its mode alone": "chmod 600 /srv/file",
    "a directory of the image renamed": "mv /srv/old /srv/renamed",
    "a fifo, a device": "mkfifo /fifo; mknod /null c 1 3; mknod /zero c 0 1",
    "many small files": "mkdir /many; for i in $(seq 500); do echo $i > /many/$i; done",
    "deep directories": "d=/d; for i in $(seq 60); do d=$d/eeeeeeee; done; mkdir -p $d; echo deep > $d/file",
    "names that are no text": "mkdir \"$(printf '/\\377\\n\\001')\"; echo > \"$(printf '/\\377\\n\\001/a b')\"",
    "a file deleted while it is open": "exec 3> /open; echo hidden >&3; rm /open",
    "what was written and deleted": "head -c 3000000 /dev/urandom > /big; rm /big",
}


@pytest.mark.parametrize("script", WRITES.values(), ids=WRITES.keys())
def test_writes(script: str, docker: Docker, image: str, survey: Survey, tell: Tell) -> None:
    """Whatever a container has written, the size of its upper layer is the engine's and its allocation is du's."""
    container_id = start(docker, image)
    docker.cli("exec", container_id, "sh", "-c", script)

    tell(agree(docker, survey))

    docker.cli("rm", "--force", container_id)


def test_volumes_are_not_in_the_upper_layer(
    docker: Docker, image: str, survey: Survey, tmp_path: Path, tell: Tell
) -> None:
    """Volumes, binds and tmpfs are listed as the engine lists them; what is written there is not in the upper."""
    options = ("--volume=named:/named", "--volume=/anonymous", f"--volume={tmp_path}:/bound:ro", "--tmpfs=/memory")
    container_id = start(docker, image, *options, "--mount=type=tmpfs,destination=/mounted")
    before = store_report(survey.report()).uppers[container_id].usage
    for place in ("/named", "/anonymous", "/memory", "/mounted"):
        docker.cli("exec", container_id, "sh", "-c", f"head -c 100000 /dev/zero > {place}/file")

    tell(agree(docker, survey))

    report = store_report(survey.report())
    assert before == report.uppers[container_id].usage
    # Where a volume lies is its driver's business; only some records say it.
    theirs = {
        (mount["Destination"], mount["Type"], mount.get("Name") or mount["Source"], mount["RW"])
        for mount in docker.api(f"/containers/{container_id}/json")["Mounts"]
    }
    mounts = report.store.containers[container_id].mount_points
    ours = {(mount.destination, mount.kind, mount.name or mount.source, mount.writable) for mount in mounts}
    assert theirs == ours
    assert {"volume", "bind", "tmpfs"} == {kind for _, kind, _, _ in ours}
    docker.cli("rm", "--force", "--volumes", container_id)


CHATTER = "i=0; while [ $i -lt 400 ]; do echo line $i of a log that turns over; i=$((i+1)); done"
LOG_DRIVERS = {
    "json-file": (),
    "json-file, rotated": ("--log-opt=max-size=5k", "--log-opt=max-file=3"),
    "json-file, compressed": ("--log-opt=max-size=5k", "--log-opt=max-file=4", "--log-opt=compress=true"),
    "local": ("--log-opt=max-size=5k", "--log-opt=max-file=3"),
    "none": (),
}


@pytest.mark.parametrize(("driver", "options"), LOG_DRIVERS.items(), ids=LOG_DRIVERS.keys())
def test_logs(*, driver: str, options: tuple[str, ...], docker: Docker, image: str, survey: Survey, tell: Tell) -> None:
    """A container's log files are found whatever the driver, rotated and compressed ones too; without any it is 0."""
    name = driver.partition(",")[0]
    container_id = start(docker, image, f"--log-driver={name}", *options, command=("sh", "-c", CHATTER))
    docker.cli("wait", container_id)
    directory = docker.data_root / "containers" / container_id
    if "compress" in driver:
        wait_for_compression(directory)

    tell(agree(docker, survey))

    report = store_report(survey.report())
    files = [str(path) for path in directory.rglob("*") if "-json.log" in path.name or "container.log" in path.name]
    assert {"json-file": 1, "json-file, rotated": 3, "json-file, compressed": 4, "local": 3, "none": 0}[driver] == len(
        files
    )
    theirs = sum(int(run("du", "--block-size=1", file).split()[0]) for file in files)
    assert (name, theirs) == (report.store.containers[container_id].log_driver, report.logs[container_id])
    docker.cli("rm", container_id)


def wait_for_compression(directory: Path) -> None:
    """The engine compresses in the background: wait until only the file that it writes to is left as it is."""
    deadline = time.monotonic() + 20
    while len(list(directory.glob("*.log*"))) != len(list(directory.glob("*.gz"))) + 1:
        assert time.monotonic() < deadline, sorted(directory.iterdir())
        time.sleep(0.05)


def test_a_container_from_nothing(docker: Docker, survey: Survey, tell: Tell) -> None:
    """A container whose image has no layer stands on its init layer alone."""
    build(docker, "FROM scratch\nLABEL nothing=at-all", tag="nothing-at-all")
    container_id = ContainerID(docker.cli("create", "nothing-at-all", "/command"))

    tell(agree(docker, survey))

    store = store_report(survey.report()).store
    mount = store.mounts[container_id]
    assert mount.mount_id is not None
    assert (None, f"{mount.mount_id}-init") == (mount.parent, mount.init_id)
    assert store.directories[mount.mount_id].lower is not None
    docker.cli("rm", container_id)


def test_containers_that_a_builder_left(docker: Docker, survey: Survey, tell: Tell) -> None:
    """What the classic builder made its steps in are containers like any; that of the first step is of no image."""
    others = {listing["Id"] for listing in docker.api("/containers/json?all=1")}
    build(docker, "FROM scratch\nLABEL left=yes\nCOPY busybox /bin/sh\nRUN echo left > /left", "--rm=false", tag="left")
    left = [listing["Id"] for listing in docker.api("/containers/json?all=1") if listing["Id"] not in others]
    try:
        tell(agree(docker, survey))
        containers = [store_report(survey.report()).store.containers[container_id] for container_id in left]
    finally:
        docker.cli("rm", *left)

    assert [container.state for container in containers if container.image_id is None] == [ContainerState.CREATED]
    assert ContainerState.EXITED in {container.state for container in containers}


def test_a_container_whose_image_was_removed(docker: Docker, survey: Survey, tell: Tell) -> None:
    """A container keeps the layers of an image that was removed by force: they count as used by it, by no image."""
    image_id = build(docker, f"{BASE}\nRUN echo removed > /srv/removed", tag="removed")
    chain = store_report(survey.report()).store.images
    container_id = start(docker, "removed", command=("true",))
    docker.cli("wait", container_id)
    tops = [image.chain_ids[-1] for found, image in chain.items() if found == image_id]
    docker.cli("rmi", "--force", "removed")

    tell(agree(docker, survey))

    report = store_report(survey.report())
    assert image_id not in report.store.images
    assert [(report.layer_use[top].images, report.layer_use[top].containers) for top in tops] == [(0, 1)]
    docker.cli("rm", container_id)
    assert tops[0] not in store_report(survey.report()).store.layers


def test_labels_are_taken_as_they_are(docker: Docker, image: str, survey: Survey) -> None:
    """Labels are chosen by whoever makes the container: quotes, backslashes and line ends arrive unchanged."""
    hostile = 'a"b\\c\nd{e="f"} 1\r\n# TYPE x counter\n\t\u2028é'
    container_id = ContainerID(
        docker.cli(
            "create",
            f"--label=com.docker.compose.project={hostile}",
            "--label=com.docker.compose.service=web",
            "--label=io.kubernetes.pod.name=pod",
            "--label=io.kubernetes.pod.namespace=space",
            "--label=io.kubernetes.container.name=main",
            image,
            *SLEEP,
        )
    )

    found = store_report(survey.report()).store.containers[container_id].workload

    expected = Workload(compose_project=hostile, compose_service="web", namespace="space", pod="pod", container="main")
    assert expected == found
    docker.cli("rm", container_id)
