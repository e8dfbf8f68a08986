"""What the sample builder writes is what an engine writes: a real one starts on it, and its own records look alike."""

import hashlib
import json
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.sample.demo import build_demo
from exporter.sample.tree import File, Hardlink, Sparse, Symlink, Whiteout
from exporter.store.entries import ContainerID, ImageID, MountPoint
from tests.engine.agreement import agree, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build

BASE_FILES: Mapping[str, File] = {
    "bin/sh": 300_000,
    "bin/ash": Hardlink(target="bin/sh"),
    "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
    "sbin": Symlink(target="bin"),
    "var/hole": Sparse(size=1_000_000),
    "a" * 150: b"a name longer than a tar header has room for",
    "größe": b"not ASCII",
}
APP_FILES: Mapping[str, File] = {"srv/app": b"print()\n", "etc/passwd": Whiteout()}
UPPER_FILES: Mapping[str, File] = {"tmp/new": 5_000, "srv/app": b"changed\n", "bin/ash": Whiteout()}
STATES = ("created", "running", "paused", "restarting", "exited")


@pytest.fixture
def store(tmp_path: Path) -> StoreBuilder:
    """Two images that share a base, one of them with two tags and a digest, one empty layer, an intermediate and a
    dangling image."""
    store = StoreBuilder(tmp_path / "root")
    base = store.layer(BASE_FILES)
    app = store.layer(APP_FILES, parent=base)
    digest = f"demo/app@sha256:{'a' * 64}"
    step = store.image(app, created="2026-01-02T00:00:00Z")
    store.image(
        store.layer({}, parent=app),
        tags=["demo/app:1.0", "demo/app"],
        digests=[digest],
        parent=step,
        labels={"maintainer": "<nobody@example>"},
    )
    store.image(store.layer({"srv/other": 12_345}, parent=base), tags=["localhost:5000/other:2"])
    store.image(base)
    return store


def tagged(store: StoreBuilder, tag: str) -> ImageID:
    (image,) = [image for image in store.images if tag in store.imagedb.references_of(image)]
    return image


def chain_size(store: StoreBuilder, image: ImageID) -> int:
    size, top = 0, store.images[image].top
    while top is not None:
        size += store.layers[top].size
        top = store.layers[top].parent
    return size


def test_an_engine_lists_the_images(store: StoreBuilder) -> None:
    """A daemon on the sample's root knows each image by the same ID, with its size, tags, digests and labels."""
    with Docker(data_root=store.root) as docker:
        listed = {image["Id"]: image for image in docker.api("/images/json?all=1")}
        layers = {image: docker.api(f"/images/{image}/json")["RootFS"].get("Layers") for image in listed}

    assert listed.keys() == store.images.keys()
    for image, record in store.images.items():
        found = listed[image]
        names = {*(found["RepoTags"] or ()), *(found["RepoDigests"] or ())} - {"<none>:<none>", "<none>@<none>"}
        assert names == set(store.imagedb.references_of(image))
        assert found["Size"] == chain_size(store, image)
        assert (found["Labels"] or {}) == record.labels
        assert found["ParentId"] == (record.parent or "")
        assert len(layers[image]) > 0


def test_an_engine_lists_the_containers(store: StoreBuilder) -> None:
    """Each container is there by name and ID with what it wrote; those that ran have ended with the engine before."""
    image = tagged(store, "demo/app:1.0")
    point = MountPoint(destination="/data", kind="volume", name="cache", source="", writable=True)
    made = {
        state: store.container(image, name=f"is-{state}", state=state, files=UPPER_FILES, mount_points=[point])
        for state in STATES
    }

    with Docker(data_root=store.root) as docker:
        listed = {entry["Id"]: entry for entry in docker.api("/containers/json?all=1&size=1")}
        volumes = [volume["Name"] for volume in docker.api("/volumes")["Volumes"]]

    assert {container: [f"/is-{state}"] for state, container in made.items()} == {
        container: entry["Names"] for container, entry in listed.items()
    }
    for state, container in made.items():
        entry = listed[container]
        assert entry["State"] == ("created" if state == "created" else "exited")
        assert entry["SizeRw"] == 5_000 + len(b"changed\n")
        assert entry["SizeRootFs"] == entry["SizeRw"] + chain_size(store, image)
        assert (entry["Image"], entry["ImageID"]) == ("demo/app:1.0", image)
        assert [mount["Name"] for mount in entry["Mounts"]] == ["cache"]
    assert volumes == ["cache"]


