"""One scan of all roots: from directories on disk to a catalog."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from exporter.store.catalog import Catalog, Problem, ProblemKind, Store
from exporter.store.containerd.roots import ContainerdRoot, builds_in_containerd, own_root, user_of
from exporter.store.containerd.stores import Containerds, has_left, newest, uses_graph_driver, with_active
from exporter.store.detect import CONTAINERD, DAEMON_CONFIG, Location, Root, bases, is_unused, locate, resolve
from exporter.store.docker import StoreReader
from exporter.store.records import FILLED_IN, Scan, modified, reason_of


class Scanner:
    """Scans the same roots again and again; what did not change since the last scan is not parsed again."""

    def __init__(self, roots: Sequence[Root], *, daemon_config: str = DAEMON_CONFIG, proc: str = "/proc") -> None:
        self._named = tuple(roots)
        self._daemon_config = daemon_config
        self._proc = proc
        self._readers: dict[str, StoreReader] = {}
        self._containerds = Containerds(proc=proc)
        self._turn = 0
        self._used: frozenset[str] = frozenset()
        """Docker's roots that had a store at some scan."""
        self.roots: tuple[Root, ...] = ()
        """The roots of the last scan; one that is followed is where it was then."""
        self.locations: tuple[Location | ContainerdRoot, ...] = ()
        """Where the last scan found stores."""
        self.lost: tuple[OSError, ...] = ()
        """Why the last scan could not read some of the roots."""

    def scan(self, now: float, *, check: Callable[[], None] = lambda: None) -> Catalog:
        """Everything that the records say now. A root that cannot be read is a problem, and its stores are absent.

        *check* is called between records; what it raises ends the scan, and the next one is none the worse for it.
        """
        self._turn += 1
        self.roots = tuple(resolve(root, daemon_config=self._daemon_config) for root in self._named)
        scan = Scan(now=now, turn=self._turn, check=check)
        lost: list[OSError] = []
        found = self._locate(lost)
        containerds = tuple(self._find_containerds(lost))
        self._containerds.look(containerds, scan)
        users = self._containerds.users()
        places = tuple(place for inside in found.values() for place in inside or ())
        in_use = {root: used for root, inside in found.items() if (used := self._in_use(root, users, inside or ()))}
        idle = {place.root for root in in_use for place in found[root] or ()}
        left = {place.root for place in places if place.active and place.root not in users and has_left(place)}
        places = with_active(places, idle | left)
        for docker in sorted(left.difference(root.docker or "" for root in containerds)):
            scan.problem(ProblemKind.MISSING_RECORD, f"{docker}/containerd/daemon", _HIDDEN)
        stores = [
            *self._read(places, scan),
            *self._containerds.stores(lambda root: root in in_use.values(), scan),
        ]
        storeless = (*self._storeless(found, users, scan), *self._idle_containerds(containerds, stores))
        scan.problems += (
            Problem(kind=ProblemKind.UNREADABLE_RECORD, path=str(error.filename), reason=reason_of(error))
            for error in lost
        )
        self.locations = (*places, *containerds)
        self.lost = tuple(lost)
        return Catalog(
            taken_at=now,
            stores=tuple(stores),
            problems=tuple(scan.problems),
            vanished=scan.vanished,
            storeless=storeless,
        )

    @property
    def dockers(self) -> tuple[Root, ...]:
        """Docker's roots, but for one that no Docker was ever started on where there is a containerd: a host with
        Kubernetes needs none."""
        alone = any(root.engine == CONTAINERD and os.path.isdir(root.path) for root in self.roots)
        dockers = (root for root in self.roots if root.engine != CONTAINERD)
        return tuple(root for root in dockers if root.path in self._used or not (alone and is_unused(root)))

    def _locate(self, lost: list[OSError]) -> Mapping[Root, tuple[Location, ...] | None]:
        """The stores of graph drivers below each of Docker's roots; None where not all that is there could be read."""
        found: dict[Root, tuple[Location, ...] | None] = {}
        for root in self.dockers:
            unread: list[OSError] = []
            try:
                found[root] = locate(root, daemon_config=self._daemon_config, lost=unread.append)
            except OSError as error:
                unread.append(error)
                found[root] = None
            if unread and not found[root]:
                found[root] = None
            lost += unread
        return found

    def _find_containerds(self, lost: list[OSError]) -> Iterator[ContainerdRoot]:
        """Docker's own containerds, and those of the host."""
        dockers: list[str] = []
        for root in self.dockers:
            for path, prefix in _bases(root):
                dockers.append(path)
                own = own_root(path, root.prefix + prefix)
                if own is not None:
                    yield own
        for root in self.roots:
            if root.engine != CONTAINERD:
                continue
            try:
                os.listdir(root.path)
            except OSError as error:
                if not (root.followed and isinstance(error, FileNotFoundError)):
                    lost.append(error)
                continue
            snapshotters = dict(root.snapshotters)
            yield ContainerdRoot(path=root.path, prefix=root.prefix, snapshotters=snapshotters, docker=user_of(dockers))

    def _storeless(
        self, found: Mapping[Root, tuple[Location, ...] | None], users: Collection[str], scan: Scan
    ) -> tuple[str, ...]:
        """Docker's roots that could be read and have no store; where that is a problem, it is noted."""
        with_store = {
            root for root, inside in found.items() if inside or any(_is_within(root.path, docker) for docker in users)
        }
        self._used |= {root.path for root in with_store}
        storeless = [root for root, inside in found.items() if inside is not None and root not in with_store]
        for root in storeless:
            _miss_store(root, scan, used=root.path in self._used)
        return tuple(root.path for root in storeless)

    def _idle_containerds(self, found: Sequence[ContainerdRoot], stores: Sequence[Store]) -> Iterator[str]:
        """containerd's roots that have no store, where somebody named them or nothing else has one: mostly it runs
        containers for a Docker that keeps its images elsewhere."""
        kept = {store.places.containerd for store in stores if store.places is not None}
        readable = {root.path for root in found}
        for root in self.roots:
            if root.engine == CONTAINERD and root.path in readable - kept and not (root.followed and stores):
                yield root.path

    def _in_use(
        self, docker: Root, users: Mapping[str, Sequence[ContainerdRoot]], places: Sequence[Location]
    ) -> ContainerdRoot | None:
        """Which of the containerds that the Docker at *docker* has images in, those for remapped users included, it
        uses now; None where it uses none, but one of the graph drivers at *places*."""
        inside = [root for path, roots in users.items() if _is_within(docker.path, path) for root in roots]
        if not inside:
            return None
        used = newest(inside)
        graph = next((place for place in places if place.active), None)
        return None if graph is not None and uses_graph_driver(graph, used, self._daemon_config) else used

    def _read(self, places: Sequence[Location], scan: Scan) -> Iterator[Store]:
        # Readers of stores that are gone are dropped, with all that they remember.
        self._readers = {place.name: self._readers.get(place.name) or StoreReader(proc=self._proc) for place in places}
        for place in places:
            own = Scan(now=scan.now, turn=scan.turn, check=scan.check)
            yield self._readers[place.name].read(place, own)
            scan.vanished += own.vanished


