"""Names and passwords: who is let in, and that a refusal takes the same work whatever is wrong."""

import bcrypt
import pytest

from exporter.export.webconfig.users import Users

CHEAP, DEAR = 4, 6


def hashed(password: bytes, cost: int = CHEAP) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


def test_the_right_password_and_no_other() -> None:
    """Of each user their own; names and passwords are bytes, in UTF-8 where they were written down."""
    users = Users({"alice": hashed(b"one"), "b\u00f6b": hashed("zw\u00f6lf".encode(), DEAR)})
    assert users.check(b"alice", b"one")
    assert users.check("b\u00f6b".encode(), "zw\u00f6lf".encode())
    for name, password in ((b"alice", "zw\u00f6lf".encode()), (b"alice", b""), (b"carol", b"one"), (b"", b"")):
        assert not users.check(name, password)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_all_marks_of_bcrypt_are_taken(prefix: str) -> None:
    """htpasswd writes $2y$, others $2b$ or $2a$: the hash is the same."""
    assert Users({"a": hashed(b"x").replace("$2b$", prefix)}).check(b"a", b"x")


def test_a_long_password_counts_as_far_as_bcrypt_looks() -> None:
    """72 bytes: what made the hash left the rest out as well. No password is too long or too odd to be checked."""
    users = Users({"a": hashed(b"p" * 72), "nul": hashed(b"p\0q")})
    assert users.check(b"a", b"p" * 100_000)
    assert not users.check(b"a", b"p" * 71)
    assert users.check(b"nul", b"p\0q")
    assert not users.check(b"nul", b"p")


def test_the_decoy_lets_nobody_in() -> None:
    """A user who is not there has no password, not even one that hashes to what is compared with."""
    users = Users({"a": hashed(b"x")})
    assert not any(users.check(b"nobody", password) for password in (b"", b".", b"x"))


def test_a_password_has_a_fingerprint() -> None:
    """It changes with the password, so nothing is right any more that was remembered; nobody has none."""
    before, after = Users({"a": hashed(b"x")}), Users({"a": hashed(b"x")})
    assert before.fingerprint(b"a") != after.fingerprint(b"a")
    assert before.fingerprint(b"nobody") == after.fingerprint(b"nobody") == b""
