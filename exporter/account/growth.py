"""Growth of upper layers: how much they have grown and how much was freed, as counters. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How the bytes on disk of one upper layer changed: ``grown - freed`` is what it has more than at first.

    A figure may be a lower bound, for all that one look at a hostile tree found. That such a figure is smaller than a
    whole one before says nothing, nor does it that the next whole one is larger again; so neither counts. What changes
    from one lower bound to the next does, as does a lower bound above all that was known.
    """

    allocated: int
    """What is known of it: the last whole figure, and what changed since."""
    bound: int | None = None
    """The last figure, where that was a lower bound."""
    was_whole: bool = True
    """Whether there was a whole figure."""
    grown: int = 0
    """Sum of all rises between two measurements."""
    freed: int = 0
    """Sum of all falls."""

    @classmethod
    def first(cls, allocated: int, *, exact: bool = True) -> "Growth":
        """The growth after the first measurement: none, whatever was there before."""
        return cls(allocated=allocated, bound=None if exact else allocated, was_whole=exact)

    def measured(self, allocated: int, *, exact: bool = True) -> "Growth":
        """The growth after another measurement.

        It goes on when a container is stopped and started, and begins at 0 when the exporter does, as Prometheus
        expects of counters.
        """
        if exact:
            known = allocated
            change = allocated - self.allocated if self.was_whole else 0
        else:
            since = 0 if self.bound is None else allocated - self.bound
            known = max(self.allocated + since, allocated)
            change = known - self.allocated
        return replace(
            self,
            allocated=known,
            bound=None if exact else allocated,
            was_whole=self.was_whole or exact,
            grown=self.grown + max(0, change),
            freed=self.freed + max(0, -change),
        )
