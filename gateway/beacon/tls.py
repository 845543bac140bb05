"""What a beacon proves itself with: its owner's certificate, or one of its own key that gateways pin by its id. ⚡"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError
from tunnels.private_files import write_private
from tunnels.quic.certificates import make_certificate

if TYPE_CHECKING:
    from tunnels.identity import SecretKey


def own_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS with the owner's certificate (PEM, with its chain) and key; ConfigurationError says what is wrong with them."""
    context = _context()
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = error.reason or "not PEM, or the key is another certificate's"
        raise ConfigurationError(
            f"[tls] {certificate} and {key} cannot be used: {reason}; give PEM files that belong together"
        ) from None
    except OSError as error:
        place = error.filename or certificate
        raise ConfigurationError(
            f"[tls] {place} cannot be read: {error.strerror}; check [tls] certificate and key"
        ) from None
    return context


def self_signed(secret_key: SecretKey) -> ssl.SSLContext:
    """TLS with a certificate that says nothing but whose key it is; gateways know the id from the URL."""
    made = make_certificate(secret_key)
    context = _context()
    with tempfile.TemporaryDirectory() as directory:  # the ssl module reads files only
        certificate, key = Path(directory) / "certificate.pem", Path(directory) / "key.pem"
        write_private(certificate, made.certificate)
        write_private(key, made.private_key)
        context.load_cert_chain(certificate, key)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
