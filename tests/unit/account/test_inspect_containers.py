"""What ``inspect`` tells of a container: from its image down to what it wrote, and what else belongs to it."""

from dataclasses import replace

import pytest

from exporter.account.inspect.find import find
from exporter.account.inspect.views import ContainerFiles, ContainerView, Entry, EntryKind, ImageName
from exporter.measure.usage import Usage
from exporter.store.catalog import Source, Store
from exporter.store.entries import ContainerID, ContainerState, MountPoint
from tests.unit.account.records import MOMENT, ROOT, Records


@pytest.fixture
def records() -> Records:
    return Records()


def container_of(records: Records, name: str, files: ContainerFiles | None = None) -> ContainerView:
    def look(_store: Store, _container: ContainerID) -> ContainerFiles:
        return files or ContainerFiles(own=None, init=None)

    (match,) = find([records.report()], name, look=look).matches
    assert isinstance(match.subject, ContainerView)
    return match.subject


def test_a_container_tells_its_upper_layer(records: Records) -> None:
    """Where it is, what was measured of it and when, and what it may hold."""
    usage = Usage(size=1000, allocated=4096, inodes=3)
    image = records.image(records.layer(1), tags=["app:1"])
    container = records.container(image, name="web", usage=usage, limit=1 << 30, log=8192)
    view = container_of(records, "web")
    assert view.upper is not None
    assert (usage, MOMENT) == (view.upper.usage, view.upper.measured_at)
    assert (view.upper_limit, view.log.allocated) == (1 << 30, 8192)
    assert f"{ROOT}/overlay2/{records.mounts[container].mount_id}/diff" == view.upper.directory.diff_path
    assert f"{ROOT}/containers/{container}/config.v2.json" == view.config
    assert f"{ROOT}/containers/{container}/hostconfig.json" == view.host_config
    assert f"{ROOT}/image/overlay2/layerdb/mounts/{container}" == view.mount_record


def test_what_was_not_measured_is_not_told(records: Records) -> None:
    """Neither size nor time, and no log of 0 bytes."""
    records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    view = container_of(records, "web")
    assert view.upper is not None
    assert (view.upper.usage, view.upper.measured_at, view.log.allocated) == (None, None, None)


def test_the_lower_chain_in_the_order_of_the_mount(records: Records) -> None:
    """The init layer first, then the layers, topmost first, each with its short name."""
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    container = records.container(records.image(top, tags=["app:1"]), name="web")
    steps = container_of(records, "web").lower
    mount = records.mounts[container]
    directories = [mount.init_id, records.layers[top].cache_id, records.layers[base].cache_id]
    assert directories == [step.directory.name for step in steps if step.directory is not None]
    assert [step.init for step in steps] == [True, False, False]
    assert [None, top, base] == [step.layer and step.layer.chain_id for step in steps]
    assert [records.directories[name].link for name in directories if name] == [step.short_name for step in steps]


def test_a_lower_that_leads_nowhere_stays_in_its_place(records: Records) -> None:
    """A dangling short name is a step without a directory."""
    container = records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    records.change_directory(records.mounts[container].mount_id, lower=("NOBODY", "\x1b[2J"))
    steps = [(step.short_name, step.directory, step.layer) for step in container_of(records, "web").lower]
    assert steps == [("NOBODY", None, None), ("\x1b[2J", None, None)]


@pytest.mark.parametrize(("state", "mounted"), [(ContainerState.RUNNING, True), (ContainerState.EXITED, False)])
def test_merged_is_there_while_mounted(records: Records, state: ContainerState, mounted: bool) -> None:
    """The engine makes the directory when it mounts, and removes it after."""
    container = records.container(records.image(records.layer(1), tags=["app:1"]), name="web", state=state)
    view = container_of(records, "web")
    assert (view.merged, view.mounted) == (f"{ROOT}/overlay2/{records.mounts[container].mount_id}/merged", mounted)


@pytest.mark.parametrize("unread", [frozenset(), frozenset({Source.OVERLAYS})])
def test_merged_that_an_engine_left_behind(records: Records, unread: frozenset[Source]) -> None:
    """After a power cut the directory is there and nothing is mounted; where mounts cannot be seen it alone tells."""
    records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    records.overlaid.clear()
    report = replace(records.report(), store=replace(records.store(), unread=unread))
    (match,) = find([report], "web").matches
    assert isinstance(match.subject, ContainerView)
    assert match.subject.mounted == bool(unread)