def _bases(root: Root) -> list[tuple[str, str]]:
    try:
        return bases(root)
    except OSError:
        return []  # said where its stores are looked for


def _miss_store(root: Root, scan: Scan, *, used: bool) -> None:
    """Note that *root*, which can be read, has no store, unless no engine was started there yet, or one is just being
    started for the first time."""
    if is_unused(root):
        if used:
            scan.problem(ProblemKind.MISSING_RECORD, f"{root.path}/image", _EMPTIED)
    elif scan.now - modified(root.path) < FILLED_IN:
        return
    elif (docker := next((path for path, _ in _bases(root) if builds_in_containerd(path)), None)) is not None:
        scan.problem(ProblemKind.MISSING_RECORD, f"{docker}/containerd/daemon", _HIDDEN)
    else:
        scan.problem(ProblemKind.MISSING_RECORD, f"{root.path}/image", _NO_STORE)


def _is_within(root: str, path: str) -> bool:
    return f"{path}/".startswith(f"{root}/")


_HIDDEN = (
    "this Docker keeps its images in a containerd that is not seen, so they are in no figure: name that one's root "
    "with --path.containerd-root"
)
_EMPTIED = (
    "there is nothing below this root any more: was it unmounted, or emptied? Look at mounts and the engine's log"
)
_NO_STORE = "no driver's layer store is here, so nothing is known of this engine's images and containers"
