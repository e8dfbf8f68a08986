"""Whose each storage directory is: nothing is an orphan that could be anything else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exporter.account.owners import DRIVER_DIRECTORY, Doubt, Owner, Ownership
from exporter.account.ownership import classify
from exporter.store.catalog import Source, Store
from exporter.store.entries import CacheID, ChainID, ContainerID, ContainerState, MountPoint, Removal, WriteSet
from tests.unit.account.records import MOMENT, ROOT, Records, digest

STARTED = MOMENT + 1_000
"""When the engine was started: all that `Records` makes is older."""
NOW = STARTED + 500_000
STRANGER = CacheID(digest("stranger"))
CACHED = CacheID("0123456789abcdefghijklmno")


@pytest.fixture
def records() -> Records:
    """An image of two layers, a container of it that has ended, and a directory that no record names."""
    made = Records()
    base = made.layer(10)
    made.container(made.image(made.layer(20, parent=base), tags=["web:1"]), name="web", state=ContainerState.EXITED)
    made.directory(STRANGER)
    return made


def store_of(records: Records, **changes: object) -> Store:
    return replace(records.store(), engine_started=STARTED, **changes)  # type: ignore[arg-type]


def twice(store: Store, *, now: float = NOW) -> Ownership:
    """What the second scan gives of a store that stays the same."""
    return classify(store, now=now + 15, previous=classify(store, now=now))


def verdict(store: Store, name: CacheID = STRANGER, *, now: float = NOW) -> tuple[Owner, Doubt | None]:
    found = twice(store, now=now)
    return found.owners[name], found.doubts.get(name)


def test_an_orphan_takes_two_scans(records: Records) -> None:
    """What nobody can own is suspect at the first scan, when there is no figure of orphans yet, and then an orphan."""
    store = store_of(records)

    first = classify(store, now=NOW)
    second = classify(store, now=NOW + 15, previous=first)

    assert (Owner.SUSPECT, Doubt.FIRST) == (first.owners[STRANGER], first.doubts[STRANGER])
    assert Owner.ORPHAN in first.untold
    assert (Owner.ORPHAN, Doubt.NONE) == (second.owners[STRANGER], second.doubts[STRANGER])
    assert frozenset() == second.untold


def test_every_entry_has_one_owner(records: Records) -> None:
    """Directories, the engine's own entries and the driver's directory: each is somebody's, and the bytes add up."""
    store = store_of(records, internal=frozenset({"l", "backingFsBlockDev"}))

    found = twice(store)

    assert {*store.directories, "l", "backingFsBlockDev", DRIVER_DIRECTORY} == set(found.owners)
    assert len(store.directories) + 2 == sum(found.counts().values())
    measured = dict.fromkeys(found.owners, 4096)
    assert 4096 * len(found.owners) == sum(found.allocated(measured).values())


def test_what_is_not_measured_has_no_figure(records: Records) -> None:
    """One directory that is not measured takes its owner's bytes away, and nobody else's."""
    found = twice(store_of(records))
    measured = {name: 1 for name in found.owners if name != STRANGER}
    assert set(Owner) - {Owner.ORPHAN} == set(found.allocated(measured))


# What records name


def _image_mount(records: Records) -> CacheID:
    image = next(iter(records.images))
    point = MountPoint(destination="/mnt", kind="image", name="", source=str(image), writable=True)
    container = records.container(image, name="other", state=ContainerState.EXITED, mount_points=[point])
    return records.mount(digest(f"{container}-src={image}-dst=/mnt"), records.images[image].chain_ids[-1])


def test_the_owners_that_records_tell(records: Records) -> None:
    """Layers of images, uppers and inits of containers, and images mounted into them."""
    mounted = _image_mount(records)
    store = store_of(records)
    found = twice(store).owners
    (web,) = [name for name, container in store.containers.items() if container.name == "web"]
    upper = store.mounts[web].mount_id
    assert upper is not None
    assert {Owner.IMAGE_LAYER} == {found[CacheID(str(layer.cache_id))] for layer in store.layers.values()}
    assert (Owner.CONTAINER_UPPER, Owner.CONTAINER_INIT) == (found[upper], found[CacheID(f"{upper}-init")])
    assert (Owner.CONTAINER_UPPER, Owner.CONTAINER_INIT) == (found[mounted], found[CacheID(f"{mounted}-init")])


