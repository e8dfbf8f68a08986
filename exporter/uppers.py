"""What the daemon knows of upper layers: which trees to measure, what the last passes found, who surges."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf

import structlog

from exporter.account.growth import Growth
from exporter.account.report import Upper
from exporter.account.surge import Surge, Surges
from exporter.clock import Clock
from exporter.measure.schedule import Tree
from exporter.measure.tracker import Pass
from exporter.store.catalog import Catalog, Layout, Store
from exporter.store.entries import CacheID, Container, ContainerID, ContainerState, Directory

Key = tuple[str, ContainerID]
"""A store's name and a container's ID."""

WRITING = frozenset({ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING, None})
"""States in which something may write into the upper layer; an unknown one counts, to be on the safe side."""

_NAMED = 3
"""Growers in one log line."""


def uppers_of(catalog: Catalog) -> Iterator[tuple[Store, Container, CacheID]]:
    """The containers whose upper layer can be measured, each with its store and the storage directory."""
    for store in catalog.stores:
        if not store.measurable:
            continue
        for container_id, container in store.containers.items():
            directory = store.upper_of(container_id)
            if directory is not None:
                yield store, container, directory


def trees(catalog: Catalog) -> Mapping[Key, Tree]:
    """The upper layers to measure. One that nobody can write to has its storage directory's times watched instead."""

    def tree(store: Store, container: Container, name: CacheID) -> Tree:
        directory = store.directories.get(name)
        return Tree(
            path=store.diff_path(name),
            active=container.state in WRITING or name in store.overlaid or _is_bare(store, directory),
            stamp=0.0 if directory is None else _mounted(directory),
        )

    return {
        (store.name, container.container_id): tree(store, container, name)
        for store, container, name in uppers_of(catalog)
    }


def _is_bare(store: Store, directory: Directory | None) -> bool:
    """Whether it lies on nothing, in a snapshotter: that mounts it without overlayfs, which leaves no trace."""
    return store.layout is Layout.SNAPSHOTTER and directory is not None and not directory.lower


def _mounted(directory: Directory) -> float:
    return directory.modified if directory.mounted is None else directory.mounted


class UpperBook:
    """The last figures of every upper layer. What is no longer in the catalog is forgotten with it."""

    def __init__(self, *, clock: Clock, surge_threshold: int) -> None:
        """*surge_threshold* is the bytes that one may grow by in a minute before a line is logged; 0 for any number."""
        self._clock = clock
        self._surges: Surges[Key] = Surges(threshold=surge_threshold)
        self._uppers: dict[Key, Upper] = {}
        self._containers: dict[Key, Container] = {}
        self._log = structlog.get_logger()

    def expect(self, catalog: Catalog) -> None:
        """Keep what is known of the containers of *catalog*, and forget all others."""
        self._containers = {
            (store.name, container.container_id): container for store, container, _ in uppers_of(catalog)
        }
        self._uppers = {key: upper for key, upper in self._uppers.items() if key in self._containers}
        self._surges.keep(self._containers)

    def rested(self, keys: Iterable[Key], *, at: float) -> None:
        """Nobody could write to these since they were measured, as was seen then, in monotonic seconds."""
        for key in keys:
            self._surges.rested(key, at=at)

    def measured(self, key: Key, outcome: Pass, *, began: float) -> None:
        """Take down what a pass found that *began* then, in monotonic seconds, and has just ended."""
        walked, at = outcome.walked, self._clock.monotonic()
        known = self._uppers.get(key)
        allocated, exact = walked.usage.allocated, not (walked.cut or walked.unreadable)
        growth = (
            Growth.first(allocated, exact=exact)
            if known is None or known.growth is None
            else known.growth.measured(allocated, exact=exact)
        )
        self._uppers[key] = Upper(
            usage=walked.usage,
            # A long pass is interrupted by shorter ones: what it saw first is as old as that.
            measured_at=self._clock.now() - (at - began),
            growth=growth,
            growers=outcome.growers,
            exact=exact,
            read_since=outcome.read_since if outcome.read_since > -inf else None,
            tracked=not outcome.full_only,
        )
        # A clock that is set back must not make it seem that one was told of in the future.
        surge = self._surges.measured(key, growth.grown, growers=outcome.growers, began=began, at=at)
        if surge is not None:
            self._tell(key, surge)

    def has(self, key: Key) -> bool:
        """Whether an upper layer was measured before."""
        return key in self._uppers

    def known(self, store: str) -> Mapping[ContainerID, Upper]:
        """The upper layers of *store* that were measured."""
        return {container: upper for (name, container), upper in self._uppers.items() if name == store}

    def _tell(self, key: Key, surge: Surge) -> None:
        container = self._containers.get(key)
        self._log.warning(
            "an upper layer grows fast",
            store=key[0],
            container_id=key[1],
            container="" if container is None else container.name,
            image="" if container is None else container.image_reference,
            grown_bytes=surge.grown,
            seconds=round(surge.seconds, 1),
            bytes_per_second=round(surge.rate),
            largest_growers=[{"path": grower.place, "grown_bytes": grower.grown} for grower in surge.growers[:_NAMED]],
        )
