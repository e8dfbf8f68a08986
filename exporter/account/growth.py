"""Growth of upper layers: how much they have grown and how much was freed, as counters. Pure."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

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


def measured(growths: Mapping[K, Growth], key: K, allocated: int) -> Mapping[K, Growth]:
    """The growths after one measurement of one upper layer, in bytes on disk.

    What is measured for the first time has not grown. Keys are containers, not processes: a container that is stopped
    and started goes on where it was. All begin at 0 when the exporter does, as Prometheus expects of counters.
    """
    known = growths.get(key)
    return {**growths, key: Growth(allocated=allocated) if known is None else known.measured(allocated)}


def only(growths: Mapping[K, Growth], keys: Collection[K]) -> Mapping[K, Growth]:
    """The growths of these containers; those that are gone are forgotten."""
    return {key: growth for key, growth in growths.items() if key in keys}
