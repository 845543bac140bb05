"""TLS to a beacon: by the machine's certificate authorities, or by the one key that its URL names.

The check of the key is part of the handshake, so that nothing is said to anybody else, whatever library uses the context.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tunnels import limits
from tunnels.errors import Unreachable, WrongIdentity
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from tunnels.addresses import Address, BeaconUrl

_REJECTED: Final = 28  # X509_V_ERR_CERT_REJECTED


@lru_cache(maxsize=64)
def client_ssl(url: BeaconUrl) -> ssl.SSLContext:
    """The context for connections to the beacon at `url`; with `#id` the handshake fails unless the key is that id.

    It reads the authorities' certificates from disk: on an event loop, in a thread.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if url.beacon_id is None:
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3
    )  # the only one whose certificates Ed25519 is everywhere good for
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = type("_PinnedObject", (_PinnedObject,), {"url": url})
    context.sslsocket_class = type("_PinnedSocket", (_PinnedSocket,), {"url": url})
    return context


async def identify(address: Address) -> EndpointId:
    """Whose key the certificate of the TLS server at an address has; it proved to hold it. Unreachable if there is none.

    Nothing is said to it, and of us it learns our address.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(
            str(address.ip), address.port, ssl=context, limit=limits.RELAY_TEXT
        )
    except OSError as error:  # ssl's errors and TimeoutError are some
        raise Unreachable(f"no relay answers at {address}: {error}") from None
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    found = None if certificate is None else _key_of(certificate)
    if found is None:
        raise Unreachable(f"who answers at {address} has no certificate of an endpoint")
    return found


def check_peer(url: BeaconUrl, ssl_object: ssl.SSLObject | ssl.SSLSocket) -> None:
    """WrongIdentity unless the certificate's Ed25519 key is the id that `url` names; without one everything is well."""
    if url.beacon_id is None:
        return
    certificate = ssl_object.getpeercert(binary_form=True)
    found = None if certificate is None else _key_of(certificate)
    if found != url.beacon_id:
        raise WrongIdentity(
            f"the beacon at {url.origin} is {found or 'not one with an Ed25519 certificate'}, not {url.beacon_id}"
        )


def _key_of(certificate: bytes) -> EndpointId | None:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return EndpointId(key.public_bytes_raw()) if isinstance(key, Ed25519PublicKey) else None


def _check(url: BeaconUrl, ssl_object: ssl.SSLObject | ssl.SSLSocket) -> None:
    """As a TLS error, which is what the libraries above expect of a handshake."""
    try:
        check_peer(url, ssl_object)
    except WrongIdentity as error:
        failure = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, str(error))
        failure.verify_code, failure.verify_message = _REJECTED, str(error)
        raise failure from None


class _PinnedObject(ssl.SSLObject):
    """What asyncio and uvloop shake hands with."""

    url: BeaconUrl

    def do_handshake(self) -> None:
        super().do_handshake()
        _check(self.url, self)


class _PinnedSocket(ssl.SSLSocket):
    """What blocking clients shake hands with."""

    url: BeaconUrl

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check(self.url, self)
