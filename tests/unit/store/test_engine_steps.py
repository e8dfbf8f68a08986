"""A scan at any moment of an engine's work ends, tells no problem, and the next one is exact.

The sample writes each record in the order of the engine's own steps. Here every system call of it that changes the
disk is a moment at which the engine may stand still for long, and the whole of its work a moment in the middle of
a scan.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from exporter.sample.leftovers import builder_mount
from exporter.store.catalog import Problem, Store
from tests.unit.store.hosts import HeldClock, Host, build_host, problems_of, record_survey

Operation = Callable[[Host], object]

# What changes a disk, as the calls are named in C.
CHANGES = frozenset(
    {"open", "write", "close", "truncate", "ftruncate", "posix_fallocate", "mkdir", "rmdir", "unlink", "rename"}
    | {"replace", "symlink", "link", "mknod", "chmod"}
)
READS = frozenset({"open", "listdir", "scandir", "stat", "readlink"})


@contextmanager
def after_each(calls: frozenset[str], act: Callable[[], object]) -> Iterator[None]:
    """Let *act* happen after every system call of these names inside the block, but not after its own."""

    def told(_frame: FrameType, event: str, function: object) -> None:
        if event == "c_return" and getattr(function, "__name__", "") in calls:
            act()

    sys.setprofile(told)
    try:
        yield
    finally:
        sys.setprofile(None)


def _pull(host: Host) -> None:
    """Two layers on top of each other, their image, its names."""
    below = host.store.layer({"opt/a": 100, "opt/b": b"text"}, parent=host.base)
    above = host.store.layer({"opt/c/d": 4000}, parent=below)
    host.store.image(above, tags=["pulled:1"], digests=[f"pulled@sha256:{'a' * 64}"])


def _classic_build(host: Host) -> None:
    """A step's writable layer, the layer that it is committed to, an intermediate image, the final one."""
    name = builder_mount(host.store, host.middle)
    layer = host.store.layer({"step": b"1"}, parent=host.middle)
    host.store.unmount(name)
    intermediate = host.store.image(layer, parent=host.parent)
    host.store.image(layer, tags=["built"], parent=intermediate, labels={"step": "2"})


def _create(host: Host) -> None:
    host.store.container(host.web, name="new", files={"tmp/a": 10}, log_bytes=50)


def _create_from_scratch(host: Host) -> None:
    empty = host.store.image(None, tags=["scratch:1"])
    host.store.container(empty, name="bare")


def _start_and_stop(host: Host) -> None:
    host.store.set_state(host.exited, "running")
    host.store.set_state(host.exited, "exited", exit_code=1)


def _remove_container(host: Host) -> None:
    host.store.remove_container(host.running)


def _remove_image(host: Host) -> None:
    """Its names, its configuration, the layer that only it has."""
    host.store.remove_image(host.tool)


def _remove_image_in_use(host: Host) -> None:
    """Containers keep its layers; the image that it was built on goes with it."""
    host.store.remove_image(host.web, force=True)


def _remove_everything(host: Host) -> None:
    host.store.unmount(host.builder)
    host.store.remove_container(host.running)
    host.store.remove_container(host.exited)
    host.store.remove_image(host.web)
    host.store.remove_image(host.tool)


def _retag(host: Host) -> None:
    host.store.tag(host.tool, "web:1")
    host.store.untag("example.org/web:1")


OPERATIONS: tuple[Operation, ...] = (
    _pull,
    _classic_build,
    _create,
    _create_from_scratch,
    _start_and_stop,
    _remove_container,
    _remove_image,
    _remove_image_in_use,
    _remove_everything,
    _retag,
)
every_operation = pytest.mark.parametrize("operate", OPERATIONS, ids=lambda operate: operate.__name__.strip("_"))


def look(root: Path) -> list[Problem]:
    """What is wrong as a first survey sees it, both of its looks at this moment of the engine's work."""
    return problems_of(record_survey(root, clock=HeldClock(ahead=0)).catalog())


@every_operation
def test_the_engine_may_stand_still_at_every_step(host: Host, operate: Operation) -> None:
    """After each single change of the disk a survey looks twice, and finds nothing wrong: not by luck, but because no
    state that the engine passes through is damage."""
    remembering = record_survey(host.root, clock=HeldClock(ahead=0))
    wrong: list[Problem] = []
    steps = 0

    def survey() -> None:
        nonlocal steps
        steps += 1
        wrong.extend(look(host.root))
        wrong.extend(problems_of(remembering.catalog()))

    with after_each(CHANGES, survey):
        operate(host)
    assert steps > 3
    assert wrong == []


