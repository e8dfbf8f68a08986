"""Measures for a person who waits: all that is asked for at once, by two processes; or what grows, in two looks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from exporter.account.report import Upper
from exporter.clock import Clock
from exporter.measure.pair import measure_all
from exporter.measure.tracker import Tracker
from exporter.measure.walk import Walked
from exporter.store.catalog import Catalog
from exporter.store.entries import ContainerID
from exporter.uppers import Key, UpperBook, uppers_of

Progress = Callable[[int, int, str], None]
"""Told whenever a measurement begins: how many are done, how many there are, what is measured now."""
Measured = Mapping[str, Mapping[ContainerID, Upper]]
"""What was measured, by store and container."""


def silent(_done: int, _total: int, _what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperTree:
    """A container's upper layer, to be measured."""

    key: Key
    path: str
    name: str
    """The container's."""


def upper_trees(catalog: Catalog, only: frozenset[Key] | None) -> list[UpperTree]:
    """The upper layers of all containers, or of those in *only*."""
    trees = (
        UpperTree(key=(store.name, container.container_id), path=store.diff_path(directory), name=container.name)
        for store, container, directory in uppers_of(catalog)
    )
    return [tree for tree in trees if only is None or tree.key in only]


def walk_all(trees: Mapping[str, str], progress: Progress) -> Mapping[str, Walked]:
    """What the trees at these paths hold, each with the words that *progress* is told of it. One that vanished or
    cannot be opened is left out."""
    paths, begun = list(trees), set[int]()

    def begins(tree: int) -> None:
        begun.add(tree)
        progress(len(begun) - 1, len(paths), trees[paths[tree]])

    outcomes = zip(paths, measure_all(paths, begins=begins), strict=True)
    return {path: outcome for path, outcome in outcomes if isinstance(outcome, Walked)}


def once(trees: Iterable[UpperTree], walked: Mapping[str, Walked], *, at: float) -> Measured:
    """The upper layers that were *walked*, which ended *at* that time."""
    found: dict[str, dict[ContainerID, Upper]] = {}
    for tree in trees:
        outcome = walked.get(tree.path)
        if outcome is not None:
            found.setdefault(tree.key[0], {})[tree.key[1]] = Upper(
                usage=outcome.usage, measured_at=at, exact=not (outcome.cut or outcome.unreadable)
            )
    return found


def twice(trees: Sequence[UpperTree], *, apart: float, clock: Clock, progress: Progress) -> Measured:
    """The upper layers, looked at twice with so many seconds between, and what grew meanwhile. One that vanished or
    cannot be opened has no figure."""
    book = UpperBook(clock=clock, surge_threshold=0)
    trackers = {tree.key: Tracker(tree.path, clock=clock.now) for tree in trees}
    for turn in range(2):
        if turn:
            clock.sleep(apart)
        for done, tree in enumerate(trees):
            progress(turn * len(trees) + done, 2 * len(trees), tree.name)
            began = clock.monotonic()
            with suppress(OSError):
                book.measured(tree.key, trackers[tree.key].quick(), began=began)
    return {store: book.known(store) for store in {tree.key[0] for tree in trees}}
