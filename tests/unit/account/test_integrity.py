"""What does not fit between records."""

from dataclasses import replace

import pytest

from exporter.account.integrity import find_problems
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.entries import ChainID, ContainerID, ImageID, Reference
from tests.unit.account.records import MOMENT, ROOT, Records, digest

LAYERS = f"{ROOT}/image/overlay2/layerdb/sha256"
MOUNTS = f"{ROOT}/image/overlay2/layerdb/mounts"
IMAGES = f"{ROOT}/image/overlay2/imagedb/content/sha256"


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def base(records: Records) -> ChainID:
    return records.layer(1000)


@pytest.fixture
def top(records: Records, base: ChainID) -> ChainID:
    return records.layer(20, parent=base)


@pytest.fixture
def image(records: Records, top: ChainID) -> ImageID:
    return records.image(top, tags=["app:1"])


@pytest.fixture
def container(records: Records, image: ImageID) -> ContainerID:
    return records.container(image, name="web")


def found(records: Records) -> list[tuple[ProblemKind, str]]:
    return sorted((problem.kind, problem.path) for problem in find_problems(records.store(), now=MOMENT))


def layer_path(chain_id: ChainID) -> str:
    return f"{LAYERS}/{chain_id.removeprefix('sha256:')}"


def directory_path(records: Records, chain_id: ChainID) -> str:
    return f"{ROOT}/overlay2/{records.layers[chain_id].cache_id}"


@pytest.mark.usefixtures("container")
def test_a_sound_store_has_no_problems(records: Records) -> None:
    """Images, layers and containers that fit together give nothing to report."""
    assert found(records) == []


def test_nothing_is_wrong_with_an_empty_store(records: Records) -> None:
    """A root that was never used is sound."""
    assert found(records) == []


def test_a_layer_whose_name_does_not_follow(records: Records, top: ChainID) -> None:
    """A chain ID that does not recompute from parent and diff ID is a problem of the layer."""
    records.change_layer(top, chain_id_recomputes=False)
    assert [(ProblemKind.CHAIN_ID_MISMATCH, layer_path(top))] == found(records)


@pytest.mark.usefixtures("image")
def test_a_missing_parent_is_one_problem(records: Records, base: ChainID, top: ChainID) -> None:
    """The layer names its parent, so the images that miss it too are not told besides."""
    del records.layers[base]
    assert [(ProblemKind.MISSING_PARENT, layer_path(top))] == found(records)


def test_layers_that_are_their_own_ancestors(records: Records, base: ChainID, top: ChainID) -> None:
    """Only the layer whose parent is wrong makes the loop: the one above it is sound."""
    records.change_layer(base, parent=top, chain_id_recomputes=False)
    loops = [entry for entry in found(records) if entry[0] is ProblemKind.PARENT_LOOP]
    assert [(ProblemKind.PARENT_LOOP, layer_path(base))] == loops


def test_a_layer_above_a_loop_is_no_part_of_it(records: Records, base: ChainID, top: ChainID) -> None:
    """A loop is told of its own layers, not of all that stand on them."""
    records.layer(1, parent=top)
    records.change_layer(base, parent=top, chain_id_recomputes=False)
    loops = [entry for entry in found(records) if entry[0] is ProblemKind.PARENT_LOOP]
    assert [(ProblemKind.PARENT_LOOP, layer_path(base))] == loops


def test_an_image_whose_top_layer_is_lost(records: Records, top: ChainID, image: ImageID) -> None:
    """No other layer names the top, so the image does."""
    del records.layers[top]
    path = f"{IMAGES}/{image.removeprefix('sha256:')}"
    assert [(ProblemKind.IMAGE_LAYER_MISSING, path)] == found(records)


def test_a_name_of_an_image_that_is_not_there(records: Records) -> None:
    """Two names of one lost image are one damage."""
    lost = ImageID("sha256:" + digest("lost"))
    records.references += [Reference(repository="app", tag=tag, digest="", image_id=lost) for tag in ("1", "2")]
    assert [(ProblemKind.REFERENCE_IMAGE_MISSING, f"{ROOT}/image/overlay2/repositories.json")] == found(records)


@pytest.mark.usefixtures("top")
def test_a_layer_without_its_directory(records: Records, base: ChainID) -> None:
    """The layer's record is told; the ``lower`` above it, which names the directory too, is no damage of its own."""
    cache_id = records.layers[base].cache_id
    assert cache_id is not None
    del records.directories[cache_id]
    assert [(ProblemKind.MISSING_DIFF_DIRECTORY, layer_path(base))] == found(records)


def test_a_directory_without_files(records: Records, base: ChainID) -> None:
    """A storage directory that lost its ``diff`` holds no layer."""
    records.change_directory(records.layers[base].cache_id, has_diff=False)
    assert [(ProblemKind.MISSING_DIFF_DIRECTORY, layer_path(base))] == found(records)


