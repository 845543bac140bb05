"""That somebody receives what is sent to an ip, attested by a beacon's STUN server. Sans-IO.

Whoever is to send hundreds of packets to a peer's ip would be a weapon if the peer could name any ip. So he gives the
peer a challenge that nobody can guess; the peer asks the STUN server of the beacon that *he* believes, with the
challenge in the request, and what the answer attests goes to the ip that it attests and nowhere else. A Binding request
(RFC 8489) has the attribute CHALLENGE (16 bytes), its answer ATTESTATION::

     0                    8                      72
    +--------------------+----------------------+
    | seconds since 1970 | the beacon's Ed25519 |
    +--------------------+----------------------+

The signature is over `overlay attested address 1`, the challenge, the ip as 16 bytes (IPv4 as ::ffff:192.0.2.1), and
the time. Both attributes are optional: a server that does not know them answers as ever.

It does not say that the ip is the peer's alone: whoever shares a NAT's address with him can be reached there as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunnels.bucket import Bucket
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.reflector import ATTESTATION_BYTES, PROOF_BYTES
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address
    from tunnels.identity import EndpointId, SecretKey

_LABEL: Final = b"overlay attested address 1"
_TIME_BYTES: Final = 8
_ROOM: Final = "." * 76
"""As SOFTWARE in a request: the answer, which is never larger, then has room for an attestation of an IPv6 address."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """A beacon's word that somebody received a challenge's answer at some ip."""

    time: int
    """Seconds since 1970, by the beacon's clock."""
    signature: bytes

    def encode(self) -> bytes:
        """As `ATTESTATION_BYTES`."""
        return self.time.to_bytes(_TIME_BYTES, "big") + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Attestation:
        """Read what `encode` wrote; ProtocolViolation for anything of another length."""
        if len(data) != ATTESTATION_BYTES:
            raise ProtocolViolation(f"an attestation has {ATTESTATION_BYTES} bytes, not {len(data)}")
        return cls(int.from_bytes(data[:_TIME_BYTES], "big"), data[_TIME_BYTES:])


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to a `request`."""

    seen: Address | None
    """Where it saw us."""
    attestation: Attestation | None
    """None if it gives none, or none now."""
    proof: bytes
    """For the next request from the same socket: with it the server gives attestations even while a flood goes on."""


def request(challenge: bytes, transaction_id: bytes, proof: bytes = bytes(PROOF_BYTES)) -> bytes:
    """A Binding request that asks for an attestation; `challenge` has `limits.CHALLENGE_BYTES`, `proof` is that of a `Reply`."""
    if len(challenge) != limits.CHALLENGE_BYTES:
        raise ValueError(f"a challenge has {limits.CHALLENGE_BYTES} bytes, not {len(challenge)}")
    attributes = {"SOFTWARE": _ROOM, Extra.ROUTABLE.label: proof, Extra.CHALLENGE.label: challenge}
    return stun.encode(Method.BINDING, Class.REQUEST, transaction_id, attributes)


def reply(datagram: bytes, transaction_id: bytes) -> Reply | None:
    """What the datagram answers to the request with that id; None if it is no answer to it, or an error.

    Whoever asks has to see that it came from the server; what is attested holds whoever brings it.
    """
    try:
        message = stun.decode(datagram)
    except ProtocolViolation:
        return None
    if message.kind is not Class.RESPONSE or message.transaction_id != transaction_id:
        return None
    attested = message.attributes.get(Extra.ATTESTATION.label, b"")
    proof = message.attributes.get(Extra.ROUTABLE.label, b"")
    return Reply(
        seen=message.address("XOR-MAPPED-ADDRESS"),
        attestation=Attestation.decode(attested) if len(attested) == ATTESTATION_BYTES else None,
        proof=proof if len(proof) == PROOF_BYTES else bytes(PROOF_BYTES),
    )


def proven_ip(
    attestation: Attestation,
    ip: IPv4Address | IPv6Address,
    challenge: bytes,
    beacon_id: EndpointId,
    now: float,
) -> bool:
    """Whether that beacon attests, and did so lately, that this challenge's answer was received at `ip`.

    `now` is in seconds since 1970. True says something only of a challenge that was given to nobody else.
    """
    age = now - attestation.time
    if not -limits.ATTESTED_CLOCK_ERROR <= age <= limits.ATTESTED_SECONDS:
        return False
    return beacon_id.verify(_signed(challenge, ip, attestation.time), attestation.signature)


class Attester:
    """A beacon's signatures, no more in a second than a small share of a core makes."""

    def __init__(self, secret_key: SecretKey, clock: Callable[[], float]) -> None:
        """`secret_key` is the one by which gateways know the beacon; `clock` tells seconds since 1970."""
        self._secret_key = secret_key
        self._clock = clock
        self._proved = Bucket(limits.ATTESTATIONS_PER_SECOND)
        self._unproved = Bucket(limits.ATTESTATIONS_PER_SECOND)

    def attest(self, challenge: bytes, ip: IPv4Address | IPv6Address, now: float, *, proved: bool) -> bytes:
        """The value of ATTESTATION; empty if the challenge is none, or too many were asked for.

        `now` is the time that limits go by. `proved`: the source is no forged one; such ones have an allowance of their own.
        """
        if len(challenge) != limits.CHALLENGE_BYTES or not (self._proved if proved else self._unproved).take(
            now
        ):
            return b""
        time = int(self._clock())
        return Attestation(time, self._secret_key.sign(_signed(challenge, ip, time))).encode()


def _signed(challenge: bytes, ip: IPv4Address | IPv6Address, time: int) -> bytes:
    mapped = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    return _LABEL + challenge + mapped + time.to_bytes(_TIME_BYTES, "big")
