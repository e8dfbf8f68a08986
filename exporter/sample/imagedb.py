"""The image store's records: ``image/<driver>/imagedb/`` and ``repositories.json``."""

import hashlib
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporter.sample.disk import encode_json, make_directory, replace_record
from exporter.store.entries import DiffID, ImageID

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The environment that an image has where nobody set any."""


def image_config(
    diff_ids: Sequence[DiffID], *, created: str, labels: Mapping[str, str], history: Sequence[Mapping[str, object]]
) -> bytes:
    """An image's configuration as a classic build writes it; its SHA-256 is the image ID."""
    return encode_json(
        {
            "architecture": "amd64",
            "config": process_config(labels=labels) | {"Env": [PATH], "Cmd": ["/bin/sh"]},
            "created": created,
            "docker_version": "20.10.24",
            "history": list(history),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }
    )


def process_config(*, labels: Mapping[str, str]) -> dict[str, object]:
    """The ``config`` that images and containers share, with nothing set but the labels."""
    return {
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": dict(sorted(labels.items())) or None,
    }


def automatic_history(layers: int, created: str) -> list[dict[str, object]]:
    """One step for each layer, and at the end one that made none."""
    steps: list[dict[str, object]] = [
        {"created": created, "created_by": f"/bin/sh -c #(nop) COPY dir:{number:064x} in / "}
        for number in range(layers)
    ]
    steps.append({"created": created, "created_by": '/bin/sh -c #(nop)  CMD ["/bin/sh"]', "empty_layer": True})
    return steps


def repository_of(reference: str) -> str:
    """The repository of ``name:tag`` or ``name@sha256:<hex>``: the key that ``repositories.json`` files it under."""
    name, at, _ = reference.partition("@")
    return name if at else reference.rpartition(":")[0]


def with_tag(reference: str) -> str:
    """The reference with ``:latest`` where it has no tag."""
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


class ImageDatabase:
    """Writes ``imagedb/content``, ``imagedb/metadata`` and ``repositories.json``."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self._rng = rng
        self._references: dict[str, ImageID] = {}
        self.content = make_directory(home / "imagedb" / "content" / "sha256", 0o700)
        self.metadata = make_directory(home / "imagedb" / "metadata" / "sha256", 0o700)
        make_directory(home / "distribution", 0o700)
        self.repositories = home / "repositories.json"
        self._save()

    def add(self, config: bytes, parent: ImageID | None) -> ImageID:
        """Store a configuration, then what is known of the image besides."""
        image = ImageID(f"sha256:{hashlib.sha256(config).hexdigest()}")
        replace_record(self.content / _hex(image), config, self._rng)
        if parent is not None:
            self._set_metadata(image, "parent", parent)
        return image

    def remove(self, image: ImageID) -> None:
        """Delete an image's metadata, then its configuration."""
        shutil.rmtree(self.metadata / _hex(image), ignore_errors=True)
        (self.content / _hex(image)).unlink()

    def references_of(self, image: ImageID) -> list[str]:
        """Every tag and digest that names the image."""
        return [reference for reference, target in self._references.items() if target == image]

    def tag(self, image: ImageID, references: Sequence[str], *, updated: str) -> None:
        """Give the image these names, taking them from whatever had them before."""
        self._references.update(dict.fromkeys(references, image))
        self._save()
        self._set_metadata(image, "lastUpdated", updated)

    def untag(self, references: Sequence[str]) -> None:
        """Drop these names.

        Raises:
            KeyError: no image has such a name.
        """
        for reference in references:
            del self._references[reference]
        self._save()

    def _save(self) -> None:
        repositories: dict[str, dict[str, ImageID]] = {}
        for reference, image in sorted(self._references.items()):
            repositories.setdefault(repository_of(reference), {})[reference] = image
        ordered = dict(sorted(repositories.items()))
        replace_record(self.repositories, encode_json({"Repositories": ordered}), self._rng)

    def _set_metadata(self, image: ImageID, key: str, value: str) -> None:
        directory = make_directory(self.metadata / _hex(image), 0o700)
        replace_record(directory / key, value, self._rng)


def _hex(image: ImageID) -> str:
    return image.removeprefix("sha256:")
