"""Invariants 3, 4, 8 and 9 of the design, on arbitrary stores."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.account.inspect.find import find
from exporter.account.integrity import find_problems
from exporter.account.report import Report, StoreReport, Upper
from exporter.account.sharing import head_images
from exporter.account.summary import store_report
from exporter.export.text.documents import report_json
from exporter.measure.usage import Usage
from exporter.store.catalog import Catalog, ProblemKind, Store
from exporter.store.entries import ChainID, ContainerID, DiffID, ImageID
from exporter.store.layerdb import LayerReader, chain_ids
from exporter.store.records import Scan, open_folder
from exporter.survey import summarize
from tests.property.stores import records
from tests.unit.account.records import MOMENT, Records, chain_id_of, digest

DIFF_IDS = st.builds(lambda seed: DiffID("sha256:" + digest(seed)), st.text(max_size=3))


def known_size(store: Store, layers: set[ChainID]) -> int:
    """Σ of the sizes of *layers*, each once."""
    return sum(store.layers[layer].size or 0 for layer in layers if layer in store.layers)


def chains(store: Store) -> dict[ImageID, set[ChainID]]:
    """The layers of each head image: by the definition, not by the code that is tested."""
    return {image.image_id: set(image.chain_ids) for image in head_images(store)}


@given(records())
def test_the_size_of_an_image_is_the_sum_of_its_layers(made: Records) -> None:
    """Invariant 3: image size = Σ its layers."""
    report = made.report()
    expected = {image: known_size(report.store, layers) for image, layers in chains(report.store).items()}
    assert expected == {image: use.size for image, use in report.image_use.items()}


@given(records())
def test_unique_and_shared_make_up_the_size(made: Records) -> None:
    """Invariant 3: unique + shared = size, and unique is what no other head image has."""
    report = made.report()
    layers_of = chains(report.store)
    for image, use in report.image_use.items():
        others = set().union(*(layers for other, layers in layers_of.items() if other != image))
        assert known_size(report.store, layers_of[image] - others) == use.unique
        assert use.size == use.unique + use.shared


@given(records())
def test_unique_and_shared_layers_cover_all_referenced_ones_once(made: Records) -> None:
    """Invariant 3: Σ unique + Σ (each shared layer once) = Σ each referenced layer once."""
    report = made.report()
    referenced = set().union(*chains(report.store).values())
    shared = {layer for layer, use in report.layer_use.items() if use.images >= 2}
    unique = sum(use.unique for use in report.image_use.values())
    assert known_size(report.store, referenced) == unique + known_size(report.store, shared)


@given(records())
def test_totals_by_usage_cover_all_layers_once(made: Records) -> None:
    """Invariant 3, in sums: shared, exclusive and unreferenced layers are all layers, and exclusive bytes are the
    images' unique bytes."""
    report = made.report()
    totals = report.layer_usage
    assert len(report.store.layers) == sum(total.layers for total in totals.values())
    assert known_size(report.store, set(report.store.layers)) == sum(total.size for total in totals.values())
    assert totals["exclusive"].size == sum(use.unique for use in report.image_use.values())


@given(records())
def test_every_container_is_counted_for_its_image_and_its_layers(made: Records) -> None:
    """Containers of head images and layers are counted once each, in any state."""
    report = made.report()
    for image, use in report.image_use.items():
        assert use.containers == sum(container.image_id == image for container in made.containers.values())
    assert all(0 <= use.containers <= len(made.containers) for use in report.layer_use.values())


@given(st.lists(DIFF_IDS, max_size=8))
def test_chain_ids_follow_from_diff_ids(diff_ids: list[DiffID]) -> None:
    """Invariant 4: C1 = the first diff ID, Cn = the SHA-256 of C(n-1), a space and the n-th diff ID."""
    expected: list[ChainID] = []
    for diff_id in diff_ids:
        expected.append(chain_id_of(expected[-1] if expected else None, diff_id))
    assert tuple(expected) == chain_ids(diff_ids)


@settings(max_examples=50, deadline=None)
@given(diff_id=DIFF_IDS, parent=st.none() | DIFF_IDS.map(ChainID), name=st.none() | DIFF_IDS.map(ChainID))
def test_a_stored_name_recomputes_or_the_layer_says_so(
    diff_id: DiffID, parent: ChainID | None, name: ChainID | None
) -> None:
    """Invariant 4, on disk: a layer stored by any *name* tells whether its parent and diff ID give that name, and the
    check between records makes a problem of it if not."""
    true_name = chain_id_of(parent, diff_id)
    stored = name or true_name
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory, stored.removeprefix("sha256:"))
        record.mkdir()
        (record / "diff").write_text(diff_id)
        (record / "size").write_text("1")
        (record / "cache-id").write_text(digest("cache"))
        if parent is not None:
            (record / "parent").write_text(parent)
        with open_folder(directory) as folder:
            layers = LayerReader().read(folder, Scan(now=MOMENT, turn=1))
    assert layers[stored].chain_id_recomputes == (stored == true_name)


