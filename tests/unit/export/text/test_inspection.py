"""``inspect`` for people: what was found in full, what could have been meant, and what was near."""

from dataclasses import replace

import pytest
from rich.console import Console

from exporter.account.inspect.find import find
from exporter.account.inspect.views import ContainerFiles, Entry, EntryKind, Finding
from exporter.export.text.inspection import print_inspection
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.entries import CacheID, ContainerID, ContainerState, MountPoint, Workload
from tests.unit.account.records import ROOT, Records, step
from tests.unit.export.text.screens import pipe, terminal


def look(_store: Store, container: ContainerID) -> ContainerFiles:
    """A container that has been started once."""

    def file(path: str, size: int = 0) -> Entry:
        return Entry(path=path, kind=EntryKind.FILE, size=size, allocated=4096, target=None)

    mtab = Entry(path="etc/mtab", kind=EntryKind.SYMLINK, size=12, allocated=0, target="/proc/mounts")
    return ContainerFiles(
        own=(file(f"{container}-json.log", 100), file("hostname", 13)), init=(file("etc/hostname"), mtab)
    )


def shown(records: Records, needle: str, *, width: int = 0) -> str:
    finding = find([records.report()], needle, look=look)

    def show(console: Console) -> None:
        print_inspection(finding, console)

    return terminal(show, width=width) if width else pipe(show)


def lines(output: str) -> list[str]:
    """The lines without the tree's guides, their blanks made one."""
    return [" ".join(line.strip("│├└─ ").split()) for line in output.splitlines()]


@pytest.fixture
def records() -> Records:
    """An application on a base that another image shares, running."""
    made = Records()
    base = made.layer(75_000_000)
    top = made.layer(1_500_000, parent=base)
    history = [step("ADD rootfs.tar /"), step("ENV A=1", empty=True), step("RUN make install")]
    app = made.image(top, tags=["shop/api:2.4.0", "shop/api:latest"], history=history)
    made.image(base, tags=["debian:12"])
    made.container(
        app,
        name="web",
        reference="shop/api",
        usage=Usage(size=64_100, allocated=86_016, inodes=7),
        log=8192,
        limit=10_000_000_000,
        workload=Workload(compose_project="shop", compose_service="api"),
        mount_points=[MountPoint(destination="/data", kind="volume", name="data", source="/v/_data", writable=False)],
    )
    return made


def test_an_image_leads_to_each_layer(records: Records) -> None:
    """From the repository over the image to every layer: chain ID, diff ID, directory, short name, size, step, sharers
    and containers."""
    image = next(iter(records.images))
    base, top = (records.layers[chain_id] for chain_id in records.layers)
    assert base.cache_id is not None
    assert top.cache_id is not None
    assert lines(shown(records, "shop/api"))[:-1] == [
        "store overlay2, found by image reference",
        "image shop/api:2.4.0",
        f"ID {image}",
        "also shop/api:latest",
        "state tagged",
        "size 76.5MB = 1.5MB unique + 75MB shared with other images",
        "containers 1: web",
        "created 2026-01-01T00:00:00Z, linux/amd64",
        f"record {ROOT}/image/overlay2/imagedb/content/sha256/{image.removeprefix('sha256:')}",
        "layer 1 of 2 75MB ADD rootfs.tar /",
        f"chain ID {base.chain_id}",
        "recomputes yes, from its parent and diff ID",
        "diff ID the same, as on any base layer",
        f"directory {ROOT}/overlay2/{base.cache_id}",
        f"short name l/{records.directories[base.cache_id].link}",
        "shared with 1 image: debian:12",
        "containers 1: web",
        "layer 2 of 2 1.5MB RUN make install",
        f"chain ID {top.chain_id}",
        "recomputes yes, from its parent and diff ID",
        f"diff ID {top.diff_id}",
        f"directory {ROOT}/overlay2/{top.cache_id}",
        f"short name l/{records.directories[top.cache_id].link}",
        "shared with no other image",
        "containers 1: web",
    ]


