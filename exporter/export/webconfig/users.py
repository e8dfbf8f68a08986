"""Checks names and passwords, in the same time whatever is wrong with them."""

from collections.abc import Mapping

import bcrypt

_LONGEST = 72
"""Bytes of a password that bcrypt looks at. Whoever made the hash left the rest out as well."""


class Users:
    """Those who may read, with the bcrypt hashes of their passwords. May be used from any thread."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = {name.encode(): text.encode() for name, text in hashes.items()}
        self._highest = max(map(_cost, self._hashes.values()), default=10)

    def __len__(self) -> int:
        return len(self._hashes)

    def fingerprint(self, name: bytes) -> bytes:
        """What the answer for *name* depends on beside the password; changes with the user's password."""
        return self._hashes.get(name, b"")

    def check(self, name: bytes, password: bytes) -> bool:
        """Whether that is the user's password.

        It takes the time of one hash of the highest cost that any user has, so the time tells neither whether there is
        such a user nor which cost was chosen: a hash of cost n takes half as long as one of n + 1, so those from n up
        to the highest, the highest left out, add up to the difference.
        """
        password = password[:_LONGEST]
        known = self._hashes.get(name)
        if known is None:
            bcrypt.checkpw(password, _decoy(self._highest))
            return False
        matches = bcrypt.checkpw(password, known)
        for cost in range(_cost(known), self._highest):
            bcrypt.checkpw(password, _decoy(cost))
        return matches


def _cost(text: bytes) -> int:
    return int(text.split(b"$")[2])


def _decoy(cost: int) -> bytes:
    """A hash of no password that anybody knows."""
    return b"$2b$%02d$" % cost + b"." * 53
