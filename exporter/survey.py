"""A survey of the host: records, a second look at what seems wrong, measurements, and the report.

The commands make one; the daemon makes one again and again and keeps what it learned between.
"""

import dataclasses
from collections.abc import Callable, Sequence

from exporter.account.integrity import find_problems
from exporter.clock import Clock, SystemClock
from exporter.store.catalog import Catalog, Problem, ProblemKind, Store
from exporter.store.detect import DAEMON_CONFIG, Location, Root
from exporter.store.scanner import Scanner

SETTLE = 0.25
"""Seconds between two looks at a contradiction: longer than an engine takes from one record to the next."""

Key = tuple[str, ProblemKind]


class RecordSurvey:
    """Reads the records of all roots, and confirms what seems wrong with them."""

    def __init__(
        self, roots: Sequence[Root], *, clock: Clock | None = None, daemon_config: str = DAEMON_CONFIG
    ) -> None:
        self._scanner = Scanner(roots, daemon_config=daemon_config)
        self._clock = clock or SystemClock()
        self._known: frozenset[Key] = frozenset()

    @property
    def locations(self) -> tuple[Location, ...]:
        """Where the last catalog found stores."""
        return self._scanner.locations

    def catalog(self) -> Catalog:
        """The records as they stand now, with the problems that two looks agree on.

        An engine at work contradicts itself for moments: an image's name is there before its last layer is gone. What is
        new is looked at again shortly after, and counts only when it is still so; what was confirmed before counts at once.
        """
        first = _with_contradictions(self._scanner.scan(self._clock.now()))
        suspects = _keys(first)
        if suspects <= self._known:
            confirmed = first
        else:
            self._clock.sleep(SETTLE)
            second = _with_contradictions(self._scanner.scan(self._clock.now()))
            confirmed = _only(second, lambda problem: _key(problem) in suspects)
        self._known = _keys(confirmed)
        return confirmed


def _with_contradictions(catalog: Catalog) -> Catalog:
    return dataclasses.replace(
        catalog,
        stores=tuple(
            dataclasses.replace(store, problems=tuple(sorted((*store.problems, *find_problems(store)))))
            for store in catalog.stores
        ),
    )


def _key(problem: Problem) -> Key:
    return (problem.path, problem.kind)


def _keys(catalog: Catalog) -> frozenset[Key]:
    return frozenset(_key(problem) for store in catalog.stores for problem in store.problems)


def _only(catalog: Catalog, keep: Callable[[Problem], bool]) -> Catalog:
    def kept(store: Store) -> Store:
        return dataclasses.replace(store, problems=tuple(filter(keep, store.problems)))

    return dataclasses.replace(catalog, stores=tuple(kept(store) for store in catalog.stores))
