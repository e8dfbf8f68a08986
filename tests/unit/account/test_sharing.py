"""Who shares what, counted among head images."""

import pytest

from exporter.account.report import ImageUse, LayerTotal, LayerUse
from exporter.account.sharing import chain, container_chain, head_images
from exporter.store.entries import ContainerState
from tests.unit.account.records import Records, digest


@pytest.fixture
def records() -> Records:
    return Records()


def test_a_layer_of_one_image_is_unique_to_it(records: Records) -> None:
    """What no other image uses is unique; nothing is shared."""
    image = records.image(records.layer(100), tags=["a:1"])
    expected = ImageUse(size=100, unique=100, shared=0, containers=0)
    assert expected == records.report().image_use[image]


def test_a_common_base_is_shared(records: Records) -> None:
    """Two images on one base share its bytes, and each has its own top to itself."""
    base = records.layer(1000)
    first = records.image(records.layer(20, parent=base), tags=["a:1"])
    second = records.image(records.layer(3, parent=base), tags=["b:1"])
    uses = records.report().image_use
    assert ImageUse(size=1020, unique=20, shared=1000, containers=0) == uses[first]
    assert ImageUse(size=1003, unique=3, shared=1000, containers=0) == uses[second]


def test_an_image_that_is_the_base_of_another_has_nothing_of_its_own(records: Records) -> None:
    """All layers of a base image are shared when another image is built on it."""
    base = records.layer(1000)
    below = records.image(base, tags=["base:1"])
    records.image(records.layer(20, parent=base), tags=["app:1"])
    assert ImageUse(size=1000, unique=0, shared=1000, containers=0) == records.report().image_use[below]


def test_the_same_files_on_two_parents_are_two_layers(records: Records) -> None:
    """One diff ID in two chains is stored twice, so neither image shares it."""
    first = records.image(records.layer(7, parent=records.layer(100), files="same"), tags=["a:1"])
    second = records.image(records.layer(7, parent=records.layer(200), files="same"), tags=["b:1"])
    uses = records.report().image_use
    assert (uses[first].unique, uses[second].unique) == (107, 207)


def test_intermediate_images_share_nothing(records: Records) -> None:
    """The intermediates of a classic build do not make the image built on them shared with itself."""
    base = records.layer(1000)
    intermediate = records.image(base)
    final = records.image(records.layer(20, parent=base), tags=["app:1"], parent=intermediate)
    report = records.report()
    assert [final] == list(report.image_use)
    assert report.image_use[final].unique == 1020
    assert LayerUse(images=1, containers=0) == report.layer_use[base]


@pytest.mark.parametrize("reference", ["tags", "digests"])
def test_an_image_with_children_and_a_name_is_a_head_image(records: Records, reference: str) -> None:
    """A reference of any kind makes an image a head image, whatever was built on it."""
    base = records.layer(1000)
    name = "base:1" if reference == "tags" else f"base@sha256:{digest('manifest')}"
    parent = records.image(base, **{reference: [name]})  # type: ignore[arg-type]
    child = records.image(records.layer(20, parent=base), parent=parent)
    assert {parent, child} == {image.image_id for image in head_images(records.store())}


def test_states_of_images(records: Records) -> None:
    """A tag makes an image tagged; without one it is dangling, or intermediate where another was built on it."""
    base = records.layer(1)
    middle = records.image(base)
    records.image(records.layer(2, parent=base), tags=["app:1", "app:2"], parent=middle)
    records.image(records.layer(3))
    assert records.report().image_states == {"tagged": 1, "dangling": 1, "intermediate": 1}


def test_a_digest_does_not_save_an_image_from_dangling(records: Records) -> None:
    """An image that only a digest names is dangling, as for ``docker image prune``."""
    records.image(records.layer(1), digests=[f"app@sha256:{digest('manifest')}"])
    assert records.report().image_states == {"tagged": 0, "dangling": 1, "intermediate": 0}


def test_all_states_and_usages_are_told_of_an_empty_store(records: Records) -> None:
    """Each enumerated value is there from the start, at 0."""
    report = records.report()
    assert report.image_states == {"tagged": 0, "dangling": 0, "intermediate": 0}
    assert dict.fromkeys(("shared", "exclusive", "unreferenced"), LayerTotal(layers=0, size=0)) == report.layer_usage


def test_layers_by_usage(records: Records) -> None:
    """Each layer counts once: in two or more head images, in one, or in none."""
    base = records.layer(1000)
    records.image(records.layer(20, parent=base), tags=["a:1"])
    records.image(records.layer(3, parent=base), tags=["b:1"])
    records.layer(500)
    expected = {
        "shared": LayerTotal(layers=1, size=1000),
        "exclusive": LayerTotal(layers=2, size=23),
        "unreferenced": LayerTotal(layers=1, size=500),
    }
    assert expected == records.report().layer_usage


def test_containers_in_any_state_count(records: Records) -> None:
    """Stopped containers hold their image's layers as running ones do."""
    base = records.layer(1000)
    image = records.image(records.layer(20, parent=base), tags=["a:1"])
    for number, state in enumerate(ContainerState):
        records.container(image, name=f"c{number}", state=state)
    report = records.report()
    assert len(ContainerState) == report.image_use[image].containers
    assert LayerUse(images=1, containers=len(ContainerState)) == report.layer_use[base]


def test_a_container_holds_its_layers_though_its_image_is_gone(records: Records) -> None:
    """After a forced ``rmi`` the writable layer's record still tells what lies below."""
    base = records.layer(1000)
    image = records.image(base)
    records.container(image, name="survivor")
    del records.images[image]
    assert LayerUse(images=0, containers=1) == records.report().layer_use[base]


def test_a_container_without_a_writable_layer_goes_by_its_image(records: Records) -> None:
    """Where the mount's record is lost, the image tells what lies below, topmost first."""
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    image = records.image(top)
    container = records.container(image, name="half", mounted=False)
    assert (top, base) == container_chain(records.store(), container, image)


def test_a_container_from_scratch_lies_on_nothing(records: Records) -> None:
    """Neither mount nor image names a layer."""
    container = records.container(None, name="scratch")
    assert container_chain(records.store(), container, None) == ()


def test_a_chain_ends_where_parents_loop(records: Records) -> None:
    """Damaged records do not hang the scan: each layer is told once."""
    base = records.layer(1)
    top = records.layer(2, parent=base)
    records.change_layer(base, parent=top)
    assert [top, base] == list(chain(records.layers, top))


def test_a_chain_ends_where_a_parent_is_missing(records: Records) -> None:
    """What is known of it is told."""
    base = records.layer(1)
    top = records.layer(2, parent=base)
    del records.layers[base]
    assert [top] == list(chain(records.layers, top))


def test_a_layer_of_unknown_size_counts_no_bytes(records: Records) -> None:
    """A damaged ``size`` record takes its own bytes away, and nothing else."""
    image = records.image(records.layer(20, parent=records.layer(None)), tags=["a:1"])
    report = records.report()
    assert ImageUse(size=20, unique=20, shared=0, containers=0) == report.image_use[image]
    assert LayerTotal(layers=2, size=20) == report.layer_usage["exclusive"]


def test_an_image_with_lost_layers_has_the_size_of_those_left(records: Records) -> None:
    """Layers that are not there count no bytes and are used by nobody."""
    base = records.layer(1000)
    image = records.image(records.layer(20, parent=base), tags=["a:1"])
    del records.layers[base]
    report = records.report()
    assert report.image_use[image].size == 20
    assert base not in report.layer_use
