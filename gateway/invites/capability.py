"""An invite: a chain of ed25519 signatures that says what its taker may use at the endpoint which issued it. Sans-IO.

The first link is signed by the issuer's own key. Each link names a key that was made for it alone, and who holds the
secret half of the last one holds the invite: it proves that when it redeems it, and with it signs one link more to pass a
narrower invite on. What is passed on holds the secret of the new link only, so nobody can go back to what the wider
one granted. Whoever passes one on signs with its endpoint's key, too: takers and issuer see by whom it came.

A link, numbers big-endian::

    16 bytes   serial, by chance
    32 bytes   the link's own public key
     8 bytes   when it was made, unix seconds
     8 bytes   until when it may be taken
     8 bytes   until when what it grants lasts; FOR_EVER: until it is revoked
     4 bytes   how many endpoints may take it, or what was made of it
     1 byte    how many links may follow
     1 byte    how many services; for each 1 byte, its length, and its name
     1 byte    length of the name that the issuer shall give to whoever takes it, and the name
     1 byte    1 if it is for one endpoint alone, and then its id (32 bytes); else 0
    32 bytes   from the second link on: the id of the endpoint that passed it on
    64 bytes   signature over the hash of all links before and all of that: the issuer's, or by the key of the link before
    64 bytes   from the second link on: the same by the endpoint that passed it on

A chain is the number of its links in one byte, and the links.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.invites.errors import (
    InviteClockSkew,
    InviteDamaged,
    InviteExpired,
    InviteNotDelegable,
    InviteNotForYou,
    InviteTampered,
)
from gateway.invites.limits import (
    INVITE_LINKS,
    INVITE_SERVICE_BYTES,
    INVITE_SERVICES,
    INVITE_SKEW_SECONDS,
    INVITE_USES,
)
from resolver.errors import InvalidName, RecordError
from resolver.names import check_petname, check_service_name
from resolver.records import EndpointRecord
from resolver.times import utc_text
from tunnels.identity import KEY_BYTES, SIGNATURE_BYTES, EndpointId, SecretKey

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket

SERIAL_BYTES: Final = 16
SEED_BYTES: Final = 32
FOR_EVER: Final = 1 << 40
"""Unix seconds; the year 36812."""

_FIXED: Final = struct.Struct(">16s32sQQQIBB")
_LINK: Final = b"overlay invite link v1\0"
_DELEGATION: Final = b"overlay invite delegation v1\0"
_PROOF: Final = b"overlay invite proof v1\0"


@dataclass(frozen=True, slots=True)
class Terms:
    """What one link grants, and to whom; ValueError for what no link can say."""

    services: tuple[str, ...]
    """Names of services; none: to be a contact only."""
    issued: int
    """Unix seconds."""
    expires: int
    """Unix seconds: to be taken before."""
    until: int
    """Unix seconds: when what it grants ends; FOR_EVER: when it is revoked."""
    uses: int = 1
    depth: int = 0
    """How many links may follow."""
    petname: str = ""
    """What the issuer is to call whoever takes it; empty: what that one calls itself."""
    holder: EndpointId | None = None
    """Who alone may take it; None: whoever has it."""

    def __post_init__(self) -> None:
        if len(self.services) > INVITE_SERVICES or len(set(self.services)) != len(self.services):
            raise ValueError(f"an invite names at most {INVITE_SERVICES} services, each once")
        try:
            if any(check_service_name(service) != service for service in self.services):
                raise ValueError("services are named in lower case")
            if self.petname and check_petname(self.petname) != self.petname:
                raise ValueError("the name is not in lower case")
        except InvalidName as error:
            raise ValueError(str(error)) from None
        if sum(map(len, self.services)) > INVITE_SERVICE_BYTES:
            raise ValueError(
                f"the names of the services have more than {INVITE_SERVICE_BYTES} characters together; "
                "make two invites"
            )
        if not 0 <= self.issued < self.expires <= self.until <= FOR_EVER:
            raise ValueError("an invite is made, then expires, and what it grants does not end before")
        if not 1 <= self.uses <= INVITE_USES:
            raise ValueError(f"an invite is good for 1 to {INVITE_USES} endpoints")
        if not 0 <= self.depth < INVITE_LINKS:
            raise ValueError(f"an invite may be passed on {INVITE_LINKS - 1} times at most")

    def narrows(self, wider: Terms) -> bool:
        """Whether this grants nothing that `wider` does not."""
        return (
            set(self.services) <= set(wider.services)
            and self.expires <= wider.expires
            and self.until <= wider.until
            and self.uses <= wider.uses
            and self.depth < wider.depth
        )


@dataclass(frozen=True, slots=True)
class Link:
    """One verified link of a chain."""

    serial: bytes
    key: EndpointId
    """The public half of the key that was made for it."""
    terms: Terms
    delegator: EndpointId | None
    """Who passed it on; None for the first link."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Links that were verified, or just made: there is no other way to get one."""

    issuer: EndpointId
    links: tuple[Link, ...]
    data: bytes
    """As `parse` reads it."""

    @classmethod
    def issue(cls, issuer: SecretKey, terms: Terms, *, serial: bytes, seed: bytes) -> Chain:
        """A first link; `serial` and `seed` (of the link's own key) are chance."""
        fields = _fields(serial, SecretKey(seed).endpoint_id, terms)
        link = fields + issuer.sign(_signed(_LINK, issuer.endpoint_id, b"", fields))
        return cls.parse(b"\x01" + link, issuer.endpoint_id)

    def extended(
        self, secret: SecretKey, delegator: SecretKey, terms: Terms, *, serial: bytes, seed: bytes
    ) -> Chain:
        """The chain with one link more; `secret` is that of the last link. InviteNotDelegable if it must not be."""
        last = self.links[-1]
        if last.terms.depth == 0:
            raise InviteNotDelegable(
                "this invite may not be passed on; ask its issuer for one made with --delegable, or for another one"
            )
        if last.terms.holder not in (None, delegator.endpoint_id):
            raise InviteNotForYou(
                f"this invite is for {last.terms.holder}, who alone may pass it on; this endpoint is {delegator.endpoint_id}"
            )
        if not terms.narrows(last.terms):
            raise InviteNotDelegable(
                "what is passed on can only grant less: no other services, no more uses, no longer, and fewer times onward"
            )
        fields = _fields(serial, SecretKey(seed).endpoint_id, terms) + delegator.endpoint_id.key
        link = fields + secret.sign(_signed(_LINK, self.issuer, self.data[1:], fields))
        link += delegator.sign(_signed(_DELEGATION, self.issuer, self.data[1:], fields))
        return self.parse(bytes([len(self.links) + 1]) + self.data[1:] + link, self.issuer)

    @classmethod
    def parse(cls, data: bytes, issuer: EndpointId) -> Chain:
        """Read and verify; InviteDamaged for what is no chain, InviteTampered for one that nobody signed so."""
        if not data or not 1 <= data[0] <= INVITE_LINKS:
            raise InviteDamaged(
                f"an invite has 1 to {INVITE_LINKS} links; ask for it once more, or for a new one"
            )
        links: list[Link] = []
        reader = _Reader(data, 1)
        for _ in range(data[0]):
            links.append(_read_link(reader, issuer, links))
        if reader.at != len(data):
            raise InviteDamaged("there is something behind the last link of the invite; ask for a new one")
        return cls(issuer, tuple(links), bytes(data))

    @property
    def terms(self) -> Terms:
        """What the last link says: as each only narrows, that is what the chain grants."""
        return self.links[-1].terms

    @property
    def holders(self) -> frozenset[EndpointId]:
        """Those for whom the last link is; empty: whoever has it."""
        return frozenset(() if self.terms.holder is None else (self.terms.holder,))

    def check_proof(self, taker: EndpointId, proof: bytes) -> None:
        """Return if `proof` was made by `prove` for this taker; else InviteTampered."""
        if not self.links[-1].key.verify(self._proved(taker), proof):
            raise InviteTampered(
                "whoever shows this invite does not hold it; ask whoever passed it on for the whole of it"
            )

    def prove(self, secret: SecretKey, taker: EndpointId) -> bytes:
        """That the taker holds this invite, good for it and this issuer alone."""
        return secret.sign(self._proved(taker))

    def _proved(self, taker: EndpointId) -> bytes:
        return _PROOF + self.issuer.key + taker.key + _digest(self.data)

    def check_times(self, now: float) -> None:
        """Return if it may be taken at `now`, in unix seconds by the clock that counts; InviteExpired otherwise."""
        if self.terms.expires <= now:
            raise InviteExpired(
                f"the invite expired on {utc_text(self.terms.expires)}; ask {self._giver} for a new one"
            )

    @property
    def _giver(self) -> str:
        """Who made the last link."""
        return f"{(self.links[-1].delegator or self.issuer).short}…"


