"""What a request says about the answer that it wants."""

import pytest

from exporter.export.messages import accepts_gzip


@pytest.mark.parametrize(
    ("expected", "header"),
    [
        (False, ""),
        (True, "gzip"),
        (True, "GZIP"),
        (True, "deflate, gzip;q=0.5, br"),
        (True, "*"),
        (True, "identity;q=0.5, *;q=0.1"),
        (True, "x-gzip"),
        (False, "identity"),
        (False, "gzip;q=0"),
        (False, "gzip; q=0.0"),
        (False, "*;q=0"),
        (False, "gzip;q=0, *"),
        (False, "gzip;q=often"),
        (False, "gzipped"),
        (False, ",;,;q=1"),
    ],
)
def test_gzip_is_for_clients_that_take_it(expected: bool, header: str) -> None:
    """``Accept-Encoding`` as RFC 9110 defines it: a weight of 0 refuses, ``*`` is anything not named."""
    assert expected == accepts_gzip(header)
