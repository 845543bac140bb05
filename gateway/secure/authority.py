"""The certificate authority of one gateway: what it may sign for stands in its own certificate, and nothing else is possible.

A browser that trusts it trusts it for `.overlay` and `.localhost` only: the name constraints are critical (RFC 5280
§4.2.1.10), every ip address is excluded, and it may sign no other authority. So whoever steals its key cannot pass for
anything of the Internet. Files in `<home>/ca`, mode 0600.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import StateError
from gateway.secure.hosts import LOCAL_TOP
from gateway.secure.limits import CA_DAYS, CA_RENEW_DAYS, LEAF_DAYS
from gateway.trust.limits import CA_FILE_BYTES
from resolver.names import TOP_LABEL
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path

_SIGNED: Final = hashes.SHA256()
_EARLY: Final = timedelta(days=1)
"""Certificates begin a day before they are made: clocks differ, and time zones are mistaken."""

_BOUNDS: Final = x509.NameConstraints(
    permitted_subtrees=[x509.DNSName(TOP_LABEL), x509.DNSName(LOCAL_TOP)],
    excluded_subtrees=[
        x509.IPAddress(network) for network in (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
    ],
)
_SIGNS_LEAVES: Final = x509.BasicConstraints(ca=True, path_length=0)
_FOR_SERVERS: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@dataclass(frozen=True, slots=True)
class Authority:
    """Its certificate, and the key that signs with it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, now: float, host: str) -> Authority:
        """A new one with a key of its own; `host` is the machine that its name tells of, for people."""
        key = ec.generate_private_key(ec.SECP256R1())
        mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        shown = "".join(c for c in host if c.isascii() and (c.isalnum() or c in "-."))[:24]
        common = f"overlay gateway {shown or 'here'} {mark.digest.hex()[:8]} (.overlay only)"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        begin = _moment(now)
        builder = _certificate(name, name, key.public_key(), begin, begin + timedelta(days=CA_DAYS))
        certificate = (
            builder.add_extension(_SIGNS_LEAVES, critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(
                _BOUNDS,
                critical=True,
            )
            .add_extension(_FOR_SERVERS, critical=False)
            .add_extension(mark, critical=False)
            .sign(key, _SIGNED)
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> Authority | None:
        """The one that is kept there, None if there is none; StateError if its files cannot be used."""
        try:
            certificate = _read(certificate_file(directory))
            key = _read(key_file(directory))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"ca: {error.filename} cannot be read: {error.strerror}") from None
        again = "make a new one: overlay ca remove, then overlay ca install"
        try:
            loaded = serialization.load_pem_private_key(key, None)
            made = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError):
            raise StateError(f"ca: {directory} holds no authority of ours; {again}") from None
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise StateError(f"ca: {directory} holds no authority of ours; {again}")
        if made.public_key() != loaded.public_key():
            raise StateError(f"ca: key and certificate in {directory} do not belong together; {again}")
        if not _is_bounded(
            made
        ):  # whoever put it there would have the system trust them for the whole Internet
            raise StateError(
                f"ca: the authority in {directory} is good for more than .overlay and .localhost; {again}"
            )
        return cls(made, loaded)

    def save(self, directory: Path) -> None:
        """Keep it there: the key first, so that a certificate never stands without one. OSError if it cannot be."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(key_file(directory), secret)
        write_private(certificate_file(directory), self.pem)

    def issue(self, host: str, now: float, public_key: ec.EllipticCurvePublicKey) -> bytes:
        """A certificate for one name, in PEM, that does not outlive ours. Whether the name is ours is asked before."""
        name = x509.Name([])
        begin = _moment(now)
        end = min(begin + timedelta(days=LEAF_DAYS), self.certificate.not_valid_after_utc)
        builder = _certificate(name, self.certificate.subject, public_key, begin, end)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(_FOR_SERVERS, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .add_extension(own, critical=False)
            .sign(self.key, _SIGNED)
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def label(self) -> str:
        """What stores call it: `overlay-1a2b3c4d5e6f7a8b`, of its fingerprint, so that no two share one."""
        return f"overlay-{self.certificate.fingerprint(_SIGNED).hex()[:16]}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it."""
        return self.certificate.fingerprint(_SIGNED).hex(":").upper()

    @property
    def sha1(self) -> str:
        """The older fingerprint, by which macOS and Windows find a certificate."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name, no protection

    @property
    def expires(self) -> float:
        """Its last moment, in unix seconds."""
        return self.certificate.not_valid_after_utc.timestamp()

    def is_old(self, now: float) -> bool:
        """Whether it ends soon, or has ended, so that a new one is to be installed."""
        return now > self.expires - CA_RENEW_DAYS * 86400

    def __repr__(self) -> str:
        return f"<Authority {self.label}>"


def certificate_file(directory: Path) -> Path:
    """The certificate, which everybody may see."""
    return directory / "authority.pem"


def key_file(directory: Path) -> Path:
    """The key, which nobody else may."""
    return directory / "authority.key"


def _is_bounded(certificate: x509.Certificate) -> bool:
    """Whether it can sign for nothing but what ours may."""
    try:
        extensions = certificate.extensions
        found = [
            extensions.get_extension_for_class(x509.NameConstraints),
            extensions.get_extension_for_class(x509.BasicConstraints),
        ]
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return (
        [each.value for each in found] == [_BOUNDS, _SIGNS_LEAVES]
        and all(each.critical for each in found)
        and purposes == _FOR_SERVERS
    )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(CA_FILE_BYTES)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLY)
        .not_valid_after(end)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
