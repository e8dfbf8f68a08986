"""The layer store's records: ``image/<driver>/layerdb/``, in the order of steps of moby's ``layer`` package."""

import hashlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from exporter.sample.disk import hex_id, make_directory, write_record
from exporter.sample.tree import Archive
from exporter.store.entries import CacheID, ChainID, DiffID


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """What the store knows of a registered layer."""

    chain_id: ChainID
    diff_id: DiffID
    cache_id: CacheID
    parent: ChainID | None
    size: int


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The identity of a layer on top of ``parent`` (OCI image specification, "Layer ChainID")."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID(f"sha256:{hashlib.sha256(f'{parent} {diff_id}'.encode()).hexdigest()}")


class LayerDatabase:
    """Writes ``layerdb/sha256``, ``layerdb/mounts`` and ``layerdb/tmp``."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self._rng = rng
        self.layers = make_directory(home / "sha256", 0o755)
        self.mounts = make_directory(home / "mounts", 0o755)
        self.temporary = make_directory(home / "tmp", 0o755)

    def layer(self, chain: ChainID) -> Path:
        """The layer's record directory."""
        return self.layers / chain.removeprefix("sha256:")

    def begin(self, archive: Archive) -> Path:
        """Open a write set, as while a layer is extracted; it holds nothing yet but the tar's headers."""
        write_set = make_directory(self.temporary / f"write-set-{self._rng.randrange(10**9):09d}", 0o700)
        write_record(write_set / "tar-split.json.gz", archive.tar_split)
        return write_set

    def commit(self, write_set: Path, record: LayerRecord) -> None:
        """Complete the write set and rename it to the layer's own name."""
        write_record(write_set / "diff", record.diff_id)
        write_record(write_set / "size", str(record.size))
        write_record(write_set / "cache-id", record.cache_id)
        if record.parent is not None:
            write_record(write_set / "parent", record.parent)
        write_set.rename(self.layer(record.chain_id))

    def begin_removal(self, chain: ChainID) -> Path:
        """Rename the record to ``<hex>-<random>-removing``: the first step of a removal, and all of one that failed."""
        removing = self.layers / f"{chain.removeprefix('sha256:')}-{hex_id(self._rng)}-removing"
        return self.layer(chain).rename(removing)

    def finish_removal(self, removing: Path) -> None:
        """Delete the renamed record."""
        shutil.rmtree(removing)

    def add_mount(self, name: str, mount: CacheID, init: CacheID | None, parent: ChainID | None) -> Path:
        """Record a writable layer, in the engine's order of plain writes."""
        directory = make_directory(self.mounts / name, 0o755)
        write_record(directory / "mount-id", mount)
        if init is not None:
            write_record(directory / "init-id", init)
        if parent is not None:
            write_record(directory / "parent", parent)
        return directory

    def remove_mount(self, name: str) -> None:
        """Delete a writable layer's record."""
        shutil.rmtree(self.mounts / name)
