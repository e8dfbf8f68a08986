"""Engine roots on disk, with what reads their records and what measures them."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from exporter.measure.areas import AreaMeasurer, StoreAreas
from exporter.measure.directories import DirectoryMeasurer
from exporter.measure.memory import Memory, open_memory
from exporter.measure.walk import measure
from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Store
from exporter.store.detect import Root
from exporter.store.entries import CacheID
from exporter.store.scanner import Scanner
from tests.quiet import QUIET_PROC


class Time:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


class Host:
    """One root, looked at as the exporter does; ``restart`` forgets all but the state file."""

    def __init__(self, root: Path, *, state: Path | None = None, volumes: bool = True) -> None:
        self.root = root
        self.time = Time()
        self.engine_started: float | None = None
        """What the stores are told about their engine."""
        self._state = state
        self._volumes = volumes
        self.restart()

    def restart(self) -> None:
        self.memory: Memory = open_memory(None if self._state is None else str(self._state))
        self.directories = DirectoryMeasurer(self.memory, monotonic=self.time, full_interval=300.0)
        self.areas = AreaMeasurer(monotonic=self.time, full_interval=300.0, volumes=self._volumes)

    def stores(self) -> dict[str, Store]:
        catalog = Scanner([Root(path=str(self.root))], daemon_config="/nonexistent", proc=QUIET_PROC).scan(time.time())
        return {
            store.name: replace(store, engine_started=self.engine_started or store.engine_started)
            for store in catalog.stores
        }

    def scan(self) -> int:
        """Read the records and measure all that is due; how many inodes were looked at."""
        stores = self.stores().values()
        self.directories.expect(stores)
        self.areas.expect(stores)
        inodes = 0
        while (step := self.directories.step()) is not None:
            inodes += step.inodes
        while self.areas.step() is not None:
            pass
        self.memory.flush()
        return inodes

    def store(self, name: str = "overlay2") -> Store:
        return self.stores()[name]

    def allocated(self, name: str = "overlay2") -> Mapping[CacheID, int]:
        return self.directories.directory_allocated(name, self.uppers(name))

    def areas_of(self, name: str = "overlay2") -> StoreAreas:
        return self.areas.of(name, self.directories.total(name, self.uppers(name)))

    def uppers(self, name: str) -> dict[CacheID, int]:
        store = self.store(name)
        uppers = [directory for key in store.containers if (directory := store.upper_of(key)) is not None]
        return {directory: measure(store.diff_path(directory)).usage.allocated for directory in uppers}


def build(root: Path, *, seed: int = 0) -> StoreBuilder:
    """Two images on a common base, containers of both that wrote something, and a volume."""
    store = StoreBuilder(root, seed=seed)
    base = store.layer({"bin/sh": 100_000, "etc/passwd": b"root"})
    web = store.image(store.layer({"srv/web": 300_000}, parent=base), tags=["web:1"])
    data = store.image(store.layer({"srv/data": 5}, parent=base), tags=["data:1"])
    store.container(web, name="web-1", files={"var/log/web": 70_000}, log_bytes=9_000)
    store.container(data, name="data-1", state="exited", files={"var/lib/data": b"x"})
    store.volume("db-data", {"table": 200_000})
    return store
