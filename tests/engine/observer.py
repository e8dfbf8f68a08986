"""Looks at a real engine's store again and again, and holds whose everything is said to be against the disk."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from exporter.account.owners import DRIVER_DIRECTORY, Owner, Ownership
from exporter.measure.walk import measure
from exporter.store.buildkit import BuildCacheReader
from exporter.store.catalog import Problem, Source, Store
from exporter.store.detect import Root
from exporter.store.entries import CacheID
from exporter.survey import RecordSurvey, Survey
from tests.engine.agreement import allocated, store_report
from tests.engine.docker import Docker
from tests.engine.patience import at_rest, until_it_holds
from tests.engine.test_areas import du

LONG_AGO = 1_600_000_000


class Observer:
    """Sees one engine's store again and again, as the daemon does, and holds what it says against the disk."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self._records = RecordSurvey([Root(path=str(docker.data_root))])
        self._survey = Survey([Root(path=str(docker.data_root))])
        self._cache = BuildCacheReader()
        self.is_expected: Callable[[Problem], bool] = lambda _: False
        """What may be wrong with the store."""
        self._called: set[str] = set()
        """What was ever called an orphan."""
        self.compared: Counter[str] = Counter()

    @property
    def directory(self) -> Path:
        return self._docker.data_root / "overlay2"

    def look(self) -> tuple[Store, Ownership]:
        (store,) = self._records.catalog().stores
        ownership = self._records.ownership[store.name]
        self._called.update(ownership.of(Owner.ORPHAN))
        return store, ownership

    def agree(self) -> Ownership:
        """Every entry has one owner, all owners together have what du says, and nothing that is live was ever called an
        orphan. Looked at once the engine has done what it still does after a client was told that it is done, or has
        gone; and again while that does not hold."""
        at_rest(lambda: allocated(str(self.directory)))
        ownership = until_it_holds(self._compare)
        until_it_holds(self._areas_add_up)
        live = until_it_holds(self.live)
        assert not self._called & live
        counts, orphans = ownership.counts(), ownership.of(Owner.ORPHAN)
        self.compared += Counter(looks=1, directories=sum(counts.values()), live=len(live), orphans=len(orphans))
        return ownership

    def _compare(self) -> Ownership:
        store, ownership = self.look()
        assert [problem for problem in store.problems if not self.is_expected(problem)] == []
        entries = {path.name for path in self.directory.iterdir()}
        assert entries == set(ownership.owners) - {DRIVER_DIRECTORY}
        assert Owner.ORPHAN not in ownership.untold
        if not ownership.untold:
            assert sum(ownership.counts().values()) == len(entries)
            assert sum(ownership.allocated(self.measure()).values()) == allocated(str(self.directory))
        # Without a container's configuration, nobody knows what else may be containers'.
        assert not ownership.untold or store.unread == {Source.CONTAINERS}
        return ownership

    def _areas_add_up(self) -> None:
        areas = store_report(self._survey.whole_report()).areas
        assert du(self._docker.data_root) == sum(areas.values())

    def measure(self) -> dict[CacheID, int]:
        """Every entry of the driver's directory, and that directory itself."""
        return {
            DRIVER_DIRECTORY: self.directory.lstat().st_blocks * 512,
            **{
                CacheID(path.name): measure(str(path)).usage.allocated
                if path.is_dir()
                else path.lstat().st_blocks * 512
                for path in self.directory.iterdir()
            },
        }

    def live(self) -> set[str]:
        """All directories that the engine tells of itself, or that its records name as they lie on the disk."""
        return {*self._told(), *self.recorded()}

    def _told(self) -> Iterator[str]:
        api = self._docker.api
        for image in api("/images/json?all=1"):
            yield from _names(api(f"/images/{image['Id']}/json")["GraphDriver"]["Data"])
        for container in api("/containers/json?all=1"):
            yield from _names(api(f"/containers/{container['Id']}/json")["GraphDriver"]["Data"])

    def recorded(self) -> set[str]:
        """By files alone; the builder's database is read by the one reader that there is for it."""
        layerdb = self._docker.data_root / "image/overlay2/layerdb"
        files = [*layerdb.glob("sha256/*/cache-id"), *layerdb.glob("mounts/*/*-id")]
        cache = self._cache.read(str(self._docker.data_root))
        assert cache.complete
        return {file.read_text() for file in files} | set(cache.known_directories)

    def leaked(self) -> set[str]:
        """What lies there without a record."""
        return {path.name for path in self.directory.iterdir() if path.name != "l"} - self.recorded()


def _names(data: dict[str, str] | None) -> Iterator[str]:
    for paths in (data or {}).values():
        yield from (Path(path).parent.name for path in paths.split(":"))


def delete_by_hand(directory: Path) -> None:
    """A storage directory with its short name, which it may not have got before the engine died."""
    link = directory / "link"
    if short_name := link.read_text() if link.exists() else "":
        (directory.parent / "l" / short_name).unlink(missing_ok=True)
    shutil.rmtree(directory)


def plant(directory: Path, number: int, *, made: float) -> CacheID:
    """A storage directory as a pull leaves it that the engine did not survive."""
    name, link = f"{number:064x}", f"{number:026d}"
    (directory / name / "diff/usr").mkdir(parents=True)
    (directory / name / "diff/usr/file").write_bytes(os.urandom(100_000 * (number + 1)))
    (directory / "l" / link).symlink_to(f"../{name}/diff")
    (directory / name / "link").write_text(link)
    os.utime(directory / name / "link", (made, made))
    return CacheID(name)
