"""The commands for people, from the shell's prompt to their last line, beside ``du`` of the same root."""

import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure, du, in_turn


def figures(root: Path) -> list[Figure]:
    """``report`` and ``check`` of the host at *root*, the former measures all of it."""
    return [_beside_du("report", root), _beside_du("check", root)]


def _beside_du(command: str, root: Path) -> Figure:
    def run() -> None:
        arguments = [sys.executable, "-m", "exporter", command, "--path.docker-root", str(root)]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    ours, theirs = in_turn(run, lambda: du(str(root)))
    return Figure(
        what=f"{command}, the whole command",
        value=ours / theirs,
        unit="times du",
        limit=1.2,
        reference=f"{ours:.2f} s; du -s {theirs:.2f} s; wall time, medians of 5",
    )
