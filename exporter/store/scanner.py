"""One scan of all roots: from directories on disk to a catalog."""

from collections.abc import Sequence

from exporter.store.catalog import Catalog, Problem, ProblemKind, Store
from exporter.store.detect import DAEMON_CONFIG, Location, Root, locate, resolve
from exporter.store.docker import StoreReader
from exporter.store.records import Scan, reason_of


class Scanner:
    """Scans the same roots again and again; what did not change since the last scan is not parsed again."""

    def __init__(self, roots: Sequence[Root], *, daemon_config: str = DAEMON_CONFIG, proc: str = "/proc") -> None:
        self._named = tuple(roots)
        self._daemon_config = daemon_config
        self._proc = proc
        self._readers: dict[str, StoreReader] = {}
        self._turn = 0
        self.roots: tuple[Root, ...] = ()
        """The roots of the last scan; one that is followed is where it was then."""
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
            location.name: self._readers.get(location.name) or StoreReader(proc=self._proc)
            for location in self.locations
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
        self.roots = tuple(resolve(root, daemon_config=self._daemon_config) for root in self._named)
        for root in self.roots:
            unread: list[OSError] = []
            try:
                stores = locate(root, daemon_config=self._daemon_config, lost=unread.append)
            except OSError as error:
                unread.append(error)
                stores = ()
            if not stores and not unread:
                path = f"{root.path}/image"
                problems.append(Problem(kind=ProblemKind.MISSING_RECORD, path=path, reason=_NO_STORE))
            found += stores
            lost += unread
        problems += (
            Problem(kind=ProblemKind.UNREADABLE_RECORD, path=str(error.filename), reason=reason_of(error))
            for error in lost
        )
        self.lost = tuple(lost)
        return tuple(found)


_NO_STORE = "no driver's layer store is here, so nothing is known of this engine's images and containers"
