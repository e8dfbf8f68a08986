"""``imagedb``: what an image's configuration says."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from exporter.store.entries import HistoryEntry, ImageID
from tests.unit.store.hosts import Host, survey

CREATED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
HEX = "a" * 64


def test_what_an_image_says(host: Host) -> None:
    """The chain IDs are computed, never read."""
    image = survey(host.root).images[host.web]
    assert (image.image_id, image.parent, image.created) == (host.web, host.parent, CREATED)
    assert image.chain_ids == (host.base, host.middle, host.top)
    assert image.diff_ids == tuple(host.store.layers[chain].diff_id for chain in image.chain_ids)
    assert image.platform == "linux/amd64"
    assert [entry.empty_layer for entry in image.history] == [False, False, False, True]


def add(host: Host, config: Mapping[str, object]) -> ImageID:
    return host.store.imagedb.add(json.dumps(config).encode(), None)


def test_an_image_without_layers(host: Host) -> None:
    """Of a build ``FROM scratch`` that copies nothing: Go leaves out what is empty."""
    image = add(host, {"rootfs": {"type": "layers"}})
    store = survey(host.root)
    assert (store.images[image].chain_ids, store.problems) == ((), ())


@pytest.mark.parametrize(
    "rootfs", [None, [], "x", {"diff_ids": "x"}, {"diff_ids": [5]}, {"diff_ids": [HEX]}, {"diff_ids": [None]}]
)
def test_an_image_whose_layers_are_unknown(host: Host, rootfs: object) -> None:
    """With one layer unknown none above it could be named, so the image is not there, and one problem is."""
    image = add(host, {"rootfs": rootfs})
    store = survey(host.root)
    assert (image in store.images, len(store.problems)) == (False, 1)


def test_history(host: Host) -> None:
    """Each step as it stands; the variant is part of the platform."""
    steps = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "RUN x", "comment": "c", "empty_layer": True},
        {"created_by": "line\nline"},
    ]
    config = {"rootfs": {}, "history": steps, "os": "linux", "architecture": "arm", "variant": "v7"}
    image_id = add(host, config)
    image = survey(host.root).images[image_id]
    assert image.history == (
        HistoryEntry(created=CREATED, created_by="RUN x", comment="c", empty_layer=True),
        HistoryEntry(created=None, created_by="line\nline", comment="", empty_layer=False),
    )
    assert (image.platform, image.created) == ("linux/arm/v7", None)


def test_a_step_that_is_none_is_left_out(host: Host) -> None:
    """The image is there all the same."""
    image = add(host, {"rootfs": {}, "history": [{"created_by": "a"}, 5, {"created_by": 7}]})
    store = survey(host.root)
    assert [entry.created_by for entry in store.images[image].history] == ["a", ""]
    assert len(store.problems) == 1


def test_a_file_being_written_is_none(host: Host) -> None:
    """The engine writes beside and renames."""
    (host.content(host.web).parent / f".tmp-{HEX}123").write_text("{")
    assert survey(host.root).problems == ()


def test_strange_names_are_one_problem(host: Host) -> None:
    """However many there are in one directory."""
    for number in range(50):
        (host.content(host.web).parent / f"strange-{number:02}").write_text("{}")
    (problem,) = survey(host.root).problems
    assert problem.path.endswith("/strange-00")
    assert problem.reason == "its name is not 64 hex digits, nor are those of 49 more entries there"
