"""Keys, records and packets that are the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.names import ServiceProtocol
from resolver.records import EndpointRecord, PublicService
from resolver.signed_packets import LOCAL
from tunnels.addresses import Address
from tunnels.identity import SecretKey

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket

NOW = 1_763_600_000.0
"""Unix seconds: a moment in November 2025."""
TCP = frozenset({ServiceProtocol.TCP})
UDP = frozenset({ServiceProtocol.UDP})
BOTH = TCP | UDP

NPM_PKARR = bytes.fromhex(
    "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b88a1bc52f13c692a92fb2faabc0b60fd0ca0925a6"
    "9d985f0a8c1c8dab71d3853cf669808d7621f88e7dc9de49a4731ea89704e5ddb8a3026cbafb96155c24570c00060a24181e4001"
    "000080000000000200000000085f6f7665726c61793479716f6f787839753361656d68386d6f3577637171313679756675366a69"
    "746f7571316f347a613735316467657231696767687900001000010000012c002903763d310e6578703d31393030303030303030"
    "046e3d6a7310613d3139322e302e322e373a37373737045f776562045f7463703479716f6f787839753361656d68386d6f357763"
    "7171313679756675366a69746f7571316f347a613735316467657231696767687900002100010000012c003c0000000000503479"
    "716f6f787839753361656d68386d6f3577637171313679756675366a69746f7571316f347a613735316467657231696767687900"
)
"""npm pkarr 1.3.0, SignedPacket.fromPacket with the seed 00..1f and timestamp 1700000000000001; key in front."""


def key(number: int) -> SecretKey:
    """The secret key of this number."""
    return SecretKey(number.to_bytes(32))


def record(
    number: int = 1,
    *,
    signed_at: float = NOW,
    seconds: int = 3600,
    nickname: str | None = None,
    addresses: tuple[str, ...] = ("192.0.2.1:7777",),
    services: tuple[PublicService, ...] = (),
) -> EndpointRecord:
    """A record of the endpoint of this number."""
    return EndpointRecord(
        key(number).endpoint_id,
        int(signed_at * 1_000_000),
        int(signed_at) + seconds,
        nickname,
        tuple(Address.parse(address) for address in addresses),
        services,
    )


def packet(number: int = 1, *, salt: bytes = b"", **arguments: object) -> SignedPacket:
    """`record`, signed."""
    return record(number, **arguments).sign(key(number), salt=salt)  # type: ignore[arg-type]


def local_packet(number: int = 1, **arguments: object) -> SignedPacket:
    """`record`, signed for our own networks."""
    return packet(number, salt=LOCAL, **arguments)