def exact(root: Path) -> Store:
    (store,) = record_survey(root).catalog().stores
    return store


def _calls_of_a_scan(root: Path) -> int:
    count = 0

    def add() -> None:
        nonlocal count
        count += 1

    survey = record_survey(root, clock=HeldClock(ahead=0))
    with after_each(READS, add):
        survey.catalog()
    return count


@every_operation
def test_all_of_the_engines_work_may_happen_inside_a_scan(tmp_path: Path, operate: Operation) -> None:
    """Whatever the engine does between two reads of one scan, the survey tells no problem and the next one is exact."""
    calls = _calls_of_a_scan(build_host(tmp_path / "still").root)
    for moment in range(0, calls, max(1, calls // 15)):
        host = build_host(tmp_path / str(moment))
        left = moment

        def work(host: Host = host) -> None:
            nonlocal left
            if left == 0:
                sys.setprofile(None)
                operate(host)
            left -= 1

        survey = record_survey(host.root, clock=HeldClock(ahead=0))
        with after_each(READS, work):
            during = problems_of(survey.catalog())
        assert left < 0
        assert during == []
        (after,) = survey.catalog().stores
        assert after == exact(host.root)


def test_a_step_that_ends_in_damage_is_told(host: Host) -> None:
    """The survey that finds nothing wrong with the engine's own steps does find a step that is none of them."""
    wrong: list[Problem] = []
    with after_each(CHANGES, lambda: wrong.extend(look(host.root))):
        host.layer(host.middle).rename(host.root / "moved away by hand")
    assert {problem.path for problem in wrong} == {str(host.layer(host.top))}


def test_a_removal_that_takes_long_is_no_problem(host: Host) -> None:
    """A large upper layer, a large log: the container is marked dead, and parts of it are gone for minutes."""
    host.store.set_state(host.exited, "dead")
    later = HeldClock()
    survey = record_survey(host.root, clock=later)
    # The engine removes the short link before it begins with the files.
    (host.store.graph.home / "l" / (host.upper(host.exited) / "link").read_text()).unlink()
    for part in (host.upper(host.exited) / "diff", host.upper(host.exited), host.mount(host.exited) / "mount-id"):
        part.rename(host.root / f"gone-{part.name}-{later.time}")
        later.time += 60
        assert problems_of(survey.catalog()) == []


def test_an_extraction_that_takes_long_is_no_problem(host: Host) -> None:
    """While a large layer is pulled, its storage directory has no record, and its layers below have no image."""
    directory = host.store.graph.home / ("e" * 64)
    (directory / "diff" / "usr").mkdir(parents=True)
    (directory / "work").mkdir()
    (directory / "link").write_text("A" * 26)
    below = host.store.layer({"big": 5}, parent=host.base)
    later = HeldClock()
    survey = record_survey(host.root, clock=later)
    for _ in range(3):
        later.time += 600
        catalog = survey.catalog()
        assert problems_of(catalog) == []
        assert below in catalog.stores[0].layers


def test_a_layer_that_is_being_removed_is_no_layer(host: Host) -> None:
    """Its record was renamed; its storage directory may take minutes."""
    soon = HeldClock(ahead=60.0)
    host.store.untag("tool:latest")
    host.store.untag(f"tool@sha256:{'d' * 64}")
    host.content(host.tool).unlink()
    removing = host.store.layerdb.begin_removal(host.other)
    catalog = record_survey(host.root, clock=soon).catalog()
    assert (problems_of(catalog), host.other in catalog.stores[0].layers) == ([], False)
    (host.directory(host.other) / "link").unlink()
    (removing / "diff").unlink()
    assert problems_of(record_survey(host.root, clock=soon).catalog()) == []


def test_a_mount_that_is_being_written_is_no_problem(host: Host) -> None:
    """Its files are made and then filled: a young one may be empty, also for longer than it should take."""
    now = time.time()
    record = host.mount("b" * 64)
    record.mkdir()
    survey = record_survey(host.root, clock=HeldClock(ahead=0))
    for file in ("mount-id", "init-id", "parent"):
        (record / file).write_text("")
        assert problems_of(survey.catalog()) == []
    late = record_survey(host.root, clock=HeldClock(ahead=3600))
    assert {(problem.path, problem.reason) for problem in problems_of(late.catalog())} == {
        (f"{record}/init-id", "empty"),
        (f"{record}/parent", "parent is '', not sha256: and 64 hex digits"),
    }
    assert now <= late.catalog().stores[0].mounts["b" * 64].modified
