"""Images without a network: made from a static busybox in each of the ways that an engine offers."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.engine.docker import Docker
from tests.requirements import required

BUSYBOX = "/bin/busybox"

BASE = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "/bin"]
RUN mkdir -p /srv/old/deep && echo lower > /srv/file && echo lower > /srv/old/deep/file && ln -s file /srv/symlink
"""
"""Three layers: a file, hard links to it, and small things that a container can overwrite and delete."""


def build(
    docker: Docker,
    dockerfile: str,
    *options: str,
    tag: str = "",
    files: Mapping[str, bytes] | None = None,
    buildkit: bool = False,
) -> str:
    """Build an image, busybox being part of the context, and return its ID.

    Args:
        options: Further options of ``docker build``.
        files: What the context holds besides, by path.
        buildkit: By BuildKit rather than by the classic builder.
    """
    context = archive({"Dockerfile": dockerfile.encode(), "busybox": busybox(), **(files or {})})
    return docker.cli(
        "build",
        "--quiet",
        "--network=none",
        *options,
        *(["--tag", tag] if tag else []),
        "-",
        stdin=context,
        env={"DOCKER_BUILDKIT": "1" if buildkit else "0"},
    )


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar of executable files. It says no times, so equal files make equal layers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def saved_image(*layers: bytes, history: Sequence[Mapping[str, object]] = ()) -> bytes:
    """What ``docker save`` would have written of an image with these layers, base first: for ``docker load``."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": list(history),
    }
    files = {f"{number}.tar": layer for number, layer in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": list(files)}]
    return archive(
        {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode(), **files}
    )


def busybox() -> bytes:
    """The statically linked shell and tools that everything in these images is made with."""
    return Path(required(BUSYBOX)).read_bytes()
