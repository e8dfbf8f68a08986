"""Where the disk went: the areas of an engine's root add up to what ``du`` says of it."""

import os
import shutil
from pathlib import Path

import pytest

from exporter.measure.areas import Area, StoreAreas
from exporter.measure.filesystem import Filesystem, filesystem_of
from exporter.sample.builder import StoreBuilder
from tests.unit.measure.roots import Host, build
from tests.unit.measure.trees import du


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "docker"


def bytes_of(path: Path) -> int:
    return du(path, "-x", "--block-size=1")


def measured(host: Host, name: str = "overlay2") -> StoreAreas:
    host.scan()
    return host.areas_of(name)


def test_the_areas_add_up_to_the_root(root: Path) -> None:
    """Each area is what ``du`` says of its directories, and all together are the root to the byte."""
    build(root)
    (root / "plugins" / "file").write_bytes(b"x" * 10_000)
    (root / "engine-id").write_text("id")

    areas = measured(Host(root)).areas

    directories = {
        Area.LAYERS: ["overlay2"],
        Area.CONTAINERS: ["containers"],
        Area.VOLUMES: ["volumes"],
        Area.BUILD: ["buildkit"],
        Area.METADATA: [name for name in ("image", "network", "swarm", "trust", "runtimes") if (root / name).exists()],
        Area.CONTENT: [],
    }
    expected = {area: sum(bytes_of(root / name) for name in names) for area, names in directories.items()}
    assert {**expected, Area.OTHER: bytes_of(root) - sum(expected.values())} == areas
    assert list(areas) == list(Area)


def test_a_volume_is_what_du_says_of_its_files(root: Path) -> None:
    """Each local volume by its name; what lies beside ``_data``, and directories without one, are no volume."""
    store = build(root)
    odd = store.volume('odd "name"\n', {"a/b/c": 30_000})
    empty = store.volume("empty")
    (root / "volumes" / "db-data" / "opts.json").write_text("{}")
    (root / "volumes" / "no-volume").mkdir()
    (root / "volumes" / "metadata.db").write_bytes(b"x" * 30_000)

    found = measured(Host(root))

    expected = {"db-data": root / "volumes" / "db-data" / "_data", 'odd "name"\n': odd, "empty": empty}
    assert {name: bytes_of(path) for name, path in expected.items()} == found.volumes
    assert bytes_of(root / "volumes") == found.areas[Area.VOLUMES]


def test_a_file_with_names_in_two_areas_counts_once(root: Path) -> None:
    """As with ``du``: a tool that saves space by hard links must not make the sum larger than the disk."""
    store = build(root)
    first = store.volume("first", {"file": 400_000})
    second = store.volume("second")
    os.link(first / "file", second / "link")
    os.link(first / "file", root / "containers" / "link")

    areas = measured(Host(root)).areas

    assert bytes_of(root) == sum(areas.values())


def test_volumes_that_are_not_wanted(root: Path) -> None:
    """Without volumes their area is absent, which is not 0; the others are as they were."""
    build(root)

    found = measured(Host(root, volumes=False))

    assert found.volumes == {}
    assert found.areas.keys() == set(Area) - {Area.VOLUMES}
    assert bytes_of(root) - bytes_of(root / "volumes") == sum(found.areas.values())


def test_nothing_is_known_before_it_is_measured(root: Path) -> None:
    """Before the first walk there are no areas at all."""
    build(root)
    host = Host(root)
    host.areas.expect(host.stores().values())

    assert StoreAreas(areas={}, volumes={}) == host.areas.of("overlay2", None)


def test_layers_are_absent_until_all_are_known(root: Path) -> None:
    """While storage directories are measured for the first time there is no figure; later the last one stands in."""
    build(root)
    host = Host(root)
    host.areas.expect(host.stores().values())
    host.areas.step()

    first, known, later = (host.areas.of("overlay2", layers).areas.get(Area.LAYERS) for layers in (None, 4096, None))

    assert (first, known, later) == (None, 4096, 4096)