def test_an_engine_saves_the_layers(store: StoreBuilder, tmp_path: Path) -> None:
    """``docker save`` puts each tar together from tar-split and the files, checks it, and gets the diff ID's digest."""
    with Docker(data_root=store.root) as docker:
        docker.cli("save", "--output", f"{tmp_path}/saved.tar", "demo/app:1.0", "localhost:5000/other:2")

    with tarfile.open(tmp_path / "saved.tar") as saved:
        layers = {name: saved.extractfile(name) for name in saved.getnames() if name.endswith("/layer.tar")}
        found = {f"sha256:{hashlib.sha256(file.read()).hexdigest()}" for file in layers.values() if file}
    assert found == {layer.diff_id for layer in store.layers.values()}


def test_an_engine_mounts_the_chain(store: StoreBuilder, tmp_path: Path) -> None:
    """``docker export`` mounts upper, init layer and chain: what each deletes or replaces is so in the result."""
    container = store.container(tagged(store, "demo/app:1.0"), name="c", state="exited", files=UPPER_FILES)

    with Docker(data_root=store.root) as docker:
        docker.cli("export", "--output", f"{tmp_path}/exported.tar", container)

    with tarfile.open(tmp_path / "exported.tar") as exported:
        names = {name.rstrip("/") for name in exported.getnames()}
        app = exported.extractfile("srv/app")
        assert app is not None
        assert app.read() == b"changed\n"
    assert {"bin/sh", "tmp/new", "größe", "a" * 150, ".dockerenv", "etc/hosts", "sbin"} <= names
    assert names.isdisjoint({"etc/passwd", "bin/ash"})


def test_an_engine_removes_everything(store: StoreBuilder) -> None:
    """Containers and images go by the engine's own commands, and leave no directory, link or record."""
    for state in STATES:
        store.container(tagged(store, "demo/app:1.0"), name=f"is-{state}", state=state, files=UPPER_FILES)

    with Docker(data_root=store.root) as docker:
        docker.cli("rm", *(f"is-{state}" for state in STATES))
        docker.cli("image", "prune", "--all", "--force")
        left = docker.api("/images/json?all=1")

    assert left == []
    assert [path.name for path in store.graph.home.iterdir() if path.name != "backingFsBlockDev"] == ["l"]
    image = store.root / "image/overlay2"
    for directory in (store.graph.home / "l", image / "imagedb/content/sha256", image / "layerdb/sha256"):
        assert list(directory.iterdir()) == []


def test_an_engine_and_the_exporter_agree_on_the_demo(tmp_path: Path, tell: Tell) -> None:
    """Started on the demo's root, an engine says of it what the exporter reads from it, and neither complains."""
    demo = build_demo(tmp_path / "root")
    with Docker(data_root=demo.store.root) as docker:
        tell(agree(docker, survey_of(docker)))


