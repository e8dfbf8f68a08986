"""The web server's HTTP: what honest clients, and clumsy ones, are answered."""

import math
import socket
import sys
import threading
from http.client import HTTPConnection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.export.client import Limits
from exporter.export.listen import ListenError
from exporter.export.messages import Request, Response
from exporter.export.web import SWITCH_INTERVAL, WebServer
from tests.unit.export.servers import PATIENCE, connected, echo, exchange, get, serving, until_closed


def statuses(answer: bytes) -> list[int]:
    """The statuses of all responses in what a connection brought."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_a_request_is_answered() -> None:
    """Status, body, length and date; and no browser may guess at the type."""
    with serving() as port:
        status, headers, body = get(port, "/metrics")

    assert (status, body) == (200, b"GET /metrics")
    assert (headers["Content-Length"], headers["X-Content-Type-Options"]) == ("12", "nosniff")
    assert headers["Date"].endswith(" GMT")


def test_a_handler_sees_the_whole_request() -> None:
    """Method, path without the query, and headers by lower-case name, repeated ones joined."""
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return echo(request)

    with serving(handler) as port:
        exchange(port, b"GET /a/b?c=/d HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nAccept: a\r\nAccept: b\r\n\r\n")

    headers = {"host": "h", "x-one": "1", "accept": "a, b"}
    assert [Request(method="GET", path="/a/b", headers=headers)] == seen


@pytest.mark.parametrize(
    ("expected", "target"),
    [
        (b"GET /metrics", b"http://127.0.0.1:10412/metrics?a=b"),
        (b"GET /", b"http://127.0.0.1"),
        (b"GET /redirect", b"/redirect?to=http://elsewhere/"),
        (b"OPTIONS *", b"*"),
    ],
)
def test_targets_may_be_whole_urls(expected: bytes, target: bytes) -> None:
    """As a proxy sends them (RFC 9112, 3.2)."""
    method = expected.split(b" ")[0]
    with serving() as port:
        answer = exchange(port, method + b" " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")

    assert expected == answer.rpartition(b"\r\n\r\n")[2]


def test_a_head_request_has_the_headers_only() -> None:
    """The same headers as for GET, the length included, and no body."""

    def handler(_: Request) -> Response:
        return Response(status=200, headers=(("Content-Type", "text/plain"),), body=(b"the ", b"page"))

    with serving(handler) as port:
        status, with_body, body = get(port)
        same, without, nothing = get(port, method="HEAD")

    assert (status, body) == (200, b"the page")
    assert (same, nothing) == (200, b"")
    assert (with_body.keys(), without["Content-Length"]) == (without.keys(), "8")


def test_a_head_request_that_is_refused_has_no_body_either() -> None:
    """What is wrong with it may come after its header."""
    sent = b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n"
    with serving() as port:
        answer = exchange(port, sent)

    assert (statuses(answer), answer[-4:]) == ([400], b"\r\n\r\n")


def test_a_connection_serves_many_requests() -> None:
    """A client that keeps its connection has all its requests answered on it."""
    with serving() as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        bodies, sockets = [], set()
        for number in range(5):
            connection.request("GET", f"/{number}")
            bodies.append(connection.getresponse().read())
            sockets.add(id(connection.sock))
        connection.close()

    assert [f"GET /{number}".encode() for number in range(5)] == bodies
    assert len(sockets) == 1


def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Pipelining: several requests in one piece, the last of which ends the connection."""
    ahead = b"".join(f"GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for number in range(3))
    with (
        serving() as port,
        connected(port, ahead + b"GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") as client,
    ):
        answer = until_closed(client)

    assert statuses(answer) == [200] * 4
    assert [f"GET /{number}".encode() for number in range(4)] == [
        part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]
    ]


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"])
def test_a_client_that_wants_one_answer_gets_one(head: bytes) -> None:
    """HTTP/1.0, and ``Connection: close``: the server ends the connection after its answer."""
    with serving() as port, connected(port, head) as client:
        assert statuses(until_closed(client)) == [200]


