"""Docker with containerd's image store: what it says, and what we read."""

import os
import shlex
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.account.freeing import way_of
from exporter.account.reclaim import Kind
from exporter.survey import Survey
from tests.engine.agreement import allocated, problems_of, store_report, survey_of, told_by_engine
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, build
from tests.engine.lives import after_each_step, random_life
from tests.engine.modern import ModernDocker, unpacked
from tests.engine.modern_agreement import NAME, agree
from tests.engine.patience import at_rest
from tests.engine.processes import delete, run
from tests.engine.scraped import expected_of_scrape, populate, told_by_scrape
from tests.engine.sequence import Life
from tests.engine.test_areas import du
from tests.engine.test_containerd_records import tarball
from tests.engine.test_lifecycle import scrape
from tests.engine.test_reclaimable import PRUNES
from tests.requirements import required
from tests.service.exporters import Exporter, running


@pytest.fixture(scope="module")
def distribution() -> Iterator[Path]:
    """A newer Debian's Docker, unpacked."""
    with unpacked() as root:
        yield root


@pytest.fixture
def docker(distribution: Path) -> Iterator[ModernDocker]:
    """A daemon that keeps its images in containerd."""
    with ModernDocker(distribution) as daemon:
        yield daemon


def test_every_step_of_a_random_life(docker: ModernDocker, registry: Registry, tell: Tell) -> None:
    """From the very beginning, and after each step of a random sequence, images, names, states and sizes are the
    engine's, as documented; everything adds up to ``du``, and nothing is wrong.

    ``LAYERSTORE_SEED`` repeats a life, ``LAYERSTORE_STEPS`` makes it longer.
    """
    survey = survey_of(docker)
    with random_life(tell) as (random, story):
        life = Life(docker=docker, random=random, registry=registry, story=story)
        tell(after_each_step(life.step, lambda: agree(docker, survey), steps=15))


def test_a_switch_leaves_the_other_store_to_be_seen(docker: ModernDocker, tell: Tell) -> None:
    """Both stores are told of side by side after each switch, the one that was left as not active, with its bytes; the
    areas of both are all of the root."""
    build(docker, BASE, tag="kept")
    docker.cli("create", "--name=kept", "--network=none", "kept", "true")
    before = store_report(survey_of(docker).whole_report(), NAME)

    docker.stop()
    docker.in_containerd = False
    docker.start()
    build(docker, BASE, tag="new")
    docker.cli("run", "--detach", "--name=new", "--network=none", "new", "sleep", "86400")
    report = survey_of(docker).whole_report()
    left, used = store_report(report, NAME), store_report(report, "overlay2")

    assert (before.store.active, left.store.active, used.store.active) == (True, False, True)
    assert {container.name for container in left.store.containers.values()} == {"kept"}
    assert {container.name for container in used.store.containers.values()} == {"new"}
    assert [left.store.images, left.store.layers] == [before.store.images, before.store.layers]
    assert left.layer_allocated == before.layer_allocated
    assert problems_of(report) == Counter()
    docker.cli("rm", "--force", "new")
    docker.stop()
    docker.in_containerd = True
    docker.start()
    again = survey_of(docker).whole_report()
    assert [store_report(again, name).store.active for name in (NAME, "overlay2")] == [True, False]
    tell(Counter(stores=6) + agree(docker, survey_of(docker)))


def test_an_upgrade_beside_an_exporter_that_stays(distribution: Path, tmp_path: Path, tell: Tell) -> None:
    """A root that an older Docker made is taken over by the newer one. The exporter, started before and not told, has
    the newer one's figures soon, with what is made in it; nothing is lost and nothing is wrong."""
    with ModernDocker(distribution, in_containerd=False) as newer:
        newer.stop()
        delete(newer.data_root)
        with Docker(data_root=newer.data_root) as older:
            populate(older)
        with running(tmp_path, newer.data_root, "--scan.interval=500ms") as exporter:
            exporter.wait_until(exporter.is_ready)
            newer.start()
            newer.cli("create", "--network=none", "--name=newcomer", "base", "true")
            expected = expected_of_scrape(told_by_engine(newer))
            exporter.wait_until(lambda: told_by_scrape(scrape(exporter)) == expected)
            assert expected["containers"] == {"created": 2, "exited": 3}
            assert "newcomer" in scrape(exporter).text
            assert set(scrape(exporter).samples["layerstore_integrity_problems"].values()) == {0.0}
            assert exporter.end() == 0
        tell(Counter({what: len(figures) for what, figures in expected.items()}))


