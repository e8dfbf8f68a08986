"""A machine on which nothing runs: tests of stores on disk must not see the engines and mounts of the real one."""

import tempfile
from pathlib import Path
from typing import Final


def _build(proc: Path) -> None:
    # Some tests read it without privileges, so it may not lie below a directory that is closed to others.
    proc.chmod(0o755)
    (proc / "self" / "ns").mkdir(parents=True)
    (proc / "self" / "ns" / "pid").symlink_to("pid:[4026531836]")
    (proc / "1").mkdir()
    for process in ("self", "1"):
        (proc / process / "mountinfo").touch()
    (proc / "stat").write_text("btime 1600000000\n")


_DIRECTORY: Final = tempfile.TemporaryDirectory(prefix="layerstore-quiet-")
_build(Path(_DIRECTORY.name))

QUIET_PROC = _DIRECTORY.name
"""Like ``/proc``, without a process and without a mount."""