def test_records_are_those_of_an_engine(own_docker: Docker, tmp_path: Path) -> None:
    """Every record of a created, running, paused and exited container has the engine's keys in the engine's order, and
    every file and directory of image and container the engine's name and mode."""
    build(own_docker, BASE, tag="real")
    for number, options in enumerate(["create", "run --detach", "run --detach", "run --detach"]):
        name = f"--name=c{number}"
        own_docker.cli(*options.split(), "--network=none", name, "-v", "data:/data", "real", "/bin/sleep", "86400")
    own_docker.cli("pause", "c2")
    own_docker.cli("stop", "--time=0", "c3")

    sample = StoreBuilder(tmp_path / "root")
    top = sample.layer({"second": b""}, parent=sample.layer({"first": b""}))
    image = sample.image(top, tags=["sample"], parent=sample.image(sample.layers[top].parent))
    volume = MountPoint(destination="/data", kind="volume", name="data", source="", writable=True)
    for number, state in enumerate(["created", "running", "paused", "exited"]):
        sample.container(image, name=f"c{number}", state=state, mount_points=[volume])

    ours, theirs = (containers_of(root) for root in (sample.root, own_docker.data_root))
    for name, their in theirs.items():
        our = ours[name]
        assert list(keys(our.config)) == [key for key in keys(their.config) if key not in NOT_SAMPLED]
        assert list(our.host) == list(their.host)
        assert {key: their.config["State"][key] for key in FLAGS} == {key: our.config["State"][key] for key in FLAGS}
        assert our.shape == their.shape
    (content,) = [json.loads(path.read_bytes()) for path in contents(sample.root) if path.name in image]
    their_content = json.loads(contents(own_docker.data_root)[0].read_bytes())
    assert list(content) == [key for key in their_content if key not in {"container", "container_config"}]
    assert list(content["config"]) == list(their_content["config"])
    assert kinds(sample.root) == kinds(own_docker.data_root)


FLAGS = ("Running", "Paused", "Restarting", "Dead", "RemovalInProgress")
NOT_SAMPLED = {
    "MountPoints./data.Relabel",
    "MountPoints./data.ID",
}
"""What an engine adds to a volume when it first mounts it; nobody else reads it."""


class Found:
    """A container's records, and the shape of its directories."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.config: dict[str, Any] = json.loads((directory / "config.v2.json").read_bytes())
        self.host: dict[str, Any] = json.loads((directory / "hostconfig.json").read_bytes())
        container = ContainerID(directory.name)
        mount = root / "image/overlay2/layerdb/mounts" / container
        upper = root / "overlay2" / (mount / "mount-id").read_text()
        init = upper.with_name(f"{upper.name}-init")
        self.shape = {
            (kind, str(path.relative_to(top)).replace(container, "<id>")): stat.filemode(path.lstat().st_mode)
            for kind, top in (("records", directory), ("mount", mount), ("upper", upper), ("init", init))
            for path in (top, *shallow(top))
        }


def shallow(top: Path) -> Iterator[Path]:
    """What the engine itself made in a directory: not what the container did, nor the kernel's files in ``work``."""
    for path in top.iterdir():
        yield path
        if path.name in {"work", "local-logs"}:
            yield from path.iterdir()
        if path.name == "diff" and top.name.endswith("-init"):
            yield from path.rglob("*")


def containers_of(root: Path) -> dict[str, Found]:
    found = [Found(root, path) for path in (root / "containers").iterdir()]
    return {container.config["Name"]: container for container in found}


def keys(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key, with those above it, in the order of the record; those of labels are the user's own."""
    for key, below in value.items():
        yield f"{prefix}{key}"
        if isinstance(below, dict) and key != "Labels":
            yield from keys(below, f"{prefix}{key}.")


def contents(root: Path) -> list[Path]:
    return list((root / "image/overlay2/imagedb/content/sha256").iterdir())


def kinds(root: Path) -> set[tuple[str, str]]:
    """The files and directories of the image store, each by its name without identities, and its mode."""
    image = root / "image/overlay2"
    layers = [path for layer in (image / "layerdb/sha256").iterdir() for path in (layer, *layer.iterdir())]
    metadata = [path for entry in (image / "imagedb/metadata/sha256").iterdir() for path in (entry, *entry.iterdir())]
    top = [*image.rglob("sha256"), *image.iterdir(), *(image / "layerdb").iterdir(), *contents(root)]
    return {
        (path.name if len(path.name) < 64 else path.parent.parent.name, stat.filemode(path.stat().st_mode))
        for path in (*layers, *metadata, *top)
    }
