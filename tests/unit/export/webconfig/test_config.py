"""What the keys mean, and which are refused: always by their names."""

import ssl
from pathlib import Path

import pytest

from exporter.export.webconfig.ciphers import CIPHERS
from exporter.export.webconfig.config import ClientAuth, Tls, WebConfig, read_config
from exporter.export.webconfig.errors import WebConfigError
from tests.unit.export.webconfig.files import ALICE, web_file

TLS = "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n"
CLIENTS = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


def read(directory: Path, text: str) -> WebConfig:
    return read_config(web_file(directory, text))


def tls(directory: Path, text: str) -> Tls:
    found = read(directory, text).tls
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    ["", "tls_server_config:\nbasic_auth_users:\n", "tls_server_config: {}\nhttp_server_config: {headers: {}}\n"],
)
def test_nothing_asks_for_nothing(tmp_path: Path, text: str) -> None:
    """Empty sections are as good as none."""
    path = web_file(tmp_path, text)
    assert WebConfig(path=path) == read_config(path)


def test_everything_at_once(tmp_path: Path) -> None:
    """The whole format; paths count from the file's own directory."""
    text = f"""
tls_server_config:
  cert_file: tls/server.crt
  key_file: /etc/keys/server.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [scraper.example, "10.0.0.1", "0:0::1"]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
    X-Content-Type-Options: ""
basic_auth_users:
  alice: {ALICE}
  no: {ALICE.replace("$2b", "$2y")}
"""
    path = web_file(tmp_path, text)
    expected = WebConfig(
        path=path,
        tls=Tls(
            cert_file=f"{tmp_path}/tls/server.crt",
            key_file="/etc/keys/server.key",
            client_ca_file=f"{tmp_path}/ca.crt",
            client_auth=ClientAuth.REQUIRED,
            allowed_sans=frozenset({"scraper.example", "10.0.0.1", "::1"}),
            minimum=ssl.TLSVersion.TLSv1_3,
            ciphers="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
            server_chooses=False,
        ),
        users={"alice": ALICE, "no": ALICE.replace("$2b", "$2y")},
        headers=(("Strict-Transport-Security", "max-age=31536000"), ("X-Frame-Options", "deny")),
    )
    assert expected == read_config(path)
    assert (path, f"{tmp_path}/tls/server.crt", "/etc/keys/server.key", f"{tmp_path}/ca.crt") == expected.files


def test_defaults_of_tls(tmp_path: Path) -> None:
    """TLS 1.2 at least, no client certificates, only ciphers that authenticate what they encrypt."""
    found = tls(tmp_path, TLS)
    assert (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3) == (found.minimum, found.maximum)
    assert (found.client_auth, found.allowed_sans, found.server_chooses) == (ClientAuth.NONE, None, True)
    assert not [cipher for cipher in found.ciphers.split(":") if "GCM" not in cipher and "CHACHA20" not in cipher]


def test_ciphers_of_tls_1_3_alone_leave_the_others_as_they_are(tmp_path: Path) -> None:
    """They are always on, so naming them changes nothing."""
    named = tls(tmp_path, f"{TLS}  cipher_suites: [TLS_AES_256_GCM_SHA384]\n")
    assert tls(tmp_path, TLS).ciphers == named.ciphers


def test_every_cipher_is_one_that_openssl_knows() -> None:
    """The table of names is right: OpenSSL takes each."""
    for name in CIPHERS.values():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(name)
        assert name in {cipher["name"] for cipher in context.get_ciphers()}


