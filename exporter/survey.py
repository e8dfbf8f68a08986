"""A survey of the host: records, a second look at what seems wrong, measurements, and the report.

The commands make one; the daemon makes one again and again and keeps what it learned between.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from exporter.account.integrity import find_problems
from exporter.account.owners import Doubt, Ownership
from exporter.account.ownership import classify
from exporter.account.report import Report, StoreReport
from exporter.account.summary import store_report
from exporter.atonce import Measured, Progress, once, silent, twice, upper_trees, walk_all
from exporter.clock import Clock, SystemClock
from exporter.disk import Disk
from exporter.measure.containerlogs import container_log_allocated
from exporter.measure.figures import UNKNOWN
from exporter.measure.memory import Memory
from exporter.measure.walk import Walked
from exporter.store.catalog import Catalog, Problem, Store
from exporter.store.containerd.roots import ContainerdRoot
from exporter.store.detect import DAEMON_CONFIG, Location, Root
from exporter.store.entries import ContainerID
from exporter.store.scanner import Scanner
from exporter.uppers import Key
from exporter.vitals import Vitals

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
        self._checked: dict[str, _Checked] = {}
        self.ownership: Mapping[str, Ownership] = {}
        """Whose the directories of each store are that the last catalog told of, by the store's name."""

    @property
    def locations(self) -> tuple[Location | ContainerdRoot, ...]:
        """Where the last catalog found stores."""
        return self._scanner.locations

    @property
    def root_paths(self) -> tuple[str, ...]:
        """The roots that the last catalog was read from."""
        return tuple(root.path for root in self._scanner.dockers)

    @property
    def lost(self) -> tuple[OSError, ...]:
        """Why the last catalog lacks some of the roots."""
        return self._scanner.lost

    def catalog(self, *, check: Callable[[], None] = lambda: None) -> Catalog:
        """The records as they stand now, with the problems that two looks agree on. *check* is called often, and
        what it raises ends it.

        An engine at work contradicts itself for moments: an image's name is there before its last layer is gone.
        What is new is looked at again shortly after, and counts only when it is still so; what was confirmed before
        counts at once.
        """
        first = self._check(self._scanner.scan(self._clock.now(), check=check))
        suspects = _problems(first)
        if suspects <= self._known:
            confirmed = first
        else:
            self._clock.sleep(SETTLE)
            second = self._check(self._scanner.scan(self._clock.now(), check=check))
            confirmed = _only(second, suspects)
        self._known = _problems(confirmed)
        check()
        self.ownership = {
            store.name: self._owners(store, confirmed.taken_at) for store in confirmed.stores if store.measurable
        }
        return confirmed

    def _check(self, catalog: Catalog) -> Catalog:
        """*catalog* with the contradictions between its records."""
        before, now = self._checked, catalog.taken_at
        self._checked = {}
        for store in catalog.stores:
            known = before.get(store.name)
            if known is None or not known.holds(store, now):
                problems = tuple(sorted((*store.problems, *find_problems(store, now=now))))
                known = _Checked(read=store, at=now, checked=dataclasses.replace(store, problems=problems))
            self._checked[store.name] = known
        return dataclasses.replace(catalog, stores=tuple(self._checked[store.name].checked for store in catalog.stores))

    def _owners(self, store: Store, now: float) -> Ownership:
        known, checked = self.ownership.get(store.name), self._checked[store.name]
        settled = known is not None and not known.doubts and not known.untold
        if known is not None and settled and checked.checked is store and checked.at < now:
            return known
        return classify(store, now=now, previous=known)


