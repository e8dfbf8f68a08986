"""Which stores lie below a root, which of them the engine uses, and what they are called."""

import os
import shutil
import time
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.sample.leftovers import remapped
from exporter.store.catalog import Catalog, ProblemKind
from exporter.store.detect import DEFAULT_ROOT, Location, Root, default_root, locate, roots
from tests.unit.store.hosts import (
    DENIED,
    LATER,
    NO_CONFIG,
    Host,
    build_host,
    problems_of,
    record_survey,
    scanner,
    unprivileged,
)


def found(root: Path, *, daemon_config: str = NO_CONFIG) -> dict[str, bool]:
    """The stores below *root*, and which is active."""
    places = locate(Root(path=str(root)), daemon_config=daemon_config)
    return {place.name: place.active for place in places}


def age(store: StoreBuilder, *, days: int) -> None:
    """Let the engine have used a store last so many days ago."""
    then = time.time() - 86400 * days
    home = store.root / "image" / store.driver
    for path in (store.root / store.driver, home, home / "layerdb" / "sha256", home / "layerdb" / "mounts"):
        os.utime(path, (then, then))


def configuration(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_one_store(tmp_path: Path) -> None:
    """A root with one driver: its store is called as the driver is, and it is active."""
    StoreBuilder(tmp_path / "docker")
    assert found(tmp_path / "docker") == {"overlay2": True}


def test_where_its_records_are(tmp_path: Path) -> None:
    """The directories whose entries mean something, all of them there."""
    StoreBuilder(tmp_path / "docker")
    (place,) = locate(Root(path=str(tmp_path / "docker")), daemon_config=NO_CONFIG)
    assert {Path(path).relative_to(place.root).as_posix() for path in place.record_directories} == {
        "image/overlay2",
        "image/overlay2/imagedb/content/sha256",
        "image/overlay2/layerdb/sha256",
        "image/overlay2/layerdb/mounts",
        "overlay2",
        "containers",
    }
    assert all(Path(path).is_dir() for path in place.record_directories)


def test_of_several_drivers_the_one_used_last_is_active(tmp_path: Path) -> None:
    """A switch leaves the old store behind, and the engine never touches it again."""
    overlay = StoreBuilder(tmp_path / "docker")
    vfs = StoreBuilder(tmp_path / "docker", driver="vfs", beside=True)
    fuse = StoreBuilder(tmp_path / "docker", driver="fuse-overlayfs", beside=True)
    age(vfs, days=9)
    age(fuse, days=2)
    assert found(tmp_path / "docker") == {"fuse-overlayfs": False, "overlay2": True, "vfs": False}
    age(overlay, days=3)
    assert found(tmp_path / "docker") == {"fuse-overlayfs": True, "overlay2": False, "vfs": False}


@pytest.mark.parametrize(
    "sign", ["overlay2", "image/overlay2", "image/overlay2/layerdb/sha256", "image/overlay2/layerdb/mounts"]
)
def test_what_tells_that_a_driver_is_used(tmp_path: Path, sign: str) -> None:
    """Its own directory, which each start of the engine touches; and that of images, of layers, of containers."""
    overlay = StoreBuilder(tmp_path / "docker")
    vfs = StoreBuilder(tmp_path / "docker", driver="vfs", beside=True)
    age(overlay, days=9)
    age(vfs, days=1)
    assert found(tmp_path / "docker")["vfs"]
    os.utime(tmp_path / "docker" / sign)
    assert found(tmp_path / "docker")["overlay2"]


def test_the_configured_driver_is_active(tmp_path: Path) -> None:
    """``storage-driver`` of the engine's configuration decides, whatever was touched last."""
    age(StoreBuilder(tmp_path / "docker"), days=9)
    StoreBuilder(tmp_path / "docker", driver="vfs", beside=True)
    config = configuration(tmp_path / "daemon.json", '{"storage-driver": "overlay2"}')
    assert found(tmp_path / "docker", daemon_config=config) == {"overlay2": True, "vfs": False}


@pytest.mark.parametrize("text", ['{"storage-driver": "btrfs"}', '{"storage-driver": ["vfs"]}', "{", ""])
def test_a_configured_driver_without_a_store_decides_nothing(tmp_path: Path, text: str) -> None:
    """The configuration may have been changed since, or be no configuration."""
    StoreBuilder(tmp_path / "docker")
    assert found(tmp_path / "docker", daemon_config=configuration(tmp_path / "daemon.json", text)) == {"overlay2": True}


def test_userns_remap_has_stores_of_its_own(tmp_path: Path) -> None:
    """They lie in a sub-root and are named by it. The engine with the sub-root sees nothing of the store above."""
    age(StoreBuilder(tmp_path / "docker"), days=1)
    remapped(tmp_path / "docker")
    assert found(tmp_path / "docker") == {"100000.100000/overlay2": True, "overlay2": False}


def test_userns_remap_that_was_switched_off(tmp_path: Path) -> None:
    """The sub-root stays behind."""
    root = tmp_path / "docker"
    StoreBuilder(root)
    age(remapped(root), days=1)
    assert found(root) == {"100000.100000/overlay2": False, "overlay2": True}


def test_userns_remap_that_is_configured(tmp_path: Path) -> None:
    """The configuration decides, whatever was touched last; among several sub-roots, what was used last."""
    root = tmp_path / "docker"
    StoreBuilder(root)
    age(remapped(root), days=1)
    age(remapped(root, uid=200_000, gid=200_000), days=2)
    config = configuration(tmp_path / "daemon.json", '{"userns-remap": "default"}')
    assert found(root, daemon_config=config) == {
        "100000.100000/overlay2": True,
        "200000.200000/overlay2": False,
        "overlay2": False,
    }


@pytest.mark.parametrize("name", ["100000", "100000.", "a.b", "1.2.3", "100000.100000x", "backup"])
def test_other_directories_are_no_sub_roots(tmp_path: Path, name: str) -> None:
    """A sub-root is called after a user and a group ID."""
    StoreBuilder(tmp_path / "docker")
    StoreBuilder(tmp_path / "other").root.rename(tmp_path / "docker" / name)
    assert found(tmp_path / "docker") == {"overlay2": True}


def test_a_symlink_is_no_sub_root_and_no_driver(tmp_path: Path) -> None:
    """Nothing below a root is followed; the root itself may be a symlink, as people move it to another disk."""
    StoreBuilder(tmp_path / "docker")
    StoreBuilder(tmp_path / "other")
    (tmp_path / "docker" / "1.1").symlink_to(tmp_path / "other")
    (tmp_path / "docker" / "image" / "vfs").symlink_to(tmp_path / "other" / "image" / "overlay2")
    (tmp_path / "link").symlink_to("docker")
    assert found(tmp_path / "docker") == found(tmp_path / "link") == {"overlay2": True}


def test_several_roots_with_the_same_driver_have_distinct_names(tmp_path: Path) -> None:
    """The first root's stores have plain names, those of the others begin with their root. All are read."""
    one, two = build_host(tmp_path / "one"), StoreBuilder(tmp_path / "two")
    remapped(tmp_path / "two")
    age(two, days=1)
    catalog = scanner(one.root, two.root).scan(time.time())
    assert [(store.name, store.active, len(store.containers)) for store in catalog.stores] == [
        ("overlay2", True, 2),
        (f"{two.root}/overlay2", False, 0),
        (f"{two.root}/100000.100000/overlay2", True, 0),
    ]


def test_a_root_that_is_named_twice_is_one(tmp_path: Path) -> None:
    """However it is written."""
    assert roots([f"{tmp_path}", f"{tmp_path}/", f"{tmp_path}/x/..", "/other"]) == (
        Root(path=str(tmp_path)),
        Root(path="/other", prefix="/other/"),
    )


def test_fuse_overlayfs_is_read_as_overlay2_is(tmp_path: Path) -> None:
    """It has the same layout in a directory of its own."""
    host = build_host(tmp_path / "docker", driver="fuse-overlayfs")
    (store,) = record_survey(host.root).catalog().stores
    assert (store.name, store.driver, store.measurable, store.problems) == (
        "fuse-overlayfs",
        "fuse-overlayfs",
        True,
        (),
    )
    assert len(store.directories) == len(store.short_links) == 9
    assert store.diff_path(store.mounts[host.running].mount_id or pytest.fail("no upper")) == str(
        host.upper(host.running) / "diff"
    )


@pytest.mark.parametrize("driver", ["btrfs", "zfs", "devicemapper", "windowsfilter"])
def test_a_driver_that_cannot_be_measured_is_named_and_its_records_are_read(tmp_path: Path, driver: str) -> None:
    """What it keeps elsewhere is not looked for, and nothing seems to be missing."""
    host = build_host(tmp_path / "docker")
    (host.root / "image" / "overlay2").rename(host.root / "image" / driver)
    for config in host.root.glob("containers/*/config.v2.json"):
        config.write_text(config.read_text().replace('"overlay2"', f'"{driver}"'))
    (store,) = record_survey(host.root).catalog().stores
    assert (store.name, store.measurable, store.directories, store.problems) == (driver, False, {}, ())
    assert (len(store.layers), len(store.images), len(store.containers), len(store.mounts)) == (4, 3, 2, 3)


class TestSideBySide:
    """Two drivers' stores in one root share the directory of containers."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        """An overlay2 store with two containers, and beside it an older vfs store with one."""
        host = build_host(tmp_path / "docker")
        old = StoreBuilder(host.root, driver="vfs", beside=True)
        image = old.image(old.layer({"a": b"a"}), tags=["old"])
        old.container(image, name="forgotten", state="exited")
        age(old, days=30)
        return host

    def catalog(self, host: Host) -> Catalog:
        return record_survey(host.root).catalog()

    def test_each_has_its_own_containers(self, host: Host) -> None:
        """A container's record names its driver."""
        names = {store.name: sorted(c.name for c in store.containers.values()) for store in self.catalog(host).stores}
        assert names == {"overlay2": ["job", "web-1"], "vfs": ["forgotten"]}
        assert problems_of(self.catalog(host)) == []

    def test_a_damaged_container_belongs_where_its_upper_is(self, host: Host) -> None:
        """And what is wrong with it is told once, not by each store."""
        for config in host.root.glob("containers/*/config.v2.json"):
            config.write_text("")
        catalog = self.catalog(host)
        assert {store.name: len(store.containers) for store in catalog.stores} == {"overlay2": 2, "vfs": 1}
        assert [(problem.kind, problem.reason) for problem in problems_of(catalog)] == [
            (ProblemKind.MALFORMED_RECORD, "empty")
        ] * 3

    def test_the_directory_of_containers_is_told_once(self, host: Host) -> None:
        """It is one directory, however many stores look into it."""
        shutil.rmtree(host.root / "containers")
        (host.root / "containers").write_text("")
        assert [problem.path for problem in problems_of(self.catalog(host))] == [f"{host.root}/containers"]

    def test_a_lost_configuration_is_told_by_the_store_that_has_the_mount(self, host: Host) -> None:
        """Also where that is the inactive one."""
        vfs = next(store for store in self.catalog(host).stores if store.name == "vfs")
        (container,) = vfs.containers
        config = host.root / "containers" / container / "config.v2.json"
        config.unlink()
        told = {store.name: [problem.path for problem in store.problems] for store in self.catalog(host).stores}
        assert told == {"overlay2": [], "vfs": [str(config)]}

    def test_the_sub_roots_containers_are_told_as_well(self, host: Host) -> None:
        """Each directory of containers has one store that speaks for it, whichever root the engine uses."""
        other = remapped(host.root)
        image = other.image(other.layer({"b": b"b"}), tags=["b"])
        container = other.container(image, name="b")
        (other.container_path(container) / "config.v2.json").write_text("")
        (host.container(host.running) / "config.v2.json").write_text("")
        told = {store.name: len(store.problems) for store in self.catalog(host).stores}
        assert told == {"overlay2": 1, "vfs": 0, "100000.100000/overlay2": 1}


class TestRootsWithoutStores:
    """Never a silent zero."""

    def test_a_root_without_any_store_is_told(self, tmp_path: Path) -> None:
        """A directory that is none of an engine's, or whose layer stores somebody deleted."""
        root = tmp_path / "docker"
        StoreBuilder(root)
        shutil.rmtree(root / "image")
        catalog = scanner(root).scan(time.time() + LATER)
        (problem,) = catalog.problems
        assert (catalog.stores, problem.kind, problem.path) == ((), ProblemKind.MISSING_RECORD, f"{root}/image")
        assert catalog.storeless == (str(root),)

    def test_an_engine_that_is_just_being_started_is_no_problem(self, tmp_path: Path) -> None:
        """It makes other directories before the layer store, and all of them within moments."""
        root = tmp_path / "docker"
        StoreBuilder(root)
        shutil.rmtree(root / "image")
        assert scanner(root).scan(time.time()).problems == ()

    @pytest.mark.parametrize("inside", [(), ("lost+found/x",), ("containers",), ("containers", "volumes")])
    def test_a_root_that_no_engine_ever_used(self, tmp_path: Path, inside: tuple[str, ...]) -> None:
        """Nothing is damaged where nothing was: a filesystem that is there for it, or the directories that agents make
        where they want to mount from. It is named all the same."""
        root = tmp_path / "docker"
        root.mkdir()
        for directory in inside:
            (root / directory).mkdir(parents=True)
        catalog = scanner(root).scan(time.time() + LATER)
        assert (catalog.stores, catalog.problems, catalog.storeless) == ((), (), (str(root),))

    def test_a_builder_in_a_containerd_that_is_not_seen(self, tmp_path: Path) -> None:
        """Docker keeps its images there, though none is below its root: that is what is to be named."""
        root = tmp_path / "docker"
        (root / "buildkit" / "containerd-overlayfs").mkdir(parents=True)
        (problem,) = scanner(root).scan(time.time() + LATER).problems
        assert problem.path == f"{root}/containerd/daemon"
        assert "--path.containerd-root" in problem.reason

    @pytest.mark.parametrize("content", ["", "overlay2", "overlay2/layerdb"], ids=["image", "driver", "layerdb"])
    def test_what_is_no_layer_store(self, tmp_path: Path, content: str) -> None:
        """A file where a directory should be, at any depth."""
        path = tmp_path / "docker" / "image" / content
        path.parent.mkdir(parents=True)
        path.write_text("")
        assert found(tmp_path / "docker") == {}

    @pytest.mark.parametrize("make", ["nothing", "a file"])
    def test_a_root_that_is_none_is_told(self, tmp_path: Path, make: str) -> None:
        """Each scan says so, and goes on to the other roots."""
        if make == "a file":
            (tmp_path / "bad").write_text("")
        good = StoreBuilder(tmp_path / "good").root
        look = scanner(tmp_path / "bad", good)
        catalog = look.scan(time.time())
        assert [(problem.kind, problem.path) for problem in catalog.problems] == [
            (ProblemKind.UNREADABLE_RECORD, str(tmp_path / "bad"))
        ]
        assert [store.name for store in catalog.stores] == [f"{good}/overlay2"]
        assert len(look.lost) == 1

    @pytest.mark.parametrize("closed", [".", "image", "image/overlay2"])
    def test_a_root_that_this_user_may_not_read(self, open_host: Host, closed: str) -> None:
        """At any depth above the records: there is no store, and a problem that says why."""
        path = open_host.root / closed
        mode = path.stat().st_mode
        path.chmod(0)
        with unprivileged():
            catalog = scanner(open_host.root).scan(time.time() + LATER)
        path.chmod(mode)
        (problem,) = catalog.problems
        assert (catalog.stores, problem.kind, problem.reason) == ((), ProblemKind.UNREADABLE_RECORD, DENIED)
        assert problem.path.startswith(str(path).rstrip("/."))

    def test_a_closed_sub_root_takes_nothing_else_along(self, open_host: Host) -> None:
        """The stores above it are read."""
        closed = open_host.root / "1.1" / "image"
        closed.mkdir(parents=True)
        closed.chmod(0)
        with unprivileged():
            catalog = scanner(open_host.root).scan(time.time() + LATER)
        closed.chmod(0o700)
        assert [store.name for store in catalog.stores] == ["overlay2"]
        assert [problem.path for problem in catalog.problems] == [str(closed)]


def test_the_engines_own_root(tmp_path: Path) -> None:
    """``data-root`` of its configuration, else its default."""
    assert default_root(configuration(tmp_path / "a", '{"data-root": "/srv/docker"}')) == "/srv/docker"
    assert default_root(configuration(tmp_path / "b", "{}")) == DEFAULT_ROOT
    assert default_root(str(tmp_path / "none")) == DEFAULT_ROOT


def test_a_location_is_where_the_records_are() -> None:
    """All paths of a store follow from its root and its driver."""
    place = Location(name="x", engine="docker", root="/r", driver="overlay2", active=True)
    assert (place.directory_root, place.layer_store, place.containers, place.layers) == (
        "/r/overlay2",
        "/r/image/overlay2",
        "/r/containers",
        "/r/image/overlay2/layerdb/sha256",
    )
