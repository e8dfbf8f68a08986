"""The web configuration as values: what each key means, and which are refused."""

import enum
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from exporter.export.webconfig.ciphers import CIPHERS, DEFAULT, TLS13_CIPHERS
from exporter.export.webconfig.document import load_document, resolved
from exporter.export.webconfig.errors import WebConfigError
from exporter.export.webconfig.policy import plain_san

T = TypeVar("T")


class ClientAuth(enum.Enum):
    """Whether clients must show a certificate."""

    NONE = ssl.CERT_NONE
    IF_GIVEN = ssl.CERT_OPTIONAL
    """One that is shown must be good."""
    REQUIRED = ssl.CERT_REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """``tls_server_config``. Paths are absolute."""

    cert_file: str
    key_file: str
    client_ca_file: str | None = None
    client_auth: ClientAuth = ClientAuth.NONE
    allowed_sans: frozenset[str] | None = None
    """Names of which a client's certificate must have one; None for any certificate."""
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: str = DEFAULT
    """OpenSSL's names, by colons; for TLS 1.2."""
    server_chooses: bool = True
    """Whether the order of the ciphers counts, or the client's."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is made of."""
        return tuple(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))

    @property
    def wants_certificate(self) -> bool:
        """Whether a client without a certificate is turned away."""
        return self.client_auth is ClientAuth.REQUIRED or self.allowed_sans is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The whole file."""

    path: str
    tls: Tls | None = None
    """None for plain HTTP."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """bcrypt hashes by name; empty where everybody may read."""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is made of, itself first."""
        return (self.path, *(() if self.tls is None else self.tls.files))


def read_config(path: str) -> WebConfig:
    """The web configuration at *path*.

    Raises:
        WebConfigError: It cannot be read, or holds what it should not.
    """
    document = _Section(path, "", load_document(path))
    document.check(
        {"tls_server_config", "http_server_config", "basic_auth_users"},
        refused={"rate_limit": "requests are not limited by rate here: connections and every wait are bounded always"},
    )
    tls, http, users = (
        document.section(name) for name in ("tls_server_config", "http_server_config", "basic_auth_users")
    )
    return WebConfig(
        path=path,
        tls=None if tls is None else _tls(tls),
        headers=() if http is None else _headers(http),
        users={} if users is None else {name: _hash(users, name) for name in users.keys},
    )


class _Section:
    """A mapping of the file, and what to call it."""

    def __init__(self, path: str, name: str, content: Mapping[str, object]) -> None:
        self.path = path
        self._name = name
        self._content = content

    @property
    def keys(self) -> Iterable[str]:
        return self._content.keys()

    def wrong(self, key: str, reason: str) -> WebConfigError:
        """What to raise where *key* is wrong."""
        return WebConfigError(f"{self.path}: {'.'.join(filter(None, (self._name, key)))}: {reason}")

    def check(self, known: Iterable[str], *, refused: Mapping[str, str]) -> None:
        """Raise where there is a key that is not *known*; for those *refused* the reason is told."""
        for key in self._content:
            if key in refused:
                raise self.wrong(key, refused[key])
            if key not in known:
                raise self.wrong(key, f"that key is not known; there are {', '.join(sorted(known))}")

    def section(self, key: str) -> "_Section | None":
        """The mapping at *key*; None where it is missing or empty."""
        content = self._value(key, dict, "a mapping")
        return _Section(self.path, ".".join(filter(None, (self._name, key))), content) if content else None

    def text(self, key: str) -> str | None:
        """The text at *key*; None where it is missing or empty."""
        return self._value(key, str, "text (in quotes, if need be)") or None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        return self._value(key, bool, "true or false")

    def texts(self, key: str) -> tuple[str, ...] | None:
        """The list of text at *key*."""
        values = self._value(key, list, "a list")
        if values is None:
            return None
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "that should be a list of text")
        return tuple(values)

    def choice(self, key: str, choices: Mapping[str, T], default: T, *, refused: Mapping[str, str]) -> T:
        """The value that the word at *key* stands for; for those *refused* the reason is told."""
        word = self.text(key)
        if word is None:
            return default
        if word in refused:
            raise self.wrong(key, refused[word])
        if word not in choices:
            raise self.wrong(key, f"{word!r} is none of {', '.join(choices)}")
        return choices[word]

    def file(self, key: str) -> str | None:
        """The path at *key*, made absolute."""
        path = self.text(key)
        return None if path is None else resolved(path, beside=self.path)

    def _value(self, key: str, kind: type[T], called: str) -> T | None:
        value = self._content.get(key)
        if value is None:
            return None
        if not isinstance(value, kind):
            raise self.wrong(key, f"that should be {called}")
        return value


_INLINE = "certificates and keys are not taken from the text here: write them to a file, and name that by {}"
_TLS_REFUSED = {
    "cert": _INLINE.format("cert_file"),
    "key": _INLINE.format("key_file"),
    "client_ca": _INLINE.format("client_ca_file"),
    "curve_preferences": "curves cannot be chosen here: leave it out; X25519 comes first, then P-256",
}
_TLS_KNOWN = (
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
)
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_OLD = dict.fromkeys(("TLS10", "TLS11", "SSL30"), "that version is broken (RFC 8996): TLS12 is the lowest")
_CLIENT_AUTH = {
    "NoClientCert": ClientAuth.NONE,
    "VerifyClientCertIfGiven": ClientAuth.IF_GIVEN,
    "RequireAndVerifyClientCert": ClientAuth.REQUIRED,
}
_UNVERIFIED = dict.fromkeys(
    ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert"),
    "a certificate that nobody verifies proves nothing: use RequireAndVerifyClientCert or NoClientCert",
)


