"""What a beacon proves itself with."""

from __future__ import annotations

import ssl

import pytest

from gateway.beacon.tls import own_certificate, self_signed
from gateway.errors import ConfigurationError
from tests.lab.resolver_keys import key
from tunnels.quic.certificates import make_certificate


def write(tmp_path, number: int = 1, other: int | None = None):
    made, others = make_certificate(key(number)), make_certificate(key(other or number))
    certificate, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.certificate)
    private.write_bytes(others.private_key)
    return certificate, private


def test_an_owners_certificate_is_taken(tmp_path) -> None:
    assert isinstance(own_certificate(*write(tmp_path)), ssl.SSLContext)


def test_a_certificate_of_ones_own_key_needs_no_file() -> None:
    assert self_signed(key(1)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_of_another_certificate_is_told(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="give PEM files that belong together"):
        own_certificate(*write(tmp_path, 1, 2))


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    certificate, private = write(tmp_path)
    private.unlink()
    with pytest.raises(ConfigurationError, match=r"check \[tls\] certificate and key"):
        own_certificate(certificate, private)


def test_what_is_no_pem_is_told(tmp_path) -> None:
    certificate, private = write(tmp_path)
    certificate.write_text("not a certificate")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        own_certificate(certificate, private)