@pytest.mark.parametrize("link", ["", None])
def test_a_directory_without_its_short_name(records: Records, base: ChainID, link: str | None) -> None:
    """An empty ``link``, as a power loss leaves it, or none at all."""
    records.change_directory(records.layers[base].cache_id, link=link)
    assert [(ProblemKind.EMPTY_LINK, f"{directory_path(records, base)}/link")] == found(records)


def test_a_short_name_that_is_not_there(records: Records, base: ChainID) -> None:
    """A ``link`` without its symlink in ``l/``."""
    records.short_links.clear()
    assert [(ProblemKind.SHORT_LINK_DANGLING, f"{directory_path(records, base)}/link")] == found(records)


@pytest.mark.parametrize("target", ["../other/diff", "/etc", "../../../etc/diff", ""])
def test_a_short_name_that_leads_elsewhere(records: Records, base: ChainID, target: str) -> None:
    """The symlink in ``l/`` must lead back to the directory that names it."""
    records.short_links = dict.fromkeys(records.short_links, target)
    assert [(ProblemKind.SHORT_LINK_MISMATCH, f"{directory_path(records, base)}/link")] == found(records)


def test_an_empty_lower(records: Records, top: ChainID) -> None:
    """A layer on a parent whose ``lower`` is empty cannot be mounted."""
    records.change_directory(records.layers[top].cache_id, lower=())
    assert [(ProblemKind.EMPTY_LOWER, f"{directory_path(records, top)}/lower")] == found(records)


def test_a_lower_that_names_nothing(records: Records, top: ChainID) -> None:
    """A short name in ``lower`` that is nobody's."""
    records.change_directory(records.layers[top].cache_id, lower=("NOBODY",))
    assert [(ProblemKind.LOWER_DANGLING, f"{directory_path(records, top)}/lower")] == found(records)


def test_directories_that_no_record_names_are_not_judged(records: Records, base: ChainID) -> None:
    """Build cache and what is being made may be in any state."""
    cache_id = records.layers.pop(base).cache_id
    records.change_directory(cache_id, link="", lower=(), has_diff=False)
    assert found(records) == []


@pytest.mark.usefixtures("base")
def test_the_directories_of_a_driver_that_cannot_be_read_are_not_judged(records: Records) -> None:
    """vfs, btrfs and zfs keep no directories of this layout."""
    records.directories.clear()
    assert find_problems(replace(records.store(), measurable=False), now=MOMENT) == ()


def test_a_container_without_a_writable_layer(records: Records, container: ContainerID) -> None:
    """No record tells where its upper layer is."""
    del records.mounts[container]
    assert [(ProblemKind.CONTAINER_MOUNT_MISSING, f"{MOUNTS}/{container}")] == found(records)


def test_a_container_whose_mount_id_is_empty(records: Records, container: ContainerID) -> None:
    """The record is there and tells nothing."""
    records.mounts[container] = replace(records.mounts[container], mount_id=None)
    assert [(ProblemKind.CONTAINER_MOUNT_MISSING, f"{MOUNTS}/{container}")] == found(records)


def test_a_container_whose_upper_layer_is_gone(records: Records, container: ContainerID) -> None:
    """Its mount's record names a directory that is not there."""
    upper = records.mounts[container].mount_id
    assert upper is not None
    del records.directories[upper]
    assert [(ProblemKind.MISSING_DIFF_DIRECTORY, f"{MOUNTS}/{container}")] == found(records)


@pytest.mark.parametrize("lost", ["mount", "upper", "both"])
def test_a_container_that_is_being_removed_may_lack_anything(
    records: Records, container: ContainerID, lost: str
) -> None:
    """The engine removes short link and directory first, then the mount's record, then the container's."""
    records.containers[container] = replace(records.containers[container], removing=True)
    upper = records.mounts[container].mount_id
    assert upper is not None
    if lost in {"upper", "both"}:
        link = records.directories.pop(upper).link
        assert link is not None
        del records.short_links[link]
    if lost in {"mount", "both"}:
        del records.mounts[container]
    assert found(records) == []


def test_what_follows_from_a_known_problem_is_not_told_again(records: Records, image: ImageID, top: ChainID) -> None:
    """A layer's record that cannot be read is missed by its image: one damage, told where it is."""
    del records.layers[top]
    records.problems.append(Problem(kind=ProblemKind.MALFORMED_RECORD, path=f"{layer_path(top)}/diff", reason="empty"))
    assert found(records) == []
    assert image in records.images


@pytest.mark.usefixtures("top")
def test_reasons_name_what_is_wrong(records: Records, base: ChainID) -> None:
    """A person can act on a reason: it holds the identity that is missed."""
    del records.layers[base]
    (problem,) = find_problems(records.store(), now=MOMENT)
    assert base in problem.reason


def test_reasons_are_short_and_printable_whatever_a_record_holds(records: Records, top: ChainID) -> None:
    """What a hostile record says is cut, and its control characters are shown, not sent."""
    records.change_directory(records.layers[top].cache_id, lower=("\x1b[2J" * 1000,))
    (problem,) = find_problems(records.store(), now=MOMENT)
    assert problem.reason.isprintable()
    assert len(problem.reason) < 200
