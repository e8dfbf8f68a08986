"""A small engine root to damage, and how to look at it."""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.sample.builder import StoreBuilder
from exporter.sample.leftovers import builder_mount
from exporter.store.catalog import Catalog, Problem, Store
from exporter.store.detect import Root
from exporter.store.entries import ChainID, ContainerID, ImageID, MountPoint
from exporter.store.scanner import Scanner
from exporter.survey import RecordSurvey
from tests.quiet import QUIET_PROC

LATER = 600.0
"""Seconds: by then everything that a test wrote has settled, and what is still empty is not about to be filled in; but
what was being removed or built may still be."""
NO_CONFIG = "/nonexistent/daemon.json"


class HeldClock:
    """A clock that stands still; while somebody sleeps by it, *meanwhile* happens."""

    def __init__(self, *, ahead: float = LATER, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.time = time.time() + ahead
        self.slept: list[float] = []
        self.meanwhile = meanwhile

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def cpu(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.meanwhile()


def scanner(*roots: Path, daemon_config: str = NO_CONFIG) -> Scanner:
    """A scanner of these roots that no configuration of this machine influences."""
    first, *others = [Root(path=str(root)) for root in roots]
    return Scanner(
        (first, *(Root(path=root.path, prefix=f"{root.path}/") for root in others)),
        daemon_config=daemon_config,
        proc=QUIET_PROC,
    )


def record_survey(*roots: Path, clock: HeldClock | None = None) -> RecordSurvey:
    """A survey of these roots whose second look takes no time."""
    return RecordSurvey(
        [Root(path=str(root)) for root in roots],
        clock=clock or HeldClock(),
        daemon_config=NO_CONFIG,
        proc=QUIET_PROC,
    )


def scan(root: Path) -> Store:
    """The one store below *root*, as a first scan reads it, long after it was written."""
    (store,) = scanner(root).scan(time.time() + LATER).stores
    return store


def survey(root: Path) -> Store:
    """The one store below *root*, with the problems that two looks agree on."""
    (store,) = record_survey(root).catalog().stores
    return store


def problems_of(catalog: Catalog) -> list[Problem]:
    """All problems, those of no store included."""
    return [*catalog.problems, *(problem for store in catalog.stores for problem in store.problems)]


def without_problems(store: Store) -> dict[str, object]:
    """What the records say, without what is wrong with them."""
    return {
        name: getattr(store, name)
        for name in ("layers", "images", "references", "containers", "mounts", "directories", "short_links")
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Two bases, three images that share layers, two containers, a classic build's leftover."""

    store: StoreBuilder
    base: ChainID
    middle: ChainID
    top: ChainID
    other: ChainID
    """A base that only one image, and no container, uses."""
    parent: ImageID
    web: ImageID
    """Built on ``parent``; of base, middle and top."""
    tool: ImageID
    """Of ``other`` alone."""
    running: ContainerID
    exited: ContainerID
    builder: str
    """The name of a writable layer that is no container's."""

    @property
    def root(self) -> Path:
        """The engine's root."""
        return self.store.root

    @property
    def records(self) -> Path:
        """``image/overlay2``."""
        return self.root / "image" / self.store.driver

    def layer(self, chain: ChainID) -> Path:
        """A layer's record."""
        return self.store.layerdb.layer(chain)

    def content(self, image: ImageID) -> Path:
        """An image's configuration."""
        return self.records / "imagedb" / "content" / "sha256" / image.removeprefix("sha256:")

    def metadata(self, image: ImageID) -> Path:
        """What the engine knows of an image besides."""
        return self.records / "imagedb" / "metadata" / "sha256" / image.removeprefix("sha256:")

    def mount(self, name: str) -> Path:
        """A mount's record."""
        return self.records / "layerdb" / "mounts" / name

    def directory(self, chain: ChainID) -> Path:
        """A layer's storage directory."""
        return self.store.graph.home / self.store.layers[chain].cache_id

    def upper(self, container: ContainerID) -> Path:
        """A container's storage directory."""
        return self.store.upper_path(container).parent

    def remove_upper(self, container: ContainerID) -> None:
        """Remove a container's storage directory as the engine does: its short link goes first."""
        directory = self.upper(container)
        (self.store.graph.home / "l" / (directory / "link").read_text()).unlink()
        shutil.rmtree(directory)

    def container(self, container: ContainerID) -> Path:
        """A container's records."""
        return self.store.container_path(container)


def build_host(root: Path, *, driver: str = "overlay2") -> Host:
    """Write the host below *root*."""
    store = StoreBuilder(root, driver=driver)
    base = store.layer({"etc/os-release": b"one\n", "bin/sh": 1000})
    middle = store.layer({"usr/lib/library.so": 3000}, parent=base)
    top = store.layer({"srv/app": 200}, parent=middle)
    other = store.layer({"bin/tool": 500})
    parent = store.image(middle)
    web = store.image(top, tags=["web:1", "example.org/web:1"], parent=parent)
    tool = store.image(other, tags=["tool"], digests=[f"tool@sha256:{'d' * 64}"])
    data = MountPoint(destination="/data", kind="volume", name="data", source="", writable=True)
    running = store.container(web, name="web-1", files={"tmp/x": 10}, log_bytes=100, mount_points=[data])
    exited = store.container(web, name="job", state="exited", storage_opt_size="10G")
    return Host(
        store=store,
        base=base,
        middle=middle,
        top=top,
        other=other,
        parent=parent,
        web=web,
        tool=tool,
        running=running,
        exited=exited,
        builder=builder_mount(store, top),
    )


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Let *change* alter a JSON record, and replace it as the engine does."""
    document = json.loads(path.read_bytes())
    change(document)
    beside = path.with_name(f".tmp-{path.name}1")
    beside.write_text(json.dumps(document))
    beside.rename(path)


NOBODY = 65534


def give_away(above: Path) -> None:
    """Let the user without any privilege own a directory and all that is in it now."""
    if os.geteuid() == 0:
        for directory, _, files in os.walk(above):
            for path in (directory, *(f"{directory}/{name}" for name in files)):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user without any privilege, whoever runs the tests. Files of others with mode 0 are then unreadable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def make_sparse(path: Path, size: int) -> None:
    """A file of so many bytes, all of them hole."""
    with path.open("wb") as file:
        file.truncate(size)


def strerror(number: int) -> str:
    """The system's words for an error."""
    return os.strerror(number)


DENIED = strerror(errno.EACCES)
