"""The whole exposition of one report, line by line, as a scrape gets it."""

from pathlib import Path
from subprocess import run

import pytest

from exporter.export.exposition import Exposition
from exporter.export.metrics.own import vitals_families
from exporter.export.metrics.report import families
from tests.requirements import required
from tests.unit.export.reports import golden_report, golden_vitals

GOLDEN = Path(__file__).parent.parent / "golden" / "metrics.prom"


def scrape() -> bytes:
    exposition = Exposition(lambda: vitals_families(golden_vitals(), version="1.2.3", python="3.11.7"))
    exposition.publish(families(golden_report(), layer_limit=3, image_limit=2))
    return b"".join(exposition.expose("", compressed=False).body)


def test_the_exposition_is_the_golden_one(pytestconfig: pytest.Config) -> None:
    """Every name, label, HELP text and value is as written down in ``metrics.prom``.

    After a change that is meant, ``pytest --renew-golden`` writes the file anew, and its difference is reviewed.
    """
    if pytestconfig.getoption("--renew-golden"):
        GOLDEN.write_bytes(scrape())

    assert GOLDEN.read_bytes().splitlines() == scrape().splitlines()


@pytest.mark.stack
def test_prometheus_finds_nothing_to_complain_about() -> None:
    """``promtool check metrics`` reads the golden exposition, and its linter is silent."""
    checked = run(
        [required("promtool"), "check", "metrics"], input=GOLDEN.read_bytes(), capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