def test_a_container_without_a_mount_has_neither_upper_nor_init(records: Records) -> None:
    """Nothing is made up where no record tells."""
    records.container(records.image(records.layer(1), tags=["app:1"]), name="web", mounted=False)
    view = container_of(records, "web")
    assert (view.upper, view.init, view.lower, view.merged, view.mounted) == (None, None, (), None, None)


def test_a_container_whose_image_is_gone(records: Records) -> None:
    """The reference that the user gave stays; the image is said not to be there."""
    image = records.image(records.layer(1), tags=["app:1"])
    records.container(image, name="web", reference="app:1")
    del records.images[image]
    records.references.clear()
    view = container_of(records, "web")
    assert (view.image_reference, view.image, view.image_there) == ("app:1", ImageName(image_id=image, names=()), False)


def test_mount_points_are_what_is_not_in_the_upper_layer(records: Records) -> None:
    """Each volume, bind and tmpfs is told."""
    points = (
        MountPoint(destination="/data", kind="volume", name="data", source="/v/data/_data", writable=True),
        MountPoint(destination="/etc/app", kind="bind", name="", source="/srv/app", writable=False),
    )
    records.container(records.image(records.layer(1), tags=["app:1"]), name="web", mount_points=points)
    assert points == container_of(records, "web").mount_points


def entry(path: str, kind: EntryKind = EntryKind.FILE, *, size: int = 0, target: str | None = None) -> Entry:
    return Entry(path=path, kind=kind, size=size, allocated=4096, target=target)


def test_what_the_init_layer_supplies(records: Records) -> None:
    """Empty files that the engine mounts the container's own over, and what lies beside them."""
    container = records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    files = ContainerFiles(
        own=(entry("hostname", size=13), entry("hosts", size=150)),
        init=(
            entry("dev", EntryKind.DIRECTORY),
            entry("dev/pts", EntryKind.DIRECTORY),
            entry("etc", EntryKind.DIRECTORY),
            entry("etc/hostname"),
            entry("etc/mtab", EntryKind.SYMLINK, target="/proc/mounts"),
            entry("etc/resolv.conf"),
        ),
    )
    init = container_of(records, "web", files).init
    assert init is not None
    assert init.supplies is not None
    assert [(supply.path, supply.source, supply.source_size, supply.target) for supply in init.supplies] == [
        ("/dev/pts", None, None, None),
        ("/etc/hostname", f"{ROOT}/containers/{container}/hostname", 13, None),
        ("/etc/mtab", None, None, "/proc/mounts"),
        ("/etc/resolv.conf", None, None, None),
    ]


def test_what_was_not_looked_at_is_not_told(records: Records) -> None:
    """Without a look at the disk nothing is known of files."""
    records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    view = container_of(records, "web")
    assert view.init is not None
    assert (view.init.supplies, view.log.files) == (None, None)


def test_log_files_are_found_by_name(records: Records) -> None:
    """All of json-file, local and the cache of other drivers, rotated ones too; nothing else."""
    container = records.container(records.image(records.layer(1), tags=["app:1"]), name="web")
    logs = (
        f"{container}-json.log",
        f"{container}-json.log.1.gz",
        "container-cached.log.1",
        "local-logs/container.log",
        "local-logs/container.log.2.gz",
    )
    others = ("config.v2.json", "hostname", "hosts", "resolv.conf.hash", f"{container}-json.logs", "local-logs")
    files = ContainerFiles(own=tuple(map(entry, (*logs, *others))), init=None)
    found = container_of(records, "web", files).log.files
    assert found is not None
    assert logs == tuple(file.path for file in found)


def test_a_container_that_is_being_removed_says_so(records: Records) -> None:
    """Parts of it may be gone already."""
    container = records.container(None, name="web", state=ContainerState.DEAD)
    records.containers[container] = replace(records.containers[container], removing=True)
    view = container_of(records, "web")
    assert (view.removing, view.state, view.pid) == (True, ContainerState.DEAD, None)
