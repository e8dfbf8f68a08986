"""Storage directories that are made and removed while somebody tells whose they are."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from exporter.account.owners import DRIVER_DIRECTORY, Owner
from exporter.store.detect import Root
from exporter.survey import RecordSurvey
from tests.unit.store.hosts import NO_CONFIG, HeldClock, Host, build_host, problems_of

LONG_AGO = 1_600_000_000.0
SCANS = 60


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return build_host(tmp_path / "docker")


def proc_with_engine(directory: Path, root: Path) -> str:
    """A ``/proc`` in which the engine has just been started, and nothing is mounted but what containers need."""
    (directory / "self").mkdir(parents=True)
    uppers = [path.parent for path in root.glob("overlay2/*/merged")]
    (directory / "self/mountinfo").write_text(
        "".join(f"1 1 0:1 / {path}/merged rw - overlay x upperdir={path}/diff\n" for path in uppers)
    )
    (directory / "77").mkdir()
    shutil.copy(directory / "self/mountinfo", directory / "77/mountinfo")
    (directory / "77/comm").write_text("dockerd\n")
    (directory / "77/cmdline").write_text("dockerd\0")
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    (directory / "77/stat").write_text(f"77 (dockerd) S {'0 ' * 18}{int(since_boot)} 0\n")
    return str(directory)


class Churn(threading.Thread):
    """Makes directories as an engine does that was never finished, long ago as it seems, and removes them again."""

    def __init__(self, driver: Path) -> None:
        super().__init__()
        self._driver = driver
        self._done = threading.Event()
        self.made = 0

    def run(self) -> None:
        while not self._done.is_set():
            names = [f"{self.made + number:064x}" for number in range(5)]
            for name in names:
                self._make(name)
            for name in names:
                (self._driver / "l" / name[-26:]).unlink()
                shutil.rmtree(self._driver / name)

    def _make(self, name: str) -> None:
        directory = self._driver / name
        (directory / "diff").mkdir(parents=True)
        (self._driver / "l" / name[-26:]).symlink_to(f"../{name}/diff")
        (directory / "link").write_text(name[-26:])
        os.utime(directory / "link", (LONG_AGO, LONG_AGO))
        self.made += 1

    def end(self) -> None:
        self._done.set()
        self.join()


def test_directories_that_come_and_go(host: Host, tmp_path: Path) -> None:
    """Each scan ends, gives every entry it saw one owner, and has no complaint; what has records is never an orphan,
    and of what has gone nothing is left at the next scan."""
    driver = host.root / "overlay2"
    recorded = {path.name for path in driver.iterdir()}
    survey = RecordSurvey(
        [Root(path=str(host.root))],
        clock=HeldClock(),
        daemon_config=NO_CONFIG,
        proc=proc_with_engine(tmp_path / "proc", host.root),
    )
    churn = Churn(driver)
    churn.start()
    try:
        while churn.made < 20:
            time.sleep(0.001)
        for _ in range(SCANS):
            catalog = survey.catalog()
            (ownership,) = survey.ownership.values()
            assert problems_of(catalog) == []
            assert {*catalog.stores[0].directories, "l", DRIVER_DIRECTORY} == ownership.owners.keys()
            assert recorded.isdisjoint(ownership.of(Owner.ORPHAN))
    finally:
        churn.end()
    survey.catalog()
    (ownership,) = survey.ownership.values()
    assert (recorded | {DRIVER_DIRECTORY}, ()) == (set(ownership.owners), ownership.of(Owner.ORPHAN))
    assert Owner.ORPHAN not in ownership.untold
