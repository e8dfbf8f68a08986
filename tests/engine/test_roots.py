"""Roots other than the plain one: several, remapped, and left behind by a switch of drivers."""

import os
from collections import Counter

from exporter.account.owners import Owner
from exporter.account.reclaim import Kind
from exporter.store.detect import Root
from exporter.survey import Survey
from tests.engine.agreement import problems_of, store_report, survey_of, told_by_engine, told_by_report
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.test_areas import du


def test_a_remapped_root_is_found_by_itself(tell: Tell) -> None:
    """With userns-remap the store lies below ``<uid>.<gid>``; given the root above it, it is found and read."""
    with Docker(remapped_to=100_000) as docker:
        build(docker, BASE, tag="remapped")
        container_id = docker.cli("run", "--detach", "--network=none", "remapped", "sleep", "86400")
        docker.cli("exec", container_id, "sh", "-c", "echo written > /written; rm /srv/file")

        report = survey_of(docker).report()

        remapped = store_report(report, "100000.100000/overlay2")
        theirs, ours = told_by_engine(docker), told_by_report(remapped)
        tell(ours.compared())
        assert theirs == ours
        assert problems_of(report) == Counter()
        assert remapped.store.root == f"{docker.data_root}/100000.100000"


def test_two_roots(docker: Docker, own_docker: Docker) -> None:
    """Two engines' roots are two stores in one report, each as if it were alone, whatever their names are."""
    build(docker, BASE, tag="first")
    build(own_docker, BASE, tag="second")
    second = Root(path=str(own_docker.data_root), prefix="second/")

    report = Survey(roots=[Root(path=str(docker.data_root)), second]).report()

    names = ["overlay2", "second/overlay2"]
    assert names == [store.store.name for store in report.stores]
    assert [told_by_engine(docker), told_by_engine(own_docker)] == [
        told_by_report(store_report(report, name)) for name in names
    ]


def test_a_store_that_a_switch_of_drivers_left_behind(own_docker: Docker) -> None:
    """After a switch both stores are named: the old one inactive and still measured, one of another sort marked. The
    old one's directories have their owners and bytes, and with all else they are what du says of the root."""
    image_id = build(own_docker, BASE, tag="left-behind")
    container_id = own_docker.cli("create", "--network=none", "left-behind", "true")
    survey = survey_of(own_docker)
    before = store_report(survey.report())
    own_docker.stop()
    with Docker(driver="vfs", data_root=own_docker.data_root) as switched:
        build(switched, BASE, tag="new")

        os.sync()
        report = survey.whole_report()

        old, new = store_report(report, "overlay2"), store_report(report, "vfs")
        assert (old.store.active, old.store.measurable) == (False, True)
        assert (new.store.active, new.store.measurable) == (True, False)
        assert before.image_use == old.image_use
        assert before.uppers.keys() == old.uppers.keys() == {container_id}
        assert image_id in old.store.images
        assert len(new.store.images) == len(switched.api("/images/json?all=1"))
        assert problems_of(report) == Counter()
        assert old.ownership is not None
        assert du(own_docker.data_root / "overlay2") == sum(old.ownership.allocated(old.directory_allocated).values())
        assert du(own_docker.data_root) == sum((*old.areas.values(), *new.areas.values()))


def test_an_engine_that_has_nothing(own_docker: Docker) -> None:
    """Just installed and never used, pruned of all it had, or stopped then: all figures are known, nothing is wrong,
    and nothing could be freed."""
    survey = survey_of(own_docker)
    assert_nothing_is_there(survey, own_docker)

    build(own_docker, BASE, tag="unwanted")
    own_docker.cli("create", "--network=none", "unwanted", "true")
    own_docker.cli("system", "prune", "--all", "--force")
    assert_nothing_is_there(survey, own_docker)

    own_docker.stop()
    assert_nothing_is_there(survey, own_docker)


def assert_nothing_is_there(survey: Survey, docker: Docker) -> None:
    os.sync()
    report = survey.whole_report()
    store = store_report(report)
    assert problems_of(report) == Counter()
    assert store.ownership is not None
    counts = store.ownership.counts()
    assert ({*counts}, {owner for owner, count in counts.items() if count}) == ({*Owner}, {Owner.INTERNAL})
    assert store.reclaimable == {kind.value: 0 for kind in Kind}
    assert du(docker.data_root) == sum(store.areas.values())
