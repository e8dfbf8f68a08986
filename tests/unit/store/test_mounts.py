"""``layerdb/mounts``: the writable layers of containers and of others."""

import os

import pytest

from exporter.sample.leftovers import buildkit_mount, image_mount
from tests.unit.store.hosts import Host, survey


def test_what_a_mount_says(host: Host) -> None:
    """Upper, init layer, and what lies below."""
    mount = survey(host.root).mounts[host.running]
    upper = host.upper(host.running).name
    assert (mount.mount_id, mount.init_id, mount.parent) == (upper, f"{upper}-init", host.top)


def test_mounts_that_are_no_containers(host: Host) -> None:
    """Builders and image mounts have writable layers too, under names of their own and without an init layer."""
    names = (
        host.builder,
        buildkit_mount(host.store, host.top),
        image_mount(host.store, host.running, host.tool, "/mnt"),
    )
    store = survey(host.root)
    assert store.mounts.keys() == {host.running, host.exited, *names}
    assert [store.mounts[name].init_id for name in names] == [None] * 3
    assert store.problems == ()


def test_a_container_from_scratch(host: Host) -> None:
    """There is nothing below it."""
    container = host.store.container(host.store.image(None, tags=["nothing"]), name="bare")
    store = survey(host.root)
    assert (store.mounts[container].parent, store.problems) == (None, ())


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", b"\xff\xfe", "x" * 255, "-", " "])
def test_any_name_is_a_mounts(host: Host, name: str | bytes) -> None:
    """The engine does not say how mounts are named, so none is damage; not even one that is no text."""
    text = os.fsdecode(name)
    directory = host.mount(text)
    directory.mkdir()
    (directory / "mount-id").write_text(host.upper(host.running).name)
    store = survey(host.root)
    assert (store.mounts[text].mount_id, store.problems) == (host.upper(host.running).name, ())
