"""A survey of the host: records, a second look at what seems wrong, measurements, and the report.

The commands make one; the daemon makes one again and again and keeps what it learned between.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from exporter.account.integrity import find_problems
from exporter.account.owners import Ownership
from exporter.account.ownership import classify
from exporter.account.report import Report, StoreReport, Upper
from exporter.account.summary import store_report
from exporter.clock import Clock, SystemClock
from exporter.disk import Disk
from exporter.measure.containerlogs import container_log_allocated
from exporter.measure.figures import UNKNOWN
from exporter.measure.walk import measure
from exporter.store.catalog import CacheID, Catalog, ContainerID, Problem, Store
from exporter.store.detect import DAEMON_CONFIG, Location, Root
from exporter.store.scanner import Scanner
from exporter.uppers import uppers_of

SETTLE = 0.25
"""Seconds between two looks at a contradiction: longer than an engine takes from one record to the next."""


class RecordSurvey:
    """Reads the records of all roots, and confirms what seems wrong with them."""

    def __init__(
        self,
        roots: Sequence[Root],
        *,
        clock: Clock | None = None,
        daemon_config: str = DAEMON_CONFIG,
        proc: str = "/proc",
    ) -> None:
        self._scanner = Scanner(roots, daemon_config=daemon_config, proc=proc)
        self._clock = clock or SystemClock()
        self._known: frozenset[Problem] = frozenset()
        self.ownership: Mapping[str, Ownership] = {}
        """Whose the directories of each store are that the last catalog told of, by the store's name."""

    @property
    def locations(self) -> tuple[Location, ...]:
        """Where the last catalog found stores."""
        return self._scanner.locations

    @property
    def lost(self) -> tuple[OSError, ...]:
        """Why the last catalog lacks some of the roots."""
        return self._scanner.lost

    def catalog(self) -> Catalog:
        """The records as they stand now, with the problems that two looks agree on.

        An engine at work contradicts itself for moments: an image's name is there before its last layer is gone.
        What is new is looked at again shortly after, and counts only when it is still so; what was confirmed before
        counts at once.
        """
        first = _with_contradictions(self._scanner.scan(self._clock.now()))
        suspects = _problems(first)
        if suspects <= self._known:
            confirmed = first
        else:
            self._clock.sleep(SETTLE)
            second = _with_contradictions(self._scanner.scan(self._clock.now()))
            confirmed = _only(second, suspects)
        self._known = _problems(confirmed)
        self.ownership = {
            store.name: classify(store, now=confirmed.taken_at, previous=self._candidates(store.name))
            for store in confirmed.stores
            if store.measurable
        }
        return confirmed

    def _candidates(self, store: str) -> frozenset[CacheID] | None:
        """What could be an orphan at the catalog before; None where there was none."""
        known = self.ownership.get(store)
        return None if known is None else known.candidates


def _with_contradictions(catalog: Catalog) -> Catalog:
    return dataclasses.replace(
        catalog,
        stores=tuple(
            dataclasses.replace(
                store, problems=tuple(sorted((*store.problems, *find_problems(store, now=catalog.taken_at))))
            )
            for store in catalog.stores
        ),
    )


def _problems(catalog: Catalog) -> frozenset[Problem]:
    return frozenset(problem for store in catalog.stores for problem in store.problems)


def _only(catalog: Catalog, keep: frozenset[Problem]) -> Catalog:
    def kept(store: Store) -> Store:
        return dataclasses.replace(store, problems=tuple(problem for problem in store.problems if problem in keep))

    return dataclasses.replace(catalog, stores=tuple(kept(store) for store in catalog.stores))


Progress = Callable[[int, int, str], None]
"""Told before each measurement: how many are done, how many there are, what is measured now."""
Measured = Mapping[str, Mapping[ContainerID, Upper]]
"""What was measured, by store and container."""


def silent(_done: int, _total: int, _what: str) -> None:
    """Progress that nobody watches."""


def measure_uppers(
    catalog: Catalog,
    *,
    clock: Clock,
    only: frozenset[tuple[str, ContainerID]] | None = None,
    progress: Progress = silent,
) -> Measured:
    """Walk the upper layer of every container once. One that vanished or cannot be opened has no figure."""
    found: dict[str, dict[ContainerID, Upper]] = {store.name: {} for store in catalog.stores}
    uppers = [upper for upper in uppers_of(catalog) if only is None or (upper[0].name, upper[1].container_id) in only]
    for done, (store, container, directory) in enumerate(uppers):
        progress(done, len(uppers), container.name)
        try:
            result = measure(store.diff_path(directory))
        except OSError:
            continue
        found[store.name][container.container_id] = Upper(usage=result.usage, measured_at=clock.now())
    progress(len(uppers), len(uppers), "")
    return found


def summarize(
    catalog: Catalog, uppers: Measured, *, ownership: Mapping[str, Ownership], disk: Disk | None = None
) -> Report:
    """The report on *catalog* with what was measured; what is not in the catalog any more is left out."""

    def one(store: Store) -> StoreReport:
        measured = {key: upper for key, upper in uppers.get(store.name, {}).items() if key in store.containers}
        return store_report(
            store,
            uppers=measured,
            logs=_logs(store),
            ownership=ownership.get(store.name),
            figures=UNKNOWN if disk is None else disk.figures(store, measured),
        )

    return Report(catalog=catalog, stores=tuple(map(one, catalog.stores)), problems=catalog.problems)


def _logs(store: Store) -> Mapping[ContainerID, int]:
    directory = f"{store.root}/containers"
    sizes = {container_id: container_log_allocated(directory, container_id) for container_id in store.containers}
    return {container_id: size for container_id, size in sizes.items() if size is not None}


class Survey:
    """Everything at once, for a person who waits: records, every upper layer, the report."""

    def __init__(
        self, roots: Sequence[Root], *, clock: Clock | None = None, daemon_config: str = DAEMON_CONFIG
    ) -> None:
        self._clock = clock or SystemClock()
        self._records = RecordSurvey(roots, clock=self._clock, daemon_config=daemon_config)

    def catalog(self) -> Catalog:
        """The records alone."""
        return self._records.catalog()

    def report(self, *, progress: Progress = silent) -> Report:
        """Records and measurements of this moment."""
        return self.summary(self.catalog(), progress=progress)

    def summary(
        self, catalog: Catalog, *, only: frozenset[tuple[str, ContainerID]] | None = None, progress: Progress = silent
    ) -> Report:
        """The report on *catalog*, with the upper layers of all containers measured, or of those in *only*."""
        uppers = measure_uppers(catalog, clock=self._clock, only=only, progress=progress)
        return summarize(catalog, uppers, ownership=self._records.ownership)


__all__ = ["Progress", "RecordSurvey", "Root", "Survey", "measure_uppers", "silent", "summarize"]
