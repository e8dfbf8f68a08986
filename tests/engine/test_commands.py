"""The commands for people, on a real store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.agreement import store_report, survey_of, told_by_engine
from tests.engine.docker import Docker
from tests.engine.images import BASE, build

REPOSITORY = Path(__file__).parents[2]


def command(docker: Docker, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the exporter's commands on the engine's root."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments, f"--path.docker-root={docker.data_root}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def names(docker: Docker) -> dict[str, str]:
    """Every way to name one image, its topmost layer, and one container made from it."""
    image_id = build(docker, f"{BASE}\nRUN echo inspected > /srv/inspected", tag="inspected:tag")
    container_id = docker.cli("create", "--network=none", "--name=inspected-container", "inspected:tag", "true")
    store = store_report(survey_of(docker).report()).store
    image = next(image for image in store.images.values() if image.image_id == image_id)
    layer = store.layers[image.chain_ids[-1]]
    assert layer.cache_id is not None
    return {
        "image reference": "inspected:tag",
        "image ID": image_id,
        "short image ID": image_id.removeprefix("sha256:")[:12],
        "container name": "inspected-container",
        "container ID": container_id,
        "short container ID": container_id[:12],
        "chain ID": layer.chain_id,
        "diff ID": layer.diff_id,
        "cache-id": layer.cache_id,
        "directory": f"{docker.data_root}/overlay2/{layer.cache_id}",
        "short name": f"l/{store.directories[layer.cache_id].link}",
    }


@pytest.mark.parametrize(
    "way",
    [
        "image reference",
        "image ID",
        "short image ID",
        "container name",
        "container ID",
        "short container ID",
        "chain ID",
        "diff ID",
        "cache-id",
        "directory",
        "short name",
    ],
)
def test_inspect(way: str, docker: Docker, names: dict[str, str]) -> None:
    """Whatever names it, inspect finds it and tells the way to the layer's directory, as the engine does."""
    done = command(docker, "inspect", names[way], "--json")

    assert done.returncode == 0, done.stderr
    assert directory_of(docker, "inspected:tag") in json.dumps(json.loads(done.stdout))


def test_inspect_for_people(docker: Docker, names: dict[str, str]) -> None:
    """Without ``--json`` the same is printed for people; however narrow their terminal, nothing is left out."""
    done = command(docker, "inspect", names["image reference"])

    assert done.returncode == 0, done.stderr
    assert directory_of(docker, "inspected:tag") in "".join(done.stdout.split())


def directory_of(docker: Docker, image: str) -> str:
    """The name of the storage directory of an image's topmost layer."""
    upper: str = docker.api(f"/images/{image}/json")["GraphDriver"]["Data"]["UpperDir"]
    return Path(upper).parent.name


def test_inspect_of_nothing(docker: Docker) -> None:
    """What is not there is said in a sentence, by exit code 1."""
    done = command(docker, "inspect", "not-there")

    assert done.returncode == 1
    assert "not-there" in done.stdout + done.stderr


def test_report(docker: Docker) -> None:
    """The report of the host names every container's and image's bytes as the engine has them."""
    facts = told_by_engine(docker)

    for_people = command(docker, "report")
    for_programs = command(docker, "report", "--json", "--top=1000")

    assert (for_people.returncode, for_programs.returncode) == (0, 0), for_people.stderr + for_programs.stderr
    document = json.dumps(json.loads(for_programs.stdout))
    assert all(key in document for key in (*facts.containers, *facts.heads))
    assert all(str(head.size) in document for head in facts.heads.values())
    assert all(str(container.upper_size) in document for container in facts.containers.values())
