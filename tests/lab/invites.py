"""Invites made without a gateway, and gateways' ends of redeeming them without a tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.invites.capability import Chain, Invite, Terms
from gateway.invites.issued import IssuedInvites
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from gateway.home import Home
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId, SecretKey

ALICE, BOB, CAROL, MALLORY = (key(number) for number in (1, 2, 3, 4))
DAY = 86400
START = int(NOW)


def terms(*services: str, **changed: Any) -> Terms:
    """Made now, good for a day, once, for whoever has it."""
    given = {"issued": START, "expires": START + DAY} | changed
    return Terms(services, **{"until": given["expires"]} | given)


def invite(*services: str, issuer: SecretKey = ALICE, number: int = 1, **changed: Any) -> Invite:
    """An invite of alice; `number` makes its serial and its secret."""
    seed = bytes([number]) * 32
    chain = Chain.issue(issuer, terms(*services, **changed), serial=bytes([number]) * 16, seed=seed)
    return Invite.of(packet(_number_of(issuer), nickname="alice"), chain, seed)


def passed_on(given: Invite, by: SecretKey, *services: str, number: int = 2, **changed: Any) -> Invite:
    """What `by` makes of an invite for somebody else."""
    return given.delegated(
        by, terms(*services, **changed), serial=bytes([number]) * 16, seed=bytes([number]) * 32
    )


def _number_of(secret_key: SecretKey) -> int:
    return next(number for number in range(1, 9) if key(number).endpoint_id == secret_key.endpoint_id)


class Clock:
    """Unix seconds that move when they are told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Alice: her invites on disk, and whom she admitted under which name."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self.home, self.clock = home, clock
        self.admitted: list[tuple[str, EndpointId, SignedPacket | None]] = []
        self.changes = 0
        self.issued = self.again()

    def again(self) -> IssuedInvites:
        """As after a restart."""
        return IssuedInvites(self.home, ALICE, clock=self.clock, admit=self._admit, on_change=self._changed)

    async def _admit(self, wanted: str, endpoint_id: EndpointId, packet: SignedPacket | None) -> str:
        self.admitted.append((wanted, endpoint_id, packet))
        return f"{wanted or 'peer'}-{len({taker for _, taker, _ in self.admitted})}"

    def _changed(self) -> None:
        self.changes += 1
