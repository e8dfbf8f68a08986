"""A figure, what it may be, and what it is held against."""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    """What it may be at most; None for a figure that is only told."""
    reference: str = ""
    """What it was measured beside, in words."""


def seconds(work: Callable[[], object], *, times: int = 5) -> float:
    """The median time of several runs, on the wall clock."""
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        work()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)


def in_turn(ours: Callable[[], object], reference: Callable[[], object], *, times: int = 5) -> tuple[float, float]:
    """The median times of two pieces of work that take turns, so that a machine that slows down slows both."""
    pairs = [(seconds(ours, times=1), seconds(reference, times=1)) for _ in range(times)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def du(path: str) -> None:
    """What everybody would do without us."""
    subprocess.run(["du", "-s", "--block-size=1", path], check=True, stdout=subprocess.DEVNULL)


def du_cpu(path: str) -> float:
    """CPU seconds, user and system, of one ``du -s``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    du(path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def table(figures: Iterable[Figure]) -> str:
    """The figures as text."""
    rows = [("figure", "now", "limit", "now/limit", "measured beside"), *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    limit, ratio = "", ""
    if figure.limit is not None:
        limit, ratio = f"{figure.limit:g} {figure.unit}", f"{figure.value / figure.limit:.2f}"
    return figure.what, f"{figure.value:.3g} {figure.unit}", limit, ratio, figure.reference