def test_a_container_is_told_whole(records: Records) -> None:
    """Its image, upper layer, init layer and what that supplies, lower chain, log and mount points."""
    (container,) = records.containers
    image = next(iter(records.images))
    mount = records.mounts[container]
    assert mount.mount_id is not None
    assert mount.init_id is not None
    base, top = (records.layers[chain_id] for chain_id in records.layers)
    assert base.cache_id is not None
    assert top.cache_id is not None
    link = {name: directory.link for name, directory in records.directories.items()}
    own = f"{ROOT}/containers/{container}"
    assert lines(shown(records, "web"))[:-1] == [
        "store overlay2, found by container name",
        "container web",
        f"ID {container}",
        "state running, process 4711",
        "image shop/api",
        f"image ID {image}",
        "now called shop/api:2.4.0, shop/api:latest",
        "created 2026-01-01T00:00:00Z",
        "belongs to Compose project shop, service api",
        f"merged {ROOT}/overlay2/{mount.mount_id}/merged (mounted)",
        f"records {own}",
        f"config {own}/config.v2.json",
        f"host config {own}/hostconfig.json",
        f"mount record {ROOT}/image/overlay2/layerdb/mounts/{container}",
        "upper layer: what the container wrote",
        "size 64.1kB (docker's SizeRw)",
        "allocated 86kB of disk",
        "inodes 7",
        "measured 2026-01-01T00:00:00Z",
        "limit 10GB",
        f"directory {ROOT}/overlay2/{mount.mount_id}",
        f"short name l/{link[mount.mount_id]}",
        "init layer: what the engine lays below it",
        f"directory {ROOT}/overlay2/{mount.init_id}",
        f"short name l/{link[mount.init_id]}",
        "it supplies",
        f"/etc/hostname mounted over by {own}/hostname (13B)",
        "/etc/mtab symlink to /proc/mounts",
        "lower chain of 3 layers, nearest first",
        "short name layer diff ID cache-id made by size",
        f"l/{link[mount.init_id]} init layer {mount.init_id}",
        f"l/{link[top.cache_id]} {top.chain_id} {top.diff_id} {top.cache_id} RUN make install 1.5MB",
        f"l/{link[base.cache_id]} {base.chain_id} {base.diff_id} {base.cache_id} ADD rootfs.tar / 75MB",
        "log: json-file, 8.19kB of disk",
        f"4.1kB {own}/{container}-json.log",
        "mount points: what is written there is not in the upper layer",
        "/data volume data from /v/_data, read only",
    ]


def test_a_directory_tells_its_owner_and_why(records: Records) -> None:
    """With the record's path, and then the owner itself."""
    (container,) = records.containers
    output = lines(shown(records, f"{ROOT}/overlay2/{records.mounts[container].mount_id}/diff/tmp"))
    assert "the upper layer of a container, because of" in output
    assert f"{ROOT}/image/overlay2/layerdb/mounts/{container}/mount-id" in output
    assert "container web" in output


def test_a_directory_of_a_layer_leads_to_the_layer(records: Records) -> None:
    """And to what needs it."""
    base = next(iter(records.layers.values()))
    assert base.cache_id is not None
    output = shown(records, base.cache_id)
    assert "the read-only layer of images, because of" in output
    assert f"chain ID    {base.chain_id}" in output
    assert "needed by   3 lower chains: " in output


def test_a_directory_that_no_record_names(records: Records) -> None:
    """It says what that may mean, and does not guess."""
    records.directory(CacheID("buildkitbuildkitbuildkit1"))
    output = shown(records, "buildkitbuildkitbuildkit1")
    assert "No record names it." in output


def test_a_layer_tells_what_lies_below_it(records: Records) -> None:
    """Down to the base, with the sum."""
    base, top = records.layers
    output = lines(shown(records, top))
    assert "1 layer below it, with them 76.5MB" in output
    assert f"75MB {base} ADD rootfs.tar /" in output


def test_damage_is_said_aloud(records: Records) -> None:
    """A chain ID that does not recompute, a directory that is not there, a short name that leads elsewhere."""
    base, top = records.layers
    records.change_layer(base, chain_id_recomputes=False)
    cache_id = records.layers[base].cache_id
    assert cache_id is not None
    del records.directories[cache_id]
    records.change_directory(records.layers[top].cache_id, link="NOBODY")
    path = f"{ROOT}/image/overlay2/layerdb/sha256/{base.removeprefix('sha256:')}"
    records.problems.append(Problem(kind=ProblemKind.CHAIN_ID_MISMATCH, path=path, reason="its name does not follow"))
    output = shown(records, "shop/api")
    assert "recomputes  NO: its record is damaged" in output
    assert f"{ROOT}/overlay2/{cache_id} is not there" in output
    assert "l/NOBODY, which does not lead back here" in output
    assert "1 problem\n" in output
    assert f"chain_id_mismatch: its name does not follow\n        {path}" in output


