"""How much all trackers together may remember: many containers, each below its own limit, must not fill the memory."""

from exporter.measure.listing import NEVER

LEAST = 1_000
"""Names that every tree may keep however many others keep: most upper layers have far fewer directories."""


class Ledger:
    """Counts the names that several tables keep together. For one thread."""

    __slots__ = ("held", "limit")

    def __init__(self, *, limit: int = NEVER) -> None:
        """*limit* is how many may be kept, but for the least that each table may."""
        self.limit = limit
        self.held = 0

    def is_exceeded(self, own: int, *, more: int = 0) -> bool:
        """Whether a table that keeps *own* names keeps too many, with *more* that are not counted yet."""
        return own > LEAST and self.held + more > self.limit
