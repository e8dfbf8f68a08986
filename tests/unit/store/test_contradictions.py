"""Records that are sound by themselves and do not fit together: one damage on disk, one problem."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.store.catalog import ProblemKind, Store
from tests.unit.store.hosts import HeldClock, Host, build_host, record_survey, scan, survey

Kind = ProblemKind


def found(store: Store) -> list[tuple[ProblemKind, str]]:
    return [(problem.kind, problem.path) for problem in store.problems]


def test_a_layer_whose_parent_is_not_there(host: Host) -> None:
    """The layer that names it has the problem; that its name does not recompute either says nothing more."""
    record = host.layer(host.top)
    (record / "parent").write_text(f"sha256:{'0' * 64}")
    assert found(survey(host.root)) == [(Kind.MISSING_PARENT, str(record))]


def test_a_layer_record_that_is_gone(host: Host) -> None:
    """The layer above it has the problem; the images that lose it by that have none of their own."""
    shutil.rmtree(host.layer(host.middle))
    assert found(survey(host.root)) == [(Kind.MISSING_PARENT, str(host.layer(host.top)))]


def test_the_topmost_layer_of_an_image_is_gone(host: Host) -> None:
    """No layer misses it, so the image has the problem, and its reason counts the layers."""
    shutil.rmtree(host.layer(host.top))
    (problem,) = survey(host.root).problems
    assert (problem.kind, problem.path) == (Kind.IMAGE_LAYER_MISSING, str(host.content(host.web)))
    assert problem.reason == f"1 of its 3 layers are not there, the lowest is {host.top}"


@pytest.mark.parametrize("upon", ["itself", "its child", "its grandchild"])
def test_a_parent_that_makes_a_loop(host: Host, upon: str) -> None:
    """Only the layer whose record was damaged is told, not those that it drew into the loop."""
    parent = {"itself": host.base, "its child": host.middle, "its grandchild": host.top}[upon]
    record = host.layer(host.base)
    (record / "parent").write_text(parent)
    assert found(survey(host.root)) == [(Kind.PARENT_LOOP, str(record))]


def test_a_layer_that_hangs_on_a_loop_is_not_in_it(host: Host) -> None:
    """Two layers name each other, one of them rightly: the other is told, and not the layer above them."""
    (host.layer(host.base) / "parent").write_text(host.middle)
    assert found(survey(host.root)) == [(Kind.PARENT_LOOP, str(host.layer(host.base)))]


@pytest.mark.parametrize("file", ["diff", "parent"])
def test_a_layer_under_another_layers_name(host: Host, file: str) -> None:
    """The chain ID is a digest of parent and diff ID; where it does not recompute, one of the three is wrong."""
    record = host.layer(host.top)
    other = host.layer(host.other) if file == "diff" else None
    (record / file).write_text((other / "diff").read_text() if other else host.other)
    store = survey(host.root)
    assert found(store) == [(Kind.CHAIN_ID_MISMATCH, str(record))]
    assert [layer.chain_id for layer in store.layers.values() if not layer.chain_id_recomputes] == [host.top]


def test_an_image_whose_content_was_changed(host: Host) -> None:
    """An image's ID is its content's SHA-256. The engine refuses such an image; here it is shown, with a problem."""
    path = host.content(host.tool)
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64"))
    store = survey(host.root)
    assert found(store) == [(Kind.MALFORMED_RECORD, str(path))]
    assert "SHA-256" in store.problems[0].reason
    assert store.images[host.tool].platform == "linux/arm64"


def test_a_name_of_an_image_that_is_not_there(host: Host) -> None:
    """However many names it has, the image is missed once."""
    host.content(host.web).unlink()
    (problem,) = survey(host.root).problems
    assert (problem.kind, problem.path) == (Kind.REFERENCE_IMAGE_MISSING, str(host.records / "repositories.json"))
    assert host.web in problem.reason


def test_names_of_several_images_that_are_not_there(host: Host) -> None:
    """Each image is missed by itself."""
    host.content(host.web).unlink()
    host.content(host.tool).unlink()
    assert [kind for kind, _ in found(survey(host.root))] == [Kind.REFERENCE_IMAGE_MISSING] * 2


def test_a_parent_image_that_is_gone_is_no_problem(host: Host) -> None:
    """``docker rmi --no-prune`` and a removal by ID leave children behind; their layers are all there."""
    host.content(host.parent).unlink()
    assert found(survey(host.root)) == []


def test_a_storage_directory_that_is_gone(host: Host) -> None:
    """The layer that keeps its files there has the problem, not all that lie above it."""
    shutil.rmtree(host.directory(host.base))
    assert found(survey(host.root)) == [(Kind.MISSING_DIFF_DIRECTORY, str(host.layer(host.base)))]


def _empty(path: Path) -> None:
    shutil.rmtree(path)


def _file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def _symlink(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize("damage", [_empty, _file, _symlink], ids=["gone", "a file", "a symlink"])
def test_a_storage_directory_without_diff(host: Host, damage: Callable[[Path], None]) -> None:
    """The files are not where they should be: neither is a symlink to where they are."""
    damage(host.directory(host.middle) / "diff")
    assert found(survey(host.root)) == [(Kind.MISSING_DIFF_DIRECTORY, str(host.layer(host.middle)))]


@pytest.mark.parametrize("suffix", ["", "-init"])
def test_a_containers_directory_that_is_gone(host: Host, suffix: str) -> None:
    """The mount's record names it, upper or init layer."""
    upper = host.upper(host.exited)
    shutil.rmtree(upper.with_name(upper.name + suffix))
    assert found(survey(host.root)) == [(Kind.MISSING_DIFF_DIRECTORY, str(host.mount(host.exited)))]


