"""Records that are meant to cost: however large, deep, odd or many, a scan ends soon and keeps little of them."""

import gc
import hashlib
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.account.integrity import find_problems
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.containers import ContainerReader
from exporter.store.documents import parse
from exporter.store.entries import CacheID, ChainID, DiffID, Image, ImageID, Layer
from exporter.store.imageconfig import LONGEST_STEP, MOST_STEPS
from exporter.store.imagedb import ImageReader
from exporter.store.layerdb import LayerReader
from exporter.store.records import LARGE, Folder, Malformed, Scan, open_folder
from exporter.store.shelf import TURNS
from tests.unit.store.hosts import LATER, Host, scan, survey


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most bytes that Python objects have taken since the test began, beside those of before."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("inner", ["[]", "{}", "0", "1e9", '""', "null", '{"a":[]}'])
def test_the_largest_record_of_many_values_takes_no_memory(peak: Callable[[], int], inner: str) -> None:
    """Eight megabytes of brackets would take two hundred: they are counted in the bytes, and refused."""
    raw = ('{"x":[' + f"{inner}," * (LARGE // (len(inner) + 1) - 10) + "0]}").encode()
    held = peak()
    with pytest.raises(Malformed, match="more than"):
        parse(raw)
    assert peak() - held < 100_000


def test_a_record_of_as_many_values_as_are_read_takes_bounded_memory(peak: Callable[[], int]) -> None:
    """The most that is taken apart stays below what the exporter may take as a whole."""
    raw = ('{"x":[' + "[]," * 99_000 + "[]]}").encode()
    assert "x" in parse(raw)
    assert peak() < 20_000_000


def add_image(host: Host, config: dict[str, object]) -> ImageID:
    return host.store.imagedb.add(json.dumps({"rootfs": {}, **config}).encode(), None)


def test_a_hostile_history_is_kept_in_part(host: Host) -> None:
    """Whoever makes an image writes its history, and the catalog holds it as long as the image is there."""
    image = add_image(host, {"history": [{"created_by": "x" * 3000}] * 2000})
    store = survey(host.root)
    assert len(store.images[image].history) == MOST_STEPS
    assert {len(step.created_by) for step in store.images[image].history} == {LONGEST_STEP}
    assert store.problems == ()


class Counted(Folder):
    """Counts what is read."""

    count = 0

    def read(self, name: str, limit: int) -> bytes:
        Counted.count += 1
        return super().read(name, limit)


def reads(home: Path, read: Callable[[Folder, Scan], object], *, looks: int) -> list[int]:
    """How many files each look reads."""
    counts = []
    for turn in range(looks):
        Counted.count = 0
        with Counted(str(home), os.open(home, os.O_RDONLY)) as folder:
            read(folder, Scan(now=time.time() + LATER, turn=turn))
        counts.append(Counted.count)
    return counts


def test_an_odd_image_is_not_read_again_and_again(host: Host) -> None:
    """Anybody can make an image whose configuration is long to read and has something odd in it. It is told and
    remembered, or each scan would pay for it."""
    add_image(host, {"comment": "\ud800" + "x" * 100_000})
    home = host.content(host.web).parent
    reader = ImageReader()
    counts = reads(home, lambda folder, scan: reader.read(folder, None, scan), looks=TURNS + 1)
    assert counts[0] == 4
    assert sum(counts[1:]) == 4
    assert len(scan(host.root).problems) == 1


def test_an_unfinished_container_is_not_read_again_and_again(host: Host) -> None:
    """A directory without records is remembered as such."""
    for number in range(50):
        (host.root / "containers" / f"{number:064x}").mkdir()
    reader = ContainerReader()
    counts = reads(host.root / "containers", reader.read, looks=TURNS + 1)
    assert counts[0] == 2 * (2 + 50)
    assert sum(counts[1:]) == counts[0]


def test_strange_names_are_one_problem_however_many(host: Host) -> None:
    """A hundred thousand files that are no records: neither read nor looked at, nor told one by one."""
    home = host.store.layerdb.layers
    for number in range(20_000):
        os.mknod(home / f"strange-{number:05}")
    scan_ = Scan(now=time.time() + LATER, turn=1)
    with open_folder(str(home)) as folder:
        found = LayerReader().read(folder, scan_)
    assert set(found) == {host.base, host.middle, host.top, host.other}
    assert scan_.problems == [
        Problem(
            kind=ProblemKind.MALFORMED_RECORD,
            path=f"{home}/strange-00000",
            reason="its name is not 64 hex digits, nor are those of 19999 more entries there",
        )
    ]


def stack_of(count: int, *, loop: bool = False) -> Store:
    """So many layers on top of each other, of one image; or each on top of the next, the last on the first."""
    layers: dict[ChainID, Layer] = {}
    names = [ChainID(f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}") for number in range(count)]
    for number, name in enumerate(names):
        below = names[number - 1] if number or loop else None
        layers[name] = Layer(
            chain_id=name,
            diff_id=DiffID(name),
            parent=below,
            cache_id=CacheID(name[7:]),
            size=1,
            chain_id_recomputes=number > 0,
        )
    image = Image(
        image_id=ImageID(names[0]),
        diff_ids=(),
        chain_ids=tuple(names),
        created=None,
        parent=None,
        platform="",
        history=(),
    )
    return Store(
        name="btrfs",
        engine="docker",
        driver="btrfs",
        root="/r",
        active=True,
        measurable=False,
        directory_root="/r/btrfs",
        layers=layers,
        images={image.image_id: image},
    )


def test_a_loop_of_many_layers_is_found_in_one_walk() -> None:
    """Walking on from each of twenty thousand layers would take minutes; each is walked over once."""
    began = time.process_time()
    problems = find_problems(stack_of(20_000, loop=True), now=time.time())
    assert [problem.kind for problem in problems] == [ProblemKind.PARENT_LOOP]
    assert time.process_time() - began < 5


def test_a_tall_stack_of_layers_is_sound() -> None:
    """So is following the parents down a stack that no engine would mount."""
    began = time.process_time()
    problems = find_problems(stack_of(20_000), now=time.time())
    assert [problem.kind for problem in problems] == [ProblemKind.CHAIN_ID_MISMATCH]
    assert time.process_time() - began < 5
