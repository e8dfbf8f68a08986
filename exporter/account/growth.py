"""Growth of upper layers: how much they have grown and how much was freed, as counters. Pure."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How the bytes on disk of one upper layer changed: ``grown - freed`` is what it has more than at first."""

    allocated: int
    """At the last measurement."""
    grown: int = 0
    """Sum of all rises between two measurements."""
    freed: int = 0
    """Sum of all falls."""

    def measured(self, allocated: int) -> "Growth":
        """The growth after another measurement."""
        change = allocated - self.allocated
        return replace(self, allocated=allocated, grown=self.grown + max(0, change), freed=self.freed + max(0, -change))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters(Generic[K]):
    """The growth of every upper layer that was measured.

    Keys are containers, not processes: a container that is stopped and started goes on where it was. They begin at 0
    when the exporter does, which Prometheus takes as the reset of a counter.
    """

    by_key: Mapping[K, Growth] = field(default_factory=dict)

    def measured(self, key: K, allocated: int) -> "Counters[K]":
        """The counters after a measurement; what is measured for the first time has not grown."""
        known = self.by_key.get(key)
        growth = Growth(allocated=allocated) if known is None else known.measured(allocated)
        return Counters(by_key={**self.by_key, key: growth})

    def only(self, keys: Collection[K]) -> "Counters[K]":
        """The counters of these keys; what is gone is forgotten."""
        return Counters(by_key={key: growth for key, growth in self.by_key.items() if key in keys})
