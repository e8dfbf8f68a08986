"""Images made in every way that an engine offers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.account.report import ImageUse
from exporter.store.entries import DiffID, ImageID
from exporter.survey import Survey
from tests.engine.agreement import agree, chain_ids, store_report, survey_of
from tests.engine.conftest import Tell
from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, archive, build, saved_image

EMPTY_LAYER = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""The diff ID of a tar without entries."""


@pytest.fixture(scope="module")
def survey(docker: Docker) -> Survey:
    """One survey for all tests here, so that each is also a test of what it remembers from those before."""
    return survey_of(docker)


def by_classic_build(docker: Docker, _: Registry, __: Path) -> str:
    return build(docker, f"{BASE}\nRUN echo classic > /srv/classic", tag="made:classic")


def by_buildkit(docker: Docker, _: Registry, __: Path) -> str:
    return build(docker, f"{BASE}\nRUN echo buildkit > /srv/buildkit", tag="made:buildkit", buildkit=True)


def by_import(docker: Docker, _: Registry, __: Path) -> str:
    return docker.cli("import", "-", "made:import", stdin=archive({"imported": b"imported"}))


def by_load(docker: Docker, _: Registry, directory: Path) -> str:
    made = build(docker, f"{BASE}\nRUN echo load > /srv/load", tag="made:load")
    docker.cli("save", "--output", f"{directory}/image.tar", "made:load")
    docker.cli("rmi", "made:load")
    docker.cli("load", "--input", f"{directory}/image.tar")
    return made


def by_commit(docker: Docker, _: Registry, __: Path) -> str:
    base = build(docker, BASE)
    container = docker.cli("run", "--detach", "--network=none", base, "sh", "-c", "echo more > /srv/more; rm /srv/file")
    docker.cli("wait", container)
    made = docker.cli("commit", container, "made:commit")
    docker.cli("rm", container)
    return made


def by_pull(docker: Docker, registry: Registry, _: Path) -> str:
    name = f"{registry.address}/made:pull"
    made = build(docker, f"{BASE}\nRUN echo pull > /srv/pull", tag=name)
    docker.cli("push", "--quiet", name)
    docker.cli("rmi", name)
    docker.cli("pull", "--quiet", name)
    return made


@pytest.mark.parametrize("make", [by_classic_build, by_buildkit, by_import, by_load, by_commit, by_pull])
def test_an_image_of_every_origin(
    *,
    make: Callable[[Docker, Registry, Path], str],
    docker: Docker,
    registry: Registry,
    survey: Survey,
    tmp_path: Path,
    tell: Tell,
) -> None:
    """However an image was made, its diff IDs, storage directories, size, unique and shared bytes are the engine's, and
    its layers' chain IDs recompute."""
    image_id = ImageID(make(docker, registry, tmp_path))

    tell(agree(docker, survey))

    store = store_report(survey.report()).store
    image = store.images[image_id]
    assert docker.api(f"/images/{image_id}/json")["RootFS"]["Layers"] == list(image.diff_ids)
    assert chain_ids(image.diff_ids) == list(image.chain_ids)
    assert all(store.layers[chain_id].chain_id_recomputes for chain_id in image.chain_ids)


def test_several_tags_and_digests(docker: Docker, registry: Registry, survey: Survey, tell: Tell) -> None:
    """An image has one reference for each tag and each manifest digest, and is counted once."""
    image_id = build(docker, f"{BASE}\nRUN echo names > /srv/names", tag="named:one")
    repositories = [f"{registry.address}/named", f"{registry.address}/deep/er/named"]
    for repository in repositories:
        docker.cli("tag", "named:one", f"{repository}:two")
        docker.cli("push", "--quiet", f"{repository}:two")

    tell(agree(docker, survey))

    store = store_report(survey.report()).store
    references = [reference for reference in store.references if reference.image_id == image_id]
    tags = {(reference.repository, reference.tag) for reference in references if reference.tag}
    digests = {reference.digest for reference in references if reference.digest}
    assert {("named", "one"), *((repository, "two") for repository in repositories)} == tags
    assert len(references) == 5
    assert len(digests) == 1, "the same manifest in both repositories"


def test_an_image_known_by_digest_only(docker: Docker, registry: Registry, survey: Survey, tell: Tell) -> None:
    """An image that was pulled by its digest has that reference and no tag, and is dangling as for the engine."""
    name = f"{registry.address}/digest"
    image_id = build(docker, f"{BASE}\nRUN echo digest > /srv/digest", tag=f"{name}:gone")
    docker.cli("push", "--quiet", f"{name}:gone")
    (pushed,) = docker.api(f"/images/{image_id}/json")["RepoDigests"]
    docker.cli("rmi", f"{name}:gone")
    docker.cli("pull", "--quiet", pushed)

    before = store_report(survey.report()).image_states["dangling"]
    docker.cli("rmi", "--force", pushed)
    after = store_report(survey.report()).image_states["dangling"]
    docker.cli("pull", "--quiet", pushed)
    tell(agree(docker, survey))

    store = store_report(survey.report()).store
    (reference,) = [reference for reference in store.references if reference.image_id == image_id]
    assert (name, "", pushed.partition("@")[2]) == (reference.repository, reference.tag, reference.digest)
    assert before == after + 1


