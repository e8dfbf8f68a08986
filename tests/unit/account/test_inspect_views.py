"""What ``inspect`` tells of images, layers and directories: the way from repository to image to each layer."""

import pytest

from exporter.account.inspect.find import find
from exporter.account.inspect.views import ContainerName, DirectoryMatch, ImageName, ImageView, LayerMatch, Owner
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.entries import CacheID, ChainID, ContainerState
from tests.unit.account.records import ROOT, Records, digest, step


@pytest.fixture
def records() -> Records:
    return Records()


def image_of(records: Records, needle: str) -> ImageView:
    (match,) = find([records.report()], needle).matches
    assert isinstance(match.subject, ImageView)
    return match.subject


def layer_of(records: Records, chain_id: ChainID) -> LayerMatch:
    (match,) = find([records.report()], chain_id).matches
    assert isinstance(match.subject, LayerMatch)
    return match.subject


def directory_of(records: Records, name: str | None) -> DirectoryMatch:
    assert name is not None
    (match,) = find([records.report()], name).matches
    assert isinstance(match.subject, DirectoryMatch)
    return match.subject


# Images


def test_an_image_tells_its_names_tags_first(records: Records) -> None:
    """Every tag and digest that points at it."""
    manifest = f"sha256:{digest('manifest')}"
    records.image(records.layer(1), tags=["b:2", "a:1"], digests=[f"a@{manifest}"])
    assert ("a:1", "b:2", f"a@{manifest}") == image_of(records, "a:1").names


def test_an_image_tells_its_layers_base_first(records: Records) -> None:
    """With what each is called: diff ID, chain ID, directory and short name."""
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    records.image(top, tags=["app:1"])
    layers = image_of(records, "app:1").layers
    assert [base, top] == [layer.chain_id for layer in layers]
    for layer in layers:
        record = records.layers[layer.chain_id]
        assert record.cache_id is not None
        assert layer.directory is not None
        assert (record.diff_id, record.size, True) == (layer.diff_id, layer.size, layer.chain_id_recomputes)
        assert f"{ROOT}/overlay2/{record.cache_id}" == layer.directory.path
        assert records.directories[record.cache_id].link == layer.directory.short_name
        assert layer.directory.short_name_leads_here


def test_steps_of_the_history_that_made_no_layer_are_skipped(records: Records) -> None:
    """The k-th entry that is no ``empty_layer`` made the k-th layer."""
    history = [step("ADD rootfs"), step("ENV A=1", empty=True), step("RUN make"), step("CMD run", empty=True)]
    base = records.layer(1000)
    records.image(records.layer(20, parent=base), tags=["app:1"], history=history)
    assert [layer.created_by for layer in image_of(records, "app:1").layers] == [("ADD rootfs",), ("RUN make",)]


def test_a_history_may_be_shorter_than_the_chain(records: Records) -> None:
    """Layers that it does not reach have no step; entries beyond the layers make none."""
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    records.image(top, tags=["short:1"], history=[step("ADD rootfs")])
    records.image(base, tags=["long:1"], history=[step("ADD rootfs"), step("RUN more")])
    assert [layer.created_by for layer in image_of(records, "short:1").layers] == [("ADD rootfs",), ()]
    assert [layer.created_by for layer in image_of(records, "long:1").layers] == [("ADD rootfs",)]


def test_who_shares_a_layer(records: Records) -> None:
    """All head images and containers on it, in order of their names, the nameless last."""
    base = records.layer(1000)
    app = records.image(records.layer(20, parent=base), tags=["app:1"])
    dangling = records.image(records.layer(3, parent=base))
    other = records.image(base, tags=["base:1"])
    web = records.container(app, name="web")
    old = records.container(other, name="old", state=ContainerState.EXITED)
    lowest = image_of(records, "app:1").layers[0]
    assert lowest.images == (
        ImageName(image_id=app, names=("app:1",)),
        ImageName(image_id=other, names=("base:1",)),
        ImageName(image_id=dangling, names=()),
    )
    assert lowest.containers == (
        ContainerName(container_id=old, name="old", state=ContainerState.EXITED),
        ContainerName(container_id=web, name="web", state=ContainerState.RUNNING),
    )