def test_a_lost_layer_and_a_lost_image_are_said_to_be_lost(records: Records) -> None:
    """With the path where the record should be."""
    base = next(iter(records.layers))
    image = next(iter(records.images))
    del records.layers[base]
    assert f"{base.removeprefix('sha256:')} is not there: the layer is lost" in shown(records, "shop/api")
    del records.images[image]
    assert f"{image.removeprefix('sha256:')} is not there: the image is lost" in shown(records, "shop/api")
    assert "is not there any more" in shown(records, "web")


def test_what_was_not_measured_says_so(records: Records) -> None:
    """Neither 0 bytes nor a time."""
    records.container(None, name="idle", state=ContainerState.CREATED, mounted=True)
    output = lines(shown(records, "idle"))
    assert "size not measured" in output
    assert "merged not mounted" in output
    assert "limit none is set" in output
    assert "mount points: none" in output


def test_a_lower_bound_says_so(records: Records) -> None:
    """Where something could not be measured, there is more than is told."""
    assert "there is more" not in shown(records, "web")
    (web,) = records.containers
    records.uppers[web] = replace(records.uppers[web], exact=False)
    assert "something could not be read, was moved away, or grew faster than it was walked: there is more" in shown(
        records, "web"
    )


def test_an_ambiguous_text_lists_the_candidates(records: Records) -> None:
    """Each by an ID that is not ambiguous, with kind, name and store."""
    other = records.container(None, name="shop/api:2.4.0")
    image = next(iter(records.images))
    output = lines(shown(records, "shop/api:2.4.0"))
    assert output[0] == "'shop/api:2.4.0' fits 2; inspect one of these by its ID:"
    assert {
        f"{image} image shop/api:2.4.0 overlay2 image reference",
        f"{other} container shop/api:2.4.0 overlay2 container name",
    } == set(output[2:])


def test_a_terminal_lists_only_so_many_candidates(records: Records) -> None:
    """And says how many more there are; a pipe gets all."""
    for _ in range(30):
        records.container(None, name="same")
    assert "and 10 more." in shown(records, "same", width=80)
    assert shown(records, "same").count("container name") == 30


def test_one_thing_in_two_stores_is_told_in_full(records: Records) -> None:
    """It is not ambiguous: it lies in both."""
    other = Records(root="/srv/docker", name="/srv/docker/overlay2")
    other.image(other.layer(1), tags=["debian:12"])
    twin = next(iter(other.images))
    finding = find([records.report(), other.report()], twin)
    output = pipe(lambda console: print_inspection(finding, console))
    assert "store overlay2, found by image ID" in output
    assert "store /srv/docker/overlay2, found by image ID" in output


def test_nothing_found_says_what_was_looked_for(records: Records) -> None:
    """Where, what kinds of things, and what is called much like it."""
    output = shown(records, "shop/apj")
    assert "Nothing found for 'shop/apj' in overlay2." in output
    assert "a cache-id" in output
    assert "Did you mean: shop/api:" in output


def test_nothing_found_where_there_is_no_store() -> None:
    """That is said too."""
    finding = Finding(needle="web", stores=(), matches=())
    output = pipe(lambda console: print_inspection(finding, console))
    assert "Nothing found for 'web' in any store: none was found." in output


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("needle", ["shop/api", "web", "debian:12", "nothing"])
def test_a_terminal_is_never_overrun(records: Records, needle: str, width: int) -> None:
    """Every line fits."""
    assert max(map(len, shown(records, needle, width=width).splitlines())) <= width


@pytest.mark.parametrize("needle", ["shop/api", "web"])
def test_ids_stay_whole_on_a_narrow_terminal(records: Records, needle: str) -> None:
    """They can be copied from 80 columns: of the subject, its layers and its directories."""
    output = shown(records, needle, width=80)
    image = next(iter(records.images))
    assert image.removeprefix("sha256:") in output
    directories = records.layers.values() if needle == "shop/api" else ()
    assert all(layer.cache_id in output for layer in directories if layer.cache_id is not None)


def test_long_steps_are_cut_on_a_terminal_only() -> None:
    """A pipe gets the whole command."""
    made = Records()
    command = "RUN " + "x" * 1000 + "END"
    made.image(made.layer(1), tags=["app:1"], history=[step(command)])
    assert ("END" in shown(made, "app:1", width=160), command in shown(made, "app:1")) == (False, True)


def test_a_pipe_without_unicode_gets_other_guides(records: Records) -> None:
    """Where the encoding has no frames, the tree is drawn without."""
    finding = find([records.report()], "web", look=look)
    output = pipe(lambda console: print_inspection(finding, console), encoding="ascii")
    assert "container web" in output