def test_a_layer_that_nothing_uses(records: Records) -> None:
    """It is the build cache's where that uses it or lies on it, else nobody uses it; never is it an orphan."""
    below = records.layer(1)
    top = records.layer(2, parent=below)
    directories = [CacheID(str(records.layers[chain_id].cache_id)) for chain_id in (below, top)]
    unused = twice(store_of(records)).owners
    cached = twice(store_of(records, cache_layers=frozenset({top}))).owners
    assert [Owner.UNREFERENCED_LAYER] * 2 == [unused[name] for name in directories]
    assert [Owner.BUILD_CACHE] * 2 == [cached[name] for name in directories]


def test_a_layer_that_is_being_removed(records: Records) -> None:
    """Its record under another name still names it, however long that lies there."""
    removal = Removal(record="/r", cache_id=STRANGER, renamed=MOMENT)
    assert (Owner.REMOVING, None) == verdict(store_of(records, removals=(removal,)))


def test_the_writable_layer_of_a_builders_step(records: Records) -> None:
    """It may be in use for a day; then, or when the engine was started again, it is left over. It is no orphan."""
    upper = records.mount(digest("step"), None)
    fresh = replace(records.mounts[digest("step")], modified=NOW - 100)
    running = store_of(records, mounts={**records.mounts, digest("step"): fresh})
    assert (Owner.IN_FLIGHT, Doubt.STEP) == verdict(running, upper)
    assert (Owner.LEAKED_MOUNT, None) == verdict(running, upper, now=NOW + 90_000)
    assert (Owner.LEAKED_MOUNT, None) == verdict(store_of(records), upper)


def test_a_mounted_step_is_not_left_over(records: Records) -> None:
    """Whatever its age, what is mounted is in use; so it is where ``merged`` is there and mounts cannot be seen."""
    upper = records.mount(digest("step"), None, mounted=True)
    records.overlaid.clear()
    assert (Owner.LEAKED_MOUNT, None) == verdict(store_of(records), upper)
    assert (Owner.IN_FLIGHT, Doubt.STEP) == verdict(store_of(records, overlaid=frozenset({upper})), upper)
    assert (Owner.IN_FLIGHT, Doubt.STEP) == verdict(store_of(records, unread=frozenset({Source.OVERLAYS})), upper)


def test_where_containers_are_not_known_no_mount_is_left_over(records: Records) -> None:
    """A writable layer may be a container's whose record could not be read."""
    upper = records.mount(digest("step"), None)
    found = twice(store_of(records, unread=frozenset({Source.CONTAINERS})))
    assert Owner.IN_FLIGHT is found.owners[upper]
    assert {Owner.LEAKED_MOUNT, Owner.CONTAINER_UPPER} <= found.untold


# What protects a directory that no record names


def test_what_a_known_directory_lies_on(records: Records) -> None:
    """Its short name is in the lower chain of a directory that a record names, by its ``link`` or by ``l/``."""
    name = next(iter(records.mounts.values())).mount_id
    lower = (str(records.directories[STRANGER].link),)
    records.change_directory(name, lower=lower)
    assert (Owner.IMAGE_LAYER, Doubt.NEEDED) == verdict(store_of(records))
    records.change_directory(STRANGER, link=None)
    assert (Owner.IMAGE_LAYER, Doubt.NEEDED) == verdict(store_of(records))


def test_what_something_unknown_lies_on(records: Records) -> None:
    """What a directory lies on that may be somebody's itself is needed with it."""
    upper = CacheID(digest("younger"))
    records.directory(upper, below=STRANGER)
    records.change_directory(upper, modified=NOW - 10)
    assert (Owner.IMAGE_LAYER, Doubt.NEEDED) == verdict(store_of(records))


def test_an_orphan_on_an_orphan(records: Records) -> None:
    """What only an orphan lies on is one, too."""
    records.directory(CacheID(digest("above")), below=STRANGER)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records))


@pytest.mark.parametrize("lower", [(), None], ids=["empty", "gone"])
def test_a_chain_that_was_lost(records: Records, lower: tuple[str, ...] | None) -> None:
    """Where a known directory does not tell any more what it lies on, that could be anything."""
    records.change_directory(next(iter(records.mounts.values())).init_id, lower=lower)
    assert (Owner.SUSPECT, Doubt.UNREAD) == verdict(store_of(records))


def test_a_short_name_that_leads_nowhere(records: Records) -> None:
    """It could be that of any directory that lost its own, and of no other."""
    records.change_directory(next(iter(records.mounts.values())).init_id, lower=("LOST",))
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records))
    records.change_directory(STRANGER, link="")
    assert (Owner.SUSPECT, Doubt.UNREAD) == verdict(store_of(records))