def test_what_an_image_costs(records: Records) -> None:
    """Size, and how much of it is its own."""
    base = records.layer(1000)
    image = records.image(records.layer(20, parent=base), tags=["app:1"])
    records.image(base, tags=["base:1"])
    records.container(image, name="web")
    view = image_of(records, "app:1")
    assert (view.size, view.unique, view.shared, view.state) == (1020, 20, 1000, "tagged")
    assert [container.name for container in view.containers] == ["web"]


def test_an_intermediate_image_costs_nothing_known(records: Records) -> None:
    """Sharing is counted among head images, so what it shares is not known rather than 0."""
    base = records.layer(1000)
    middle = records.image(base)
    records.image(records.layer(20, parent=base), tags=["app:1"], parent=middle)
    view = image_of(records, middle)
    assert (view.state, view.size, view.unique, view.shared) == ("intermediate", 1000, None, None)


def test_layers_of_unknown_size_are_counted(records: Records) -> None:
    """The size says how many layers it leaves out."""
    records.image(records.layer(20, parent=records.layer(None)), tags=["app:1"])
    view = image_of(records, "app:1")
    assert (view.size, view.layers_of_unknown_size, view.layers[0].size) == (20, 1, None)


def test_a_lost_layer_of_an_image_is_told(records: Records) -> None:
    """The image still knows its diff ID and its step; nothing else is known."""
    base = records.layer(1000)
    image = records.image(records.layer(20, parent=base), tags=["app:1"], history=[step("ADD rootfs")])
    del records.layers[base]
    lost = image_of(records, "app:1").layers[0]
    assert (lost.there, lost.chain_id, lost.diff_id) == (False, base, records.images[image].diff_ids[0])
    assert (lost.size, lost.directory, lost.chain_id_recomputes) == (None, None, None)
    assert lost.created_by == ("ADD rootfs",)


def test_a_lost_image_is_told_by_its_names(records: Records) -> None:
    """What only its record knows is not known."""
    image = records.image(records.layer(1), tags=["app:1"])
    del records.images[image]
    view = image_of(records, "app:1")
    assert (view.there, view.names, view.size, view.state, view.created) == (False, ("app:1",), None, None, None)


def test_problems_are_told_where_they_belong(records: Records) -> None:
    """An image tells the problems of its own record, of its layers' records and of their directories."""
    base = records.layer(1000)
    records.image(base, tags=["app:1"])
    cache_id = records.layers[base].cache_id
    layer_record = f"{ROOT}/image/overlay2/layerdb/sha256/{base.removeprefix('sha256:')}"
    own = [
        Problem(kind=ProblemKind.MALFORMED_RECORD, path=f"{layer_record}/size", reason="empty"),
        Problem(kind=ProblemKind.EMPTY_LINK, path=f"{ROOT}/overlay2/{cache_id}/link", reason="it holds no short name"),
    ]
    records.problems += [
        *own,
        Problem(kind=ProblemKind.EMPTY_LINK, path=f"{ROOT}/overlay2/{cache_id}x/link", reason="another's"),
    ]
    assert tuple(own) == image_of(records, "app:1").problems
    assert tuple(own) == layer_of(records, base).problems


# Layers


def test_a_layer_tells_its_place(records: Records) -> None:
    """What lies below it down to the base, what stands on it, and where else its files are."""
    base = records.layer(1000)
    middle = records.layer(20, parent=base, files="same")
    top = records.layer(3, parent=middle)
    twin = records.layer(20, parent=top, files="same")
    match = layer_of(records, middle)
    assert [base] == [layer.chain_id for layer in match.below]
    assert ((top,), (twin,)) == (match.above, match.same_files)


def test_a_layer_tells_the_steps_of_all_images_once(records: Records) -> None:
    """A base that was pulled with two images may have been described differently."""
    base = records.layer(1000)
    for number, made_by in enumerate(["ADD rootfs", "ADD rootfs", "COPY rootfs /"]):
        records.image(base, tags=[f"app:{number}"], history=[step(made_by)])
    assert {"ADD rootfs", "COPY rootfs /"} == set(layer_of(records, base).layer.created_by)
    assert len(layer_of(records, base).layer.created_by) == 2


