"""An endpoint id as a TLS certificate: self-signed, and nothing in it but the key matters.

The peer compares the certificate's 32-byte public key with the id it asked for after the handshake; TLS's
CertificateVerify has then proved possession of the secret (RFC 8446 §4.4.3). Names and dates are constants.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from tunnels.identity import SecretKey

SERVER_NAME = "overlay"
"""The constant TLS server name: an observer learns nothing from it."""


class Certificate(NamedTuple):
    """A certificate and its key, both PEM."""

    certificate: bytes
    private_key: bytes


def make_certificate(secret_key: SecretKey) -> Certificate:
    """The certificate of an endpoint; the same key always gives the same certificate."""
    private_key = Ed25519PrivateKey.from_private_bytes(secret_key.seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(private_key, algorithm=None)
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