def _tls(section: _Section) -> Tls:
    section.check(_TLS_KNOWN, refused=_TLS_REFUSED)
    cert_file, key_file = section.file("cert_file"), section.file("key_file")
    for key, file in (("cert_file", cert_file), ("key_file", key_file)):
        if file is None:
            raise section.wrong(key, "TLS needs it: name a PEM file, or leave the whole section out for plain HTTP")
    minimum = section.choice("min_version", _VERSIONS, ssl.TLSVersion.TLSv1_2, refused=_OLD)
    maximum = section.choice("max_version", _VERSIONS, ssl.TLSVersion.TLSv1_3, refused=_OLD)
    if minimum > maximum:
        raise section.wrong("min_version", "that is above max_version")
    client_auth = section.choice("client_auth_type", _CLIENT_AUTH, ClientAuth.NONE, refused=_UNVERIFIED)
    server_chooses = section.flag("prefer_server_cipher_suites")
    return Tls(
        cert_file=cert_file or "",
        key_file=key_file or "",
        client_ca_file=_client_ca(section, client_auth),
        client_auth=client_auth,
        allowed_sans=_allowed_sans(section, client_auth),
        minimum=minimum,
        maximum=maximum,
        ciphers=_ciphers(section),
        server_chooses=True if server_chooses is None else server_chooses,
    )


def _client_ca(section: _Section, client_auth: ClientAuth) -> str | None:
    file = section.file("client_ca_file")
    if file is None and client_auth is not ClientAuth.NONE:
        raise section.wrong(
            "client_ca_file", "client_auth_type needs it: name the CA that signs the clients' certificates"
        )
    if file is not None and client_auth is ClientAuth.NONE:
        raise section.wrong(
            "client_auth_type", "client_ca_file does nothing without it: write RequireAndVerifyClientCert"
        )
    return file


def _allowed_sans(section: _Section, client_auth: ClientAuth) -> frozenset[str] | None:
    names = section.texts("client_allowed_sans")
    if names is None:
        return None
    if client_auth is not ClientAuth.REQUIRED:
        raise section.wrong("client_allowed_sans", "it needs client_auth_type: RequireAndVerifyClientCert")
    if not names:
        raise section.wrong("client_allowed_sans", "an empty list lets nobody in: leave it out for any certificate")
    return frozenset(map(plain_san, names))


def _ciphers(section: _Section) -> str:
    names = section.texts("cipher_suites")
    if not names:
        return DEFAULT
    for name in names:
        if name not in CIPHERS and name not in TLS13_CIPHERS:
            known = ", ".join((*CIPHERS, *sorted(TLS13_CIPHERS)))
            raise section.wrong("cipher_suites", f"{name!r} is not offered here; there are {known}")
    chosen = [CIPHERS[name] for name in names if name in CIPHERS]
    # Those of TLS 1.3 alone leave nothing for TLS 1.2, and OpenSSL takes no empty list.
    return ":".join(chosen) if chosen else DEFAULT


_HTTP2 = "HTTP/2 is not spoken here, and no client needs it: write false, or leave it out"
_VALUES: Mapping[str, tuple[str, ...] | None] = {
    "Strict-Transport-Security": None,
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": None,
    "Content-Security-Policy": None,
}
"""The headers that may be set, and to which values."""


def _headers(section: _Section) -> tuple[tuple[str, str], ...]:
    section.check({"http2", "headers"}, refused={})
    if section.flag("http2"):
        raise section.wrong("http2", _HTTP2)
    headers = section.section("headers")
    if headers is None:
        return ()
    headers.check(_VALUES, refused={})
    return tuple((name, value) for name in headers.keys if (value := _header(headers, name)) is not None)


def _header(section: _Section, name: str) -> str | None:
    value, allowed = section.text(name), _VALUES[name]
    if value is None:
        return None
    if allowed is not None and value not in allowed:
        raise section.wrong(name, f"{value!r} is none of {', '.join(allowed)}")
    if not re.fullmatch(r"[ -~]+", value) or value != value.strip():
        raise section.wrong(name, "a header's value is one line of plain ASCII")
    return value


_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
COSTS = range(4, 17)
"""bcrypt's lowest cost, and up to the highest with which a check takes less than a scrape may."""


def _hash(section: _Section, name: str) -> str:
    text = section.text(name)
    match = _BCRYPT.fullmatch(text or "")
    if match is None:
        advice = "make one by: htpasswd -nBC 10 USER, and write what comes after the colon"
        raise section.wrong(name, f"that is no bcrypt hash of a password: {advice}")
    if int(match[1]) not in COSTS:
        raise section.wrong(name, f"a cost of {int(match[1])} is not between {COSTS.start} and {COSTS.stop - 1}")
    if not name or ":" in name:
        raise section.wrong(name, "a user's name is not empty, and has no colon in it")
    return text or ""
