"""The commands for people, on a real store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli import main
from tests.engine.agreement import store_report, survey_of, told_by_engine
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.observer import LONG_AGO, plant
from tests.engine.test_areas import du

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


def test_the_report_adds_up_to_the_filesystem(own_docker: Docker) -> None:
    """Owners add up to what du says of the driver's directory, areas to what it says of the root, and the root with
    everything else and what is available to what df says of the filesystem. A volume is told by its name."""
    build(own_docker, BASE, tag="image")
    own_docker.cli(
        "run", "--network=none", "--volume=named:/data", "image", "sh", "-c", "echo x > /data/x; echo y > /y"
    )
    plant(own_docker.data_root / "overlay2", 1, made=LONG_AGO)
    os.sync()

    done = command(own_docker, "report", "--json")
    without_volumes = command(own_docker, "report", "--json", "--volumes.disable")

    (disk,) = json.loads(done.stdout)["disk"]
    filesystem = os.statvfs(own_docker.data_root)
    assert du(own_docker.data_root) == disk["allocated"] == sum(disk["areas"].values())
    assert du(own_docker.data_root / "overlay2") == disk["areas"]["layers"]
    owners = {row["owner"]: row["allocated"] for row in disk["owners"]}
    assert disk["areas"]["layers"] == sum(owners.values())
    assert disk["untold"] == 0
    assert du(own_docker.data_root / "overlay2" / f"{1:064x}") == owners["orphan"]
    assert filesystem.f_blocks * filesystem.f_frsize == disk["filesystem"]["size"]
    assert disk["filesystem"]["size"] == disk["allocated"] + disk["elsewhere"] + disk["filesystem"]["available"]
    assert {"named"} == disk["volumes"].keys()
    (disk,) = json.loads(without_volumes.stdout)["disk"]
    assert ({}, None) == (disk["volumes"], disk["areas"]["volumes"])


def test_inspect_tells_of_every_directory_whose_it_is(own_docker: Docker, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever lies in the driver's directory: its owner, the records that say so, or the doubt where none does."""
    image = build(own_docker, BASE, tag="image")
    build(own_docker, "FROM image\nRUN echo > /built", buildkit=True)
    container = own_docker.cli("create", "--network=none", "image", "true")
    orphan = plant(own_docker.data_root / "overlay2", 1, made=LONG_AGO)
    foreign = own_docker.data_root / "overlay2/backup"
    foreign.mkdir()
    os.utime(foreign, (LONG_AGO, LONG_AGO))

    told = {}
    for path in (own_docker.data_root / "overlay2").iterdir():
        if path.name != "l" and path.is_dir():
            assert main(["inspect", "--json", str(path), f"--path.docker-root={own_docker.data_root}"]) == 0
            (match,) = json.loads(capsys.readouterr().out)["matches"]
            told[path.name] = match["directory"]

    upper = Path(own_docker.api(f"/containers/{container}/json")["GraphDriver"]["Data"]["UpperDir"]).parent.name
    layers = own_docker.api(f"/images/{image}/json")["GraphDriver"]["Data"]["LowerDir"].split(":")
    expected = {
        **{Path(layer).parent.name: "image_layer" for layer in layers},
        upper: "container_upper",
        f"{upper}-init": "container_init",
        orphan: "orphan",
        "backup": "suspect",
    }
    assert expected == {name: told[name]["owner"] for name in expected}
    assert "build_cache" in {directory["owner"] for directory in told.values()}
    assert {orphan: "none", "backup": "foreign"} == {
        name: directory["doubt"] for name, directory in told.items() if not directory["claims"]
    }
