"""Who is let in, over real connections."""

import base64
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from exporter.export.gate import credentials, network_of
from exporter.export.web import WebServer
from exporter.export.webconfig.keeper import PolicyKeeper
from exporter.export.webconfig.policy import Policy
from exporter.vitals import Refusal, Vitals
from tests.unit.export.servers import PATIENCE, connected, echo, exchange, get, until_closed
from tests.unit.export.webconfig.files import ALICE, Office, web_file

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
CLIENTS = f"{TLS}  client_ca_file: client-ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
GET = b"GET /x HTTP/1.0\r\n\r\n"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Served:
    """A server under a web configuration."""

    def __init__(self, path: str) -> None:
        self.vitals = Vitals()
        self.keeper = PolicyKeeper(path, told=self.vitals, interval=3600)
        self.port = 0

    def has_refused(self, reason: Refusal, times: int) -> bool:
        """Whether so many clients were refused: a client may hear of it before it is counted."""
        end = time.monotonic() + PATIENCE
        while (refused := self.vitals.snapshot().web.refusals[reason]) != times and time.monotonic() < end:
            time.sleep(0.01)
        return refused == times


@contextmanager
def served(directory: Path, text: str) -> Iterator[Served]:
    made = Served(web_file(directory, text))
    with WebServer(["127.0.0.1:0"], echo, policy=made.keeper.policy, counts=made.vitals) as server:
        made.port = server.bound[0][1]
        yield made


USERS = f"basic_auth_users: {{alice: {ALICE}}}\n"


class TestPasswords:
    """Basic authentication (RFC 7617)."""

    def test_the_right_password_lets_in(self, tmp_path: Path) -> None:
        """To every page, and again on the same terms."""
        with served(tmp_path, USERS) as made:
            for _ in range(2):
                status, _, body = get(made.port, "/metrics", Authorization=basic("alice", "x"))
                assert (status, body) == (200, b"GET /metrics")

    @pytest.mark.parametrize(
        "header",
        [
            None,
            basic("alice", "y"),
            basic("alice", ""),
            basic("bob", "x"),
            basic("", ""),
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"alice").decode(),
            basic("alice", "x").replace("Basic", "Bearer"),
            basic("alice", "x") + ", " + basic("alice", "x"),
            "Basic \u00e9",
        ],
    )
    def test_nothing_else_does(self, tmp_path: Path, header: str | None) -> None:
        """Missing, wrong, unknown or garbled: the same answer, which asks for a name and tells nothing."""
        with served(tmp_path, USERS) as made:
            headers = {} if header is None else {"Authorization": header}
            status, told, body = get(made.port, "/metrics", **headers)
        assert (status, body) == (401, b"A name and its password are needed.\n")
        assert told["WWW-Authenticate"] == 'Basic realm="layerstore-exporter", charset="UTF-8"'
        assert made.has_refused(Refusal.CREDENTIALS, 1)

    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/none"])
    def test_no_page_is_open(self, tmp_path: Path, path: str) -> None:
        """Not even whether there is such a page is told."""
        with served(tmp_path, USERS) as made:
            assert get(made.port, path)[0] == get(made.port, path, method="POST")[0] == 401

    def test_each_request_is_checked(self, tmp_path: Path) -> None:
        """A connection that was let in once is not let in for ever."""
        good = f"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: {basic('alice', 'x')}\r\n\r\n".encode()
        with served(tmp_path, USERS) as made:
            answer = exchange(made.port, good + b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        assert [b"200", b"401"] == [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]

    def test_a_changed_password_holds_at_once(self, tmp_path: Path) -> None:
        """What was remembered as right is forgotten with it."""
        with served(tmp_path, USERS) as made:
            assert get(made.port, Authorization=basic("alice", "x"))[0] == 200
            web_file(tmp_path, USERS.replace(ALICE[-5:], "abcde"))
            made.keeper.look()
            assert get(made.port, Authorization=basic("alice", "x"))[0] == 401

    def test_nothing_secret_is_logged(self, tmp_path: Path) -> None:
        """Not the password, nor the name, which may be a password in the wrong field; and not a line for each."""
        with structlog.testing.capture_logs() as lines, served(tmp_path, USERS) as made:
            for _ in range(3):
                get(made.port, Authorization=basic("hunter2", "hunter3"))
        (line,) = [line for line in lines if "refused" in line["event"]]
        assert (line["client"], line["times"]) == ("127.0.0.1", 1)
        assert not any("hunter" in repr(line) for line in lines)

    def test_who_was_let_in_waits_for_no_check(self) -> None:
        """A password that is being checked holds up nobody but those that send others from the same address."""
        begun, go_on = threading.Event(), threading.Event()

        class Slow:
            def fingerprint(self, name: bytes) -> bytes:
                return name

            def check(self, _name: bytes, password: bytes) -> bool:
                if password == b"slow":
                    begun.set()
                    go_on.wait(PATIENCE)
                return password == b"right"

        policy = Policy(users=Slow())
        with WebServer(["127.0.0.1:0"], echo, policy=lambda: policy) as server:
            port = server.bound[0][1]
            assert get(port, Authorization=basic("a", "right"))[0] == 200
            slow = f"GET / HTTP/1.0\r\nAuthorization: {basic('a', 'slow')}\r\n\r\n".encode()
            with connected(port, slow) as waiting:
                assert begun.wait(PATIENCE)
                assert get(port, Authorization=basic("a", "right"))[0] == 200
                go_on.set()
                assert until_closed(waiting).startswith(b"HTTP/1.1 401 ")

    def test_addresses_take_turns(self) -> None:
        """Whoever sends one password waits for two checks at most, however many another address has sent before."""
        order: list[bytes] = []
        may_check = threading.Semaphore(0)

        class Recorder:
            def fingerprint(self, name: bytes) -> bytes:
                return name

            def check(self, name: bytes, _password: bytes) -> bool:
                may_check.acquire(timeout=PATIENCE)
                order.append(name)
                return True

        policy = Policy(users=Recorder())
        with WebServer(["127.0.0.1:0"], echo, policy=lambda: policy) as server, ExitStack() as stack:
            port = server.bound[0][1]

            def sent_by(address: str, name: str) -> socket.socket:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE, (address, 0)))
                client.sendall(f"GET / HTTP/1.0\r\nAuthorization: {basic(name, name)}\r\n\r\n".encode())
                return client

            crowd = [sent_by("127.0.0.2", f"crowd{number}") for number in range(20)]
            # An answer to a later connection shows that the requests before it were taken.
            assert get(port)[0] == 401
            single = sent_by("127.0.0.3", "single")
            assert get(port)[0] == 401
            may_check.release(21)
            for client in (*crowd, single):
                assert until_closed(client).startswith(b"HTTP/1.1 200 ")
        assert order.index(b"single") <= 2
        assert len(order) == 21


