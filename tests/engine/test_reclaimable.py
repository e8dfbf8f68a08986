"""What removing all of a kind frees: each figure is the fall of du after the engine's own prune, to the byte."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.account.owners import Owner
from exporter.store.detect import Root
from exporter.survey import Survey
from tests.engine.agreement import problems_of, store_report
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.observer import LONG_AGO, delete_by_hand, plant
from tests.engine.patience import at_rest
from tests.engine.test_areas import du

PRUNES = {
    "dangling_images": ("image", "prune", "--force"),
    "unused_images": ("image", "prune", "--all", "--force"),
    "exited_containers": ("container", "prune", "--force"),
    "build_cache": ("builder", "prune", "--all", "--force"),
}
WRITE = "head -c 400000 /dev/urandom > /written; mkdir -p /many; for i in 1 2 3 4 5 6 7 8; do echo $i > /many/$i; done"


def _random(path: str, size: int) -> str:
    return f"RUN head -c {size} /dev/urandom > {path}"


@pytest.fixture
def crowded(own_docker: Docker) -> Iterator[Docker]:
    """Images that share layers among themselves, with others, with containers and with the cache; some have lost their
    names, some have containers that ended or run; and directories of nobody."""
    docker = own_docker
    build(docker, BASE, tag="base")
    # Two images that nobody uses, and that share a layer with nobody but each other.
    shared = build(docker, f"FROM base\n{_random('/shared', 700_000)}", tag="shared")
    for number in range(2):
        build(docker, f"FROM shared\n{_random('/own', 100_000 * (number + 1))}", tag=f"unused{number}")
    # A name that is taken from one image and given to another, twice: the images without one share a layer.
    build(docker, f"FROM base\n{_random('/first', 300_000)}", tag="renamed")
    for number in range(2):
        build(docker, f"FROM renamed\n{_random(f'/again{number}', 50_000)}", tag="renamed")
    docker.cli("rmi", "--no-prune", "renamed")
    # By BuildKit: one image that is kept, one whose name is gone; their steps are in the cache.
    build(docker, f"FROM base\n{_random('/kept', 200_000)}\n{_random('/kept2', 90_000)}", tag="kept", buildkit=True)
    build(docker, f"FROM kept\n{_random('/lost', 250_000)}", tag="lost", buildkit=True)
    docker.cli("rmi", "lost")
    cache = "FROM base\nRUN --mount=type=cache,target=/cache head -c 60000 /dev/urandom > /cache/x; echo > /y"
    build(docker, cache, tag="cached", buildkit=True)
    # Containers: one that runs, one that ended, one that was never started, one whose image was removed by force.
    docker.cli("run", "--detach", "--name=running", "--network=none", "kept", "sleep", "86400")
    docker.cli("exec", "running", "sh", "-c", WRITE)
    ends = f"{WRITE}; cat /many/*"
    docker.cli("run", "--name=ended", "--network=none", "--volume=/data", "unused0", "sh", "-c", ends)
    docker.cli("create", "--name=created", "--network=none", "--log-driver=local", "cached", "true")
    docker.cli("run", "--name=forced", "--network=none", shared, "sh", "-c", WRITE)
    for number in range(2):
        plant(docker.data_root / "overlay2", number, made=LONG_AGO)
    yield docker


def figures(survey: Survey) -> dict[str, int]:
    """What the exporter says can be freed."""
    os.sync()
    report = survey.whole_report()
    assert Counter() == problems_of(report)
    return dict(store_report(report).reclaimable)


@pytest.mark.parametrize(
    "order",
    [
        ("dangling_images", "build_cache", "exited_containers", "unused_images"),
        ("exited_containers", "unused_images", "build_cache"),
        ("build_cache", "unused_images", "exited_containers", "dangling_images"),
    ],
    ids=lambda order: order[0],
)
def test_each_figure_is_the_fall_of_du(crowded: Docker, order: tuple[str, ...], tell: Tell) -> None:
    """Prune after prune, what the figure said before is what du of the root says less after; then the orphans go."""
    survey = Survey(roots=[Root(path=str(crowded.data_root))])
    freed = {}
    for kind in (*order, "orphans"):
        before = settled(crowded.data_root)
        told = figures(survey)[kind]
        if kind == "orphans":
            delete_orphans(survey)
        else:
            crowded.cli(*PRUNES[kind])
        freed[kind] = before - settled(crowded.data_root)
        assert (kind, told) == (kind, freed[kind])
    assert all(freed[kind] > 0 for kind in (*order[:2], "orphans"))
    tell(Counter({f"bytes of {kind}": size for kind, size in freed.items()}))


def delete_orphans(survey: Survey) -> None:
    """All of them."""
    report = store_report(survey.report())
    assert report.ownership is not None
    for name in report.ownership.of(Owner.ORPHAN):
        delete_by_hand(Path(report.store.directory_root, name))


def settled(root: Path) -> int:
    """What du says of the root but for the builder's databases, which only grow, once the engine has done what it still
    does after it told its client that it is done."""

    def said() -> int:
        os.sync()
        return du(root) - du(root / "buildkit")

    return at_rest(said)
