"""What measuring a tree gives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One directory tree's use of the disk, each inode counted once however many names it has.

    The definitions are those of the metrics contract: *size* equals the engine's ``SizeRw``, *allocated* equals
    ``du -s --block-size=1``.
    """

    size: int
    """Apparent bytes: Σ ``st_size`` over everything but directories; a symlink counts its length, a whiteout 0."""
    allocated: int
    """Bytes on disk: Σ ``st_blocks`` × 512, directories and the top directory included."""
    inodes: int
    """Inodes looked at and counted, the top directory included: as ``du --inodes -s``."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            size=self.size + other.size,
            allocated=self.allocated + other.allocated,
            inodes=self.inodes + other.inodes,
        )


EMPTY = Usage(size=0, allocated=0, inodes=0)
