"""Whose the entries of a driver's directory are, as values. The rule is in ``ownership``."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.store.entries import CacheID


class Owner(enum.StrEnum):
    """Whose a storage directory is. Values are label values: part of the metrics contract."""

    IMAGE_LAYER = "image_layer"
    """A read-only layer that an image, a container or another writable layer is built on."""
    CONTAINER_UPPER = "container_upper"
    """What a container wrote, or writes into an image that is mounted into it."""
    CONTAINER_INIT = "container_init"
    """What the engine lays between a container's image and its upper layer."""
    BUILD_CACHE = "build_cache"
    """A step's result that the builder keeps, and a layer that nobody but the build cache uses."""
    UNREFERENCED_LAYER = "unreferenced_layer"
    """A layer that is recorded and that no image, no writable layer and no build cache uses. The engine never removes
    it; it could be used again by a pull of the same layer."""
    LEAKED_MOUNT = "leaked_mount"
    """A writable layer that is recorded, belongs to no container, is not mounted, and is older than the running engine
    or than a day: left over from a build that was cut off. The engine never removes it."""
    REMOVING = "removing"
    """A layer that the engine is removing, or failed to: it tries again when it is shut down in good order. Also what
    the running engine's records named until lately: it deletes the record of a build's cache first, then its files."""
    IN_FLIGHT = "in_flight"
    """Something that is being made or used at this moment: no record names it yet, but it is mounted, or made within
    the last minute, or a layer's record is being written; also the writable layer of a build step."""
    SUSPECT = "suspect"
    """No record names it, and it is not known to be an orphan: made since the engine was started, or seen for the first
    time, or something could not be read that might name it."""
    ORPHAN = "orphan"
    """Nobody's: left over from a pull or a build that the engine did not survive. The engine never finds it."""
    INTERNAL = "internal"
    """The driver's own: short links, the files that it tries out the kernel with, the directory's own blocks."""


class Doubt(enum.StrEnum):
    """Why a directory counts as what it does, where no record names it, or none that tells whose it is."""

    NEEDED = "needed"
    """A directory that a record names lies on it."""
    MOUNTED = "mounted"
    YOUNG = "young"
    """Made within the last minute."""
    WRITING = "writing"
    """A layer's record is being written, and it is one of the youngest."""
    STEP = "step"
    """It is recorded as a writable layer of no container, which a build step may be using."""
    RELEASED = "released"
    """A record named it at an earlier scan, or it lost its short name, which the engine deletes first; and the engine
    that may have done that still runs: it is being removed."""
    FOREIGN = "foreign"
    """The engine gives no directory such a name: somebody else made it."""
    UNREAD = "unread"
    """Not everything that could name it was read, or is there."""
    START_UNKNOWN = "start_unknown"
    """When the engine was started is not known, so it may hold this in memory."""
    YOUNGER = "younger"
    """Made since the engine was started, so it may hold this in memory."""
    FIRST = "first"
    """Seen for the first time."""
    NONE = "none"
    """There is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The owners of one store's directories at one moment."""

    owners: Mapping[CacheID, Owner]
    """Every entry of the driver's directory, and ``.`` for that directory itself."""
    doubts: Mapping[CacheID, Doubt] = field(default_factory=dict)
    """What is known of those that no record names, or none that tells whose they are."""
    candidates: frozenset[CacheID] = frozenset()
    """What an orphan can be at the next scan."""
    named: frozenset[CacheID] = frozenset()
    """What records named, now or at the last scan that read all of them."""
    released: Mapping[CacheID, float] = field(default_factory=dict)
    """What the engine is removing, as it seems, and since when that is so, Unix seconds."""
    untold: frozenset[Owner] = frozenset()
    """The owners of which not all directories could be told."""

    def of(self, owner: Owner) -> tuple[CacheID, ...]:
        """The directories of an owner."""
        return tuple(name for name, whose in self.owners.items() if whose is owner)

    def counts(self) -> Mapping[Owner, int]:
        """How many entries each owner has; without those owners of which that is not known."""
        counts = dict.fromkeys((owner for owner in Owner if owner not in self.untold), 0)
        for name, owner in self.owners.items():
            if owner in counts and name != DRIVER_DIRECTORY:
                counts[owner] += 1
        return counts

    def allocated(self, measured: Mapping[CacheID, int]) -> Mapping[Owner, int]:
        """Allocated bytes of each owner; without those of which anything is not known or not *measured*."""
        sums = dict.fromkeys((owner for owner in Owner if owner not in self.untold), 0)
        for name, owner in self.owners.items():
            size = measured.get(name)
            if size is None:
                sums.pop(owner, None)
            elif owner in sums:
                sums[owner] += size
        return sums


DRIVER_DIRECTORY = CacheID(".")
"""What the driver's directory itself goes by among its entries."""
