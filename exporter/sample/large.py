"""Stores and trees of the size that benchmarks need, built fast."""

import os
import random
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.sample.builder import StoreBuilder
from exporter.sample.tree import File
from exporter.store.entries import ChainID, ImageID

_DEEPEST = 40
"""Layers in the longest chain; the engine itself stops at 128."""
_FANOUT = 16
_STATES = ("running", "exited", "running", "running", "created", "running", "paused", "exited", "running", "dead")


def build_large(
    root: Path,
    *,
    layers: int = 1000,
    images: int = 300,
    containers: int = 500,
    files_per_upper: int = 20,
    storage_opt_size: str | None = None,
    seed: int = 0,
) -> StoreBuilder:
    """Build a host that many builds and deployments went over.

    Layers form a forest as real ones do: a few bases under everything, most images with some layers of their own. Every
    layer belongs to an image. One image in ten is dangling, and a few images carry most of the containers.

    Args:
        root: a directory that is empty, or does not exist yet.
        layers: how many, at least as many as images.
        images: how many.
        containers: how many, in all states.
        files_per_upper: files that each container wrote.
        storage_opt_size: the limit of every upper layer, as ``--storage-opt size=`` takes it; None for no limit.
        seed: the same seed gives the same identities.
    """
    store = StoreBuilder(root, seed=seed)
    rng = random.Random(seed)  # noqa: S311 - no secrets
    made = _images(store, rng, layers=layers, images=images)
    for number in range(containers):
        # The square draws the first images far more often than the last.
        image = made[int(len(made) * rng.random() ** 2)]
        store.container(
            image,
            name=f"service-{number}",
            state=_STATES[number % len(_STATES)],
            files=_upper(rng, files_per_upper),
            labels={"com.docker.compose.project": f"project-{number % 37}", "com.docker.compose.service": f"s{number}"},
            log_bytes=rng.randrange(0, 20_000),
            storage_opt_size=storage_opt_size,
        )
    return store


def _images(store: StoreBuilder, rng: random.Random, *, layers: int, images: int) -> list[ImageID]:
    chains: list[tuple[ChainID, int]] = []
    made: list[ImageID] = []
    for number in range(images):
        # What is left is shared out evenly, so that the numbers come out exactly.
        left = layers - len(chains)
        own = (
            left if number == images - 1 else max(1, min(left - (images - 1 - number), round(left / (images - number))))
        )
        new_base = number < max(1, images // 40)
        top, depth = (None, 0) if new_base else rng.choice([chain for chain in chains if chain[1] <= _DEEPEST - own])
        for _ in range(own):
            top = store.layer(_layer(rng, len(chains)), parent=top)
            depth += 1
            chains.append((top, depth))
        tags = [] if number % 10 == 9 else [f"registry.example/team-{number % 12}/app-{number}:1.{number % 7}"]
        made.append(store.image(top, tags=tags, labels={"build": str(number)}))
    return made


def _layer(rng: random.Random, number: int) -> Mapping[str, File]:
    files: dict[str, File] = {f"opt/layer-{number}/VERSION": f"{number}\n".encode()}
    for index in range(rng.randrange(1, 8)):
        files[f"opt/layer-{number}/lib/{index}.so"] = rng.randrange(1, 60_000)
    return files


def _upper(rng: random.Random, files: int) -> Mapping[str, File]:
    return {f"var/lib/app/{index // 64}/{index}.dat": rng.randrange(0, 9000) for index in range(files)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What walking a tree must find."""

    inodes: int
    """The top directory included."""
    size: int
    """Apparent bytes."""


def build_tree(path: Path, *, files: int, directories: int, seed: int = 0) -> Tree:
    """Make a plain tree of ``files + directories`` inodes, for measuring walks.

    Files are spread evenly. One in eight has a size, all hole, so that the tree takes no more disk than its inodes.

    Args:
        path: the top directory, which must not exist yet.
        files: how many.
        directories: how many, the top one included.
        seed: the same seed gives the same sizes.
    """
    rng = random.Random(seed)  # noqa: S311 - no secrets
    paths = [str(path)]
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    for number in range(directories):
        if number:
            paths.append(f"{paths[(number - 1) // _FANOUT]}/d{number % _FANOUT:x}")
        os.mkdir(paths[number])
        first, last = files * number // directories, files * (number + 1) // directories
        size += _fill(paths[number], first, last, rng)
    return Tree(inodes=files + directories, size=size)


def _fill(directory: str, first: int, last: int, rng: random.Random) -> int:
    """Make the files with these numbers, with one system call each for most of them."""
    size = 0
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(first, last):
            os.mknod(f"f{number}", stat.S_IFREG | 0o644, dir_fd=descriptor)
            if number % 8 == 0:
                length = rng.randrange(1, 100_000)
                os.truncate(f"{directory}/f{number}", length)
                size += length
    finally:
        os.close(descriptor)
    return size
