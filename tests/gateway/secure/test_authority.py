"""What the authority may sign for, by the word of OpenSSL, curl, Python and NSS; and how it is kept."""

from __future__ import annotations

import ssl
import stat
import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.answers.base import time_now
from gateway.errors import StateError
from gateway.secure.authority import Authority, certificate_file, key_file
from gateway.secure.limits import CA_DAYS, CA_RENEW_DAYS, LEAF_DAYS
from tests.lab.forgeries import chain, forge, private_pem, showing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = time_now()
KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = Authority.make(NOW, "alice's laptop.example")

GOOD = ("web.alice.overlay", "alice.overlay", "web.alice.localhost", "dns.localhost")
FORGED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "another name": ("example.com", lambda: forge(AUTHORITY, x509.DNSName("example.com"), key=KEY)),
    "ours and another": (
        "example.com",
        lambda: forge(AUTHORITY, x509.DNSName("a.overlay"), x509.DNSName("example.com"), key=KEY),
    ),
    "all names below one": (
        "www.example.com",
        lambda: forge(AUTHORITY, x509.DNSName("*.example.com"), key=KEY),
    ),
    "a name in the subject alone": ("example.com", lambda: forge(AUTHORITY, common="example.com", key=KEY)),
    "one that ends like ours": (
        "notoverlay",
        lambda: forge(AUTHORITY, x509.DNSName("notoverlay"), key=KEY),
    ),
    "an address": (
        "127.0.0.1",
        lambda: forge(AUTHORITY, x509.IPAddress(ip_address("127.0.0.1")), key=KEY),
    ),
    "an authority below": ("a.overlay", lambda: chain(AUTHORITY, "a.overlay", KEY, under_another=True)),
    "a leaf that signs": ("a.overlay", lambda: chain(AUTHORITY, "a.overlay", KEY, under_another=False)),
}


def issued(host: str) -> bytes:
    return AUTHORITY.issue(host, NOW, KEY.public_key())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    AUTHORITY.save(tmp_path / "ca")
    return tmp_path


