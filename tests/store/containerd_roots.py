"""Builds containerd roots on disk, as containerd and its clients write them: databases, directories, content."""

import gzip
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exporter.store.bolt import Tree
from exporter.store.containerd.roots import MEASURABLE
from tests.store.bolt_files import encode
from tests.store.containerd_records import backend, blob, image, labels, snapshot, times

COMMITTED, ACTIVE, VIEW = 3, 2, 1
SIZE = 8192
"""What each committed snapshot is recorded to take."""


def sha256(content: bytes) -> str:
    """The digest of some content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain IDs of layers, base first (OCI image specification, "Layer ChainID")."""
    found: list[str] = []
    for diff_id in diff_ids:
        found.append(sha256(f"{found[-1]} {diff_id}".encode()) if found else diff_id)
    return found


@dataclass(kw_only=True)
class Space:
    """One namespace, as far as it was built."""

    images: dict[bytes, Tree] = field(default_factory=dict)
    blobs: dict[bytes, Tree] = field(default_factory=dict)
    snapshots: dict[str, dict[bytes, Tree]] = field(default_factory=dict)
    containers: dict[bytes, Tree] = field(default_factory=dict)
    leases: dict[bytes, Tree] = field(default_factory=dict)
    sandboxes: dict[bytes, Tree] = field(default_factory=dict)

    def tree(self) -> Tree:
        """What the database holds of it."""
        rows: dict[bytes, Tree] = {name.encode(): keys for name, keys in self.snapshots.items()}
        return {
            b"images": self.images,
            b"content": {b"blob": self.blobs},
            b"snapshots": rows,
            b"containers": self.containers,
            b"leases": self.leases,
            b"sandboxes": self.sandboxes,
        }