class TestParsing:
    """Of what clients send."""

    @given(st.binary(max_size=50).filter(lambda name: b":" not in name), st.binary(max_size=50))
    def test_name_and_password_arrive(self, name: bytes, password: bytes) -> None:
        """All bytes of both; the first colon parts them."""
        assert credentials("basic " + base64.b64encode(name + b":" + password).decode()) == (name, password)

    @given(st.text(max_size=100))
    def test_nothing_breaks_it(self, text: str) -> None:
        """Whatever the header holds."""
        credentials(text)
        credentials(f"Basic {text}")

    @pytest.mark.parametrize(
        ("expected", "peer"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ("2001:db8:0:1::/64", "2001:db8:0:1:ff::1"),
            ("fe80::/64", "fe80::1%eth0"),
            ("somewhere", "somewhere"),
        ],
    )
    def test_whom_an_address_counts_as(self, expected: str, peer: str) -> None:
        """An IPv6 host may take any address of its network, so all of them wait in one turn."""
        assert ipv4(expected) == ipv4(network_of(peer))


def ipv4(text: str) -> str:
    """Versions of Python write an IPv4 address in IPv6 in two ways."""
    return text.replace("::ffff:a00:1", "::ffff:10.0.0.1")


class TestHeaders:
    """``http_server_config.headers``."""

    def test_they_are_added_to_every_answer(self, tmp_path: Path) -> None:
        """Also to a refusal."""
        text = "http_server_config: {headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff}}\n"
        with served(tmp_path, text + USERS) as made:
            for headers in ({}, {"Authorization": basic("alice", "x")}):
                _, told, _ = get(made.port, **headers)
                assert (told["X-Frame-Options"], told["X-Content-Type-Options"]) == ("deny", "nosniff")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def scrape(port: int, context: ssl.SSLContext) -> bytes:
    """What a client gets over TLS. Raises OSError where it is refused."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(GET)
        received = b""
        while data := client.recv(65536):
            received += data
    return received


def is_refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client gets nothing. With TLS 1.3 its part of the handshake is done before it is refused."""
    try:
        return scrape(port, context) == b""
    except OSError:
        return True