def openssl(files: Path, host: str, certificate: bytes) -> str:
    """What `openssl verify` says, which is nothing else than OK or an error."""
    (files / "leaf.pem").write_bytes(certificate)
    said = subprocess.run(
        [
            "openssl",
            "verify",
            "-CAfile",
            str(certificate_file(files / "ca")),
            "-untrusted",
            str(files / "leaf.pem"),
        ]
        + (["-verify_ip", host] if host[0].isdigit() else ["-verify_hostname", host])
        + ["-purpose", "sslserver", str(files / "leaf.pem")],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "OK" if said.returncode == 0 else said.stderr


def python(port: int, host: str, authority: Path) -> str:
    import socket

    context = ssl.create_default_context(cafile=str(authority))
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return "OK"


def curl(port: int, host: str, authority: Path) -> str:
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--max-time",
            "10",
            "--cacert",
            str(authority),
            "--resolve",
            f"{host}:{port}:127.0.0.1",
            f"https://{host}:{port}/",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "OK" if done.stdout == "forged" else done.stderr


@pytest.mark.parametrize("host", GOOD)
def test_openssl_believes_certificates_for_our_names(files, host):
    assert openssl(files, host, issued(host)) == "OK"


@pytest.mark.parametrize("what", FORGED)
def test_openssl_believes_nothing_else(files, what):
    host, make = FORGED[what]
    said = openssl(files, host, make())
    assert (
        "permitted subtree violation" in said
        or "excluded subtree violation" in said
        or "invalid CA" in said
        or ("path length" in said)
    )


@pytest.mark.needs("curl")
@pytest.mark.parametrize("client", [python, curl])
def test_clients_believe_a_server_of_ours_and_no_forged_one(files, client):
    authority = certificate_file(files / "ca")
    with showing(issued("web.alice.overlay"), KEY, files) as port:
        assert client(port, "web.alice.overlay", authority) == "OK"
        assert client(port, "web.bob.overlay", authority) != "OK"
    for what in ("another name", "an address", "an authority below"):
        host, make = FORGED[what]
        with showing(make(), KEY, files) as port:
            assert client(port, host, authority) != "OK", what


@pytest.mark.needs("certutil")
def test_nss_believes_our_names_and_nothing_else(files):
    def certutil(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["certutil", words[0], "-d", f"sql:{files}", *words[1:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    certutil("-N", "--empty-password")
    certutil("-A", "-n", "authority", "-t", "C,,", "-i", str(certificate_file(files / "ca")))
    shown = {f"good {host}": issued(host) for host in GOOD}
    shown |= {
        what: FORGED[what][1]() for what in FORGED if what not in ("an authority below", "a leaf that signs")
    }
    for what, certificate in shown.items():
        (files / "leaf.pem").write_bytes(certificate)
        assert certutil("-A", "-n", what, "-t", ",,", "-i", str(files / "leaf.pem")).returncode == 0
        verdict = certutil("-V", "-n", what, "-u", "V")
        assert (verdict.returncode == 0) == what.startswith("good"), (what, verdict.stdout, verdict.stderr)


def test_the_certificate_says_itself_what_it_is_good_for():
    extensions = AUTHORITY.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [name.value for name in constraints.value.permitted_subtrees] == ["overlay", "localhost"]
    assert [str(name.value) for name in constraints.value.excluded_subtrees] == ["0.0.0.0/0", "::/0"]
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert AUTHORITY.expires == pytest.approx(NOW + CA_DAYS * 86400, abs=2)
    assert "alices" in AUTHORITY.certificate.subject.rfc4514_string()


def test_what_it_signs_is_short_lived_and_ends_with_it():
    young = x509.load_pem_x509_certificate(issued("a.overlay"))
    assert (young.not_valid_after_utc - young.not_valid_before_utc).days == LEAF_DAYS + 1 <= 90
    late = AUTHORITY.issue("a.overlay", AUTHORITY.expires - 10, KEY.public_key())
    assert x509.load_pem_x509_certificate(late).not_valid_after_utc.timestamp() == AUTHORITY.expires
    assert not AUTHORITY.is_old(NOW)
    assert AUTHORITY.is_old(AUTHORITY.expires - CA_RENEW_DAYS * 86400 + 1)


def test_it_is_kept_in_files_that_nobody_else_reads(files):
    directory = files / "ca"
    assert {
        stat.S_IMODE(each.stat().st_mode) for each in (key_file(directory), certificate_file(directory))
    } == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    found = Authority.load(directory)
    assert found is not None
    assert (found.label, found.fingerprint) == (AUTHORITY.label, AUTHORITY.fingerprint)
    assert private_pem(found.key) == private_pem(AUTHORITY.key)
    assert Authority.load(files / "none") is None


@pytest.mark.parametrize("lacking", [x509.NameConstraints, x509.BasicConstraints, x509.ExtendedKeyUsage])
def test_an_authority_that_is_good_for_more_is_not_installed_nor_used(files, lacking):
    certificate = AUTHORITY.certificate
    builder = x509.CertificateBuilder(certificate.issuer, certificate.subject, AUTHORITY.key.public_key(), 1)
    builder = builder.not_valid_before(certificate.not_valid_before_utc).not_valid_after(
        certificate.not_valid_after_utc
    )
    for extension in certificate.extensions:
        if not isinstance(extension.value, lacking):
            builder = builder.add_extension(extension.value, extension.critical)
    wide = builder.sign(AUTHORITY.key, hashes.SHA256())
    certificate_file(files / "ca").write_bytes(wide.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(StateError, match=r"good for more than .overlay and .localhost.*overlay ca remove"):
        Authority.load(files / "ca")


@pytest.mark.parametrize("purpose", ["smimesign", "sslclient", "timestampsign"])
def test_what_it_signs_is_for_servers_only(files, purpose):
    (files / "leaf.pem").write_bytes(forge(AUTHORITY, x509.RFC822Name("alice@example.com"), key=KEY))
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(certificate_file(files / "ca")), "-purpose", purpose, str(files / "leaf.pem")],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode != 0


@pytest.mark.parametrize("damage", [b"", b"junk", b"\x00" * 100, private_pem(KEY)])
def test_damaged_files_are_told_of_in_a_line(files, damage):
    key_file(files / "ca").write_bytes(damage)
    with pytest.raises(StateError, match="overlay ca remove"):
        Authority.load(files / "ca")
    certificate_file(files / "ca").write_bytes(damage)
    with pytest.raises(StateError, match="overlay ca remove"):
        Authority.load(files / "ca")
