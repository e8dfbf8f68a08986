"""Engines for the tests of this directory, and a summary of what they compared."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.docker import Docker, Registry

# What asserts on behalf of tests shows both sides as they do.
pytest.register_assert_rewrite("tests.engine.agreement", "tests.engine.scanner", "tests.engine.serving")

_COMPARED = pytest.StashKey[dict[str, Counter[str]]]()

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


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds to the summary what the test has compared."""

    def add(counts: Counter[str]) -> None:
        compared = request.config.stash.setdefault(_COMPARED, {})
        compared.setdefault(request.node.name, Counter()).update(counts)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was compared with the engine, test by test: a green line does not tell how much stood behind it."""
    compared = config.stash.get(_COMPARED, {})
    if compared:
        terminalreporter.section("compared with the engine")
    for test, counts in compared.items():
        figures = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in sorted(counts.items()) if count)
        terminalreporter.write_line(f"{test}: {figures}")