def speaking(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """*context*, which now speaks that version of TLS and no other, however weak it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


class TestTls:
    """``tls_server_config``, with real handshakes."""

    def test_tls_is_spoken(self, tmp_path: Path, office: Office) -> None:
        """TLS 1.3 or 1.2, HTTP/1.1, and a cipher that authenticates."""
        with served(tmp_path, TLS) as made:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = office.trusting()
                context.maximum_version = version
                context.set_alpn_protocols(["h2", "http/1.1"])
                with (
                    socket.create_connection(("127.0.0.1", made.port), timeout=PATIENCE) as plain,
                    context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
                ):
                    assert client.version() == version.name.replace("_", ".")
                    assert client.selected_alpn_protocol() == "http/1.1"
                    client.sendall(GET)
                    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_old_versions_are_refused(self, tmp_path: Path, office: Office, version: ssl.TLSVersion) -> None:
        """By the server: this client would speak them, and does with one that is careless."""
        client = speaking(office.trusting(), version)
        with served(tmp_path, TLS) as made:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
                scrape(made.port, client)
            assert scrape(made.port, office.trusting()).endswith(b"GET /x")
            assert made.has_refused(Refusal.HANDSHAKE, 1)

        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        careless.load_cert_chain(office.server.certificate, office.server.key)
        policy = Policy(tls=speaking(careless, version))
        with WebServer(["127.0.0.1:0"], echo, policy=lambda: policy) as server:
            assert scrape(server.bound[0][1], client).endswith(b"GET /x")

    def test_the_lowest_version_may_be_raised(self, tmp_path: Path, office: Office) -> None:
        """``min_version: TLS13`` refuses TLS 1.2."""
        context = office.trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with served(tmp_path, f"{TLS}  min_version: TLS13\n") as made:
            assert is_refused(made.port, context)

    def test_ciphers_are_those_chosen(self, tmp_path: Path, office: Office) -> None:
        """The server's order counts, and what is not in the list is not spoken."""
        chosen = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        context = office.trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with served(tmp_path, f"{TLS}  cipher_suites: [{chosen}]\n") as made:
            with (
                socket.create_connection(("127.0.0.1", made.port), timeout=PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
            ):
                cipher = client.cipher()
                assert cipher is not None
                assert cipher[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
            context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
            assert is_refused(made.port, context)

    def test_a_good_client_certificate_lets_in(self, tmp_path: Path, office: Office) -> None:
        """One that the CA signed, and passwords besides, where there are users."""
        with served(tmp_path, CLIENTS) as made:
            assert scrape(made.port, office.trusting(office.client())).endswith(b"GET /x")
        with served(tmp_path, CLIENTS + USERS) as made:
            assert scrape(made.port, office.trusting(office.client())).startswith(b"HTTP/1.1 401 ")

    def test_other_client_certificates_do_not(self, tmp_path: Path, office: Office) -> None:
        """None, an expired one, one of a foreign CA, and the server's own: none learns anything."""
        for client in (None, office.expired_client(), office.foreign_client(), office.server):
            with served(tmp_path, CLIENTS) as made:
                assert is_refused(made.port, office.trusting(client))
                assert made.has_refused(Refusal.HANDSHAKE, 1)

    def test_only_clients_of_certain_names(self, tmp_path: Path, office: Office) -> None:
        """``client_allowed_sans``: DNS names and addresses, to the letter."""
        text = f"{CLIENTS}  client_allowed_sans: [scraper.example, '0:0::1']\n"
        with served(tmp_path, text) as made:
            for name, lets_in in (
                ("scraper.example", True),
                ("::1", True),
                ("a.scraper.example", False),
                ("127.0.0.1", False),
            ):
                assert is_refused(made.port, office.trusting(office.client(name))) != lets_in
            assert made.has_refused(Refusal.HANDSHAKE, 2)

    def test_a_certificate_may_be_left_out_where_it_is_only_verified_if_given(
        self, tmp_path: Path, office: Office
    ) -> None:
        """But a bad one is refused even then."""
        with served(tmp_path, CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")) as made:
            assert scrape(made.port, office.trusting()).endswith(b"GET /x")
            assert is_refused(made.port, office.trusting(office.foreign_client()))

    def test_a_renewed_certificate_is_served_at_once(self, tmp_path: Path, office: Office) -> None:
        """To new connections; one that is open is ended with its next request, and not answered."""
        with served(tmp_path, TLS) as made:
            before, context = office.server.certificate.read_bytes(), office.trusting()
            with (
                socket.create_connection(("127.0.0.1", made.port), timeout=PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as kept,
            ):
                kept.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
                assert kept.recv(65536).endswith(b"GET /a")
                served_first = kept.getpeercert(binary_form=True)
                office.renew()
                made.keeper.look()
                kept.sendall(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
                assert until_closed(kept) == b""
            with (
                socket.create_connection(("127.0.0.1", made.port), timeout=PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as fresh,
            ):
                assert served_first != fresh.getpeercert(binary_form=True)
        assert before != office.server.certificate.read_bytes()
