"""The graph driver's half of a store: one directory for each layer, ``overlay2/<cache-id>/``.

The order of steps is that of moby's ``daemon/graphdriver/overlay2``, so that a reader meets the same half-made states.
"""

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from exporter.sample.disk import make_directory, write_record
from exporter.sample.tree import File, Folder, Whiteout, beneath, entries, write_tree
from exporter.store.entries import CacheID

_LINK_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class GraphDriver(Protocol):
    """What the layer store asks of a driver."""

    home: Path
    """The directory that holds the storage directories."""

    def create(self, name: CacheID, parent: CacheID | None) -> None:
        """Make an empty storage directory on top of ``parent``."""

    def apply(self, name: CacheID, files: Mapping[str, File]) -> None:
        """Write a layer's files into it."""

    def mount(self, name: CacheID) -> None:
        """Leave what a mount leaves on disk; nothing is mounted."""

    def unmount(self, name: CacheID) -> None:
        """Take away what only a mounted directory has."""

    def remove(self, name: CacheID) -> None:
        """Delete the storage directory."""

    def files(self, name: CacheID) -> Path:
        """The directory that holds the layer's files."""


class Overlay:
    """The drivers ``overlay2`` and ``fuse-overlayfs``, which share a layout."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.home = home
        self._rng = rng
        make_directory(home, 0o710)
        make_directory(home / "l", 0o700)

    def create(self, name: CacheID, parent: CacheID | None) -> None:
        """``diff``, short link, ``link``; with a parent also ``work``, the parent's ``committed``, and ``lower``."""
        directory = make_directory(self.home / name, 0o710)
        make_directory(directory / "diff", 0o755)
        link = "".join(self._rng.choices(_LINK_ALPHABET, k=26))
        (self.home / "l" / link).symlink_to(f"../{name}/diff")
        write_record(directory / "link", link)
        if parent is None:
            return
        make_directory(directory / "work", 0o700)
        below = self.home / parent
        write_record(below / "committed", b"", 0o600)
        lowers = [f"l/{(below / 'link').read_text()}"]
        if (below / "lower").exists():
            lowers.append((below / "lower").read_text())
        write_record(directory / "lower", ":".join(lowers))

    def apply(self, name: CacheID, files: Mapping[str, File]) -> None:
        """Write the files into ``diff``."""
        write_tree(self.files(name), files)

    def mount(self, name: CacheID) -> None:
        """Make ``merged`` and the kernel's own ``work/work``; a directory without a parent is used as it is."""
        directory = self.home / name
        if not (directory / "lower").exists():
            return
        make_directory(directory / "merged", 0o700)
        # The kernel gives work/work no permissions. Who is not root could then never list his own demo.
        make_directory(directory / "work" / "work", 0o000 if os.geteuid() == 0 else 0o700)

    def unmount(self, name: CacheID) -> None:
        """Remove ``merged``."""
        merged = self.home / name / "merged"
        if merged.exists():
            merged.rmdir()

    def remove(self, name: CacheID) -> None:
        """Delete the short link, then the directory."""
        directory = self.home / name
        (self.home / "l" / (directory / "link").read_text()).unlink()
        shutil.rmtree(directory)

    def files(self, name: CacheID) -> Path:
        """``<name>/diff``."""
        return self.home / name / "diff"


class Vfs:
    """The driver ``vfs``: every directory a full copy of its parent, with its own changes applied."""

    def __init__(self, home: Path) -> None:
        self.home = make_directory(home / "dir", 0o710)

    def create(self, name: CacheID, parent: CacheID | None) -> None:
        """Copy the parent."""
        if parent is None:
            make_directory(self.home / name, 0o755)
        else:
            shutil.copytree(self.home / parent, self.home / name, symlinks=True)

    def apply(self, name: CacheID, files: Mapping[str, File]) -> None:
        """Replace what the layer changes, and delete what it whites out."""
        top = self.home / name
        for entry, file in entries(files):
            path = beneath(top, entry)
            if path.is_dir() and not path.is_symlink() and not isinstance(file, Folder):
                shutil.rmtree(path)
            elif not isinstance(file, Folder):
                path.unlink(missing_ok=True)
        write_tree(top, {path: file for path, file in files.items() if not isinstance(file, Whiteout)})

    def mount(self, name: CacheID) -> None:
        """A copy needs no mount."""

    def unmount(self, name: CacheID) -> None:
        """A copy needs no mount."""

    def remove(self, name: CacheID) -> None:
        """Delete the copy."""
        shutil.rmtree(self.home / name)

    def files(self, name: CacheID) -> Path:
        """``dir/<name>``."""
        return self.home / name


def graph_driver(driver: str, root: Path, rng: random.Random) -> GraphDriver:
    """The driver's directory below the engine's root, made if need be.

    Raises:
        ValueError: the sample cannot write this driver's layout.
    """
    match driver:
        case "overlay2" | "fuse-overlayfs":
            return Overlay(root / driver, rng)
        case "vfs":
            return Vfs(root / driver)
        case _:
            raise ValueError(f"no sample of the driver {driver!r}: only overlay2, fuse-overlayfs and vfs")
