"""A store that grows and shrinks by the builder's calls is an engine's store at every rest."""

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.sample.graphdir import GraphDriver
from exporter.sample.tree import File, Symlink, Whiteout
from exporter.store.entries import CacheID, ContainerID, ImageID, MountPoint
from tests.unit.sample.invariants import assert_faithful

BASE: Mapping[str, File] = {"bin/sh": 40_000, "etc/passwd": b"root:x:0:0::/:/bin/sh\n", "sbin": Symlink(target="bin")}
APP: Mapping[str, File] = {"srv/app": b"print()\n", "etc/passwd": Whiteout()}


@pytest.fixture
def store(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "root")


def app(store: StoreBuilder, *, tag: str = "app:1.0") -> ImageID:
    return store.image(store.layer(APP, parent=store.layer(BASE)), tags=[tag])


def config_of(store: StoreBuilder, container: ContainerID) -> Any:
    return json.loads((store.container_path(container) / "config.v2.json").read_bytes())


def references(store: StoreBuilder) -> Any:
    return json.loads((store.root / "image/overlay2/repositories.json").read_bytes())["Repositories"]


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def everything(root: Path) -> dict[str, tuple[int, str]]:
    """Every path below a root, with its mode, and its content or target."""
    found = {}
    for path in root.rglob("*"):
        content = os.readlink(path) if path.is_symlink() else path.read_text("latin-1") if path.is_file() else ""
        found[str(path.relative_to(root))] = (path.lstat().st_mode, content.replace(str(root), ""))
    return found


def test_an_empty_root_is_faithful(store: StoreBuilder) -> None:
    """A root without images has all of an engine's directories and an empty list of references."""
    assert references(store) == {}
    assert_faithful(store.root)


@pytest.mark.parametrize("beside", [False, True])
def test_a_root_that_is_not_empty_is_left_alone(tmp_path: Path, beside: bool) -> None:
    """Nobody's engine is overwritten: not its records, and not by another sample of the same driver."""
    app(StoreBuilder(tmp_path / "root"))
    before = everything(tmp_path)
    with pytest.raises(FileExistsError):
        StoreBuilder(tmp_path / "root", beside=beside)
    assert everything(tmp_path) == before


def test_layers_images_and_containers_agree(store: StoreBuilder) -> None:
    """Chain IDs, image IDs, sizes, short links and lower chains recompute from what is on disk."""
    image = app(store)
    for state in ("created", "running", "paused", "restarting", "exited", "dead"):
        store.container(image, name=f"is-{state}", state=state, files={"tmp/x": 1000, "bin/sh": Whiteout()})
    assert_faithful(store.root)


def test_a_deep_chain_names_all_its_lowers(store: StoreBuilder) -> None:
    """The lower of a layer names every layer below it, nearest first, however deep the chain."""
    top = None
    for number in range(40):
        top = store.layer({f"layer-{number}": b""}, parent=top)
    assert top is not None
    store.container(store.image(top), name="deep")

    lower = (store.graph.home / store.layers[top].cache_id / "lower").read_text()
    assert len(lower.split(":")) == 39
    assert_faithful(store.root)


def test_the_same_seed_gives_the_same_store(tmp_path: Path) -> None:
    """Two roots made by the same calls and seed are equal to the byte."""
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        store = StoreBuilder(root, seed=7)
        store.container(app(store), name="app", log_bytes=500)
    assert everything(roots[0]) == everything(roots[1])


