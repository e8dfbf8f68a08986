"""TLS as the configuration wants it."""

import ssl

from exporter.export.webconfig.config import Tls
from exporter.export.webconfig.document import read_file
from exporter.export.webconfig.errors import WebConfigError

_REASONS = {
    "KEY_VALUES_MISMATCH": "the key is not the certificate's",
    "KEY_TYPE_MISMATCH": "the key is not the certificate's",
    "EE_KEY_TOO_SMALL": "the certificate's key is too small",
    "CA_MD_TOO_WEAK": "the certificate is signed with a hash that is broken",
}
"""By OpenSSL's words; most others mean that a file is not what it should be."""
_NO_PEM = "one of them is no PEM file, or the key is encrypted, for which there is nobody to ask"


def server_context(tls: Tls) -> ssl.SSLContext:
    """A context that speaks TLS as *tls* says, with what its files hold now.

    Raises:
        WebConfigError: A file cannot be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = tls.minimum, tls.maximum
    context.set_ciphers(tls.ciphers)
    context.set_alpn_protocols(["http/1.1"])
    # A client that renegotiates makes the server work for a byte of its own.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.server_chooses:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_chain(context, tls)
    if tls.client_ca_file is not None:
        _load_authorities(context, tls.client_ca_file)
    context.verify_mode = tls.client_auth.value
    return context


def _load_chain(context: ssl.SSLContext, tls: Tls) -> None:
    # Read here first: OpenSSL does not say which of the two it could not read.
    read_file(tls.cert_file, what="tls_server_config.cert_file")
    read_file(tls.key_file, what="tls_server_config.key_file")
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = _REASONS.get(getattr(error, "reason", None) or "", _NO_PEM)
        raise WebConfigError(f"{tls.cert_file} and {tls.key_file} are no certificate and its key: {reason}") from error


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    content = read_file(path, what="tls_server_config.client_ca_file")
    try:
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise WebConfigError(f"tls_server_config.client_ca_file: {path} holds no certificate in PEM") from error
