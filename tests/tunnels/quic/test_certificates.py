"""Facts about certificates, and about what a client believes of one."""

from __future__ import annotations

import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.lab.quic import ALICE, BOB, EVE, EnginePair
from tests.lab.wire import Wire
from tunnels.quic.certificates import SERVER_NAME, Certificate, make_certificate
from tunnels.quic.engine import ENGINE_NAMES

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))


def test_the_same_key_gives_the_same_certificate_and_another_key_another():
    assert make_certificate(ALICE) == make_certificate(ALICE)
    assert make_certificate(ALICE) != make_certificate(BOB)


def test_the_certificate_has_the_id_as_key_and_tells_nothing_else():
    certificate = x509.load_pem_x509_certificate(make_certificate(ALICE).certificate)
    assert certificate.public_key().public_bytes_raw() == ALICE.endpoint_id.key
    assert certificate.subject == certificate.issuer
    assert [attribute.value for attribute in certificate.subject] == [SERVER_NAME]
    certificate.verify_directly_issued_by(certificate)


def test_the_private_key_is_the_identitys():
    key = load_pem_private_key(make_certificate(ALICE).private_key, password=None)
    assert key.private_bytes_raw() == ALICE.seed


@pytest.mark.parametrize("names", PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_server_that_shows_anothers_certificate_gets_no_connection(names, monkeypatch):
    """Who has only the public key of an endpoint cannot stand in for it: TLS proves possession of the secret."""
    stolen = Certificate(make_certificate(BOB).certificate, make_certificate(EVE).private_key)
    monkeypatch.setattr(
        "tests.lab.quic.make_certificate", lambda key: stolen if key is EVE else make_certificate(key)
    )
    pair = EnginePair(*names, wire=Wire(), server_key=EVE)
    try:
        pair.wire.run(5)
    except ValueError:  # an engine that refuses to be configured like this stands in for nobody, either
        return
    assert not pair.at_client.named("handshake_completed")
    assert pair.at_client.named("terminated")
