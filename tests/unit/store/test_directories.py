"""The graph directory: what each storage directory says of itself."""

import os

from exporter.store.entries import CacheID
from tests.unit.store.hosts import Host, survey


def test_what_a_directory_says(host: Host) -> None:
    """Of an upper layer that is mounted now."""
    store = survey(host.root)
    upper = store.directories[CacheID(host.upper(host.running).name)]
    assert (upper.has_diff, upper.has_work, upper.has_merged, upper.committed, upper.is_init) == (
        True,
        True,
        True,
        False,
        False,
    )
    below = [store.short_links[short].split("/")[1] for short in upper.lower or ()]
    assert below == [
        f"{upper.name}-init",
        *(host.store.layers[chain].cache_id for chain in (host.top, host.middle, host.base)),
    ]


def test_a_base(host: Host) -> None:
    """It has no ``lower`` and no ``work``."""
    base = survey(host.root).directories[host.store.layers[host.base].cache_id]
    assert (base.lower, base.has_work, base.has_merged, base.committed) == (None, False, False, True)


def test_an_init_layer(host: Host) -> None:
    """By its name."""
    directories = survey(host.root).directories
    assert sum(directory.is_init for directory in directories.values()) == 2


def test_what_is_no_storage_directory(host: Host) -> None:
    """The engine's own files, what it tries the kernel out with, and the filesystem's."""
    home = host.store.graph.home
    for name in ("check-overlayfs-support123", "opaque-bug-check1", "metacopy-check2", "lost+found"):
        (home / name).mkdir()
    (home / "backingFsBlockDev").write_text("")
    store = survey(host.root)
    assert (len(store.directories), store.problems) == (9, ())


def test_any_name_is_a_directorys(host: Host) -> None:
    """Whatever lies there takes disk, so it is there; a name that is no text as well."""
    name = os.fsdecode(b"\xff\n'")
    (host.store.graph.home / name).mkdir()
    assert CacheID(name) in survey(host.root).directories
