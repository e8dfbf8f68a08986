"""One scan of all roots: from directories on disk to a catalog."""

from collections.abc import Sequence

from exporter.store.catalog import Catalog, Problem, ProblemKind, Store
from exporter.store.detect import DAEMON_CONFIG, Location, Root, locate
from exporter.store.docker import StoreReader
from exporter.store.records import Scan


class Scanner:
    """Scans the same roots again and again; what did not change since the last scan is not parsed again."""

    def __init__(self, roots: Sequence[Root], *, daemon_config: str = DAEMON_CONFIG) -> None:
        self._roots = tuple(roots)
        self._daemon_config = daemon_config
        self._readers: dict[str, StoreReader] = {}
        self._turn = 0
        self.locations: tuple[Location, ...] = ()
        """Where the last scan found stores."""
        self.lost: tuple[OSError, ...] = ()
        """Why the last scan could not read some of the roots."""

    def scan(self, now: float) -> Catalog:
        """Everything that the records say now. A root that cannot be read is a problem, and its stores are absent."""
        self._turn += 1
        problems: list[Problem] = []
        self.locations = self._locate(problems)
        # Readers of stores that are gone are dropped, with all that they remember.
        self._readers = {
            location.name: self._readers.get(location.name) or StoreReader() for location in self.locations
        }
        stores: list[Store] = []
        vanished = 0
        for location in self.locations:
            scan = Scan(now=now, turn=self._turn)
            stores.append(self._readers[location.name].read(location, scan))
            vanished += scan.vanished
        return Catalog(taken_at=now, stores=tuple(stores), problems=tuple(problems), vanished=vanished)

    def _locate(self, problems: list[Problem]) -> tuple[Location, ...]:
        found: list[Location] = []
        lost: list[OSError] = []
        for root in self._roots:
            try:
                found += locate(root, daemon_config=self._daemon_config)
            except OSError as error:
                lost.append(error)
                reason = error.strerror or type(error).__name__
                problems.append(Problem(kind=ProblemKind.UNREADABLE_RECORD, path=root.path, reason=reason))
        self.lost = tuple(lost)
        return tuple(found)
