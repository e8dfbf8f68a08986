"""What a person waits for: everything measured at once, or twice to see what grows."""

from pathlib import Path

import pytest

from exporter.account.report import Upper
from exporter.atonce import UpperTree, once, silent, walk_all
from exporter.measure.usage import Usage
from exporter.measure.walk import Walked, measure
from exporter.store.detect import Root
from exporter.store.entries import CacheID, ContainerID
from exporter.survey import Survey
from tests.unit.measure.trees import du
from tests.unit.store.hosts import NO_CONFIG, HeldClock, Host, build_host

USAGE = Usage(size=10, allocated=4096, inodes=2)
WEB = ContainerID("1" * 64)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return build_host(tmp_path / "docker")


def walked(*, unreadable: int = 0, cut: bool = False) -> Walked:
    return Walked(usage=USAGE, directories=1, links=0, vanished=0, unreadable=unreadable, cut=cut)


def upper_of(outcome: Walked | None) -> Upper | None:
    """What is known of an upper layer of which a walk found *outcome*."""
    tree = UpperTree(key=("overlay2", WEB), path="/upper", name="web")
    found = once([tree], {} if outcome is None else {"/upper": outcome}, at=7.0)
    return found.get("overlay2", {}).get(WEB)


def test_an_upper_layer() -> None:
    """It has what was walked, as of the end of all walks."""
    assert upper_of(walked()) == Upper(usage=USAGE, measured_at=7.0)


@pytest.mark.parametrize("outcome", [walked(unreadable=1), walked(cut=True)])
def test_a_lower_bound(outcome: Walked) -> None:
    """What lacks something is not given for exact."""
    assert upper_of(outcome) == Upper(usage=USAGE, measured_at=7.0, exact=False)


def test_an_upper_layer_that_is_gone() -> None:
    """It has no figure."""
    assert upper_of(None) is None


def test_all_trees_are_walked(tmp_path: Path) -> None:
    """Each as by itself, but for those that are gone; and somebody who waits sees how far it is."""
    paths = [tmp_path / name for name in "abc"]
    for number, path in enumerate(paths):
        (path / "below").mkdir(parents=True)
        (path / "below" / "file").write_bytes(b"x" * number)
    told: list[tuple[int, int, str]] = []

    found = walk_all(
        {**{str(path): path.name for path in paths}, str(tmp_path / "gone"): "gone"},
        lambda done, total, what: told.append((done, total, what)),
    )

    assert {str(path): measure(str(path)) for path in paths} == found
    assert [(0, 4, "a"), (1, 4, "b"), (2, 4, "c"), (3, 4, "gone")] == told


@pytest.mark.parametrize("growth", [None, 1.0])
def test_a_whole_report_is_what_du_says(host: Host, growth: float | None) -> None:
    """Upper layers, layers, and the whole root: in one look and in two."""
    survey = Survey([Root(path=str(host.root))], clock=HeldClock(ahead=0.0), daemon_config=NO_CONFIG)

    (report,) = survey.whole_report(growth=growth, progress=silent).stores

    driver = host.root / "overlay2"
    uppers = {key: du(host.store.upper_path(key), "--block-size=1") for key in report.store.containers}
    assert uppers == {key: upper.usage.allocated for key, upper in report.uppers.items()}
    layers = {
        chain_id: du(driver / layer.cache_id / "diff", "--block-size=1")
        for chain_id, layer in report.store.layers.items()
        if layer.cache_id is not None
    }
    assert layers == report.layer_allocated
    directories = {CacheID(path.name): du(path, "--block-size=1") for path in driver.iterdir()}
    known = report.directory_allocated
    assert directories == {name: known[name] for name in directories}
    assert du(host.root, "--block-size=1") == sum(report.areas.values())
