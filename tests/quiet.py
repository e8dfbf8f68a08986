"""A machine on which nothing runs: tests of stores on disk must not see the engines and mounts of the real one."""

from pathlib import Path

QUIET_PROC = str(Path(__file__).parent / "quiet_proc")
"""Like ``/proc``, without a process and without a mount."""
