"""Whatever a store holds, sound or not: each entry has one owner, and no orphan is anything else's."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.account.owners import DRIVER_DIRECTORY, Owner, Ownership
from exporter.account.ownership import classify
from exporter.account.reclaim import Kind, removable
from exporter.store.catalog import Source, Store
from exporter.store.entries import CacheID, ContainerState, Directory, Removal, WriteSet
from exporter.store.overlays import mounted_directories, propagates
from exporter.store.records import Scan, open_folder
from exporter.store.remains import read_removals, read_write_sets
from tests.property.stores import records

NOW = 2_000_000_000.0
LONG_AGO = NOW - 200_000
MOMENTS = st.sampled_from([LONG_AGO, NOW - 5_000, NOW - 100, NOW - 1, NOW + 50])
NAMES = [CacheID(digit * 64) for digit in "0123"] + [CacheID("x" * 25), CacheID("backup")]
SHORTS = st.sampled_from(["A", "B", "C", "D", "E", "F"])
LINKS = st.dictionaries(SHORTS, st.sampled_from(NAMES).map("../{}/diff".format))


@st.composite
def strangers(draw: st.DrawFn, *, plain: bool) -> Directory:
    """A directory that no record names: left by a crash long ago, or anything."""
    name = draw(st.sampled_from(NAMES))
    return Directory(
        name=name,
        link=f"OF{name[0]}" if plain else draw(st.none() | st.just("") | SHORTS),
        lower=None if plain else draw(st.none() | st.lists(SHORTS, max_size=3).map(tuple)),
        committed=False,
        has_diff=True,
        has_work=not plain and draw(st.booleans()),
        has_merged=not plain and draw(st.booleans()),
        modified=LONG_AGO if plain else draw(MOMENTS),
        linked=None if plain else draw(st.none() | MOMENTS),
    )


@st.composite
def crowds(draw: st.DrawFn) -> Store:
    """A store with directories that no record names. Half of them are at rest; in the others anything may be mounted,
    cached, half gone or needed, records may be lost and sources unread."""
    plain = draw(st.booleans())
    made = draw(records(sound=plain)).store()
    found = draw(st.lists(strangers(plain=plain), max_size=4))
    directories = {**made.directories, **{directory.name: directory for directory in found}}
    running = {made.upper_of(name) for name, container in made.containers.items() if container.state in _MOUNTED}
    links = {str(directory.link): f"../{directory.name}/diff" for directory in found if directory.link}
    at_rest = replace(
        made,
        directories=directories,
        short_links={**made.short_links, **links},
        internal=frozenset({"l"}),
        overlaid=frozenset(name for name in running if name is not None),
        cache_layers=draw(st.frozensets(st.sampled_from([*made.layers]), max_size=2)) if made.layers else frozenset(),
        engine_started=NOW - 10_000,
    )
    return at_rest if plain else draw(_disturbed(at_rest))


_MOUNTED = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})


@st.composite
def _disturbed(draw: st.DrawFn, store: Store) -> Store:
    some = (
        st.frozensets(st.sampled_from([*store.directories]), max_size=2) if store.directories else st.just(frozenset())
    )
    return replace(
        store,
        short_links={**store.short_links, **draw(LINKS)},
        short_links_changed=draw(st.none() | MOMENTS),
        removals=tuple(Removal(record=f"/r/{name}", cache_id=name, renamed=NOW) for name in draw(some)),
        write_sets=tuple(WriteSet(record="/w", modified=at) for at in draw(st.lists(MOMENTS, max_size=2))),
        cache_directories=draw(some),
        has_cache_rows=draw(st.booleans()),
        overlaid=store.overlaid | draw(some) if draw(st.booleans()) else draw(some),
        engine_started=draw(st.none() | MOMENTS),
        unread=draw(st.frozensets(st.sampled_from(Source), max_size=1)) if draw(st.booleans()) else frozenset(),
    )


def named(store: Store) -> set[CacheID | None]:
    """What any record names, by the records alone."""
    return {
        *(layer.cache_id for layer in store.layers.values()),
        *(name for mount in store.mounts.values() for name in (mount.mount_id, mount.init_id)),
        *(CacheID(f"{mount.mount_id}-init") for mount in store.mounts.values()),
        *(removal.cache_id for removal in store.removals),
        *store.cache_directories,
    }


def needed(store: Store, above: CacheID) -> Iterator[CacheID]:
    """What a directory lies on."""
    for short in store.directories[above].lower or ():
        yield CacheID(store.short_links.get(short, "//").split("/")[1])
        yield from (name for name, directory in store.directories.items() if directory.link == short)


@settings(max_examples=150)
@given(store=crowds(), before=st.none() | crowds())
def test_owners(store: Store, before: Store | None) -> None:
    """Every entry has one owner, whatever the scan before was of; an orphan meets each condition by itself."""
    first = classify(store, now=NOW - 15, previous=None if before is None else classify(before, now=NOW - 30))
    found = classify(store, now=NOW, previous=first)
    assert {*store.directories, CacheID("l"), DRIVER_DIRECTORY} == found.owners.keys()
    assert found.counts().keys().isdisjoint(found.untold)
    if not found.untold:
        assert len(found.owners) - 1 == sum(found.counts().values())
        assert len(found.owners) == sum(found.allocated(dict.fromkeys(found.owners, 1)).values())
    for name in found.of(Owner.ORPHAN):
        assert name not in named(store) | store.overlaid
        assert store.directories[name].made < (store.engine_started or 0) - 1
        assert not store.unread & {Source.DIRECTORIES, Source.LAYERS, Source.MOUNTS, Source.OVERLAYS, Source.CACHE}
        assert first.owners[name] in {Owner.SUSPECT, Owner.ORPHAN}
        assert name != "backup"
    live = {name for name in store.directories if name in named(store)} | (store.overlaid & store.directories.keys())
    for above in live:
        assert {found.owners.get(name) for name in needed(store, above)} & {Owner.ORPHAN} == set()


@settings(max_examples=150)
@given(store=crowds())
def test_what_can_be_removed(store: Store) -> None:
    """What goes with a kind is there, and is nothing that those need who stay."""
    ownership = classify(store, now=NOW, previous=Ownership(owners={}))
    found = removable(store, ownership)
    for what in found.values():
        assert what.directories <= store.directories.keys()
    used = {container.image_id for container in store.containers.values()}
    kept = {layer for name, image in store.images.items() if name in used for layer in image.chain_ids}
    if Kind.UNUSED_IMAGES in found:
        assert found[Kind.DANGLING_IMAGES].directories <= found[Kind.UNUSED_IMAGES].directories
        assert not {store.layers[layer].cache_id for layer in kept} & found[Kind.UNUSED_IMAGES].directories
        uppers = {store.upper_of(name) for name in store.containers}
        own = {layer.cache_id for layer in store.layers.values()}
        for kind in (Kind.DANGLING_IMAGES, Kind.UNUSED_IMAGES):
            assert not (uppers - own) & found[kind].directories
    if Kind.EXITED_CONTAINERS in found:
        running = {
            store.upper_of(name)
            for name, container in store.containers.items()
            if container.state is ContainerState.RUNNING
        }
        assert not running & found[Kind.EXITED_CONTAINERS].directories


@given(lines=st.lists(st.text() | st.from_regex(r"1 1 0:1 / /[a-z\\0-7]{0,9} rw( [a-z]+:1)? - overlay x .{0,40}")))
def test_any_mountinfo(lines: list[str]) -> None:
    """Whatever a line holds, it names directories or none."""
    assert all(isinstance(directory, str) for directory in mounted_directories(lines))
    assert propagates(lines, "/var/lib/docker") in {True, False}


@settings(max_examples=150)
@given(
    files=st.dictionaries(st.sampled_from(["cache-id", "diff", "size", "tar-split.json.gz"]), st.binary(max_size=100)),
    suffix=st.sampled_from(["1", "0" * 64]),
)
def test_any_remains(files: dict[str, bytes], suffix: str) -> None:
    """Whatever lies in a record that is being removed or written: it is one, with a plain name or a problem."""
    with tempfile.TemporaryDirectory() as home:
        for record in (f"{'0' * 64}-{suffix}-removing", "write-set-1"):
            directory = Path(home, record)
            directory.mkdir()
            for name, content in files.items():
                (directory / name).write_bytes(content)
        scan = Scan(now=NOW, turn=1)
        with open_folder(home) as folder:
            (removal,) = read_removals(folder, scan)
            (write_set,) = read_write_sets(folder, scan)
    assert (removal.cache_id is None) == (not files.get("cache-id") or bool(scan.problems))
    assert removal.cache_id is None or "/" not in removal.cache_id
    assert write_set.modified > 0
