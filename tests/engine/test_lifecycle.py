"""An exporter that nobody restarts, beside an engine that comes, stops, moves and comes back."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.agreement import told_by_engine
from tests.engine.docker import Docker
from tests.engine.processes import delete
from tests.engine.scraped import expected_of_scrape, populate, told_by_scrape
from tests.engine.serving import Scrape
from tests.service.exporters import Exporter, running, samples_of


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is not deleted while anything is mounted in it."""
    directory = Path(tempfile.mkdtemp(prefix="layerstore-lifecycle-"))
    try:
        yield directory
    finally:
        delete(directory)


def scrape(exporter: Exporter) -> Scrape:
    text = exporter.get()
    return Scrape(text=text, samples=samples_of(text))


def test_an_engine_comes_stops_and_moves(place: Path) -> None:
    """The exporter is started first, on a host without Docker. Then Docker appears, is stopped, has its root moved and
    starts there: each time the figures are soon the engine's own, and while it is stopped they stay what they were."""
    config, first, second = place / "daemon.json", place / "first", place / "second"
    config.write_text(json.dumps({"data-root": str(first)}))
    with running(place, None, "--scan.interval=500ms") as exporter:
        exporter.wait_until(exporter.is_ready)
        assert "layerstore_store_info" not in scrape(exporter).samples

        with Docker(data_root=first) as docker:
            populate(docker)
            expected = expected_of_scrape(told_by_engine(docker))
            exporter.wait_until(lambda: told_by_scrape(scrape(exporter)) == expected)
            assert expected["containers"]["running"] == expected["containers"]["paused"] == 1

        # Its containers ended with it; nothing else is different.
        expected["containers"] = {"created": 1, "exited": 3}
        exporter.wait_until(lambda: told_by_scrape(scrape(exporter)) == expected)

        first.rename(second)
        exporter.wait_until(lambda: "layerstore_store_info" not in scrape(exporter).samples)
        config.write_text(json.dumps({"data-root": str(second)}))
        with Docker(data_root=second) as docker:
            docker.cli("create", "--network=none", "--name=newcomer", "base", "true")
            expected = expected_of_scrape(told_by_engine(docker))
            exporter.wait_until(lambda: told_by_scrape(scrape(exporter)) == expected)
            assert "newcomer" in scrape(exporter).text
        assert exporter.end() == 0
