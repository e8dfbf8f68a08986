"""Divides the CPU that measuring may take: how often each tree is measured follows from what its last pass cost.

Every tree wants a quick pass each interval, and to be read in full each full interval. Where the budget is too small
for that, it is divided by max-min fairness: cheap trees get what they want, and the dear ones that remain get the same
share each. So cheap trees are measured every interval, dear ones less often, and none is starved.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf
from typing import Self

QUICK_PART = 0.75
"""Of the budget, what quick passes may take before full ones get what they want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What measuring a tree costs, in CPU seconds."""

    quick: float
    """One quick pass, without what it does of a full one."""
    full: float
    """Reading everything. 0 where every pass does that, and is counted as ``quick``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often a tree is measured, in seconds."""

    period: float
    """From the beginning of a pass to that of the next."""
    full_period: float
    """The time in which everything is read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How the budget is divided: the share of one core that a tree may take at most."""

    interval: float
    full_interval: float
    quick_level: float
    full_level: float

    def rhythm(self, cost: Cost) -> Rhythm:
        """How often to measure a tree of this cost."""
        return Rhythm(
            period=max(self.interval, cost.quick / self.quick_level),
            full_period=max(self.full_interval, cost.full / self.full_level),
        )


def divide(costs: Collection[Cost], *, budget: float, interval: float, full_interval: float) -> Division:
    """Divide the budget, so that all trees together take no more.

    Args:
        costs: Of each tree.
        budget: Share of one core: CPU seconds a second, above 0.
        interval: Seconds from one quick pass to the next, where the budget allows.
        full_interval: Seconds in which to read everything once, where the budget allows.
    """
    quick = [cost.quick / interval for cost in costs]
    full = [cost.full / full_interval for cost in costs]
    quick_level = _fair_level(quick, max(budget - sum(full), budget * QUICK_PART))
    left = budget - sum(min(share, quick_level) for share in quick)
    # Rounding may leave nothing of it for demands that are next to nothing.
    full_level = _fair_level(full, max(left, budget * 1e-6))
    return Division(interval=interval, full_interval=full_interval, quick_level=quick_level, full_level=full_level)


def _fair_level(demands: Collection[float], capacity: float) -> float:
    """The level at which to cut off demands so that what is left of them fits; infinite where all fit."""
    left = capacity
    for served, demand in enumerate(sorted(demands)):
        level = left / (len(demands) - served)
        if demand > level:
            return level
        left -= demand
    return inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """CPU time to spend: fills at the rate of the budget up to a limit, and may be overdrawn by one pass."""

    budget: float
    """CPU seconds a second."""
    limit: float
    """CPU seconds that it fills up to: what may be spent at once after a rest."""
    balance: float
    at: float
    """When it held the balance; monotonic seconds."""

    def spend(self, cpu: float, *, now: float) -> Self:
        """The purse after so many CPU seconds were spent."""
        return replace(self, balance=self._balance(now) - cpu, at=now)

    def wait(self, *, now: float) -> float:
        """Seconds until something may be spent; 0 where that is now."""
        return max(0.0, -self._balance(now) / self.budget)

    def _balance(self, now: float) -> float:
        return min(max(self.limit, self.balance), self.balance + (now - self.at) * self.budget)
