"""``report --growth`` and ``inspect --growth``: who grew between two measurements of a store on disk."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from exporter.account.inspect.files import look
from exporter.account.inspect.find import containers_of, find
from exporter.account.inspect.views import Finding
from exporter.account.report import Report
from exporter.atonce import silent
from exporter.export.text.documents import inspection_json, report_json
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.sample.builder import StoreBuilder
from exporter.store.detect import Root
from exporter.survey import Survey
from tests.unit.export.text.screens import pipe, terminal
from tests.unit.store.hosts import NO_CONFIG, HeldClock

MIB = 1 << 20
APART = 30.0


@dataclass(frozen=True, kw_only=True)
class Writers:
    """Two containers that write while somebody waits for the second measurement, and one that does not."""

    survey: Survey
    clock: HeldClock

    def report(self) -> Report:
        return self.survey.whole_report(growth=APART, progress=silent)

    def inspect(self, what: str) -> Finding:
        """As the command does: only what is asked for is measured."""
        catalog = self.survey.catalog()
        concerned = containers_of(find(self.survey.summary(catalog, only=frozenset()).stores, what))
        stores = self.survey.summary(catalog, only=concerned, growth=APART).stores
        return find(stores, what, look=look)


@pytest.fixture
def writers(tmp_path: Path) -> Writers:
    root = tmp_path / "docker"
    store = StoreBuilder(root, seed=1)
    image = store.image(store.layer({"bin/sh": 1000}), tags=["app:1"])
    web, db, _ = (
        store.container(image, name=name, files={"var/log/old": 100_000, "cache/old": 4096, "rest/old": 4096})
        for name in ("web", "db", "idle")
    )

    def write() -> None:
        store.write(web, "var/log/app.log", 3 * MIB)
        store.write(web, "cache/hit", MIB)
        store.write(db, "var/log/slow.log", 2 * MIB)

    clock = HeldClock(ahead=0.0, meanwhile=write)
    survey = Survey([Root(path=str(root))], clock=clock, daemon_config=NO_CONFIG)
    return Writers(survey=survey, clock=clock)


def test_a_report_of_growth_names_who_grew(writers: Writers) -> None:
    """Of all containers, the largest first; what was there before is not named."""
    report = writers.report()
    output = pipe(lambda console: print_report(report, console, top=10))
    table = output[output.index("What grew between two measurements  3 places") :].splitlines()[1:5]
    assert [line.split() for line in table] == [
        ["container", "file,", "or", "directory/", "grew", "by"],
        ["web", "/var/log/app.log", "+3.15MB"],
        ["db", "/var/log/slow.log", "+2.1MB"],
        ["web", "/cache/hit", "+1.05MB"],
    ]
    assert writers.clock.slept == [APART]


def test_a_report_of_growth_shows_so_many_rows(writers: Writers) -> None:
    """And says how many there are."""
    report = writers.report()
    output = pipe(lambda console: print_report(report, console, top=1))
    assert "What grew between two measurements  1 of 3 places\n" in output
    assert "/var/log/app.log" in output
    assert "/var/log/slow.log" not in output


def test_a_report_of_growth_as_json_has_the_growers_of_each_container(writers: Writers) -> None:
    """In bytes, with the path as it is."""
    rows = json.loads(report_json(writers.report()))["containers"]
    assert {row["name"]: row["growers"] for row in rows} == {
        "web": [
            {"grown": 3 * MIB, "path": "var/log/app.log", "is_directory": False},
            {"grown": MIB, "path": "cache/hit", "is_directory": False},
        ],
        "db": [{"grown": 2 * MIB, "path": "var/log/slow.log", "is_directory": False}],
        "idle": [],
    }


def test_inspect_with_growth_names_who_grew(writers: Writers) -> None:
    """In the container's tree, with what its upper layer holds, the largest first, in a pipe and on a terminal."""
    finding = writers.inspect("web")

    def show(console: Console) -> None:
        print_inspection(finding, console)

    for output in (pipe(show), terminal(show)):
        lines = [" ".join(line.strip("│├└─ ").split()) for line in output.splitlines()]
        grew = next(number for number, line in enumerate(lines) if line.startswith("grew"))
        assert lines[grew : grew + 2] == ["grew +3.15MB /var/log/app.log", "grew +1.05MB /cache/hit"]
        assert output.count("grew") == 2
        assert lines.index("upper layer: what the container wrote") < grew < lines.index("limit none is set")
    assert writers.clock.slept == [APART]


def test_inspect_with_growth_of_one_that_did_not_grow(writers: Writers) -> None:
    """It says nothing of growth."""
    finding = writers.inspect("idle")
    output = pipe(lambda console: print_inspection(finding, console))
    assert "allocated" in output
    assert "grew" not in output


def test_inspect_with_growth_as_json_has_the_growers(writers: Writers) -> None:
    """As the report has them."""
    (match,) = json.loads(inspection_json(writers.inspect("db")))["matches"]
    assert match["container"]["upper"]["growers"] == [
        {"grown": 2 * MIB, "path": "var/log/slow.log", "is_directory": False}
    ]