def test_a_tag_that_moves_on(docker: Docker, survey: Survey, tell: Tell) -> None:
    """An image whose tag was given to another is dangling, still a head image, and gone with its layers once pruned."""
    first = ImageID(build(docker, f"{BASE}\nRUN echo 1 > /srv/moving", tag="moving:on"))
    second = ImageID(build(docker, f"{BASE}\nRUN echo 2 > /srv/moving", tag="moving:on"))
    tell(agree(docker, survey))
    report = store_report(survey.report())
    assert {first, second} <= report.image_use.keys()
    top = report.store.images[first].chain_ids[-1]

    docker.cli("image", "prune", "--force")

    tell(agree(docker, survey))
    report = store_report(survey.report())
    assert {first, second} & report.store.images.keys() == {second}
    assert top not in report.store.layers


def test_intermediate_images_share_nothing_with_their_own_result(own_docker: Docker, tell: Tell) -> None:
    """What the classic builder leaves between its steps is no head image: the result's layers are its own."""
    survey = survey_of(own_docker)
    image_id = ImageID(build(own_docker, BASE, tag="result"))

    tell(agree(own_docker, survey))

    report = store_report(survey.report())
    use = report.image_use[image_id]
    assert report.image_states == {"tagged": 1, "dangling": 0, "intermediate": 2}
    assert (use.size, 0) == (use.unique, use.shared)
    assert {image_id} == report.image_use.keys()


def test_a_shared_base(own_docker: Docker, tell: Tell) -> None:
    """Images on one base share its bytes; each alone is charged for what it adds; all of them count on the base."""
    survey = survey_of(own_docker)
    build(own_docker, BASE, tag="base")
    files = {"one": b"1" * 1000, "two": b"2" * 2000, "three": b"3" * 3000}
    images = {
        name: ImageID(build(own_docker, f"FROM base\nCOPY {name} /{name}", tag=name, files=files, buildkit=buildkit))
        for name, buildkit in [("one", False), ("two", False), ("three", True)]
    }

    tell(agree(own_docker, survey))

    report = store_report(survey.report())
    assert [report.image_use[images[name]].unique for name in files] == [1000, 2000, 3000]
    base = report.store.images[images["one"]].chain_ids[:-1]
    assert [report.layer_use[chain_id].images for chain_id in base] == [4, 4, 4]
    assert (report.layer_usage["shared"].layers, report.layer_usage["exclusive"].layers) == (3, 3)


def test_build_cache_outlives_the_image(own_docker: Docker, tell: Tell) -> None:
    """Layers that only BuildKit's cache still holds are in no image: unreferenced, and no problem."""
    survey = survey_of(own_docker)
    image_id = build(own_docker, BASE, tag="cached", buildkit=True)
    assert store_report(survey.report()).layer_usage["unreferenced"].layers == 0

    own_docker.cli("rmi", image_id)

    tell(agree(own_docker, survey))
    report = store_report(survey.report())
    assert report.store.images == {}
    assert len(report.store.layers) == report.layer_usage["unreferenced"].layers == 3
    own_docker.cli("builder", "prune", "--all", "--force")
    assert store_report(survey.report()).store.layers == {}


def test_an_image_without_layers(docker: Docker, survey: Survey, tell: Tell) -> None:
    """An image of nothing but settings has no layer and no size."""
    image_id = ImageID(build(docker, "FROM scratch\nLABEL empty=yes", tag="nothing"))

    tell(agree(docker, survey))

    report = store_report(survey.report())
    assert report.store.images[image_id].chain_ids == ()
    assert report.image_use[image_id] == ImageUse(size=0, unique=0, shared=0, containers=0)


@pytest.mark.parametrize("buildkit", [False, True], ids=["classic", "buildkit"])
def test_one_change_made_twice(docker: Docker, survey: Survey, tell: Tell, buildkit: bool) -> None:
    """The same change made twice in one chain is two layers with one diff ID and two chain IDs."""
    dockerfile = "FROM scratch\nCOPY file /file\nCOPY file /file"
    image_id = ImageID(build(docker, dockerfile, tag="twice", files={"file": b"twice"}, buildkit=buildkit))

    tell(agree(docker, survey))

    image = store_report(survey.report()).store.images[image_id]
    assert (len(set(image.diff_ids)), len(set(image.chain_ids))) == (1, 2)


def test_a_layer_of_nothing(docker: Docker, survey: Survey, tell: Tell) -> None:
    """An image may hold the empty layer, even twice: real layers of size 0."""
    empty = bytes(1024)
    saved = saved_image(archive({"data": b"data"}), empty, empty)
    image_id = ImageID(docker.cli("load", "--quiet", stdin=saved).partition("Loaded image ID: ")[2])

    tell(agree(docker, survey))

    store = store_report(survey.report()).store
    image = store.images[image_id]
    assert image.diff_ids[1:] == (EMPTY_LAYER, EMPTY_LAYER)
    assert [store.layers[chain_id].size for chain_id in image.chain_ids] == [4, 0, 0]


def test_history_tells_what_made_each_layer(docker: Docker, survey: Survey) -> None:
    """The steps of an image's history that are not empty are as many as its layers, and say the commands."""
    image_id = ImageID(build(docker, f"{BASE}\nENV A=B\nRUN echo history > /srv/history", tag="history"))

    history = store_report(survey.report()).store.images[image_id].history

    theirs = [(step["CreatedBy"], step["Created"]) for step in docker.api(f"/images/{image_id}/history")]
    ours = [(step.created_by, int(step.created or 0)) for step in reversed(history)]
    assert theirs == ours
    assert [step.empty_layer for step in history] == [False, False, False, True, False]
