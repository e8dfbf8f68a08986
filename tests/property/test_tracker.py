"""The tracker: whatever happens to a tree between passes, it tells the same as a fresh walk."""

import contextlib
import os
import shutil
import tempfile
import time
from math import inf
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.measure.tracker import Tracker
from exporter.measure.walk import measure
from tests.unit.measure.trees import stopped_after

TICK = 0.012
"""Longer than the kernel's clock tick: what happens after such a pause has another time of change."""

PICK = st.integers(min_value=0, max_value=10_000)
LENGTH = st.sampled_from([0, 1, 4096, 5000, 70_000, 3 << 20])


class Tree(RuleBasedStateMachine):
    """Operations on a tree of files, as a container might do them, and passes over it."""

    ahead: float
    """How far the tracker's clock runs ahead, so that files count as rested."""
    period = inf
    """Of quick passes: seconds in which they read everything."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tracker-"))
        self.top = self.root / "diff"
        self.top.mkdir()
        self.tracker = Tracker(str(self.top), clock=lambda: time.time() + self.ahead)
        self.names = 0
        self.steps = 0
        self.every = 0
        """Operations between two quick passes."""
        self.unseen = 0
        """Bytes by which files were changed in place since the last full pass, at most."""

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

    @initialize(every=st.integers(min_value=1, max_value=4))
    def first_pass(self, every: int) -> None:
        self.every = every
        for name in ("a", "b"):
            (self.top / name).mkdir()
            (self.top / name / "file").write_bytes(b"x")
        time.sleep(TICK)
        self.tracker.full()

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
        os.link(files[pick % len(files)], self.new(into), follow_symlinks=False)

    @precondition(lambda self: self.files())
    @rule(pick=PICK)
    def unlink(self, pick: int) -> None:
        files = self.files()
        files[pick % len(files)].unlink()

    @precondition(lambda self: self.files())
    @rule(pick=PICK, into=PICK)
    def rename_file(self, pick: int, into: int) -> None:
        files = self.files()
        files[pick % len(files)].rename(self.new(into))

    @precondition(lambda self: len(self.files()) > 1)
    @rule(pick=PICK, over=PICK)
    def replace_file(self, pick: int, over: int) -> None:
        files = self.files()
        files[pick % len(files)].replace(files[over % len(files)])

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

    @precondition(lambda self: any(not path.is_symlink() and path.is_file() for path in self.files()))
    @rule(pick=PICK, length=LENGTH)
    def resize_in_place(self, pick: int, length: int) -> None:
        files = [path for path in self.files() if not path.is_symlink() and path.is_file()]
        path = files[pick % len(files)]
        before = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(0)
            file.write(b"y" * length)
        self.unseen += abs(length - before)

    @rule()
    def full_pass(self) -> None:
        time.sleep(TICK)
        done = self.tracker.full()
        self.unseen = 0
        assert measure(str(self.top)).usage == done.walked.usage

    @rule(calls=st.integers(min_value=1, max_value=12))
    def interrupted_pass(self, calls: int) -> None:
        """What it did in part is gone on with by the next."""
        time.sleep(TICK)
        with contextlib.suppress(KeyboardInterrupt):
            self.tracker.quick(full_period=self.period, pace=stopped_after(calls))

    def quick(self) -> None:
        raise NotImplementedError

    @invariant()
    def quick_pass(self) -> None:
        self.steps += 1
        if self.every and self.steps % self.every == 0:
            time.sleep(TICK)
            self.quick()


class Busy(Tree):
    """All files changed lately."""

    ahead = 60.0

    def quick(self) -> None:
        assert measure(str(self.top)).usage == self.tracker.quick().walked.usage


class Rested(Tree):
    """No file counts as changed lately."""

    ahead = 1000.0

    def quick(self) -> None:
        self.ahead += 10.0
        quick = self.tracker.quick(full_period=self.period).walked.usage
        fresh = measure(str(self.top)).usage
        assert fresh.inodes == quick.inodes
        assert abs(fresh.size - quick.size) <= self.unseen
        if not self.unseen:
            assert fresh == quick


LIVES = settings(max_examples=20, stateful_step_count=30, deadline=None)


class InParts(Rested):
    """Besides, everything is read in the course of a few passes."""

    period = 50.0


class TestBusy(Busy.TestCase):  # type: ignore[valid-type,misc]
    """Among files that changed lately, a quick pass is as good as a walk."""

    settings = LIVES


class TestRested(Rested.TestCase):  # type: ignore[valid-type,misc]
    """Among rested files, a quick pass misses no more than what was changed in place since the last full pass."""

    settings = LIVES


class TestInParts(InParts.TestCase):  # type: ignore[valid-type,misc]
    """However much of what rested is read again in between."""

    settings = LIVES