def test_what_is_mounted(records: Records) -> None:
    """What the kernel has mounted is in use, and so is what that lies on."""
    above = CacheID(digest("above"))
    records.directory(above, below=STRANGER)
    store = store_of(records, overlaid=frozenset({above}))
    assert (Owner.IN_FLIGHT, Doubt.MOUNTED) == verdict(store, above)
    assert (Owner.IMAGE_LAYER, Doubt.NEEDED) == verdict(store)


def test_merged_that_an_engine_left(records: Records) -> None:
    """``merged`` in a directory that is younger than the engine means a mount; in an older one it was left, unless
    mounts cannot be seen."""
    records.change_directory(STRANGER, has_merged=True)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records))
    unseen = store_of(records, unread=frozenset({Source.OVERLAYS}))
    assert (Owner.IN_FLIGHT, Doubt.MOUNTED) == verdict(unseen)
    assert Owner.ORPHAN in twice(unseen).untold
    records.change_directory(STRANGER, has_merged=True, modified=STARTED + 100)
    assert (Owner.IN_FLIGHT, Doubt.MOUNTED) == verdict(store_of(records))


# The engine's start


@pytest.mark.parametrize(
    ("age", "expected"),
    [(10.0, (Owner.IN_FLIGHT, Doubt.YOUNG)), (600.0, (Owner.SUSPECT, Doubt.YOUNGER))],
    ids=["just made", "a while ago"],
)
def test_what_the_running_engine_may_have_made(records: Records, age: float, expected: tuple[Owner, Doubt]) -> None:
    """What is not older than the engine may be known to it alone; it is measured, and no orphan."""
    records.change_directory(STRANGER, linked=NOW - age)
    assert expected == verdict(store_of(records), now=NOW - 15)


@pytest.mark.parametrize("early", [0.5, -5.0, -100_000.0])
def test_the_moment_of_the_start(records: Records, early: float) -> None:
    """What was made within a second before the start, or whenever after, may be the running engine's."""
    records.change_directory(STRANGER, linked=STARTED - early)
    assert (Owner.SUSPECT, Doubt.YOUNGER) == verdict(store_of(records))


def test_without_a_link_the_last_change_counts(records: Records) -> None:
    """A directory without the file that tells when it was made is not older than its own last change."""
    records.change_directory(STRANGER, link=None, linked=None, modified=STARTED + 100)
    assert (Owner.SUSPECT, Doubt.YOUNGER) == verdict(store_of(records))


def test_an_engine_of_which_nothing_is_known(records: Records) -> None:
    """Without the start there is no orphan and no figure of them; without a doubtful directory there are none."""
    store = replace(store_of(records), engine_started=None)
    assert (Owner.SUSPECT, Doubt.START_UNKNOWN) == verdict(store)
    assert Owner.ORPHAN in twice(store).untold
    del records.directories[STRANGER]
    assert Owner.ORPHAN not in twice(replace(store_of(records), engine_started=None)).untold


def test_layers_that_are_being_written(records: Records) -> None:
    """For each record that is being written, one of the youngest directories is no suspect; a stale record counts
    for none."""
    younger = CacheID(digest("younger"))
    records.directory(younger)
    records.change_directory(STRANGER, linked=STARTED + 100)
    records.change_directory(younger, linked=STARTED + 200)
    live = store_of(records, write_sets=(WriteSet(record="/w", modified=NOW - 10),))
    stale = store_of(records, write_sets=(WriteSet(record="/w", modified=MOMENT),))
    assert (Owner.IN_FLIGHT, Doubt.WRITING) == verdict(live, younger)
    assert (Owner.SUSPECT, Doubt.YOUNGER) == verdict(live)
    assert (Owner.SUSPECT, Doubt.YOUNGER) == verdict(stale, younger)


# What was not read, or is missing


@pytest.mark.parametrize(
    "source", [Source.DIRECTORIES, Source.LAYERS, Source.MOUNTS, Source.OVERLAYS, Source.CACHE], ids=str
)
def test_a_source_that_was_not_read(records: Records, source: Source) -> None:
    """Then there is no figure of orphans, suspects and what is in flight, at this scan or at the one after."""
    unread = store_of(records, unread=frozenset({source}))
    assert (Owner.SUSPECT, Doubt.UNREAD) == verdict(unread)
    found = twice(unread)
    assert {Owner.ORPHAN, Owner.SUSPECT, Owner.IN_FLIGHT} <= found.untold
    after = classify(store_of(records), now=NOW + 30, previous=found)
    assert (Owner.SUSPECT, Doubt.FIRST) == (after.owners[STRANGER], after.doubts[STRANGER])


