"""Where a real engine's disk went: everything adds up to what ``du`` says of its root."""

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

from exporter.measure.areas import Area, AreaMeasurer
from exporter.measure.directories import DirectoryMeasurer, Kind
from exporter.measure.memory import open_memory
from exporter.measure.walk import measure
from exporter.store.catalog import Catalog, Store
from exporter.store.detect import Root
from exporter.store.entries import CacheID, ChainID
from exporter.store.scanner import Scanner
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build

WRITING = (
    "head -c 3000000 /dev/urandom > /written; mkdir -p /deep/er; rm /srv/file; head -c 2000000 /dev/urandom > /data/in"
)


class Measured:
    """One engine's root, with all that is due measured."""

    def __init__(self, docker: Docker, state: Path) -> None:
        self.catalog: Catalog = Scanner([Root(path=str(docker.data_root))]).scan(time.time())
        memory = open_memory(str(state))
        directories = DirectoryMeasurer(memory, monotonic=time.monotonic, full_interval=300.0)
        areas = AreaMeasurer(monotonic=time.monotonic, full_interval=300.0)
        directories.expect(self.catalog.stores)
        areas.expect(self.catalog.stores)
        self.inodes: Counter[Kind] = Counter()
        while (step := directories.step()) is not None:
            self.inodes[step.kind] += step.inodes
        while areas.step() is not None:
            pass
        memory.close()
        (self.store,) = self.catalog.stores
        uppers = _uppers(self.store)
        self.layers: dict[ChainID, int] = dict(directories.layer_allocated(self.store.name))
        self.directories: dict[CacheID, int] = dict(directories.directory_allocated(self.store.name, uppers))
        found = areas.of(self.store.name, directories.total(self.store.name, uppers))
        self.areas, self.volumes = dict(found.areas), dict(found.volumes)


def _uppers(store: Store) -> dict[CacheID, int]:
    uppers = [directory for key in store.containers if (directory := store.upper_of(key)) is not None]
    return {directory: measure(store.diff_path(directory)).usage.allocated for directory in uppers}


def du(path: Path | str) -> int:
    """Bytes on disk of a tree, without other filesystems."""
    done = subprocess.run(["du", "-sx", "--block-size=1", path], check=True, capture_output=True, text=True)
    return int(done.stdout.split("\t")[0])


def _busy(docker: Docker) -> None:
    """Images of both builders, a build cache, containers in three states, volumes with and without a name."""
    build(docker, BASE, tag="classic")
    cached = (
        "FROM classic\nRUN --mount=type=cache,target=/cache head -c 500000 /dev/urandom > /cache/file; echo new > /new"
    )
    build(docker, cached, tag="built", buildkit=True)
    docker.cli("volume", "create", "named")
    docker.cli("run", "--detach", "--name=running", "--network=none", "--volume=named:/data", "built", "sleep", "86400")
    docker.cli("exec", "running", "sh", "-c", WRITING)
    docker.cli("run", "--name=exited", "--network=none", "--volume=/data", "classic", "sh", "-c", WRITING)
    docker.cli("create", "--name=created", "--network=none", "built", "true")


def test_the_areas_add_up_to_the_root(own_docker: Docker, tmp_path: Path, tell: Tell) -> None:
    """Σ areas = ``du -sx`` of the root; layers, storage directories and volumes are each what ``du`` says of them."""
    _busy(own_docker)
    os.sync()

    found = Measured(own_docker, tmp_path / "state")

    root, driver = own_docker.data_root, Path(found.store.directory_root)
    tell(Counter(layers=len(found.layers), directories=len(found.directories), volumes=len(found.volumes)))
    assert found.store.layers.keys() == found.layers.keys()
    assert {
        chain_id: du(driver / str(layer.cache_id) / "diff") for chain_id, layer in found.store.layers.items()
    } == found.layers
    assert {path.name: du(path) for path in driver.iterdir()} == {
        name: allocated for name, allocated in found.directories.items() if name != "."
    }
    assert du(driver) == sum(found.directories.values()) == found.areas[Area.LAYERS]
    volumes = {volume["Name"]: du(volume["Mountpoint"]) for volume in own_docker.api("/volumes")["Volumes"]}
    assert volumes == found.volumes
    assert du(root) == sum(found.areas.values())
    assert {
        Area.CONTAINERS: du(root / "containers"),
        Area.VOLUMES: du(root / "volumes"),
        Area.BUILD: du(root / "buildkit"),
    } == {area: found.areas[area] for area in (Area.CONTAINERS, Area.VOLUMES, Area.BUILD)}


def test_nothing_immutable_is_walked_again_after_a_restart(own_docker: Docker, tmp_path: Path, tell: Tell) -> None:
    """Neither after the exporter was restarted nor after the engine was, whatever became a parent meanwhile."""
    _busy(own_docker)
    first = Measured(own_docker, tmp_path / "state")
    exporter_restarted = Measured(own_docker, tmp_path / "state")
    own_docker.stop()
    own_docker.start()
    engine_restarted = Measured(own_docker, tmp_path / "state")
    # A created container makes a parent of the image's top layer, which is one more file beside the layer's files.
    own_docker.cli("create", "--network=none", "classic", "true")
    new_parent = Measured(own_docker, tmp_path / "state")

    tell(Counter(inodes_measured_first=first.inodes[Kind.IMMUTABLE]))
    assert first.inodes[Kind.IMMUTABLE] > 50
    assert exporter_restarted.inodes[Kind.IMMUTABLE] == 0
    assert engine_restarted.inodes[Kind.IMMUTABLE] < 20
    assert new_parent.inodes[Kind.IMMUTABLE] < 30
    assert first.layers == exporter_restarted.layers == engine_restarted.layers == new_parent.layers
    assert du(own_docker.data_root) == sum(new_parent.areas.values())


def test_a_remapped_root(tmp_path: Path) -> None:
    """With userns-remap the areas are those of the root below ``<uid>.<gid>``, to the byte."""
    with Docker(remapped_to=100_000) as docker:
        build(docker, BASE, tag="remapped")
        docker.cli("run", "--network=none", "--volume=/data", "remapped", "sh", "-c", WRITING)

        found = Measured(docker, tmp_path / "state")

        assert du(found.store.root) == sum(found.areas.values())
        assert len(found.volumes) == 1