@dataclass(frozen=True, slots=True)
class Invite:
    """A verified invite and the secret that whoever takes it proves to have."""

    packet: SignedPacket
    """The issuer's record: where it is, and what it calls itself."""
    record: EndpointRecord
    chain: Chain
    secret: SecretKey
    """Of the last link; whoever has it holds the invite."""

    @classmethod
    def of(cls, packet: SignedPacket, chain: Chain, seed: bytes) -> Invite:
        """From its parts; InviteTampered if they do not belong together."""
        try:
            record = EndpointRecord.from_packet(packet)
        except RecordError as error:
            raise InviteTampered(f"the invite's record cannot be used: {error}") from None
        secret = SecretKey(seed)
        if chain.issuer != packet.endpoint_id or chain.links[-1].key != secret.endpoint_id:
            raise InviteTampered("the parts of the invite do not belong together; ask for a new one")
        return cls(packet, record, chain, secret)

    @property
    def issuer(self) -> EndpointId:
        """At whom it is good."""
        return self.chain.issuer

    @property
    def terms(self) -> Terms:
        """What it grants."""
        return self.chain.terms

    @property
    def serial(self) -> bytes:
        """Of its last link."""
        return self.chain.links[-1].serial

    def check(self, taker: EndpointId, now: float) -> None:
        """Return if `taker` may try to redeem it at `now`, as far as that can be known without its issuer.

        InviteNotForYou, InviteExpired, or InviteClockSkew for one from the future. One that expired a moment ago is
        for the issuer to judge, whose clock counts.
        """
        if taker == self.issuer:
            raise InviteNotForYou("this invite is one of your own; give it to somebody else")
        if self.chain.holders and taker not in self.chain.holders:
            holder = next(iter(self.chain.holders))
            raise InviteNotForYou(
                f"the invite is for {holder}, and this endpoint is {taker}; ask for one with --for {taker}"
            )
        latest = max(link.terms.issued for link in self.chain.links)
        if latest > now + INVITE_SKEW_SECONDS:
            raise InviteClockSkew(
                f"the invite was made on {utc_text(latest)}, and here it is {utc_text(int(now))}: "
                "one of the two clocks is wrong; set this one if it is, or ask for a new invite"
            )
        self.chain.check_times(now - INVITE_SKEW_SECONDS)

    def delegated(self, delegator: SecretKey, terms: Terms, *, serial: bytes, seed: bytes) -> Invite:
        """A narrower invite to pass on; InviteNotDelegable or InviteNotForYou."""
        chain = self.chain.extended(self.secret, delegator, terms, serial=serial, seed=seed)
        return replace(self, chain=chain, secret=SecretKey(seed))

    def proof(self, taker: EndpointId) -> bytes:
        """What `Chain.check_proof` takes."""
        return self.chain.prove(self.secret, taker)