@given(records(sound=True), st.data())
def test_a_layer_that_does_not_recompute_is_a_problem(made: Records, data: st.DataObject) -> None:
    """Invariant 4: of a sound store no layer is a problem, and after tampering with diff IDs exactly those layers are
    whose names no longer follow."""
    assert not layers_with_problems(made.store())
    tampered = data.draw(st.sets(st.sampled_from(sorted(made.layers)))) if made.layers else set()
    for chain_id in tampered:
        diff_id = data.draw(DIFF_IDS)
        recomputes = chain_id_of(made.layers[chain_id].parent, diff_id) == chain_id
        made.change_layer(chain_id, diff_id=diff_id, chain_id_recomputes=recomputes)
    expected = {
        chain_id for chain_id, layer in made.layers.items() if chain_id_of(layer.parent, layer.diff_id) != chain_id
    }
    assert expected == layers_with_problems(made.store())


def layers_with_problems(store: Store) -> set[ChainID]:
    return {
        ChainID("sha256:" + problem.path.rpartition("/")[2])
        for problem in find_problems(store, now=MOMENT)
        if problem.kind is ProblemKind.CHAIN_ID_MISMATCH
    }


def report_of(*stores: StoreReport) -> Report:
    catalog = Catalog(taken_at=MOMENT, stores=tuple(report.store for report in stores))
    return Report(catalog=catalog, stores=stores)


@given(records(), st.data())
def test_what_is_removed_is_in_no_answer(made: Records, data: st.DataObject) -> None:
    """Invariant 8: what was measured of a container that is gone is told by neither report nor inspect."""
    before = made.store()
    if not before.containers:
        return
    gone = data.draw(st.sampled_from(sorted(before.containers)))
    containers = {key: container for key, container in before.containers.items() if key != gone}
    mounts = {key: mount for key, mount in before.mounts.items() if key != gone}
    after = replace(before, containers=containers, mounts=mounts)
    remembered = {
        container: Upper(usage=Usage(size=1, allocated=1, inodes=1), measured_at=MOMENT)
        for container in before.containers
    }
    catalog = Catalog(taken_at=MOMENT, stores=(after,))
    report = summarize(catalog, {after.name: remembered}, ownership={})
    assert gone not in report_json(report)
    assert not find(report.stores, gone)


@given(records(), st.data())
def test_a_removed_image_leaves_no_trace(made: Records, data: st.DataObject) -> None:
    """Invariant 8: an image that is gone with its names is in no answer, and shares nothing any more."""
    # What else would name it is another record's: a container made from it, an image built on it, a digest of its name.
    images = sorted(
        made.images.keys()
        - {container.image_id for container in made.containers.values()}
        - {image.parent for image in made.images.values()}
    )
    if not images:
        return
    gone = data.draw(st.sampled_from(images))
    del made.images[gone]
    made.references = [reference for reference in made.references if gone not in (reference.image_id, reference.digest)]
    report = report_of(made.report())
    assert gone not in report_json(report)
    assert not find(report.stores, gone)


@given(records())
def test_what_is_not_known_is_null_and_nothing_else_is(made: Records) -> None:
    """Invariant 9: sizes that no record tells and layers that were not measured are null in the report, never 0."""
    document = json.loads(report_json(report_of(made.report())))
    sizes = {layer["chain_id"]: layer["size"] for layer in document["layers"]}
    assert {chain_id: layer.size for chain_id, layer in made.layers.items()} == sizes
    for container in document["containers"]:
        container_id = ContainerID(container["container_id"])
        upper = made.uppers.get(container_id)
        known = upper and (upper.usage.size, upper.usage.allocated, upper.usage.inodes)
        told = tuple(container[f"upper_{what}"] for what in ("size", "allocated", "inodes"))
        assert (known or (None, None, None)) == told
        assert made.logs.get(container_id) == container["log_allocated"]


@given(records())
def test_reports_do_not_depend_on_the_order_of_records(made: Records) -> None:
    """Directories are listed in any order, and the answer is the same."""
    store = made.store()
    backwards = replace(
        store,
        layers=dict(list(store.layers.items())[::-1]),
        images=dict(list(store.images.items())[::-1]),
        containers=dict(list(store.containers.items())[::-1]),
        references=store.references[::-1],
    )
    one = report_of(store_report(store, uppers=made.uppers, logs=made.logs))
    other = report_of(store_report(backwards, uppers=made.uppers, logs=made.logs))
    assert report_json(one) == report_json(other)
