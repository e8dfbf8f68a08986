"""The tracker: whatever happens to a tree between passes, it tells the same as a fresh walk."""

import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.measure.listing import BLOCK
from exporter.measure.tracker import Pass, Tracker
from exporter.measure.usage import Usage
from exporter.measure.walk import measure
from tests.property.quickpasses import NOTHING, Amount, Model
from tests.unit.measure.trees import stopped_after

TICK = 0.012
"""Longer than the kernel's clock tick: what happens after such a pause has another time of change."""

HOT_FOR = 10_000.0
"""More than the trackers' clocks ever run ahead, so that nothing but their own files' times tells what is hot."""

PICK = st.integers(min_value=0, max_value=10_000)
LENGTH = st.sampled_from([0, 1, 4096, 5000, 70_000, 3 << 20])


class Tree(RuleBasedStateMachine):
    """Operations on a tree of files, as a container might do them, and passes over it."""

    period = inf
    """Of quick passes: seconds in which they read everything."""
    between = 0
    """Seconds by which the trackers' clock goes on from one pass to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.root, self.recent = self.made()
        self.top = self.root / "diff"
        self.tracker = Tracker(str(self.top), clock=self.clock, hot_for=HOT_FOR)
        self.model = Model(self.top)
        self.names = 0
        self.steps = 0
        self.every = 0
        """Operations between two quick passes."""

    def made(self) -> tuple[Path, int]:
        """A tree to begin with, and since when a file must have changed to be hot; Unix seconds."""
        raise NotImplementedError

    def clock(self) -> float:
        return self.recent + HOT_FOR

    def wait(self) -> None:
        """What happened since the last pass has another time of change than what happens after the next."""
        time.sleep(TICK)
        self.recent += self.between

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def directories(self) -> list[Path]:
        return [Path(path) for path, _, _ in os.walk(self.top)]

    def files(self) -> list[Path]:
        return [Path(path) / name for path, _, files in os.walk(self.top) for name in files]

    def directory(self, pick: int) -> Path:
        found = self.directories()
        return found[pick % len(found)]

    def new(self, pick: int) -> Path:
        self.names += 1
        return self.directory(pick) / f"entry{self.names}"

    def named(self, path: Path) -> Path:
        """A file that is about to get a new name."""
        self.model.named.add(path.lstat().st_ino)
        return path

    @initialize(every=st.integers(min_value=1, max_value=4))
    def first_pass(self, every: int) -> None:
        self.every = every
        self.full_pass()

    @rule(pick=PICK, length=LENGTH)
    def create(self, pick: int, length: int) -> None:
        self.new(pick).write_bytes(b"x" * length)

    @rule(pick=PICK)
    def make_directory(self, pick: int) -> None:
        self.new(pick).mkdir()

    @rule(pick=PICK, points_to=st.sampled_from(["/", "..", "/proc/self/fd", "nowhere", "x" * 200]))
    def make_symlink(self, pick: int, points_to: str) -> None:
        self.new(pick).symlink_to(points_to)

    @rule(pick=PICK)
    def make_fifo(self, pick: int) -> None:
        os.mkfifo(self.new(pick))

    @precondition(lambda self: self.files())
    @rule(pick=PICK, into=PICK)
    def link(self, pick: int, into: int) -> None:
        files = self.files()
        os.link(self.named(files[pick % len(files)]), self.new(into), follow_symlinks=False)

    @precondition(lambda self: self.files())
    @rule(pick=PICK)
    def unlink(self, pick: int) -> None:
        files = self.files()
        files[pick % len(files)].unlink()

    @precondition(lambda self: self.files())
    @rule(pick=PICK, into=PICK)
    def rename_file(self, pick: int, into: int) -> None:
        files = self.files()
        self.named(files[pick % len(files)]).rename(self.new(into))

    @precondition(lambda self: len(self.files()) > 1)
    @rule(pick=PICK, over=PICK)
    def replace_file(self, pick: int, over: int) -> None:
        files = self.files()
        self.named(files[pick % len(files)]).replace(files[over % len(files)])

    @rule(pick=PICK, into=PICK)
    def rename_directory(self, pick: int, into: int) -> None:
        source, target = self.directory(pick), self.new(into)
        if source != self.top and source not in target.parents:
            source.rename(target)

    @rule(pick=PICK)
    def remove_directory(self, pick: int) -> None:
        directory = self.directory(pick)
        if directory != self.top:
            shutil.rmtree(directory)

    @rule(pick=PICK, mode=st.sampled_from([0o700, 0o755]))
    def change_mode(self, pick: int, mode: int) -> None:
        self.directory(pick).chmod(mode)

    @rule(pick=PICK, length=LENGTH)
    def change_what_is_looked_at(self, pick: int, length: int) -> None:
        seen, _ = self.model.changeable()
        self.change(pick, length, seen)

    @rule(pick=PICK, length=LENGTH)
    def change_what_is_missed(self, pick: int, length: int) -> None:
        _, missed = self.model.changeable()
        self.change(pick, length, missed)

    @rule(pick=PICK, into=PICK, length=LENGTH)
    def change_what_got_a_name(self, pick: int, into: int, length: int) -> None:
        """A file that rests gets a name elsewhere, and is used by that from the next pass on."""
        files = self.regular_files(set(self.model.tree().kept()))
        if files:
            file = self.named(files[pick % len(files)])
            os.link(file, self.new(into))
            self.next_pass()
            seen, _ = self.model.changeable()
            self.change(0, length, seen & {file.lstat().st_ino})

    def change(self, pick: int, length: int, among: set[int]) -> None:
        """Change one of these in place."""
        files = self.regular_files(among)
        if files:
            with files[pick % len(files)].open("r+b") as file:
                file.truncate(0)
                file.write(b"y" * length)

    def regular_files(self, among: set[int]) -> list[Path]:
        statuses = [(path, path.lstat()) for path in self.files()]
        return [path for path, status in statuses if stat.S_ISREG(status.st_mode) and status.st_ino in among]

    @rule()
    def full_pass(self) -> None:
        self.wait()
        done = self.tracker.full()
        self.model.full(recent=self.recent)
        assert done.full
        assert measure(str(self.top)).usage == done.walked.usage

    @rule(calls=st.integers(min_value=1, max_value=12))
    def interrupted_pass(self, calls: int) -> None:
        """What it did in part is gone on with by the next."""
        if not self.model.is_certain():
            return
        self.wait()
        self.model.is_torn = True
        try:
            done = self.tracker.quick(full_period=self.period, pace=stopped_after(calls))
        except KeyboardInterrupt:
            return
        self.check(done)

    @invariant()
    def quick_pass(self) -> None:
        self.steps += 1
        if self.every and self.steps % self.every == 0:
            self.next_pass()

    def next_pass(self) -> None:
        if self.model.is_certain():
            self.wait()
            self.check(self.tracker.quick(full_period=self.period))
        else:
            self.full_pass()

    def check(self, done: Pass) -> None:
        """A quick pass tells what a walk would, but for what changed in place where nothing was hot, to the byte."""
        self.model.quick(recent=self.recent)
        missed = self.model.total()
        fresh = measure(str(self.top)).usage
        assert not done.full
        assert done.walked.usage == Usage(
            size=fresh.size - missed.size,
            allocated=fresh.allocated - missed.blocks * BLOCK,
            inodes=fresh.inodes,
        )


def new_tree() -> Path:
    root = Path(tempfile.mkdtemp(prefix="tracker-"))
    (root / "diff").mkdir()
    return root


def add(root: Path, name: str) -> None:
    """Add some directories with files to a tree."""
    for parent in (root / "diff" / name, root / "diff" / name / "below"):
        parent.mkdir()
        for number in range(3):
            (parent / f"file{number}").write_bytes(b"x" * 5000 * number)


class Busy(Tree):
    """All files changed lately."""

    def made(self) -> tuple[Path, int]:
        root = new_tree()
        add(root, "a")
        return root, int(time.time()) - 1000

    def check(self, done: Pass) -> None:
        super().check(done)
        assert self.model.missed == {}


class Rested(Tree):
    """No file counts as changed lately."""

    def made(self) -> tuple[Path, int]:
        root = new_tree()
        add(root, "a")
        return root, int(time.time()) + 1000


AGES = 3


@dataclass(frozen=True, slots=True)
class Aged:
    """A tree whose parts were made in different seconds."""

    root: Path
    seconds: tuple[int, ...]
    """One more than there are parts: nothing is made in the last."""


STOCK: list[Aged] = []
"""Made many at once, since it takes real seconds: no process can set a time of change back."""


def teardown_module() -> None:
    """Remove what is left of it."""
    while STOCK:
        shutil.rmtree(STOCK.pop().root)


def aged() -> Aged:
    if not STOCK:
        roots = [new_tree() for _ in range(30)]
        seconds = []
        for age in range(AGES):
            seconds.append(int(next_second()))
            for root in roots:
                add(root, f"age{age}")
        seconds.append(int(next_second()))
        STOCK.extend(Aged(root, tuple(seconds)) for root in roots)
    return STOCK.pop()


def next_second() -> float:
    """Wait for it."""
    time.sleep(1 - time.time() % 1 + TICK)
    return time.time()


class Mixed(Tree):
    """Some files changed lately, others rest, and time passes: what was made first rests first."""

    def made(self) -> tuple[Path, int]:
        tree = aged()
        self.times = [*tree.seconds[1:], tree.seconds[-1] + 1000]
        return tree.root, tree.seconds[0]

    @rule()
    def pass_time(self) -> None:
        if self.times:
            self.recent = self.times.pop(0)


LIVES = settings(max_examples=15, stateful_step_count=30, deadline=None)


class InParts(Rested):
    """Besides, everything is read in the course of a few passes: the bound is what changed since it was."""

    period = 50.0
    between = 10

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[float, Amount]] = []
        """When the pass came that missed a change, or that could."""

    def check(self, done: Pass) -> None:
        missed, amounts = self.model.missed, self.model.amounts
        self.model.quick(recent=self.recent)
        # Once both names of a file were read, its directories may rest, which the model does not know.
        changes = [
            after.get(file, NOTHING) - before.get(file, NOTHING)
            for before, after in ((missed, self.model.missed), (amounts, self.model.amounts))
            for file in before.keys() | after.keys()
        ]
        self.changes += [(self.clock(), change) for change in changes]
        self.changes = [(noticed, change) for noticed, change in self.changes if noticed > done.read_since]
        fresh, quick = measure(str(self.top)).usage, done.walked.usage
        assert not done.full
        assert fresh.inodes == quick.inodes
        assert abs(fresh.size - quick.size) <= sum(abs(change.size) for _, change in self.changes)
        assert abs(fresh.allocated - quick.allocated) <= sum(abs(change.blocks) for _, change in self.changes) * BLOCK


class TestBusy(Busy.TestCase):  # type: ignore[valid-type,misc]
    """Among files that changed lately, a quick pass is as good as a walk."""

    settings = LIVES


class TestRested(Rested.TestCase):  # type: ignore[valid-type,misc]
    """Among rested files, a quick pass misses exactly what was changed in place since they were last looked at."""

    settings = LIVES


class TestMixed(Mixed.TestCase):  # type: ignore[valid-type,misc]
    """The same where directories that rest and others that do not exchange files and names."""

    settings = LIVES


class TestInParts(InParts.TestCase):  # type: ignore[valid-type,misc]
    """However much of what rested is read again in between."""

    settings = LIVES
