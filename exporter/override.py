"""``@override`` for Python 3.11, whose ``typing`` does not have it yet: a word to the type checker and nothing else."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):
        """Return *method* as it is."""
        return method


__all__ = ["override"]
