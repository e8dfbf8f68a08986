"""What is known of the disk beside upper layers: storage directories that never change, areas, volumes, filesystems.

The daemon does it in pieces, whenever no upper layer is due; the commands for people do all of it at once.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter.account.owners import Ownership
from exporter.account.reclaim import Kind, Removable, reclaimable, removable
from exporter.account.report import Upper
from exporter.clock import Clock
from exporter.measure.areas import AreaMeasurer, AreaStep
from exporter.measure.directories import DirectoryMeasurer, Step
from exporter.measure.figures import Figures
from exporter.measure.filesystem import filesystem_of
from exporter.measure.listing import Pace, unhurried
from exporter.measure.memory import Memory
from exporter.measure.records import RecordSizes
from exporter.measure.walk import Walked
from exporter.store.catalog import Catalog, Store
from exporter.store.entries import CacheID, ContainerID
from exporter.vitals import Reason, Stage, Vitals


class Disk:
    """Measures it, and keeps the last figures."""

    def __init__(
        self, memory: Memory, *, clock: Clock, vitals: Vitals, full_interval: float, volumes: bool = True
    ) -> None:
        """*full_interval* is the time in seconds after which what may change is measured again."""
        self._memory = memory
        self._clock = clock
        self._vitals = vitals
        self._directories = DirectoryMeasurer(memory, monotonic=clock.monotonic, full_interval=full_interval)
        self._areas = AreaMeasurer(monotonic=clock.monotonic, full_interval=full_interval, volumes=volumes)
        self._removable: dict[str, _Removable] = {}

    def expect(self, catalog: Catalog) -> None:
        """Measure what *catalog* tells of from now on, and forget all else."""
        self._directories.expect(catalog.stores)
        self._areas.expect(catalog.stores)
        expected = {store.name for store in catalog.stores}
        self._removable = {name: known for name, known in self._removable.items() if name in expected}

    @property
    def trees(self) -> list[str]:
        """The paths of the trees in storage directories that wait to be measured whole."""
        return self._directories.trees

    def take(self, measured: Mapping[str, Walked]) -> None:
        """Do not measure these of the `trees` in the steps to come: others did."""
        self._directories.take(measured)

    def step(self, pace: Pace = unhurried) -> bool:
        """Measure the next piece; whether there was one. What *pace* raises passes."""
        return self._step(Stage.LAYERS, self._directories.step, pace) or self._step(Stage.AREAS, self._areas.step, pace)

    def _step(self, stage: Stage, measure: Callable[[Pace], Step | AreaStep | None], pace: Pace) -> bool:
        began, done, failure = self._clock.monotonic(), None, None
        try:
            done = measure(pace)
            if done is None:
                return False
        except OSError as error:
            failure = error
        self._vitals.ended(stage, duration=self._clock.monotonic() - began, error=failure)
        if done is not None:
            self._vitals.walked(inodes=done.inodes, cpu_seconds=0.0)
            self._vitals.errors(stage, Reason.VANISHED, done.vanished)
            self._vitals.errors(stage, Reason.IO, done.unreadable)
        return True

    def figures(self, store: Store, uppers: Mapping[ContainerID, Upper]) -> Figures:
        """What is known of one store, with its *uppers* as last measured."""
        allocated = {
            CacheID(directory): upper.usage.allocated
            for container, upper in uppers.items()
            if (directory := store.upper_of(container)) is not None
        }
        areas = self._areas.of(store.name, self._directories.total(store.name, allocated))
        place = store.directory_root if os.path.isdir(store.directory_root) else store.root
        return Figures(
            layer_allocated=self._directories.layer_allocated(store.name),
            directory_allocated=self._directories.directory_allocated(store.name, allocated),
            areas=areas.areas,
            volumes=areas.volumes,
            filesystem=filesystem_of(place),
        )

    def reclaimable(
        self, store: Store, ownership: Ownership | None, directories: Mapping[CacheID, int]
    ) -> Mapping[str, int]:
        """What removing all of a kind would free, with the allocated bytes of the storage directories; the records that
        would go are measured here and now, as far as they changed."""
        known = self._removable.get(store.name)
        if known is None or known.store is not store or known.ownership is not ownership:
            sizes = RecordSizes(now=self._clock.now) if known is None else known.sizes
            known = _Removable(store=store, ownership=ownership, found=removable(store, ownership), sizes=sizes)
            self._removable[store.name] = known
        records = (record for what in known.found.values() for record in what.records)
        return reclaimable(known.found, directories, known.sizes.allocated(dict.fromkeys(records)))

    def flush(self) -> None:
        """Write down what is remembered across restarts."""
        self._memory.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removable:
    """What could be removed from a store, as it was then."""

    store: Store
    ownership: Ownership | None
    found: Mapping[Kind, Removable]
    sizes: RecordSizes