def test_it_is_measured_again_after_a_full_interval(root: Path) -> None:
    """In between, a volume's figure stays as it was."""
    store = build(root)
    host = Host(root)
    before = measured(host).volumes["db-data"]
    (root / "volumes" / "db-data" / "_data" / "new").write_bytes(b"x" * 100_000)

    soon = measured(host).volumes["db-data"]
    host.time.at += 300
    later = measured(host).volumes["db-data"]

    assert (before, bytes_of(store.root / "volumes" / "db-data" / "_data")) == (soon, later)


def test_stores_of_several_drivers_in_one_root(root: Path) -> None:
    """After a switch each store has its driver's directory, the one in use the rest too: nothing counts twice."""
    build(root)
    left_behind = StoreBuilder(root, driver="vfs", beside=True)
    left_behind.image(left_behind.layer({"file": 123_456}), tags=["old:1"])
    host = Host(root)
    host.scan()
    stores = host.stores()
    active = next(name for name, store in stores.items() if store.active)
    (other,) = stores.keys() - {active}

    mine, theirs = host.areas_of(active), host.areas_of(other)

    assert bytes_of(root / other) == theirs.areas[Area.LAYERS] == sum(theirs.areas.values())
    assert theirs.volumes == {}
    assert bytes_of(root / active) == mine.areas[Area.LAYERS]
    assert bytes_of(root) == sum(mine.areas.values()) + sum(theirs.areas.values())


def test_a_remapped_root_is_by_itself(root: Path) -> None:
    """With userns-remap a root lies below the plain one: each has its areas, and together they are ``du`` of all."""
    build(root)
    build(root / "100000.100000", seed=1)
    host = Host(root)
    host.scan()

    plain, remapped = host.areas_of(), host.areas_of("100000.100000/overlay2")

    assert bytes_of(root / "100000.100000") == sum(remapped.areas.values())
    assert bytes_of(root) == sum(plain.areas.values()) + sum(remapped.areas.values())


def test_a_root_behind_a_symlink(root: Path, tmp_path: Path) -> None:
    """``/var/lib/docker`` is often a symlink to a larger disk: what counts is where it leads."""
    build(root)
    (tmp_path / "link").symlink_to(root)

    assert bytes_of(root) == sum(measured(Host(tmp_path / "link")).areas.values())


def test_a_drivers_directory_behind_a_symlink(root: Path, tmp_path: Path) -> None:
    """What was moved out of the root is no part of it: ``du`` of the root does not follow the link either."""
    build(root)
    shutil.move(root / "overlay2", tmp_path / "elsewhere")
    (root / "overlay2").symlink_to(tmp_path / "elsewhere")
    host = Host(root)

    areas = measured(host).areas

    assert bytes_of(root) == sum(areas.values())
    assert host.directories.total("overlay2", host.uppers("overlay2")) is None


def test_a_root_that_cannot_be_opened_is_tried_again_later(root: Path) -> None:
    """It fails once, has no figures, and is due again after a full interval."""
    build(root)
    host = Host(root)
    host.areas.expect(host.stores().values())
    root.rename(root.with_name("away"))

    with pytest.raises(FileNotFoundError):
        host.areas.step()
    again = host.areas.step()
    root.with_name("away").rename(root)
    host.time.at += 300
    later = host.areas.step()

    assert again is None
    assert later is not None


def test_the_filesystem_is_what_df_says(root: Path) -> None:
    """Sizes in bytes; a path that is not there has no filesystem."""
    root.mkdir()
    found, expected = filesystem_of(str(root)), os.statvfs(root)

    assert found is not None
    assert (expected.f_blocks * expected.f_frsize, expected.f_files or None) == (found.size, found.files)
    assert filesystem_of(str(root / "missing")) is None


def test_a_filesystem_that_makes_inodes_as_needed() -> None:
    """It counts none, which is not 0: ``/proc`` tells of no inodes either."""
    assert Filesystem(size=0, available=0, files=None, files_free=None) == filesystem_of("/proc")