class _Reader:
    """Takes bytes from the front; InviteDamaged when there are none."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise InviteDamaged("the invite ends within a link; ask for it once more")
        self.at += size
        return found

    def text(self) -> str:
        return self.take(self.take(1)[0]).decode("latin-1")


def _read_link(reader: _Reader, issuer: EndpointId, before: list[Link]) -> Link:
    start = reader.at
    serial, key, issued, expires, until, uses, depth, count = _FIXED.unpack(reader.take(_FIXED.size))
    services = tuple(reader.text() for _ in range(count))
    petname = reader.text()
    holder = EndpointId(reader.take(KEY_BYTES)) if reader.take(1) == b"\x01" else None
    delegator = EndpointId(reader.take(KEY_BYTES)) if before else None
    fields = reader.data[start : reader.at]
    signature = reader.take(SIGNATURE_BYTES)
    above = reader.data[1:start]
    signer = before[-1].key if before else issuer
    if not signer.verify(_signed(_LINK, issuer, above, fields), signature):
        raise InviteTampered(
            f"the invite is not as {issuer.short}… signed it: somebody changed it; ask for a new one"
        )
    if delegator is not None and not delegator.verify(
        _signed(_DELEGATION, issuer, above, fields), reader.take(SIGNATURE_BYTES)
    ):
        raise InviteTampered(
            f"{delegator.short}…, who is said to have passed the invite on, did not; ask for a new one"
        )
    try:
        terms = Terms(services, issued, expires, until, uses, depth, petname, holder)
    except ValueError as error:
        raise InviteTampered(f"the invite says what no invite can: {error}; ask for a new one") from None
    if before and not terms.narrows(before[-1].terms):
        raise InviteTampered(
            f"{delegator.short if delegator else '?'}… passed on more than it was given; ask the issuer for an invite"
        )
    if before and before[-1].terms.holder not in (None, delegator):
        raise InviteTampered("the invite was passed on by somebody it was not for; ask its issuer for one")
    return Link(serial, EndpointId(key), terms, delegator)


def _fields(serial: bytes, key: EndpointId, terms: Terms) -> bytes:
    if len(serial) != SERIAL_BYTES:
        raise ValueError(f"a serial has {SERIAL_BYTES} bytes, not {len(serial)}")
    head = _FIXED.pack(
        serial,
        key.key,
        terms.issued,
        terms.expires,
        terms.until,
        terms.uses,
        terms.depth,
        len(terms.services),
    )
    names = b"".join(bytes([len(name)]) + name.encode("ascii") for name in (*terms.services, terms.petname))
    return head + names + (b"\0" if terms.holder is None else b"\x01" + terms.holder.key)


def _signed(label: bytes, issuer: EndpointId, above: bytes, fields: bytes) -> bytes:
    """What a link's signatures cover: all links before it, and itself."""
    return label + issuer.key + _digest(above) + fields


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
