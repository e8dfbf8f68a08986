"""A web configuration on disk, and the certificates that it may name."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

ALICE = "$2b$04$PkNsFqNX5Dc/lFSj.y7eE.D5nDcxAxQgwJ2cmOym0KtQfiozcSfVy"
"""A hash of ``x`` at the lowest cost."""


def web_file(directory: Path, text: str) -> str:
    """The path of a web configuration that holds *text*."""
    path = directory / "web.yml"
    path.write_text(text)
    return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, on disk."""

    certificate: Path
    key: Path


def write_pair(directory: Path, name: str, issued: trustme.LeafCert) -> Pair:
    """Write a certificate and its key as ``NAME.crt`` and ``NAME.key``."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return Pair(certificate=certificate, key=key)


class Office:
    """Issues certificates into a directory: for the server, and for clients good and bad."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._servers, self._clients, self._others = trustme.CA(), trustme.CA(), trustme.CA()
        self.server_ca, self.client_ca = directory / "server-ca.crt", directory / "client-ca.crt"
        self._servers.cert_pem.write_to_path(self.server_ca)
        self._clients.cert_pem.write_to_path(self.client_ca)
        self.server = self.renew()

    def renew(self) -> Pair:
        """A new certificate for the server, in the place of the one before."""
        return write_pair(self.directory, "server", self._servers.issue_cert("127.0.0.1", "localhost"))

    def client(self, name: str = "scraper.example") -> Pair:
        """A good certificate for a client of that name."""
        return write_pair(self.directory, "client", self._clients.issue_cert(name))

    def expired_client(self) -> Pair:
        """One whose time is over."""
        long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        issued = self._clients.issue_cert("scraper.example", not_before=long_ago, not_after=long_ago)
        return write_pair(self.directory, "expired", issued)

    def foreign_client(self) -> Pair:
        """One that somebody else signed."""
        return write_pair(self.directory, "foreign", self._others.issue_cert("scraper.example"))

    def trusting(self, client: Pair | None = None) -> ssl.SSLContext:
        """What a client needs to talk to the server, with a certificate of its own if given."""
        context = ssl.create_default_context(cafile=str(self.server_ca))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context
