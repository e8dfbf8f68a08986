"""``layerstore_store_info`` and ``layerstore_integrity_problems``: which stores there are, and what is damaged."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from exporter.account.report import Report
from exporter.export.metrics.family import Gauge
from exporter.store.catalog import Problem, ProblemKind


def store_families(report: Report) -> tuple[Metric, ...]:
    """The stores, and the problems of each and of none."""
    info = Gauge(
        "layerstore_store_info",
        'A store found on this host, always 1: active="false" is one that a switch of storage drivers left behind; '
        "from the last background scan.",
        "store",
        "engine",
        "driver",
        "root",
        "active",
    )
    problems = Gauge(
        "layerstore_integrity_problems",
        "Damaged or inconsistent records found, by problem; without a store those that belong to none; from the last "
        "background scan.",
        "store",
        "problem",
    )
    _count(problems, "", report.problems)
    for found in report.stores:
        store = found.store
        info.add((store.name, store.engine, store.driver, store.root, str(store.active).lower()), 1)
        _count(problems, store.name, store.problems)
    return (info, problems)


def _count(problems: Gauge, store: str, found: Iterable[Problem]) -> None:
    counts = Counter(problem.kind for problem in found)
    for kind in ProblemKind:
        problems.add((store, kind.value), counts[kind])