def _lose_a_parent(records: Records) -> None:
    del records.layers[next(iter(records.layers))]


def _lose_a_cache_id(records: Records) -> None:
    records.change_layer(next(iter(records.layers)), cache_id=None)


def _lose_a_top(records: Records) -> None:
    del records.layers[list(records.layers)[-1]]


def _lose_a_mount(records: Records) -> None:
    records.mounts.clear()


def _lose_a_mount_id(records: Records) -> None:
    name, mount = next(iter(records.mounts.items()))
    records.mounts[name] = replace(mount, mount_id=None)


def _lose_what_a_mount_lies_on(records: Records) -> None:
    records.images.clear()
    name, mount = next(iter(records.mounts.items()))
    records.mounts[name] = replace(mount, parent=ChainID("sha256:" + digest("lost")))


@pytest.mark.parametrize(
    "lose",
    [_lose_a_parent, _lose_a_cache_id, _lose_a_top, _lose_a_mount, _lose_a_mount_id, _lose_what_a_mount_lies_on],
    ids=lambda lose: lose.__name__.removeprefix("_lose_"),
)
def test_a_record_that_is_missing(records: Records, lose: Callable[[Records], None]) -> None:
    """A record that others need, and that is not there, could have named any directory."""
    lose(records)
    found = twice(store_of(records))
    assert Owner.ORPHAN not in found.owners.values()
    assert Owner.ORPHAN in found.untold


def test_a_container_that_is_being_removed_lacks_nothing(records: Records) -> None:
    """Its mount goes before its record does."""
    for name, container in records.containers.items():
        records.containers[name] = replace(container, removing=True)
        upper = records.mounts.pop(name).mount_id
        for directory in (str(upper), f"{upper}-init"):
            del records.directories[CacheID(directory)]
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records))


def test_a_builders_database_that_was_deleted(records: Records) -> None:
    """The engine goes on with one that is deleted: what has a builder's name may be in it. Others cannot be."""
    records.directory(CACHED)
    gone = store_of(records, has_cache_rows=False)
    assert (Owner.SUSPECT, Doubt.UNREAD) == verdict(gone, CACHED)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(gone)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records), CACHED)


@pytest.mark.parametrize("name", ["backup", "0" * 63, "A" * 64, "0" * 26, f"{'0' * 64}-init-init", "lost.found"])
def test_a_name_that_the_engine_does_not_give(records: Records, name: str) -> None:
    """Somebody put it there, who may want it back."""
    records.directory(CacheID(name))
    assert (Owner.SUSPECT, Doubt.FOREIGN) == verdict(store_of(records), CacheID(name))


@pytest.mark.parametrize("name", [digest("x"), f"{digest('x')}-init", CACHED])
def test_the_names_that_the_engine_gives(records: Records, name: str) -> None:
    """64 hex digits, those with ``-init``, 25 of BuildKit's."""
    records.directory(CacheID(name))
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records), CacheID(name))


# Mounts that cannot be seen


def test_running_containers_whose_mounts_are_not_seen(records: Records) -> None:
    """Where containers run and none of them is mounted, mounts cannot be seen, and there is no orphan."""
    image = next(iter(records.images))
    ran = [records.container(image, name=name, state=ContainerState.RUNNING) for name in ("a", "b")]
    records.overlaid.clear()
    unseen = store_of(records)
    seen = store_of(records, overlaid=frozenset({CacheID(str(records.mounts[ran[0]].mount_id))}))
    assert (Owner.SUSPECT, Doubt.UNREAD) == verdict(unseen)
    assert Owner.ORPHAN in twice(unseen).untold
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(seen)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(replace(unseen, engine="sample"))


def test_a_container_that_is_just_ending(records: Records) -> None:
    """One whose ``merged`` is gone is not mounted any more, whatever its record says yet."""
    image = next(iter(records.images))
    name = records.container(image, name="ending", state=ContainerState.RUNNING)
    records.change_directory(records.mounts[name].mount_id, has_merged=False)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(records))


# What a record named before


def released(records: Records, *, at: float = NOW) -> tuple[Store, Ownership]:
    """A row of the build cache names the stranger at one scan; then it is deleted. The store without, and what the
    first scan gave."""
    named = store_of(records, cache_directories=frozenset({STRANGER}))
    return store_of(records), classify(named, now=at)