@pytest.mark.parametrize("in_containerd", [True, False], ids=["containerd", "overlay2"])
def test_what_is_copied_into_a_stopped_container(distribution: Path, tmp_path: Path, *, in_containerd: bool) -> None:
    """Its upper layer is not looked at while nothing happens to it; what ``docker cp`` puts there is in the figures
    soon, each time, and of a copy that takes long already while it does."""
    with ModernDocker(distribution, in_containerd=in_containerd) as docker:
        build(docker, BASE, tag="base")
        docker.cli("run", "--name=stopped", "--network=none", "base", "sh", "-c", WRITE)
        upper = upper_of(docker, NAME if in_containerd else "overlay2")
        with running(tmp_path, docker.data_root, "--scan.interval=500ms") as exporter:
            exporter.wait_until(lambda: figure(exporter, "allocated_bytes") == allocated(upper))
            measured = at_rest(lambda: figure(exporter, "measured_timestamp_seconds"), quiet=3)
            for number in range(3):
                copied = tmp_path / f"copied{number}"
                copied.write_bytes(os.urandom(1_000_000))
                docker.cli("cp", str(copied), "stopped:/")
                assert allocated(upper) > 1_000_000 * (number + 1)
                exporter.wait_until(lambda: figure(exporter, "allocated_bytes") == allocated(upper))
                before, measured = measured, at_rest(lambda: figure(exporter, "measured_timestamp_seconds"))
                assert before < measured

            before = figure(exporter, "allocated_bytes")
            content, header = os.urandom(4_000_000), tarfile.TarInfo("slow")
            header.size = len(content)
            with docker.client("cp", "-", "stopped:/", stdin=subprocess.PIPE) as client:
                assert client.stdin is not None
                client.stdin.write(header.tobuf() + content[:1_000])
                client.stdin.flush()
                exporter.wait_until(lambda: figure(exporter, "measured_timestamp_seconds") > measured)
                client.stdin.write(content[1_000:3_000_000])
                client.stdin.flush()
                exporter.wait_until(lambda: figure(exporter, "allocated_bytes") > before + 2_500_000)
                client.stdin.write(content[3_000_000:] + bytes(tarfile.RECORDSIZE))
            assert client.returncode == 0
            assert allocated(upper) > before + len(content)
            exporter.wait_until(lambda: figure(exporter, "allocated_bytes") == allocated(upper))


def upper_of(docker: ModernDocker, name: str) -> str:
    """The upper layer of the only container of a store."""
    store = store_report(survey_of(docker).report(), name).store
    (container,) = store.containers
    directory = store.upper_of(container)
    assert directory is not None
    return store.diff_path(directory)


def figure(exporter: Exporter, what: str) -> float:
    """What is told of the upper layer of the only container; less than 0 where it is not yet told."""
    told = scrape(exporter).samples.get(f"layerstore_container_upper_{what}", {})
    return next(iter(told.values()), -1.0)


PLAIN = "containerd/plain"
"""The store of a namespace that is neither Docker's nor Kubernetes'."""
WRITE = "head -c 400000 /dev/urandom > /written"


def _random(path: str, size: int) -> str:
    return f"RUN head -c {size} /dev/urandom > {path}"