class ContainerdRootBuilder:
    """A containerd's root that grows; ``write`` commits it, as one transaction of each database."""

    def __init__(self, path: Path, *, snapshotter: Path | None = None, version: int = 4) -> None:
        self.path = path
        self.snapshotter = snapshotter or path / f"io.containerd.snapshotter.v1.{MEASURABLE}"
        self.blobs = path / "io.containerd.content.v1.content/blobs/sha256"
        self.metadata = path / "io.containerd.metadata.v1.bolt/meta.db"
        self.database = self.snapshotter / "metadata.db"
        self.spaces: dict[str, Space] = {}
        self.rows: dict[bytes, Tree] = {}
        self.version = version
        self._sequence = 0
        self._number = 0
        self._txid = 7
        for directory in (self.snapshotter / "snapshots", self.blobs, self.metadata.parent):
            directory.mkdir(parents=True, exist_ok=True)

    def space(self, name: str) -> Space:
        """A namespace."""
        return self.spaces.setdefault(name, Space())

    def write(self) -> "ContainerdRootBuilder":
        """Commit all that was built."""
        self._txid += 1
        schema: dict[bytes, bytes | Tree] = {name.encode(): space.tree() for name, space in self.spaces.items()}
        schema[b"version"] = bytes([2 * self.version])
        for path, tree in ((self.metadata, schema), (self.database, {b"snapshots": self.rows})):
            fresh = path.with_name("being-written")
            fresh.write_bytes(encode({b"v1": tree}, txid=self._txid))
            fresh.replace(path)
        return self

    # Snapshots

    def snapshot(
        self,
        namespace: str,
        key: str,
        *,
        kind: int = COMMITTED,
        parent: str = "",
        files: Mapping[str, bytes] | None = None,
        snapshotter: str = MEASURABLE,
    ) -> int:
        """A snapshot with its directory; its number."""
        self._sequence += 1
        name = f"{namespace}/{self._sequence}/{key}"
        keys = self.space(namespace).snapshots.setdefault(snapshotter, {})
        keys[key.encode()] = snapshot(name, parent=parent)
        if snapshotter != MEASURABLE:
            return 0
        self._number += 1
        above = keys.get(parent.encode()) if parent else None
        upper = above.get(b"name") if above is not None else None
        size = SIZE if kind == COMMITTED else None
        row = backend(
            self._number, kind, parent=upper.decode() if isinstance(upper, bytes) else "", size=size, inodes=2
        )
        self.rows[name.encode()] = row
        self.directory(str(self._number), work=kind == ACTIVE, files=files)
        return self._number

    def directory(self, name: str, *, work: bool = False, files: Mapping[str, bytes] | None = None) -> Path:
        """A directory of the snapshotter."""
        made = self.snapshotter / "snapshots" / name
        (made / "fs").mkdir(parents=True)
        if work:
            (made / "work").mkdir()
        for path, content in (files or {}).items():
            file = made / "fs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return made

    def mount(self, number: int, *, files: Mapping[str, bytes] | None = None) -> None:
        """Mount a snapshot to write to, write, and unmount: overlayfs makes ``work/work`` anew, and leaves it."""
        directory = self.snapshotter / "snapshots" / str(number)
        work = directory / "work/work"
        if work.exists():
            work.rmdir()
        work.mkdir()
        for path, content in (files or {}).items():
            (directory / "fs" / path).write_bytes(content)

    def row_of(self, namespace: str, key: str) -> bytes:
        """The name of a snapshot's row."""
        found = self.space(namespace).snapshots[MEASURABLE][key.encode()].get(b"name")
        assert isinstance(found, bytes)
        return found

    # Images

    def content(
        self,
        namespace: str,
        content: bytes,
        *,
        needs: Sequence[str] = (),
        unpacked: Mapping[str, str] | None = None,
    ) -> str:
        """Content; its digest."""
        digest = sha256(content)
        (self.blobs / digest.removeprefix("sha256:")).write_bytes(content)
        self.space(namespace).blobs[digest.encode()] = blob(len(content), needs=needs, unpacked=unpacked)
        return digest

    def manifest(
        self,
        namespace: str,
        *layers: str,
        architecture: str = "amd64",
        unpack: bool = True,
        snapshotter: str = MEASURABLE,
    ) -> tuple[str, list[str]]:
        """An image's content, with layers that hold these texts, and their snapshots; the manifest's digest, and the
        chain IDs."""
        diff_ids = [sha256(layer.encode()) for layer in layers]
        chain = chain_ids(diff_ids)
        archives = [self.content(namespace, gzip.compress(layer.encode(), mtime=0)) for layer in layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "created": "2024-05-06T07:08:09Z",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": f"COPY {layer}"} for layer in layers],
        }
        top = {snapshotter: chain[-1]} if unpack and chain else None
        configuration = self.content(namespace, json.dumps(config).encode(), unpacked=top)
        body = {"config": {"digest": configuration}, "layers": [{"digest": archive} for archive in archives]}
        target = self.content(namespace, json.dumps(body).encode(), needs=(configuration, *archives))
        known = self.space(namespace).snapshots.get(snapshotter, {})
        for place, key in enumerate(chain if unpack else ()):
            if key.encode() not in known:
                parent = chain[place - 1] if place else ""
                self.snapshot(
                    namespace, key, parent=parent, files={"file": layers[place].encode()}, snapshotter=snapshotter
                )
                known = self.space(namespace).snapshots[snapshotter]
        return target, chain

    def image(self, namespace: str, name: str, target: str, *, texts: Mapping[str, str] | None = None) -> None:
        """A name for an image."""
        self.space(namespace).images[name.encode()] = image(target, texts=texts)

    def pulled(self, namespace: str, name: str, *layers: str) -> tuple[str, list[str]]:
        """An image with its name; the manifest's digest, and the chain IDs."""
        target, chain = self.manifest(namespace, *layers)
        self.image(namespace, name, target)
        return target, chain

    # Who uses them

    def container(
        self,
        namespace: str,
        container: str,
        *,
        image_name: str = "",
        parent: str = "",
        texts: Mapping[str, str] | None = None,
        snapshotter: str = MEASURABLE,
        files: Mapping[str, bytes] | None = None,
        sandbox: str = "",
    ) -> int:
        """A container as Kubernetes' plug-in or ``ctr`` make it, with its upper layer; the number of that."""
        number = self.snapshot(namespace, container, kind=ACTIVE, parent=parent, files=files, snapshotter=snapshotter)
        record = {
            **times(),
            b"image": image_name.encode(),
            b"snapshotter": snapshotter.encode(),
            b"snapshotKey": container.encode(),
            b"sandboxid": sandbox.encode(),
            **labels(texts or {}),
        }
        self.space(namespace).containers[container.encode()] = record
        return number

    def dockers_container(self, container: str, *, parent: str, files: Mapping[str, bytes] | None = None) -> int:
        """What Docker makes of a container in containerd: its init layer and its upper layer; the number of that. Its
        record in containerd names neither."""
        self.snapshot("moby", f"{container}-init", parent=parent)
        number = self.snapshot("moby", container, kind=ACTIVE, parent=f"{container}-init", files=files)
        self.lease("moby", container, snapshots=(container, f"{container}-init"))
        self.space("moby").containers[container.encode()] = {**times(), b"snapshotKey": b"", b"snapshotter": b""}
        return number

    def lease(
        self,
        namespace: str,
        lease: str,
        *,
        snapshots: Sequence[str] = (),
        blobs: Sequence[str] = (),
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """A lease that keeps these."""
        keys: Tree = {key.encode(): {} for key in snapshots}
        self.space(namespace).leases[lease.encode()] = {
            **times(),
            b"snapshots": {MEASURABLE.encode(): keys},
            b"content": {digest.encode(): b"" for digest in blobs},
            **labels(texts or {}),
        }

    def status(self, container: str, **told: int) -> None:
        """What Kubernetes' plug-in writes of a container."""
        directory = self.path / "io.containerd.grpc.v1.cri/containers" / container
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "status").write_text(json.dumps({"Version": "v1", "CreatedAt": 1, **told}))

    def age(self, seconds: float) -> None:
        """Let all that is there have been made so many seconds earlier."""
        for directory, _, files in os.walk(self.path):
            for path in (directory, *(f"{directory}/{name}" for name in files)):
                status = os.lstat(path)
                os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))
