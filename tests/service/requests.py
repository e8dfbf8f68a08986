"""Random requests: from nearly right to plain rubbish."""

from random import Random

PATHS = (
    "/", "/metrics", "/-/healthy", "/-/ready", "/none", "//", "/../../etc/passwd", "/%2e%2e/%00", "*",
    "/?" + "q" * 3000, "http://h/metrics", "http://user:secret@h/", "/\u00e9", "/a b", "/" + "x" * 20_000, "",
    "metrics", "/metrics#f", "javascript:alert(1)", "/<script>",
)  # fmt: skip
METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PRI", "get", "G E T", "", "\x00",
    "X" * 5000, "PROPFIND",
)  # fmt: skip
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 x", "http/1.1", "", "HTTP/9999999999999.1")
HEADERS = (
    "Host: h", "Host:", "Host: a\r\nHost: b", "Accept: */*", "Accept: application/openmetrics-text;version=1.0.0",
    "Accept: application/openmetrics-text;version=99999999999", "Accept: application/openmetrics-text;version=x;q=x",
    "Accept: text/plain;escaping=dots;version=1.0.0", "Accept: " + "a/b," * 2000, "Accept-Encoding: gzip",
    "Accept-Encoding: gzip;q=nan, *;q=0", "Accept-Encoding: br, zstd, identity;q=-1", "Connection: close",
    "Connection: keep-alive, Upgrade\r\nUpgrade: h2c", "Content-Length: 5", "Content-Length: -1",
    "Content-Length: 5, 5", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Expect: 100-continue", "Expect: 200-ok", "Range: bytes=0-1",
    "Authorization: Basic " + "A" * 9000, "Authorization: Basic Og==", "Authorization: Digest username=\"x\"",
    "X-Large: " + "x" * 30_000, "X-Nul: a\x00b", "X-Bare\r: a", " folded", "no colon", ": no name", "X-\u00fc: \u00fc",
    "Cookie: " + ";".join(f"a{number}=b" for number in range(500)), "If-Modified-Since: yesterday",
)  # fmt: skip
ENDS = ("\r\n\r\n", "\n\n", "\r\n", "", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "\r\n\r\nhello", "\r\n\r\n\x00\xff\xfe")


def random_request(rng: Random) -> bytes:
    """One of many kinds; about one in four is a good one."""
    kind = rng.random()
    if kind < 0.25:
        path = rng.choice(PATHS[:5])
        encoding = rng.choice(("Accept-Encoding: gzip\r\n", ""))
        return f"{rng.choice(('GET', 'HEAD'))} {path} HTTP/1.1\r\nHost: h\r\n{encoding}\r\n".encode()
    if kind < 0.35:
        return rng.randbytes(rng.randrange(0, 3000))
    headers = "\r\n".join(rng.choices(HEADERS, k=rng.randrange(0, 6)))
    line = f"{rng.choice(METHODS)} {rng.choice(PATHS)} {rng.choice(VERSIONS)}"
    text = f"{line}\r\n{headers}{rng.choice(ENDS)}".encode("utf-8" if rng.random() < 0.5 else "latin-1", "replace")
    if kind < 0.5:
        return _damaged(text, rng)
    return text * rng.choice((1, 1, 1, 3))


def _damaged(text: bytes, rng: Random) -> bytes:
    """*text* with bytes changed, left out or put in."""
    damaged = bytearray(text)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(0, len(damaged) + 1)
        damaged[at : at + rng.randrange(0, 3)] = rng.randbytes(rng.randrange(0, 3))
    return bytes(damaged)
