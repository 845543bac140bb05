"""Our addresses as others see them: STUN servers are asked from our own socket, on the paths' port. Sans-IO.

A round asks every server, `limits.STUN_SENDS` times where it is silent. Rounds are repeated only while somebody needs
the answers (`set_active`), which also keeps the NAT's mappings. What two servers agree on outweighs a lone one, which
may lie; where none agree, the NAT's mapping varies and each answer is worth telling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.reflector import PROOF_BYTES
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import Address

_ROOM: Final = "." * 44
"""As SOFTWARE in a request: our reflector's answer is never larger than what it answers (`tunnels.nat.reflector`)."""


@dataclass(slots=True, eq=False)
class _Server:
    """What we know of one STUN server."""

    address: Address
    next_round: float = inf
    """When it is asked next."""
    began: float = -inf
    """When the last round did."""
    transaction_id: bytes = b""
    """Of the request that is under way."""
    sent: int = 0
    send_at: float = inf
    give_up_at: float = inf
    silent: int = 0
    """Rounds without an answer since the last one."""
    seen: Address | None = None
    """Where it saw us."""
    proof: bytes = bytes(PROOF_BYTES)

    @property
    def timer(self) -> float:
        return min(self.next_round, self.send_at, self.give_up_at)

    def begin(self, transaction_id: bytes, now: float) -> None:
        self.transaction_id = transaction_id
        self.sent = 0
        self.next_round = inf
        self.began = self.send_at = now
        self.give_up_at = now + limits.STUN_GIVE_UP

    def end(self, next_round: float) -> None:
        self.transaction_id = b""
        self.send_at = self.give_up_at = inf
        self.next_round = next_round


class ReflexiveAddresses:
    """Keeps the addresses at which STUN servers see our socket."""

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        """`chance` gives so many random bytes that nobody can guess."""
        self._chance = chance
        self._servers: dict[Address, _Server] = {}
        self._active = False
        self._changed = False

    def __repr__(self) -> str:
        answered = sum(server.seen is not None for server in self._servers.values())
        return f"<ReflexiveAddresses {answered} of {len(self._servers)} servers answered>"

    # --- What the owner does ------------------------------------------------------------------------------

    def set_servers(self, servers: Iterable[Address], now: float) -> None:
        """Ask these, the first `limits.STUN_SERVERS` that can be a server's; new ones at once."""
        before, self._servers = self._servers, {}
        for address in servers:
            if len(self._servers) == limits.STUN_SERVERS:
                break
            if address.ip.is_multicast or address.ip.is_unspecified:
                continue
            self._servers[address] = before.get(address) or _Server(address, next_round=now)
        self._changed |= any(
            server.seen is not None for address, server in before.items() if address not in self._servers
        )

    def set_active(self, active: bool, now: float) -> None:
        """Whether somebody needs our addresses: then they are kept fresh, beginning with those that may be stale."""
        if active == self._active:
            return
        self._active = active
        for server in self._servers.values():
            if server.transaction_id:
                continue
            if not active:
                server.next_round = inf
            elif server.next_round == inf:
                server.next_round = max(now, server.began + limits.STUN_EVERY)

    def refresh(self, now: float) -> None:
        """Ask all servers now, but those that are being asked."""
        for server in self._servers.values():
            if not server.transaction_id:
                server.next_round = now

    def network_changed(self, now: float) -> None:
        """Forget what was seen, which is of another network, and ask anew."""
        for server in self._servers.values():
            self._changed |= server.seen is not None
            server.seen = None
            server.silent = 0
            server.end(now)

    # --- What the socket's side does ----------------------------------------------------------------------

    def receive(self, datagram: bytes, source: Address, now: float) -> bool:
        """Take a STUN message; whether it was an answer to a request of ours. Everything else is passed over."""
        server = self._servers.get(source)
        if server is None or not server.transaction_id:
            return False
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return False
        if message.method is not Method.BINDING or message.transaction_id != server.transaction_id:
            return False
        if message.kind is Class.ERROR:
            self._failed(server, now)
            return True
        if message.kind is not Class.RESPONSE:
            return False
        # Servers of RFC 3489's age know the plain attribute only; what a NAT changed in it shows in the next check.
        seen = message.address("XOR-MAPPED-ADDRESS") or message.address("MAPPED-ADDRESS")
        if seen is None or not stun.is_plausible(seen, source):
            self._failed(server, now)
            return True
        proof = message.attributes.get(Extra.ROUTABLE.label, b"")
        server.proof = proof if len(proof) == PROOF_BYTES else bytes(PROOF_BYTES)
        server.silent = 0
        server.end(now + self._interval() if self._active else inf)
        self._changed |= seen != server.seen
        server.seen = seen
        return True

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """The requests that are due."""
        due = []
        for server in self._servers.values():
            if server.next_round <= now:
                server.begin(self._chance(stun.TRANSACTION_ID_BYTES), now)
            if server.give_up_at <= now:
                self._failed(server, now)
            elif server.send_at <= now:
                server.sent += 1
                server.send_at = now + limits.STUN_RESEND if server.sent < limits.STUN_SENDS else inf
                attributes = {"SOFTWARE": _ROOM, Extra.ROUTABLE.label: server.proof}
                request = stun.encode(Method.BINDING, Class.REQUEST, server.transaction_id, attributes)
                due.append((request, server.address))
        return due

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next."""
        at = min((server.timer for server in self._servers.values()), default=inf)
        return None if at == inf else at

    # --- What came of it ----------------------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where we are seen, the addresses most servers agree on first; of each family a bounded number."""
        found: list[Address] = []
        for version in (4, 6):
            counts = self._counts(version)
            agreed = counts and max(counts.values()) >= limits.STUN_AGREEING
            ranked = [
                address
                for address, count in counts.most_common()
                if not agreed or count >= limits.STUN_AGREEING
            ]
            found += ranked[: limits.STUN_ADDRESSES]
        return tuple(found)

    @property
    def servers(self) -> tuple[Address, ...]:
        """Those that are asked, in the order in which they were given."""
        return tuple(self._servers)

    def sightings(self) -> dict[Address, Address]:
        """Where each server saw us last, of those that did."""
        return {address: server.seen for address, server in self._servers.items() if server.seen is not None}

    def varies(self, version: int) -> bool | None:
        """Whether the NAT's mapping varies with the destination, for IP version 4 or 6; None while fewer than two answered."""
        counts = self._counts(version)
        return None if counts.total() < 2 else len(counts) > 1

    def take_changed(self) -> bool:
        """Whether an answer differed from the last one, came, or went, since this was asked."""
        changed, self._changed = self._changed, False
        return changed

    def _counts(self, version: int) -> Counter[Address]:
        seen = (server.seen for server in self._servers.values())
        return Counter(address for address in seen if address is not None and address.ip.version == version)

    def _failed(self, server: _Server, now: float) -> None:
        """No answer in this round, or none that is one."""
        server.silent += 1
        if server.silent > 1:  # once may be a coincidence of losses
            self._changed |= server.seen is not None
            server.seen = None
        if server.silent <= limits.STUN_RETRIES:
            server.end(now + limits.STUN_RETRY * 2 ** (server.silent - 1))
        else:
            server.end(now + self._interval() if self._active else inf)

    def _interval(self) -> float:
        return limits.STUN_EVERY + limits.STUN_JITTER * self._chance(1)[0] / 255