def test_a_long_answer_arrives_whole() -> None:
    """An answer in parts that is much longer than any buffer comes as one body, while others are answered."""
    parts = tuple(bytes([number]) * 1_000_003 for number in range(20))

    def handler(request: Request) -> Response:
        return Response(status=200, body=parts) if request.path == "/long" else echo(request)

    with serving(handler) as port, connected(port, b"GET /long HTTP/1.0\r\n\r\n") as slow:
        assert get(port, "/other")[2] == b"GET /other"
        assert b"".join(parts) == until_closed(slow).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["of known length", "in chunks"],
)
def test_a_body_is_read_and_thrown_away(body: bytes) -> None:
    """What a client sends with its request is never taken for the next request."""
    with serving() as port:
        answer = exchange(port, b"POST / HTTP/1.1\r\nHost: h\r\n" + body + b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")

    assert statuses(answer) == [200, 200]
    assert answer.endswith(b"GET /next")


def test_a_client_that_asks_before_it_sends_is_answered_at_once() -> None:
    """``Expect: 100-continue``: the answer comes instead of the permission, and the connection ends."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    with serving() as port, connected(port, head) as client:
        assert statuses(until_closed(client)) == [200]


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        (400, b"hello\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: h\r\nno header\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET"),
        (400, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (413, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000),
        (431, b"GET /" + b"x" * 20_000),
        (431, b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n"),
        (501, b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ],
)
def test_what_is_no_good_request_is_refused(expected: int, sent: bytes) -> None:
    """Each kind of nonsense has its status, the client hears it however much it sends, and the connection ends."""
    with serving() as port, connected(port) as client:
        client.sendall(sent)
        if b"GET\n" not in sent and (sent.endswith((b"GET", b"hell")) or sent.startswith(b"\x16")):
            client.shutdown(socket.SHUT_WR)
        answer = until_closed(client)

    assert expected == statuses(answer)[-1]
    assert b"Connection: close" in answer


@given(
    st.lists(st.binary(max_size=200) | st.sampled_from([b"GET / HTTP/1.1\r\n", b"Host: h\r\n", b"\r\n"]), max_size=8)
)
def test_no_bytes_break_the_server(sent: list[bytes]) -> None:
    """Whatever arrives is answered or refused, and the next client is served."""
    with serving() as port:
        answer = exchange(port, b"".join(sent))
        assert set(statuses(answer)) <= {200, 400, 413, 431, 501}
        assert get(port)[0] == 200


def test_a_mistake_in_a_page_costs_that_page_only() -> None:
    """The client hears of it, and its connection goes on."""

    def handler(request: Request) -> Response:
        if request.path == "/broken":
            raise KeyError("a mistake")
        return echo(request)

    with serving(handler) as port:
        answer = exchange(port, b"".join(f"GET /{x} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for x in ("broken", "fine")))

    assert statuses(answer) == [500, 200]
    assert b"a mistake" not in answer


def test_all_addresses_are_served() -> None:
    """Each address that was asked for answers."""
    with WebServer(["127.0.0.1:0", "127.0.0.2:0"], echo) as server:
        for host, port in server.bound:
            with socket.create_connection((host, port), timeout=PATIENCE) as client:
                client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                assert until_closed(client).endswith(b"GET /x")


def test_an_address_that_is_taken_stops_the_start() -> None:
    """Nothing is served, and nothing is left running."""
    with serving() as port, pytest.raises(ListenError), WebServer([f"127.0.0.1:{port}"], echo):
        pass

    assert [thread.name for thread in threading.enumerate() if thread.name == "web"] == []


def test_stopping_cuts_everybody_off_and_frees_the_port() -> None:
    """Idle, half-said and half-read: no client keeps the server from ending at once, and another can follow it."""

    def handler(_: Request) -> Response:
        return Response(status=200, body=(b"x" * 50_000_000,))

    server = WebServer(["127.0.0.1:0"], handler)
    server.start()
    port = server.bound[0][1]
    with (
        connected(port) as idle,
        connected(port, b"GET /") as slow,
        connected(port, b"GET / HTTP/1.0\r\n\r\n") as reader,
    ):
        reader.recv(1)
        server.stop()
        for client in (idle, slow):
            assert until_closed(client) == b""
        assert len(until_closed(reader)) < 50_000_000

    with WebServer([f"127.0.0.1:{port}"], echo):
        assert get(port)[0] == 200


def test_a_busy_thread_may_not_hold_answers_up() -> None:
    """While the server runs, threads take turns more often than Python has them by default; then as before."""
    before = sys.getswitchinterval()
    with serving():
        during = sys.getswitchinterval()

    assert math.isclose(during, SWITCH_INTERVAL)
    assert before == sys.getswitchinterval()


def test_limits_are_those_of_the_field() -> None:
    """Five seconds for a header, thirty between scrapes, 512 connections."""
    limits = Limits()

    assert (limits.header, limits.idle, limits.connections) == (5.0, 30.0, 512)