def test_each_figure_is_the_fall_of_du(docker: ModernDocker, tell: Tell) -> None:
    """Prune after prune, what the figure said before is what ``du`` of snapshots, content and containers says less
    after, once containerd has collected what nothing needs."""
    build(docker, BASE, tag="base")
    build(docker, f"FROM base\n{_random('/shared', 700_000)}", tag="shared")
    for number in range(2):
        build(docker, f"FROM shared\n{_random('/own', 100_000 * (number + 1))}", tag=f"unused{number}")
        build(docker, f"FROM base\n{_random(f'/again{number}', 50_000)}", tag="renamed")
    build(docker, f"FROM base\n{_random('/kept', 200_000)}\n{_random('/kept2', 90_000)}", tag="kept", buildkit=True)
    cache = "FROM base\nRUN --mount=type=cache,target=/cache head -c 60000 /dev/urandom > /cache/x; echo > /y"
    build(docker, cache, tag="cached", buildkit=True)
    docker.cli("run", "--detach", "--name=running", "--network=none", "kept", "sleep", "86400")
    docker.cli("run", "--name=ended", "--network=none", "unused0", "sh", "-c", WRITE)
    docker.cli("create", "--name=created", "--network=none", "cached", "true")
    survey = survey_of(docker)
    # BuildKit writes down what it did when some seconds have passed.
    settled(docker, survey, quiet=8)
    freed: Counter[str] = Counter()
    for kind in ("dangling_images", "exited_containers", "build_cache", "unused_images"):
        before = settled(docker, survey)
        told = store_report(survey.whole_report(), NAME).reclaimable[kind]
        docker.cli(*PRUNES[kind])
        freed[f"bytes of {kind}"] = before - settled(docker, survey)
        assert (kind, told) == (kind, freed[f"bytes of {kind}"])
    tell(freed)
    assert all(freed.values())


def test_what_is_named_for_another_namespace_frees_it(docker: ModernDocker, tell: Tell) -> None:
    """Docker's commands do not reach it. Those that are named, and containerd's newer ``ctr`` has, free what was said,
    to the byte, and leave the image of a container alone."""
    socket = f"{docker.root}/exec/containerd/containerd.sock"
    enter = (required("nsenter"), "--mount", "--root", "--target", str(docker.daemon.pid), "/usr/bin/ctr")

    def ctr(*args: str, stdin: bytes = b"") -> str:
        return run(*enter, "--address", socket, *args, stdin=stdin)

    own = ("--namespace", "plain")
    for name in ("used:1", "unused:1", "nameless:1"):
        ctr(*own, "images", "import", "-", stdin=tarball(f"docker.io/library/{name}")[0])
    rows = [line.split() for line in ctr(*own, "images", "ls").splitlines()]
    digest = next(row[2] for row in rows if row[0].endswith("nameless:1"))
    ctr(*own, "images", "tag", "--local", "docker.io/library/nameless:1", digest)
    ctr(*own, "images", "rm", "docker.io/library/nameless:1")
    ctr(*own, "containers", "create", "docker.io/library/used:1", "made", "/bin/busybox", "true")
    survey, freed = survey_of(docker), Counter[str]()
    for kind in (Kind.DANGLING_IMAGES, Kind.UNUSED_IMAGES):
        before = settled(docker, survey, name=PLAIN)
        report = store_report(survey.whole_report(), PLAIN)
        command = way_of(report.store, kind).command
        assert command is not None
        program, *args = (digest if word == "NAME" else word for word in shlex.split(command))
        assert program == "ctr"
        ctr(*args)
        freed[f"bytes of {kind}"] = before - settled(docker, survey, name=PLAIN)
        assert (kind, report.reclaimable[kind]) == (kind, freed[f"bytes of {kind}"])
    tell(freed)
    assert all(freed.values())
    assert ["docker.io/library/used:1"] == ctr(*own, "images", "ls", "--quiet").split()


def settled(docker: ModernDocker, survey: Survey, *, quiet: float = 0.5, name: str = NAME) -> int:
    """What ``du`` says once containerd is done: nothing is being removed, and it says the same for *quiet* seconds."""
    content = docker.containerd / "io.containerd.content.v1.content"
    snapshots = docker.containerd / "io.containerd.snapshotter.v1.overlayfs/snapshots"

    def said() -> int:
        os.sync()
        assert not store_report(survey.report(), name).store.removals
        return sum(map(du, (content, snapshots, docker.data_root / "containers")))

    return at_rest(said, quiet=quiet)