@pytest.mark.parametrize(
    ("key", "reason", "text"),
    [
        (
            "tls_config",
            "not known; there are basic_auth_users, http_server_config, tls_server_config",
            "tls_config: {}",
        ),
        ("rate_limit", "not limited by rate", "rate_limit: {interval: 1s}"),
        ("tls_server_config", "a mapping", "tls_server_config: []"),
        ("tls_server_config.cert_fil", "not known", "tls_server_config: {cert_fil: a}"),
        ("tls_server_config.cert_file", "TLS needs it", "tls_server_config: {key_file: a}"),
        ("tls_server_config.key_file", "TLS needs it", "tls_server_config: {cert_file: a}"),
        ("tls_server_config.cert_file", "TLS needs it", "tls_server_config: {min_version: TLS12}"),
        ("tls_server_config.cert_file", "should be text", "tls_server_config: {cert_file: 5}"),
        ("tls_server_config.cert", "name that by cert_file", f"{TLS}  cert: x\n"),
        ("tls_server_config.key", "name that by key_file", f"{TLS}  key: x\n"),
        ("tls_server_config.client_ca", "name that by client_ca_file", f"{TLS}  client_ca: x\n"),
        ("tls_server_config.curve_preferences", "cannot be chosen", f"{TLS}  curve_preferences: [X25519]\n"),
        ("tls_server_config.min_version", "TLS12 is the lowest", f"{TLS}  min_version: TLS10\n"),
        ("tls_server_config.min_version", "'TLS14' is none of TLS12, TLS13", f"{TLS}  min_version: TLS14\n"),
        ("tls_server_config.min_version", "above max_version", f"{TLS}  min_version: TLS13\n  max_version: TLS12\n"),
        ("tls_server_config.max_version", "TLS12 is the lowest", f"{TLS}  max_version: TLS11\n"),
        ("tls_server_config.client_auth_type", "nobody verifies", f"{TLS}  client_auth_type: RequireAnyClientCert\n"),
        ("tls_server_config.client_auth_type", "is none of", f"{TLS}  client_auth_type: Maybe\n"),
        ("tls_server_config.client_auth_type", "does nothing without", f"{TLS}  client_ca_file: ca.crt\n"),
        (
            "tls_server_config.client_ca_file",
            "client_auth_type needs it",
            f"{TLS}  client_auth_type: VerifyClientCertIfGiven\n",
        ),
        ("tls_server_config.client_allowed_sans", "it needs", f"{TLS}  client_allowed_sans: [a]\n"),
        ("tls_server_config.client_allowed_sans", "lets nobody in", f"{CLIENTS}  client_allowed_sans: []\n"),
        ("tls_server_config.client_allowed_sans", "list of text", f"{CLIENTS}  client_allowed_sans: [1]\n"),
        ("tls_server_config.client_allowed_sans", "a list", f"{CLIENTS}  client_allowed_sans: a\n"),
        (
            "tls_server_config.cipher_suites",
            "'TLS_RSA_WITH_RC4_128_SHA' is not offered",
            f"{TLS}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
        ),
        ("tls_server_config.prefer_server_cipher_suites", "true or false", f"{TLS}  prefer_server_cipher_suites: 1\n"),
        ("http_server_config.http2", "HTTP/2 is not spoken", "http_server_config: {http2: true}"),
        ("http_server_config.http3", "not known", "http_server_config: {http3: true}"),
        ("http_server_config.headers.Server", "not known", "http_server_config: {headers: {Server: x}}"),
        (
            "http_server_config.headers.X-Frame-Options",
            "'allow' is none of deny, sameorigin",
            "http_server_config: {headers: {X-Frame-Options: allow}}",
        ),
        (
            "http_server_config.headers.X-XSS-Protection",
            "one line of plain ASCII",
            'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"}}',
        ),
        ("basic_auth_users", "a mapping", "basic_auth_users: [alice]"),
        ("basic_auth_users.alice", "no bcrypt hash", "basic_auth_users: {alice: hunter2}"),
        ("basic_auth_users.alice", "no bcrypt hash", "basic_auth_users: {alice: }"),
        ("basic_auth_users.alice", "should be text", "basic_auth_users: {alice: 12345}"),
        ("basic_auth_users.alice", "no bcrypt hash", f"basic_auth_users: {{alice: {ALICE.replace('$2b', '$2x')}}}"),
        ("basic_auth_users.alice", "no bcrypt hash", f"basic_auth_users: {{alice: {ALICE}=}}"),
        ("basic_auth_users.alice", "a cost of 31", f"basic_auth_users: {{alice: {ALICE.replace('$04', '$31')}}}"),
        ("basic_auth_users.a:b", "no colon", f"basic_auth_users: {{'a:b': {ALICE}}}"),
    ],
)
def test_what_is_refused(tmp_path: Path, key: str, reason: str, text: str) -> None:
    """File, key and reason, in this order; a password that was written where its hash should be is not repeated."""
    path = web_file(tmp_path, text)
    with pytest.raises(WebConfigError) as caught:
        read_config(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: {key}: ")
    assert reason in told
    assert "hunter2" not in told
    assert ALICE[10:] not in told


def test_hashes_are_not_shown(tmp_path: Path) -> None:
    """A configuration that ends up in a log or a traceback has no hashes in it."""
    assert ALICE not in repr(read(tmp_path, f"basic_auth_users: {{alice: {ALICE}}}"))