def test_a_short_link_that_is_gone(host: Host) -> None:
    """The directory that is called so has the problem, not those that lie above it."""
    link = host.directory(host.base) / "link"
    (host.store.graph.home / "l" / link.read_text()).unlink()
    assert found(survey(host.root)) == [(Kind.SHORT_LINK_DANGLING, str(link))]


@pytest.mark.parametrize("target", ["../elsewhere/diff", "/etc", "../../containers/x/diff", "diff", "../\n/diff"])
def test_a_short_link_that_leads_elsewhere(host: Host, target: str) -> None:
    """It is not followed; that it is not the one that it should be is seen from its text."""
    link = host.directory(host.base) / "link"
    short = host.store.graph.home / "l" / link.read_text()
    short.unlink()
    short.symlink_to(target)
    assert found(survey(host.root)) == [(Kind.SHORT_LINK_MISMATCH, str(link))]
    assert survey(host.root).problems[0].reason.isprintable()


def test_a_short_link_that_is_no_symlink(host: Host) -> None:
    """A file in its place leads nowhere."""
    link = host.directory(host.base) / "link"
    short = host.store.graph.home / "l" / link.read_text()
    short.unlink()
    short.write_text(f"../{host.directory(host.base).name}/diff")
    assert found(survey(host.root)) == [(Kind.SHORT_LINK_DANGLING, str(link))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("l/NOTHING", "1 of the 1 layers it names are not there: 'NOTHING'"),
        ("NOTHING", "1 of the 1 layers it names are not there: 'NOTHING'"),
        ("l/NOTHING:l/NOWHERE", "2 of the 2 layers it names are not there: 'NOTHING'"),
        (":", "2 of the 2 layers it names are not there: ''"),
        ("l/../../etc", "1 of the 1 layers it names are not there: '../../etc'"),
        ("l/a\nb", "1 of the 1 layers it names are not there: 'a\\nb'"),
    ],
)
def test_a_lower_that_names_nothing(host: Host, text: str, reason: str) -> None:
    """Each name in it should lead to a storage directory, by its short link."""
    lower = host.directory(host.top) / "lower"
    lower.write_text(text)
    (problem,) = survey(host.root).problems
    assert (problem.kind, problem.path, problem.reason) == (Kind.LOWER_DANGLING, str(lower), reason)


def test_a_base_needs_no_lower(host: Host) -> None:
    """``lower`` is missing where there is nothing below; elsewhere that is damage."""
    assert not (host.directory(host.base) / "lower").exists()
    (host.directory(host.middle) / "lower").unlink()
    assert found(survey(host.root)) == [(Kind.EMPTY_LOWER, str(host.directory(host.middle) / "lower"))]


def test_damage_in_a_directory_that_nobody_needs_is_no_problem(host: Host) -> None:
    """What no record names may be half made or half removed."""
    spare = host.store.graph.home / ("e" * 64)
    (spare / "diff").mkdir(parents=True)
    (spare / "link").write_text("")
    (spare / "lower").write_text("l/NOTHING")
    assert found(survey(host.root)) == []


