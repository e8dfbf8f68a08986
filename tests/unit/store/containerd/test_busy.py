"""A containerd that commits all the time: what could not be read now is as it was read last, and that is no damage."""

import dataclasses
from pathlib import Path

import pytest

from exporter.account.integrity import find_problems
from exporter.store.boltrecords import Contents
from exporter.store.buildkit import BuildCache
from exporter.store.catalog import ProblemKind
from exporter.store.containerd.build import Gone, Namesake, Reading, build_store
from exporter.store.containerd.directories import Found
from exporter.store.containerd.metadata import MetadataReader
from exporter.store.containerd.roots import KUBERNETES, MEASURABLE, ContainerdRoot
from exporter.store.containerd.snapshotter import SnapshotterReader
from tests.unit.store.containerd.hosts import kubernetes

NOW = 1_767_225_600.0


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """All that a node has."""
    builder = kubernetes(tmp_path)
    rows = SnapshotterReader().read(str(builder.database))
    return Reading(
        root=ContainerdRoot(path=str(tmp_path)),
        metadata=MetadataReader().read(str(builder.metadata)),
        rows=rows,
        directories={
            str(row.number): Found(has_files=True, has_work=False, modified=NOW) for row in rows.value.values()
        },
        mounted={},
        internal=frozenset(),
        containers={},
        containers_complete=True,
        statuses={},
        cache=BuildCache(),
        overlaid=frozenset(),
        overlays_seen=True,
        started=NOW,
        gone=Gone(directories={}, rows={}),
        leases=frozenset(),
        problems=(),
    )


def problems(reading: Reading) -> set[ProblemKind]:
    """All that is wrong with the node's store."""
    namesake = Namesake(
        name="containerd/k8s.io", namespace=KUBERNETES, snapshotter=MEASURABLE, main=True, active=True, speaks=True
    )
    store = build_store(reading, namesake, lambda _: None, now=NOW)
    return {problem.kind for problem in (*store.problems, *find_problems(store, now=NOW))}


def without_the_last_row(reading: Reading) -> Reading:
    """What is read once the newest snapshot, which nothing lies on, was removed: but for containerd's own records."""
    rows = dict(reading.rows.value)
    gone = str(rows.popitem()[1].number)
    directories = {name: found for name, found in reading.directories.items() if name != gone}
    return dataclasses.replace(reading, rows=Contents(value=rows), directories=directories)


def test_rows_that_went_since_the_records_were_read(reading: Reading) -> None:
    """They are missed if they are not there now, and not by records of before."""
    later = without_the_last_row(reading)
    before = Contents(value=reading.metadata.value, complete=False)
    assert problems(reading) == set()
    assert ProblemKind.MISSING_RECORD in problems(later)
    assert problems(dataclasses.replace(later, metadata=before)) == set()


def test_directories_that_went_since_the_rows_were_read(reading: Reading) -> None:
    """They are missed if they are not there now, and not by rows of before."""
    later = dataclasses.replace(without_the_last_row(reading), rows=reading.rows)
    before = Contents(value=reading.rows.value, complete=False)
    assert problems(later) == {ProblemKind.MISSING_DIFF_DIRECTORY}
    assert problems(dataclasses.replace(later, rows=before)) == set()
