"""The build cache: what we read from its databases is what the engine says, and every directory is accounted for."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from exporter.store.buildkit import BuildCache, BuildCacheReader
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.patience import until_it_holds

T = TypeVar("T")

STAGES = f"""
{BASE.replace("scratch", "scratch AS base")}
RUN dd if=/dev/urandom of=/blob bs=1k count=300
FROM base AS side
RUN echo side > /side && dd if=/dev/zero of=/zeros bs=1k count=500
FROM base
COPY --from=side /side /copied
RUN echo NAME > /name
"""
CHILD = """
FROM stages:a
RUN echo child > /child
RUN --mount=type=cache,target=/cache echo cached > /cache/file && rm /copied
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of ``docker system df -v``."""

    parents: tuple[str, ...]
    record_type: str
    description: str
    size: int
    created: object
    """Unix seconds."""
    last_used: object
    """The same; None if it was not."""
    usage_count: int


def told(docker: Docker) -> dict[str, Entry]:
    """The build cache as the engine tells it."""
    entries: list[dict[str, Any]] = docker.api("/system/df")["BuildCache"] or []
    return {
        entry["ID"]: Entry(
            parents=(entry["Parent"],) if entry["Parent"] else (),
            record_type=entry["Type"],
            description=entry["Description"],
            size=entry["Size"],
            created=_seconds(entry["CreatedAt"]),
            last_used=None if entry["LastUsedAt"] is None else _seconds(entry["LastUsedAt"]),
            usage_count=entry["UsageCount"],
        )
        for entry in entries
    }


def _seconds(text: str) -> object:
    """A time to compare with: of its nanoseconds Python keeps whole microseconds."""
    return pytest.approx(datetime.fromisoformat(text).timestamp(), rel=0, abs=1e-5)


def seen(cache: BuildCache) -> dict[str, Entry]:
    """The build cache as it was read, of records with equal content the one that has the directory."""
    return {
        record.record_id: Entry(
            parents=record.parents,
            record_type=record.record_type,
            description=record.description,
            size=_known(cache.size_of(record)),
            created=_known(record.created),
            last_used=record.last_used,
            usage_count=record.usage_count,
        )
        for record in cache.records.values()
        if record.equal_mutable is None
    }


def _known(value: T | None) -> T:
    assert value is not None
    return value


def agree(docker: Docker, reader: BuildCacheReader) -> Counter[str]:
    """Hold the cache against the engine and against the disk, and count what was compared; again while they differ, for
    the engine writes usage down a moment after it has told the client that a build ended."""
    return until_it_holds(lambda: _compare(docker, reader))


def _compare(docker: Docker, reader: BuildCacheReader) -> Counter[str]:
    expected, cache = told(docker), reader.read(str(docker.data_root))
    assert expected == seen(cache)
    assert (cache.complete, cache.problems) == (True, ())

    directories = {path.name for path in (docker.data_root / "overlay2").iterdir()} - {"l"}
    layers = dict(layer_directories(docker.data_root))
    assert {row.directory for row in cache.snapshots.values() if row.directory is not None} <= directories
    assert directories <= cache.known_directories | set(layers.values())
    assert cache.chain_ids <= set(layers)
    return Counter(records=len(expected), directories=len(directories), layers=len(layers))


def layer_directories(data_root: Path) -> Iterator[tuple[str, str]]:
    """Chain IDs, and the directories that layerdb has for them."""
    for layer in (data_root / "image/overlay2/layerdb/sha256").glob("*"):
        yield f"sha256:{layer.name}", (layer / "cache-id").read_text()


def test_the_cache_is_as_the_engine_tells(own_docker: Docker, tmp_path: Path, tell: Tell) -> None:
    """After builds, prunes, removals and restarts, records, sizes, parents, uses and directories are the engine's."""
    reader = BuildCacheReader()
    tell(agree(own_docker, reader))
    for name in ("a", "b"):
        build(own_docker, STAGES.replace("NAME", name), tag=f"stages:{name}", buildkit=True)
        tell(agree(own_docker, reader))
    build(own_docker, CHILD, tag="child", buildkit=True)
    (tmp_path / "Dockerfile").write_text("FROM child\nCOPY Dockerfile /\n")
    own_docker.cli("build", "--quiet", "--network=none", str(tmp_path), env={"DOCKER_BUILDKIT": "1"})
    tell(agree(own_docker, reader))
    assert {"regular", "source.local", "exec.cachemount"} == {
        record.record_type for record in reader.read(str(own_docker.data_root)).records.values()
    }

    own_docker.cli("rmi", "child")
    tell(agree(own_docker, reader))
    own_docker.cli("builder", "prune", "--force")
    tell(agree(own_docker, reader))
    own_docker.stop()
    own_docker.start()
    tell(agree(own_docker, reader))
    build(own_docker, CHILD, buildkit=True)
    tell(agree(own_docker, reader))
    own_docker.kill()
    own_docker.start()
    tell(agree(own_docker, reader))


def test_layers_that_only_the_cache_holds(own_docker: Docker, tell: Tell) -> None:
    """Without an image the cache still uses every layer; pruned, it uses none, whatever rows it leaves behind."""
    reader = BuildCacheReader()
    build(own_docker, STAGES, tag="stages:a", buildkit=True)
    build(own_docker, CHILD, tag="child", buildkit=True)
    own_docker.cli("rmi", "child", "stages:a")
    tell(agree(own_docker, reader))
    layers = dict(layer_directories(own_docker.data_root))
    assert set(layers) == reader.read(str(own_docker.data_root)).chain_ids
    assert len(layers) > 5

    own_docker.cli("builder", "prune", "--all", "--force")
    tell(agree(own_docker, reader))
    pruned = reader.read(str(own_docker.data_root))
    assert (set(), {}) == (pruned.chain_ids, pruned.records)
    assert pruned.stale_chain_ids <= set(layers)


def test_reading_while_the_engine_writes(own_docker: Docker, tell: Tell) -> None:
    """Beside an engine that builds and prunes, each reading is of one state, and the engine notices nothing."""
    counts: Counter[str] = Counter()

    def work() -> None:
        for number in range(6):
            build(own_docker, STAGES.replace("NAME", f"{number}"), tag="stages:a", buildkit=True)
            build(own_docker, CHILD, buildkit=True)
            own_docker.cli("builder", "prune", "--all", "--force")

    states = set()
    with ThreadPoolExecutor(1) as executor:
        working = executor.submit(work)
        while not working.done():
            cache = BuildCacheReader().read(str(own_docker.data_root))
            counts["readings"] += 1
            if not cache.complete:
                counts["given_up"] += 1
                continue
            assert cache.problems == ()
            # A directory and the row that names it come and go in one transaction.
            for row in cache.snapshots.values():
                assert row.directory is None or row.directory in cache.snapshots
            states.add(frozenset(cache.snapshots.items()))
        working.result()
    counts["states"] = len(states)
    tell(counts)
    assert counts["given_up"] < counts["readings"] / 100
    tell(agree(own_docker, BuildCacheReader()))
