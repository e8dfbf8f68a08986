"""Gives up writing, by all that the kernel has for it.

Whoever runs this need not believe that it only reads, and a mistake in it that a hostile container finds stays one of
reading.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.confine.kernel import gain_no_privileges
from exporter.confine.landlock import restrict_files
from exporter.confine.seccomp import filter_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What became of the wish to give up writing: for each part why it was refused, empty where it was not."""

    landlock: str
    """Writing, making, removing and running files."""
    seccomp: str
    """Truncating files, and changing their owners, modes, times, attributes and flags."""


def renounce_writing(*, but_in: str | None) -> Confinement:
    """Give up every change of a file, for this thread and all that it starts, for ever.

    Args:
        but_in: A directory in which files may be made, written and removed all the same; one that is not there is no
            exception.
    """
    gain_no_privileges()
    return Confinement(landlock=_refusal(lambda: restrict_files(but_in=but_in)), seccomp=_refusal(filter_calls))


def _refusal(action: Callable[[], object]) -> str:
    """Why the kernel refuses something; empty where it does not."""
    try:
        action()
    except OSError as error:
        return error.strerror or str(error)
    return ""
