"""Stores and trees for benchmarks."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.sample.large import build_large, build_tree
from exporter.store.entries import ChainID
from tests.unit.sample.invariants import assert_faithful


def chain(store: StoreBuilder, top: ChainID | None) -> list[ChainID]:
    found = []
    while top is not None:
        found.append(top)
        top = store.layers[top].parent
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreBuilder:
    root = tmp_path_factory.mktemp("large") / "root"
    return build_large(root, layers=120, images=40, containers=60, files_per_upper=5)


def test_a_large_store_has_exactly_what_was_asked_for(store: StoreBuilder) -> None:
    """So many layers, images and containers, each container with so many files, and all of it agrees."""
    assert (len(store.layers), len(store.images), len(store.containers)) == (120, 40, 60)
    for container in store.containers:
        assert len(list(store.upper_path(container).rglob("*.dat"))) == 5
    assert_faithful(store.root)


def test_its_layers_form_a_forest_as_real_ones_do(store: StoreBuilder) -> None:
    """Every layer is in an image; a few bases lie under everything, and many layers belong to one image only."""
    users = Counter(layer for image in store.images.values() for layer in chain(store, image.top))
    bases = [layer for layer, record in store.layers.items() if record.parent is None]
    assert users.keys() == store.layers.keys()
    assert 1 <= len(bases) <= 3
    assert max(users[base] for base in bases) > 10
    assert 30 <= sum(count == 1 for count in users.values()) <= 90


def test_one_image_in_ten_is_dangling(store: StoreBuilder) -> None:
    """As on hosts that build."""
    repositories = json.loads((store.root / "image/overlay2/repositories.json").read_bytes())["Repositories"]
    assert sum(len(references) for references in repositories.values()) == 36


def test_a_few_images_carry_most_containers(store: StoreBuilder) -> None:
    """And containers are in every state but restarting."""
    used = Counter(container.image_id for container in store.containers.values())
    assert sum(count for _, count in used.most_common(10)) > 30
    states = {container.state.value for container in store.containers.values()}
    assert states == {"created", "running", "paused", "exited", "dead"}


def test_as_many_layers_as_images(tmp_path: Path) -> None:
    """The smallest store that has a layer for each image."""
    store = build_large(tmp_path, layers=5, images=5, containers=0)
    assert (len(store.layers), len(store.images)) == (5, 5)


@pytest.mark.parametrize(("files", "directories"), [(0, 1), (1000, 1), (5000, 300), (3, 40)])
def test_a_tree_has_exactly_so_many_inodes(tmp_path: Path, files: int, directories: int) -> None:
    """As du(1) counts them, inodes and bytes."""
    tree = build_tree(tmp_path / "tree", files=files, directories=directories)

    inodes = subprocess.run(["du", "--inodes", "-s", tmp_path / "tree"], check=True, capture_output=True).stdout
    sizes = subprocess.run(
        ["find", tmp_path / "tree", "-type", "f", "-printf", "%s\n"], check=True, capture_output=True
    )

    assert int(inodes.split()[0]) == tree.inodes == files + directories
    assert sum(map(int, sizes.stdout.split())) == tree.size


def test_files_of_a_tree_are_spread_evenly(tmp_path: Path) -> None:
    """No directory has more than one file more than another."""
    build_tree(tmp_path / "tree", files=1003, directories=50)
    counts = {
        sum(path.is_file() for path in directory.iterdir())
        for directory in [tmp_path / "tree", *(path for path in (tmp_path / "tree").rglob("*") if path.is_dir())]
    }
    assert counts == {20, 21}
