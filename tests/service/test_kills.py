"""The exporter killed at random moments: whatever it was writing, the next start serves right figures."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.store.entries import ImageID
from tests.service.exporters import Exporter, start
from tests.service.figures import expected_uppers, is_exact, uppers

CHAINS, KILLS = 2, 50
"""Chains of starts beside each other, each with a store and a state file of its own, and kills in each."""
STARTING = 0.7
"""Seconds in which a start has read, measured and remembered everything, where nothing else is done."""


class Chain:
    """One store, one state file, and one start after the other."""

    def __init__(self, directory: Path, *, seed: int) -> None:
        self._directory = directory
        self._root = directory / "docker"
        self._rng = random.Random(seed)  # noqa: S311 - to be repeated
        self._store = StoreBuilder(self._root, seed=seed)
        self._images: list[ImageID] = []
        for number in range(4):
            self._add_image(number)
            self._add_container(number)

    def run(self) -> int:
        """Kill it so many times, and check every start that had the time to serve; how many had."""
        verified = 0
        must_serve = False
        for number in range(KILLS):
            self._change(number)
            exporter = start(self._directory, self._root, f"--state.path={self._directory}/state")
            try:
                if must_serve:
                    self._verify(exporter)
                    verified += 1
                    time.sleep(self._rng.uniform(0, 0.2))
                else:
                    time.sleep(self._rng.uniform(0, STARTING))
            finally:
                exporter.kill()
            # After one that was killed while it started, the next one has the time.
            must_serve = not must_serve
            exporter.log_path.unlink()
        last = start(self._directory, self._root, f"--state.path={self._directory}/state")
        try:
            self._verify(last)
            assert last.end() == 0
        finally:
            last.kill()
        assert not [name for name in os.listdir(self._directory) if "damaged" in name]
        return verified + 1

    def _verify(self, exporter: Exporter) -> None:
        """No figure is ever wrong, and soon all are there."""
        exporter.wait_until_serving()
        right = expected_uppers(self._store)

        def is_done() -> bool:
            samples = exporter.samples()
            shown = uppers(samples)
            assert shown.items() <= right.items()
            return is_exact(samples, self._store, self._root)

        exporter.wait_until(is_done)
        assert not [line for line in exporter.events() if line["level"] == "error"]

    def _change(self, number: int) -> None:
        """Something happens on the host before each start, so that what was remembered is never all there is."""
        for key in self._store.containers:
            self._store.write(key, f"file{number % 7}", self._rng.randrange(1, 50_000))
        if number % 3 == 0:
            self._add_image(100 + number)
        if number % 5 == 0:
            self._add_container(100 + number)
        if number % 11 == 10:
            self._store.remove_container(next(iter(self._store.containers)))

    def _add_image(self, number: int) -> None:
        top = None
        for layer in range(self._rng.randrange(1, 4)):
            top = self._store.layer({f"lib/{number}-{layer}": self._rng.randrange(1, 30_000)}, parent=top)
        self._images.append(self._store.image(top, tags=[f"app:{number}"]))

    def _add_container(self, number: int) -> None:
        self._store.container(self._rng.choice(self._images), name=f"c{number}", files={"data": 8192})


def test_a_hundred_kills_at_random_moments(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every other start is killed while it starts, reads, measures or writes what it remembers; the one after it is
    given the time to serve, all its figures are right to the byte, and it is killed in turn. The state file is never
    found damaged."""
    chains = [Chain(tmp_path_factory.mktemp(f"chain{seed}"), seed=seed) for seed in range(CHAINS)]
    with ThreadPoolExecutor(CHAINS) as pool:
        verified = list(pool.map(Chain.run, chains))
    assert [KILLS // 2 + 1] * CHAINS == verified