def test_a_container_without_a_mount(host: Host) -> None:
    """No record tells where its writable layer is."""
    shutil.rmtree(host.mount(host.exited))
    assert found(survey(host.root)) == [(Kind.CONTAINER_MOUNT_MISSING, str(host.mount(host.exited)))]


@pytest.mark.parametrize("flag", ["Dead", "RemovalInProgress"])
def test_a_container_that_is_being_removed_may_lack_anything(host: Host, flag: str) -> None:
    """The engine says so in its state before it removes the first part; a removal that failed leaves it so."""
    config = host.container(host.exited) / "config.v2.json"
    document = json.loads(config.read_text())
    document["State"][flag] = True
    config.write_text(json.dumps(document))
    host.remove_upper(host.exited)
    (host.container(host.exited) / "hostconfig.json").unlink()
    assert found(survey(host.root)) == []
    shutil.rmtree(host.mount(host.exited))
    assert found(survey(host.root)) == []


def test_the_last_files_of_a_container_are_no_problem(host: Host) -> None:
    """Its directory goes last, and with gigabytes of log that takes a while: whatever is left of it is no container."""
    host.remove_upper(host.exited)
    shutil.rmtree(host.mount(host.exited))
    (host.container(host.exited) / "config.v2.json").unlink()
    store = survey(host.root)
    assert (found(store), set(store.containers)) == ([], {host.running})


def test_a_host_configuration_that_just_went_is_no_problem(host: Host) -> None:
    """A removal that a slow disk holds up looks so, where the configuration does not tell of it. The engine writes
    both files whenever it writes one: so it is lost once the directory rested, and not before."""
    lost = host.container(host.exited) / "hostconfig.json"
    lost.unlink()
    clock = HeldClock(ahead=10.0)
    looking = record_survey(host.root, clock=clock)
    (store,) = looking.catalog().stores
    assert (found(store), host.exited in store.containers) == ([], True)
    clock.time += 60.0
    (store,) = looking.catalog().stores
    assert found(store) == [(Kind.MISSING_RECORD, str(lost))]


def test_a_container_that_was_never_finished_is_no_problem(host: Host) -> None:
    """Its directory is made before its volumes, which may take long; its records are written after them."""
    directory = host.root / "containers" / ("c" * 64)
    (directory / "checkpoints").mkdir(parents=True)
    host.store.mount(directory.name, host.top)
    store = survey(host.root)
    assert (found(store), directory.name in store.containers) == ([], False)


def test_two_damages_are_two_problems(host: Host) -> None:
    """One problem never hides another that has nothing to do with it."""
    (host.layer(host.base) / "size").write_text("many")
    (host.directory(host.top) / "link").write_text("")
    (host.container(host.exited) / "hostconfig.json").write_text("[]")
    host.content(host.tool).write_text("{}")
    shutil.rmtree(host.mount(host.running))
    assert sorted(kind for kind, _ in found(survey(host.root))) == [
        Kind.CONTAINER_MOUNT_MISSING,
        Kind.EMPTY_LINK,
        Kind.MALFORMED_RECORD,
        Kind.MALFORMED_RECORD,
        Kind.MALFORMED_RECORD,
    ]


def test_everything_is_gone(host: Host) -> None:
    """An engine root whose records were deleted one and all is an empty store, without a problem for each."""
    for part in ("image/overlay2/imagedb", "image/overlay2/repositories.json", "overlay2", "containers"):
        path = host.root / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for part in ("sha256", "mounts"):
        shutil.rmtree(host.records / "layerdb" / part)
    store = survey(host.root)
    assert (found(store), len(store.layers)) == ([], 0)


def test_other_drivers_know_no_short_names(tmp_path: Path) -> None:
    """The records of vfs are read; its directories, laid out otherwise, are not looked at."""
    host = build_host(tmp_path / "docker", driver="vfs")
    store = survey(host.root)
    assert (store.measurable, store.directories, store.short_links, found(store)) == (False, {}, {}, [])
    assert (len(store.layers), len(store.images), len(store.containers), len(store.mounts)) == (4, 3, 2, 3)


def test_times_do_not_matter(host: Host) -> None:
    """A store that was copied, with all its times new, is as sound as before."""
    for directory, _, files in os.walk(host.root):
        for name in files:
            os.utime(f"{directory}/{name}", (0, 0), follow_symlinks=False)
    assert found(survey(host.root)) == []
    assert scan(host.root).references != ()
