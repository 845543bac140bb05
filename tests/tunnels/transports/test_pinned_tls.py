"""Who is trusted as a beacon: the key its URL names, or what the machine's authorities vouch for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab.certificates import certificate_with, server_context
from tunnels.addresses import Address, BeaconUrl
from tunnels.errors import Unreachable, WrongIdentity
from tunnels.identity import SecretKey
from tunnels.transports.pinned_tls import check_peer, client_ssl, identify

KEY = SecretKey(b"\x01" * 32)
OTHER = SecretKey(b"\x02" * 32)
PINNED = BeaconUrl.parse(f"https://beacon.example#{KEY.endpoint_id}")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLSocket, bytes]:
    """Connect two sockets; the client's, and what the server heard after the handshake."""
    near, far = socket.socketpair()
    heard: list[bytes] = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as served:
                heard.append(served.recv(100))
        except OSError:
            heard.append(b"")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        connected = client.wrap_socket(near, server_hostname="beacon.example")
        connected.sendall(b"secret")
    finally:
        near.close()
        thread.join()
    return connected, heard[0]


def test_the_named_key_is_trusted_whatever_the_certificate_says():
    client, heard = shake_hands(client_ssl(PINNED), server_context(KEY))
    assert heard == b"secret"
    client.close()


def test_another_key_ends_the_handshake():
    with pytest.raises(ssl.SSLCertVerificationError, match=f"is {OTHER.endpoint_id}, not {KEY.endpoint_id}"):
        shake_hands(client_ssl(PINNED), server_context(OTHER))


def test_a_key_of_another_kind_ends_the_handshake():
    with pytest.raises(ssl.SSLCertVerificationError, match="not one with an Ed25519 certificate"):
        shake_hands(client_ssl(PINNED), certificate_with(ec.generate_private_key(ec.SECP256R1())))


def test_without_an_id_the_authorities_are_asked():
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed"):
        shake_hands(client_ssl(BeaconUrl.parse("https://beacon.example")), server_context(KEY))


class Peer:
    """A handshake's other end, as far as it is asked."""

    def __init__(self, certificate: bytes | None) -> None:
        self.certificate = certificate

    def getpeercert(self, binary_form: bool) -> bytes | None:
        assert binary_form
        return self.certificate


@pytest.mark.parametrize("certificate", [None, b"", b"junk"])
def test_what_is_no_certificate_is_nobody(certificate):
    with pytest.raises(WrongIdentity):
        check_peer(PINNED, Peer(certificate))


def test_without_an_id_there_is_nothing_to_compare():
    check_peer(BeaconUrl.parse("https://beacon.example"), Peer(None))


@contextlib.asynccontextmanager
async def server(context: ssl.SSLContext | None, words: bytes = b""):
    """A server on loopback that says this and waits; what it heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        with contextlib.suppress(OSError):
            heard.append(await reader.read())
        writer.close()

    started = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield Address.of(*started.sockets[0].getsockname()[:2]), heard
    finally:
        started.close()
        await asyncio.sleep(0.05)


async def test_who_is_at_an_address_proves_its_key_and_is_told_nothing():
    context = await asyncio.to_thread(server_context, KEY)
    async with server(context) as (address, heard):
        assert await identify(address) == KEY.endpoint_id
    assert not any(heard)


async def test_who_has_a_certificate_of_another_kind_or_speaks_no_tls_is_nobody():
    context = await asyncio.to_thread(certificate_with, ec.generate_private_key(ec.SECP256R1()))
    async with server(context) as (address, _):
        with pytest.raises(Unreachable, match="has no certificate of an endpoint"):
            await identify(address)
    async with server(None, b"220 mail.example ESMTP\r\n") as (address, _):
        with pytest.raises(Unreachable, match="no relay answers at"):
            await identify(address)
    with pytest.raises(Unreachable, match="no relay answers at"):
        await identify(address)