def test_what_a_record_named_until_lately(records: Records) -> None:
    """The builder deletes the row first and then the files, which may take long: the engine is removing it."""
    store, known = released(records)
    for scan in range(1, 10):
        known = classify(store, now=NOW + 15 * scan, previous=known)
        assert (Owner.REMOVING, Doubt.RELEASED) == (known.owners[STRANGER], known.doubts[STRANGER])
    assert frozenset() == known.untold


def test_what_was_released_before_the_engine_was_started_again(records: Records) -> None:
    """A new engine does not go on with it: it is left over."""
    store, known = released(records)
    known = classify(store, now=NOW + 15, previous=known)
    again = replace(store, engine_started=NOW + 60)
    known = classify(again, now=NOW + 75, previous=known)
    known = classify(again, now=NOW + 90, previous=known)
    assert (Owner.ORPHAN, Doubt.NONE) == (known.owners[STRANGER], known.doubts[STRANGER])


def test_what_was_released_a_day_ago(records: Records) -> None:
    """No removal takes a day: the engine failed at it."""
    store, known = released(records)
    for later in (15, 90_000, 90_015):
        known = classify(store, now=NOW + later, previous=known)
    assert (Owner.ORPHAN, Doubt.NONE) == (known.owners[STRANGER], known.doubts[STRANGER])


def test_a_row_that_could_not_be_read_for_a_while(records: Records) -> None:
    """A scan that does not read the builder's rows releases nothing; what is gone after it is released all the same."""
    store, known = released(records)
    unread = replace(store, unread=frozenset({Source.CACHE}))
    known = classify(unread, now=NOW + 15, previous=known)
    assert (Owner.SUSPECT, Doubt.UNREAD) == (known.owners[STRANGER], known.doubts[STRANGER])
    again = classify(replace(store, cache_directories=frozenset({STRANGER})), now=NOW + 30, previous=known)
    assert (Owner.BUILD_CACHE, {}) == (again.owners[STRANGER], again.released)
    known = classify(store, now=NOW + 30, previous=known)
    assert (Owner.REMOVING, Doubt.RELEASED) == (known.owners[STRANGER], known.doubts[STRANGER])


def test_what_is_gone_is_forgotten(records: Records) -> None:
    """A directory that was removed is remembered no longer than that takes."""
    store, known = released(records)
    known = classify(store, now=NOW + 15, previous=known)
    del records.directories[STRANGER]
    known = classify(store_of(records), now=NOW + 30, previous=known)
    assert ({}, True) == (known.released, STRANGER not in known.named)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (STARTED + 100, (Owner.REMOVING, Doubt.RELEASED)),
        (STARTED - 100, (Owner.ORPHAN, Doubt.NONE)),
        (None, (Owner.ORPHAN, Doubt.NONE)),
    ],
    ids=["under this engine", "before", "no short names at all"],
)
def test_a_directory_without_its_short_name(
    records: Records, changed: float | None, expected: tuple[Owner, Doubt]
) -> None:
    """The engine deletes the short name first, so one look tells that the rest may be under way, unless no short name
    came or went since the engine was started."""
    del records.short_links[str(records.directories[STRANGER].link)]
    assert expected == verdict(store_of(records, short_links_changed=changed))


def test_a_removal_that_was_cut_off_long_ago(records: Records) -> None:
    """What was told to be an orphan stays one when other short names come and go; what was not is one after a day."""
    del records.short_links[str(records.directories[STRANGER].link)]
    known = twice(store_of(records, short_links_changed=STARTED - 100))
    busy = store_of(records, short_links_changed=NOW)
    assert Owner.ORPHAN is classify(busy, now=NOW + 30, previous=known).owners[STRANGER]
    known, seen = twice(busy), []
    for later in (80_000, 90_000, 90_015, 90_030):
        known = classify(busy, now=NOW + later, previous=known)
        seen.append(known.owners[STRANGER])
    assert [Owner.REMOVING, Owner.SUSPECT, Owner.ORPHAN, Owner.ORPHAN] == seen


# Stores beside each other


def test_a_remapped_root_knows_nothing_of_the_plain_one() -> None:
    """Each root's directories are named by its own records alone."""
    plain, remapped = Records(), Records(root=f"{ROOT}/100000.100000", name="100000.100000/overlay2")
    for made in (plain, remapped):
        made.container(made.image(made.layer(1), tags=["web:1"]), name="web", state=ContainerState.EXITED)
    plain.directory(STRANGER)
    remapped.mount(ContainerID("builder"), None)
    assert (Owner.ORPHAN, Doubt.NONE) == verdict(store_of(plain))
    assert Owner.ORPHAN not in twice(store_of(remapped)).owners.values()
