"""Engines for the tests of this directory, and a summary of what they compared."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.debian import TREE, fetch_wheels, make_debian
from tests.engine.docker import Docker, Registry
from tests.engine.processes import delete

# What asserts on behalf of tests shows both sides as they do.
pytest.register_assert_rewrite(
    *(
        f"tests.engine.{module}"
        for module in ("agreement", "crashes", "modern_agreement", "observer", "scanner", "serving")
    )
)

_COMPARED = "compared"

Tell = Callable[[Counter[str]], None]
"""Takes the counts of what a test has compared, for the summary at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a real engine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """One Docker daemon that all tests share, each leaving behind what it likes."""
    with Docker() as daemon:
        yield daemon


@pytest.fixture
def own_docker() -> Iterator[Docker]:
    """A Docker daemon with an empty root, for this test alone."""
    with Docker() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A registry to push to and pull from."""
    with Registry() as server:
        yield server


@pytest.fixture(scope="session")
def debian() -> Iterator[Path]:
    """A directory with a small Debian, with Python and systemd, for machines and images; nobody changes it."""
    if given := os.environ.get(TREE):
        yield Path(given)
        return
    directory = Path(tempfile.mkdtemp(prefix="layerstore-debian-"))
    try:
        make_debian(directory / "tree")
        yield directory / "tree"
    finally:
        delete(directory)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the packages that an installation is made of, for that Debian's Python."""
    directory = tmp_path_factory.mktemp("wheels")
    fetch_wheels(directory)
    return directory


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds to the summary what the test has compared."""

    # What goes with a test's report reaches the summary from every process that tests are run in, if it is plain.
    compared: dict[str, int] = {}
    request.node.user_properties.append((_COMPARED, compared))

    def add(counts: Counter[str]) -> None:
        compared.update(Counter(compared) + counts)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was compared with the engine, test by test: a green line does not tell how much stood behind it."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    told = [(report.nodeid, dict(report.user_properties)[_COMPARED]) for report in reports if _tells(report)]
    if told:
        terminalreporter.section("compared with the engine")
    for test, counts in sorted(told):
        figures = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in sorted(counts.items()) if count)
        terminalreporter.write_line(f"{test.rpartition('::')[2]}: {figures}")


def _tells(report: object) -> bool:
    return (
        isinstance(report, pytest.TestReport)
        and report.when == "call"
        and bool(dict(report.user_properties).get(_COMPARED))
    )