def test_a_layer_whose_name_does_not_recompute_says_so(records: Records) -> None:
    """It is told with the record's path, so that it can be looked at."""
    base = records.layer(1000)
    records.change_layer(base, chain_id_recomputes=False)
    layer = layer_of(records, base).layer
    assert (layer.chain_id_recomputes, layer.record) == (
        False,
        f"{ROOT}/image/overlay2/layerdb/sha256/{base.removeprefix('sha256:')}",
    )


def test_a_layer_without_a_cache_id_has_no_directory(records: Records) -> None:
    """No record tells where it is, so no path is made up."""
    base = records.layer(1000)
    records.change_layer(base, cache_id=None)
    assert layer_of(records, base).layer.directory is None


def test_a_layer_in_a_loop_ends(records: Records) -> None:
    """Damaged parents do not hang the answer."""
    base = records.layer(1)
    top = records.layer(2, parent=base)
    records.change_layer(base, parent=top)
    assert [top] == [layer.chain_id for layer in layer_of(records, base).below]


# Directories


@pytest.mark.parametrize(("part", "owner"), [("mount_id", Owner.CONTAINER_UPPER), ("init_id", Owner.CONTAINER_INIT)])
def test_a_directory_of_a_container(records: Records, part: str, owner: Owner) -> None:
    """It is the container's because of the mount's record, and the container is told with it."""
    container = records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    match = directory_of(records, getattr(records.mounts[container], part))
    (claim,) = match.claims
    record = f"{ROOT}/image/overlay2/layerdb/mounts/{container}/{part.replace('_', '-')}"
    assert (claim.owner, claim.record, claim.mount) == (owner, record, container)
    assert claim.container is not None
    assert claim.container.name == "web"


def test_a_directory_of_a_layer(records: Records) -> None:
    """It is the layer's because of its cache-id; whoever has it below them needs it."""
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    records.image(top, tags=["app:1"])
    match = directory_of(records, records.layers[base].cache_id)
    (claim,) = match.claims
    record = f"{ROOT}/image/overlay2/layerdb/sha256/{base.removeprefix('sha256:')}/cache-id"
    assert (claim.owner, claim.record) == (Owner.IMAGE_LAYER, record)
    assert claim.layer is not None
    assert base == claim.layer.layer.chain_id
    assert (records.layers[top].cache_id,) == match.needed_by


def test_a_layer_that_nothing_is_built_on_is_unreferenced(records: Records) -> None:
    """Neither image nor writable layer has it in its chain."""
    base = records.layer(1000)
    assert [claim.owner for claim in directory_of(records, records.layers[base].cache_id).claims] == [
        Owner.UNREFERENCED_LAYER
    ]


def test_a_builders_mount_keeps_a_layer_referenced(records: Records) -> None:
    """A writable layer without a container needs what lies below it as well."""
    base = records.layer(1000)
    upper = records.mount("builder", base)
    assert [claim.owner for claim in directory_of(records, records.layers[base].cache_id).claims] == [Owner.IMAGE_LAYER]
    assert [(claim.owner, claim.mount) for claim in directory_of(records, upper).claims] == [
        (Owner.OTHER_MOUNT, "builder")
    ]


def test_a_directory_that_no_record_names(records: Records) -> None:
    """It is nobody's as far as records tell; what needs it is told nevertheless."""
    below, above = CacheID("buildkitbuildkitbuildkit1"), CacheID("buildkitbuildkitbuildkit2")
    records.directory(below)
    records.directory(above, below=below)
    match = directory_of(records, below)
    assert (match.claims, match.needed_by) == ((), (above,))


def test_a_directory_that_two_records_claim(records: Records) -> None:
    """Damaged records may name one directory twice: both are told."""
    base, other = records.layer(1000), records.layer(500)
    cache_id = records.layers[base].cache_id
    records.change_layer(other, cache_id=cache_id)
    claims = directory_of(records, cache_id).claims
    assert {base, other} == {claim.layer.layer.chain_id for claim in claims if claim.layer is not None}


def test_a_directory_that_is_not_there(records: Records) -> None:
    """What only a record names has no short name, no state and no time."""
    base = records.layer(1000)
    cache_id = records.layers[base].cache_id
    assert cache_id is not None
    del records.directories[cache_id]
    view = directory_of(records, cache_id).directory
    assert (view.there, view.short_name, view.mounted, view.modified) == (False, None, None, None)
