"""Whatever containerd's records say, also what no containerd would write: a store comes of it, and it adds up."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from exporter.account.integrity import find_problems
from exporter.account.owners import Owner
from exporter.account.ownership import classify
from exporter.account.reclaim import removable
from exporter.account.summary import store_report
from exporter.store.boltrecords import Contents
from exporter.store.buildkit import BuildCache
from exporter.store.catalog import Store
from exporter.store.containerd.build import Gone, Namesake, Reading, build_store
from exporter.store.containerd.directories import Found
from exporter.store.containerd.metadata import (
    BlobRecord,
    ContainerRecord,
    ImageRecord,
    LeaseRecord,
    Metadata,
    Namespace,
    SnapshotRecord,
)
from exporter.store.containerd.roots import MEASURABLE, ContainerdRoot
from exporter.store.containerd.snapshotter import BackendSnapshot, Kind
from exporter.store.entries import DiffID
from exporter.store.imageconfig import Configuration

NOW = 1_700_000_000.0
DIGESTS = [f"sha256:{digit * 64}" for digit in "0123456789"]
KEYS = [*DIGESTS[:6], "one", "one-init", "two", "extract-1 x"]
keys, digests = st.sampled_from(KEYS), st.sampled_from(DIGESTS)
moments = st.none() | st.floats(NOW - 10**7, NOW)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """What could be read of a containerd with one namespace, however little of it fits together."""
    numbers = draw(st.permutations(range(1, len(KEYS) + 3)))
    records = {
        key: SnapshotRecord(
            key=key, name=f"k8s.io/{number}/{key}", parent=draw(st.none() | keys), created=None, labels={}
        )
        for key, number in zip(KEYS, numbers, strict=False)
        if draw(st.booleans())
    }
    named = [record.name for record in records.values() if draw(st.integers(0, 9))]
    rows = {
        name: BackendSnapshot(
            name=name,
            number=number,
            kind=draw(st.sampled_from(Kind)),
            parent=None,
            size=draw(st.none() | st.integers(0, 10**9)),
            inodes=None,
            created=draw(moments),
            labels={},
        )
        for number, name in enumerate([*named, "k8s.io/99/gone", "other/1/x"], start=1)
    }
    directories = {
        name: Found(has_files=draw(st.booleans()), has_work=False, modified=draw(st.floats(NOW - 10**7, NOW)))
        for name in [*(str(row.number) for row in rows.values()), "4711", "new-1"]
        if draw(st.integers(0, 9))
    }
    space = Namespace(
        name="k8s.io",
        images=draw(st.dictionaries(st.sampled_from(["a:1", "b", "c@d", "moby-dangling@x", *DIGESTS]), images)),
        blobs={blob.digest: blob for blob in draw(st.lists(blobs, max_size=6))},
        snapshots={MEASURABLE: records},
        containers={one.container_id: one for one in draw(st.lists(containers, max_size=3))},
        leases={lease.lease_id: lease for lease in draw(st.lists(leases, max_size=2))},
    )
    return Reading(
        root=ContainerdRoot(path="/containerd"),
        metadata=Contents(value=Metadata(version=4, namespaces={"k8s.io": space})),
        rows=Contents(value=rows),
        directories=directories,
        mounted={name: NOW for name in directories if draw(st.booleans())},
        internal=frozenset(),
        containers={},
        containers_complete=True,
        statuses={},
        cache=BuildCache(),
        overlaid=frozenset(draw(st.sets(st.sampled_from(["1", "2", "3", "4711"])))),
        overlays_seen=draw(st.booleans()),
        started=draw(st.floats(NOW - 10**7, NOW)),
        gone=Gone(directories={"4711": draw(st.floats(NOW - 100, NOW))}, rows={}),
        leases=frozenset(),
        problems=(),
    )


images = st.builds(
    ImageRecord,
    name=st.just("name"),
    digest=digests,
    media_type=st.just(""),
    size=st.none(),
    created=st.none(),
    labels=st.dictionaries(st.just("org.mobyproject.image.parent"), digests),
)
blobs = st.builds(
    BlobRecord,
    digest=digests,
    size=st.none() | st.integers(0, 10**9),
    created=st.none(),
    labels=st.dictionaries(st.just(f"containerd.io/gc.ref.snapshot.{MEASURABLE}"), keys)
    | st.dictionaries(st.sampled_from(["containerd.io/gc.ref.content.0", "containerd.io/gc.ref.content.1"]), digests),
)
containers = st.builds(
    ContainerRecord,
    container_id=st.sampled_from(["one", "two", "three"]),
    image=st.sampled_from(["a:1", "b", ""]),
    snapshotter=st.sampled_from([MEASURABLE, "other", ""]),
    snapshot_key=keys,
    sandbox_id=st.just(""),
    runtime=st.just(""),
    created=st.none(),
    labels=st.just({}),
)
leases = st.builds(
    LeaseRecord,
    lease_id=st.sampled_from(["one", "two"]),
    blobs=st.frozensets(digests),
    snapshots=st.frozensets(st.tuples(st.sampled_from([MEASURABLE, "other"]), keys)),
    created=st.none(),
    labels=st.just({}),
)
configurations = st.dictionaries(
    digests,
    st.builds(
        Configuration,
        diff_ids=st.lists(digests.map(DiffID), max_size=3).map(tuple),
        created=st.none(),
        platform=st.just(""),
        history=st.just(()),
    ),
)


def built(reading: Reading, known: Mapping[str, Configuration]) -> Store:
    namesake = Namesake(
        name="containerd/k8s.io", namespace="k8s.io", snapshotter=MEASURABLE, main=True, active=True, speaks=True
    )
    return build_store(reading, namesake, known.get, now=NOW)


@given(readings(), configurations)
def test_every_directory_has_one_owner(reading: Reading, known: Mapping[str, Configuration]) -> None:
    """Those of the namespace and those of nobody; one that any record names is no orphan, whatever else is wrong."""
    store = built(reading, known)
    first = classify(store, now=NOW)
    owners = classify(store, now=NOW, previous=first).owners
    assert owners.keys() >= store.directories.keys()
    orphans = {name for name, owner in owners.items() if owner is Owner.ORPHAN}
    assert orphans <= {"4711", "new-1"}
    assert not orphans & reading.overlaid
    assert "other" not in {row.namespace for row in reading.rows.value.values() if str(row.number) in store.directories}


@given(readings(), configurations)
def test_sizes_add_up(reading: Reading, known: Mapping[str, Configuration]) -> None:
    """Unique and shared bytes of an image are its size, which is that of its layers; nothing that would be freed is not
    there; each problem tells a reason."""
    store = built(reading, known)
    report = store_report(store, uppers={}, logs={})
    for image_id, use in report.image_use.items():
        layers = [store.layers.get(chain_id) for chain_id in store.images[image_id].chain_ids]
        assert use.unique + use.shared == use.size
        assert use.size == sum((layer.size or 0) for layer in layers if layer is not None)
    for what in removable(store, classify(store, now=NOW)).values():
        assert what.directories <= store.directories.keys()
    assert all(problem.reason for problem in (*store.problems, *find_problems(store, now=NOW)))