HOLDS = 60.0
"""Seconds for which a store that did not change is not checked again: some contradictions only count after a while."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """A store, as it was read and with the contradictions that were found in it."""

    read: Store
    at: float
    checked: Store

    def holds(self, store: Store, now: float) -> bool:
        """Whether *store*, read at *now*, need not be checked."""
        return store is self.read and not self.checked.problems and 0 <= now - self.at < HOLDS


def _problems(catalog: Catalog) -> frozenset[Problem]:
    return frozenset(problem for store in catalog.stores for problem in store.problems)


def _only(catalog: Catalog, keep: frozenset[Problem]) -> Catalog:
    def kept(store: Store) -> Store:
        return dataclasses.replace(store, problems=tuple(problem for problem in store.problems if problem in keep))

    return dataclasses.replace(catalog, stores=tuple(kept(store) for store in catalog.stores))


def summarize(
    catalog: Catalog, uppers: Measured, *, ownership: Mapping[str, Ownership], disk: Disk | None = None
) -> Report:
    """The report on *catalog* with what was measured; what is not in the catalog any more is left out."""

    def one(store: Store) -> StoreReport:
        measured = {key: upper for key, upper in uppers.get(store.name, {}).items() if key in store.containers}
        owned, figures = ownership.get(store.name), UNKNOWN if disk is None else disk.figures(store, measured)
        return store_report(
            store,
            uppers=measured,
            logs=_logs(store),
            ownership=owned,
            figures=figures,
            reclaimable=None if disk is None else disk.reclaimable(store, owned, figures.directory_allocated),
        )

    return Report(catalog=catalog, stores=tuple(map(one, catalog.stores)), problems=catalog.problems)


def _logs(store: Store) -> Mapping[ContainerID, int]:
    directory = store.log_directory
    if directory is None:
        return {}
    sizes = {container_id: container_log_allocated(directory, container_id) for container_id in store.containers}
    return {container_id: size for container_id, size in sizes.items() if size is not None}


class Survey:
    """Everything at once, for a person who waits: records, every upper layer, the report."""

    def __init__(
        self,
        roots: Sequence[Root],
        *,
        clock: Clock | None = None,
        daemon_config: str = DAEMON_CONFIG,
        proc: str = "/proc",
    ) -> None:
        self._clock = clock or SystemClock()
        self._records = RecordSurvey(roots, clock=self._clock, daemon_config=daemon_config, proc=proc)

    def catalog(self) -> Catalog:
        """The records alone. Where something could be an orphan they are read twice: an orphan is what was so before,
        too."""
        catalog = self._records.catalog()
        if any(Doubt.FIRST in owned.doubts.values() for owned in self._records.ownership.values()):
            self._clock.sleep(SETTLE)
            catalog = self._records.catalog()
        return catalog

    def report(self, *, progress: Progress = silent) -> Report:
        """Records and upper layers of this moment."""
        return self.summary(self.catalog(), progress=progress)

    def whole_report(self, *, volumes: bool = True, growth: float | None = None, progress: Progress = silent) -> Report:
        """Records and measurements of this moment: all storage directories and the rest of the root as well, local
        *volumes* if wanted; what grew within *growth* seconds, if given."""
        catalog = self.catalog()
        disk = Disk(Memory(), clock=self._clock, vitals=Vitals(), full_interval=math.inf, volumes=volumes)
        disk.expect(catalog)
        uppers, walked = self._measure(catalog, beside=disk.trees, only=None, growth=growth, progress=progress)
        disk.take(walked)
        progress(len(walked), len(walked), "the rest of the root")
        while disk.step():
            continue
        return summarize(catalog, uppers, ownership=self._records.ownership, disk=disk)

    def summary(
        self,
        catalog: Catalog,
        *,
        only: frozenset[Key] | None = None,
        growth: float | None = None,
        progress: Progress = silent,
    ) -> Report:
        """The report on *catalog*, with the upper layers of all containers measured, or of those in *only*."""
        uppers, _ = self._measure(catalog, beside=(), only=only, growth=growth, progress=progress)
        return summarize(catalog, uppers, ownership=self._records.ownership)

    def _measure(
        self,
        catalog: Catalog,
        *,
        beside: Sequence[str],
        only: frozenset[Key] | None,
        growth: float | None,
        progress: Progress,
    ) -> tuple[Measured, Mapping[str, Walked]]:
        """The upper layers, and all trees that were walked: those in *beside* are among them."""
        uppers = upper_trees(catalog, only)
        trees = {tree.path: tree.name for tree in uppers} if growth is None else {}
        walked = walk_all({**trees, **dict.fromkeys(beside, "storage directories")}, progress)
        if growth is None:
            return once(uppers, walked, at=self._clock.now()), walked
        return twice(uppers, apart=growth, clock=self._clock, progress=progress), walked