def test_another_seed_changes_what_is_random_and_nothing_else(tmp_path: Path) -> None:
    """Identities that follow from content stay; storage directories have other names, as on another host."""
    one, two = (StoreBuilder(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert app(one) == app(two)
    assert one.layers.keys() == two.layers.keys()
    assert {layer.cache_id for layer in one.layers.values()}.isdisjoint(layer.cache_id for layer in two.layers.values())


def test_an_equal_layer_is_stored_once(store: StoreBuilder) -> None:
    """The same files on the same parent are one layer; on another parent they are another."""
    base = store.layer(BASE)
    assert store.layer(BASE) == base
    assert store.layer(APP, parent=base) != store.layer(APP)
    assert len(store.layers) == 3
    assert_faithful(store.root)


def test_only_what_has_been_a_parent_is_committed(store: StoreBuilder) -> None:
    """``committed`` marks a directory that something lies on, so an unused top layer lacks it."""
    base = store.layer(BASE)
    top = store.layer(APP, parent=base)
    directories = [store.graph.home / store.layers[chain].cache_id for chain in (base, top)]
    assert [(directory / "committed").exists() for directory in directories] == [True, False]

    store.container(store.image(top), name="user")

    assert [(directory / "committed").exists() for directory in directories] == [True, True]


def test_references_are_filed_by_repository(store: StoreBuilder) -> None:
    """Tags and digests of a repository stand together, a name without a tag is ``latest``, a port is no tag."""
    digest = "sha256:" + "a" * 64
    image = store.image(
        store.layer(BASE), tags=["app", "localhost:5000/team/app:2", "localhost:5000/app"], digests=[f"app@{digest}"]
    )
    assert references(store) == {
        "app": {"app:latest": image, f"app@{digest}": image},
        "localhost:5000/app": {"localhost:5000/app:latest": image},
        "localhost:5000/team/app": {"localhost:5000/team/app:2": image},
    }


def test_a_tag_moves(store: StoreBuilder) -> None:
    """A name that is given to another image leaves the first one; dropping it leaves the image."""
    first, second = app(store), store.image(store.layer(BASE))
    store.tag(second, "app:1.0")
    assert references(store) == {"app": {"app:1.0": second}}

    store.untag("app:1.0")

    assert references(store) == {}
    assert {first, second} == store.images.keys()
    with pytest.raises(KeyError):
        store.untag("app:1.0")


def test_history_has_one_step_for_each_layer_and_one_that_made_none(store: StoreBuilder) -> None:
    """The k-th step that is not empty made the k-th layer; there is one that is."""
    image = app(store)
    content = store.root / "image/overlay2/imagedb/content/sha256" / image.removeprefix("sha256:")
    history = json.loads(content.read_bytes())["history"]
    assert [step.get("empty_layer", False) for step in history] == [False, False, True]


def test_a_container_has_its_images_labels_and_its_own(store: StoreBuilder) -> None:
    """The engine merges both, and the container's win."""
    image = store.image(store.layer(BASE), labels={"a": "image", "b": "image"})
    container = store.container(image, name="c", labels={"b": "container", "c": "<&>"})
    assert config_of(store, container)["Config"]["Labels"] == {"a": "image", "b": "container", "c": "<&>"}


@pytest.mark.parametrize(
    ("state", "flags", "mounted"),
    [
        ("created", set[str](), False),
        ("running", {"Running"}, True),
        ("paused", {"Running", "Paused"}, True),
        ("restarting", {"Running", "Restarting"}, False),
        ("exited", set[str](), False),
        ("dead", {"Dead", "RemovalInProgress"}, False),
    ],
)
def test_states(store: StoreBuilder, state: str, flags: set[str], mounted: bool) -> None:
    """Each state sets the engine's flags, also when a container comes to it; only one that runs is mounted."""
    image = app(store)
    at_once = store.container(image, name="at-once", state=state)
    later = store.container(image, name="later", state="running")
    store.set_state(later, state)

    for container in (at_once, later):
        found = config_of(store, container)["State"]
        assert {flag for flag, value in found.items() if value is True} == flags
        assert (store.upper_path(container).parent / "merged").exists() == mounted
        assert bool(found["Pid"]) == mounted
        assert (found["StartedAt"] == "0001-01-01T00:00:00Z") == (state == "created")
        assert ("resolv.conf" in names(store.container_path(container))) == (state != "created" or container == later)


def test_the_limit_of_an_upper_layer(store: StoreBuilder) -> None:
    """``--storage-opt size=`` stands in the host configuration as it was given; without it there is no such key."""
    image = app(store)
    limited = store.container(image, name="limited", storage_opt_size="10G")
    free = store.container(image, name="free")
    found = [json.loads((store.container_path(c) / "hostconfig.json").read_bytes()) for c in (limited, free)]
    assert found[0]["StorageOpt"] == {"size": "10G"}
    assert "StorageOpt" not in found[1]


@pytest.mark.parametrize(
    ("driver", "file"),
    [
        ("json-file", "{id}-json.log"),
        ("local", "local-logs/container.log"),
        ("syslog", "container-cached.log"),
        ("journald", None),
        ("none", None),
    ],
)
def test_logs_lie_where_their_driver_puts_them(store: StoreBuilder, driver: str, file: str | None) -> None:
    """A log has the size that was asked for, to the byte; only ``json-file`` is named by LogPath."""
    container = store.container(app(store), name="logs", log_driver=driver, log_bytes=1234)

    path = store.log_path(container)

    assert path == (None if file is None else store.container_path(container) / file.format(id=container))
    assert path is None or path.stat().st_size == 1234
    assert config_of(store, container)["LogPath"] == (str(path) if driver == "json-file" else "")


def test_a_log_consists_of_whole_lines(store: StoreBuilder) -> None:
    """Every line of a ``json-file`` log but the cut one parses."""
    container = store.container(app(store), name="logs", log_bytes=100_000)
    path = store.log_path(container)
    assert path is not None
    lines = path.read_bytes().splitlines()
    assert {"log", "stream", "time"} == set().union(*(json.loads(line) for line in lines[:-1]))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_log_rotation_keeps_so_many_files(store: StoreBuilder, suffix: str) -> None:
    """The newest old log is ``.1``, and the oldest is dropped."""
    container = store.container(app(store), name="logs")
    path = store.log_path(container)
    assert path is not None
    for size in (100, 200, 300, 400):
        store.append_log(container, size)
        store.rotate_log(container, keep=3, compress=bool(suffix))

    assert names(path.parent) & {f"{path.name}.{n}{suffix}" for n in range(6)} == {
        f"{path.name}.{n}{suffix}" for n in (1, 2, 3)
    }
    assert path.stat().st_size == 0
    if not suffix:
        assert [Path(f"{path}.{n}").stat().st_size for n in (1, 2, 3)] == [400, 300, 200]


def test_a_volume_is_made_where_the_engine_keeps_it(store: StoreBuilder) -> None:
    """A volume's bytes lie below ``volumes/``, not in the upper layer; a bind mount keeps its source."""
    points = [
        MountPoint(destination="/data", kind="volume", name="v1", source="", writable=True),
        MountPoint(destination="/host", kind="bind", name="", source="/srv", writable=False),
    ]
    container = store.container(app(store), name="mounts", mount_points=points)

    found = config_of(store, container)["MountPoints"]

    assert found["/data"]["Source"] == str(store.root / "volumes/v1/_data")
    assert (store.root / "volumes/v1/_data").is_dir()
    assert (found["/host"]["Source"], found["/host"]["RW"]) == ("/srv", False)


def test_writes_go_to_the_upper_layer(store: StoreBuilder) -> None:
    """A file is replaced or grows by exactly the bytes that are written, and they take disk."""
    container = store.container(app(store), name="writer")
    for size, append in ((5000, False), (70_000, True), (300, False)):
        store.write(container, "var/lib/data", size, append=append)
        status = (store.upper_path(container) / "var/lib/data").stat()
        expected = {5000: 5000, 70_000: 75_000, 300: 300}[size]
        assert (status.st_size, status.st_blocks * 512 >= expected) == (expected, True)
    assert_faithful(store.root)


def test_a_write_never_leaves_the_upper_layer(store: StoreBuilder, tmp_path: Path) -> None:
    """Neither a climbing path nor a link in the layer leads the builder, which may be root, to the host's files."""
    (tmp_path / "outside").mkdir()
    container = store.container(app(store), name="w", files={"link": Symlink(target=str(tmp_path / "outside"))})
    for path in ("../../../outside/x", "/outside/x", "link/x"):
        with pytest.raises(ValueError, match="layer"):
            store.write(container, path, 1)
    with pytest.raises(OSError, match="symbolic links"):
        store.write(container, "link", 1)
    assert names(tmp_path / "outside") == set()


def test_removing_everything_leaves_an_empty_store(tmp_path: Path) -> None:
    """Containers, then images: no layer, directory, short link or record remains."""
    before = StoreBuilder(tmp_path / "empty")
    store = StoreBuilder(tmp_path / "full")
    image = app(store)
    container = store.container(image, name="gone", state="running", log_bytes=10)
    store.remove_container(container)
    store.remove_image(image)
    assert everything(store.root) == everything(before.root)


def test_layers_that_others_need_stay(store: StoreBuilder) -> None:
    """A shared base outlives one of its images, and goes with the last."""
    base = store.layer(BASE)
    first = store.image(store.layer({"one": b"1"}, parent=base), tags=["one"])
    second = store.image(store.layer({"two": b"2"}, parent=base), tags=["two"])

    store.remove_image(first)
    assert base in store.layers
    assert_faithful(store.root)
    store.remove_image(second)

    assert store.layers == {}
    assert_faithful(store.root)


def test_removing_an_image_takes_its_untagged_parents(store: StoreBuilder) -> None:
    """As in an engine, what a classic build left between goes with the result, up to what has a name."""
    base = store.image(store.layer(BASE), tags=["base"])
    step = store.image(store.layer({"step": b""}, parent=store.images[base].top), parent=base)
    result = store.image(store.layer({"result": b""}, parent=store.images[step].top), tags=["result"], parent=step)

    with pytest.raises(ValueError, match="built on"):
        store.remove_image(step)
    store.remove_image(result)

    assert store.images.keys() == {base}
    assert_faithful(store.root)


def test_an_image_in_use_is_removed_only_by_force(store: StoreBuilder) -> None:
    """Force removes the image's records; its layers stay as long as the container does."""
    image = app(store)
    container = store.container(image, name="user", state="exited")
    with pytest.raises(ValueError, match="a container uses"):
        store.remove_image(image)

    store.remove_image(image, force=True)
    assert len(store.layers) == 2
    assert_faithful(store.root)
    store.remove_container(container)

    assert store.layers == {}


class Watched:
    """A graph driver that looks at the rest of the store before it removes a directory."""

    def __init__(self, driver: GraphDriver, look: Callable[[CacheID], None]) -> None:
        self._driver = driver
        self._look = look
        self.home = driver.home

    def create(self, name: CacheID, parent: CacheID | None) -> None:
        self._driver.create(name, parent)

    def apply(self, name: CacheID, files: Mapping[str, File]) -> None:
        self._driver.apply(name, files)

    def mount(self, name: CacheID) -> None:
        self._driver.mount(name)

    def unmount(self, name: CacheID) -> None:
        self._driver.unmount(name)

    def remove(self, name: CacheID) -> None:
        self._look(name)
        self._driver.remove(name)

    def files(self, name: CacheID) -> Path:
        return self._driver.files(name)


def test_an_image_goes_in_the_engines_order(store: StoreBuilder) -> None:
    """When a layer's directory goes, names and image are gone, and the layer's record is renamed and still there."""
    image = app(store)
    top_down = [layer.cache_id for layer in reversed(store.layers.values())]
    seen = []

    def look(name: CacheID) -> None:
        removing = [path for path in store.layerdb.layers.iterdir() if path.name.endswith("-removing")]
        assert [(path / "cache-id").read_text() for path in removing] == [name]
        assert names(store.root / "image/overlay2/imagedb/content/sha256") == set()
        assert references(store) == {}
        seen.append(name)

    store.graph = Watched(store.graph, look)
    store.remove_image(image)

    assert seen == top_down


def test_a_container_goes_in_the_engines_order(store: StoreBuilder) -> None:
    """Marked dead first; its upper goes before its init layer, then the mount record, and its own records last."""
    container = store.container(app(store), name="going")
    upper = store.containers[container].mount_id
    seen = []

    def look(name: CacheID) -> None:
        assert config_of(store, container)["State"]["Dead"]
        assert names(store.layerdb.mounts) == {container}
        seen.append(name)

    store.graph = Watched(store.graph, look)
    store.remove_container(container)

    assert seen == [upper, f"{upper}-init"]
    assert names(store.layerdb.mounts) == names(store.root / "containers") == set()


def test_a_random_life_stays_faithful(store: StoreBuilder) -> None:
    """Whatever is created, changed and removed in whatever order, the store is whole afterwards."""
    rng = random.Random(5)  # noqa: S311 - no secrets
    base = store.layer(BASE)
    images, containers = [store.image(base, tags=["base"])], list[ContainerID]()
    for number in range(60):
        match rng.randrange(6):
            case 0 | 1:
                below = store.images[rng.choice(images)].top
                top = store.layer({f"file-{number}": number}, parent=below)
                images.append(store.image(top, tags=[f"image-{number}"] if number % 2 else []))
            case 2 | 3:
                state = rng.choice(["created", "running", "paused", "exited"])
                containers.append(store.container(rng.choice(images), name=f"c-{number}", state=state))
            case 4 if containers:
                store.remove_container(containers.pop(rng.randrange(len(containers))))
            case 5 if len(images) > 1:
                store.remove_image(images.pop(rng.randrange(1, len(images))), force=True)
    assert containers
    assert len(images) > 1
    assert_faithful(store.root)
