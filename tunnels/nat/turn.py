"""A TURN client (RFC 8656) on our own UDP socket: one allocation on one server. Sans-IO.

What comes from the server's address is for `receive`, whatever its first byte: channels begin with 64 to 79, as QUIC
does. Each peer that something is sent to gets a channel, which also lets its datagrams in; others are let in with
`set_permitted`. Where STUN is asked of the same server, `tunnels.nat.reflexive` is to see its messages first.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.channels import ChannelTable
from tunnels.nat.stun import Class, Method
from tunnels.nat.transactions import MISMATCH, WRONG_CREDENTIALS, Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.nat.channels import Channel
    from tunnels.nat.stun import StunMessage
    from tunnels.nat.transactions import Done

_UDP: Final = 17 << 24
"""REQUESTED-TRANSPORT: the protocol number, and three bytes of nothing."""

_TAKEN: Final = frozenset({MISMATCH, WRONG_CREDENTIALS})
"""Something of ours is in the way."""

_REASONS: Final = {
    401: "does not take our credentials",
    403: "forbids it",
    MISMATCH: "has no allocation of ours",
    WRONG_CREDENTIALS: "has an allocation of ours with other credentials",
    486: "gives us no more allocations",
    508: "has no relay address left",
}


class TurnState(Enum):
    """Where the allocation is."""

    IDLE = "idle"
    """None was asked for."""
    ALLOCATING = "allocating"
    """It is asked for."""
    READY = "ready"
    """`relayed` is an address of ours."""
    FAILED = "failed"
    """It was refused, or is lost; `failure` says why. `allocate` begins anew."""
    CLOSED = "closed"
    """It was given back."""


class TurnClient:
    """Our allocation on one TURN server."""

    def __init__(self, server: Address, username: str, password: str, chance: Callable[[int], bytes]) -> None:
        """`chance` gives so many random bytes that nobody can guess."""
        self.server = server
        self.state = TurnState.IDLE
        self.relayed: Address | None = None
        """Where others reach us, while READY."""
        self.mapped: Address | None = None
        """Where the server sees us: a reflexive address."""
        self.failure: str | None = None
        """Why it FAILED, in one line."""
        self._chance = chance
        self._credentials = (username, password)
        self._made_with = self._credentials
        """What the last allocation belongs to; only they can end it."""
        self._changed = False
        self._transactions = Transactions(username, password, chance)
        self._refresh_at = inf
        self._channels = ChannelTable()
        self._permitted: dict[IPv4Address | IPv6Address, float] = {}
        """When each permission is to be asked for."""
        self._ready: list[bytes] = []
        """What waited for its channel and can go."""
        self._ready_at = inf

    def __repr__(self) -> str:
        return f"<TurnClient {self.state.value} at {self.server}, {len(self._channels)} peers>"

    # --- What the owner does ------------------------------------------------------------------------------

    def set_credentials(self, username: str, password: str) -> None:
        """Use these from the next `allocate` on: an allocation belongs to those it was made with (§7.2)."""
        self._credentials = (username, password)

    def allocate(self, now: float) -> None:
        """Ask for an allocation, and forget the one there was: also after the network changed."""
        self._reset()
        self._become(TurnState.ALLOCATING)
        # coturn signs these with the credentials that it knows our port by, which may be others.
        self._request_allocation(self._allocated, now, unsigned=_TAKEN)

    def verify(self, now: float) -> None:
        """Ask the server, while READY, whether it still has the allocation: our NAT may show us at another port now."""
        if self._refresh_at < inf:
            self._refresh_at = now

    def set_permitted(self, ips: Iterable[IPv4Address | IPv6Address], now: float) -> None:
        """Let these send to us before we sent to them, while READY; the permissions of others end by themselves.

        Of those that the relay reaches, the first `limits.TURN_PEERS`.
        """
        wanted = dict.fromkeys(ip for ip in ips if self._reaches(ip))
        self._permitted = {
            ip: self._permitted.get(ip, now) for ip, _ in zip(wanted, range(limits.TURN_PEERS), strict=False)
        }

    def send(self, peer: Address, datagrams: list[bytes], now: float) -> list[bytes]:
        """What to send to the server now to send these to the peer; what waits for a channel comes out later.

        Datagrams are lost, as on any path, where there is no allocation, or the server does not want the peer.
        """
        channel = self._channels.get(peer)
        if channel is None:
            channel = self._new_channel(peer, now)
            if channel is None:
                return []
        if now < channel.refused_until:
            return []
        channel.used_at = now
        if channel.bound:
            return channel.wrap(datagrams)
        if channel.refused_until > -inf:
            channel.refused_until = -inf
            self._bind(channel, now)
        channel.hold(datagrams)
        return []

    def close(self, now: float) -> None:
        """Give the allocation back, by the next `datagrams_to_send`; where that is lost, it ends by itself in minutes."""
        had = self.state is TurnState.READY
        transactions = self._transactions
        self._reset()
        self._become(TurnState.CLOSED)
        if had:
            self._transactions = transactions
            transactions.begin(Method.REFRESH, {"LIFETIME": 0}, lambda _answer, _now: None, now)

    # --- What the socket's side does ----------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> tuple[Address, bytes] | None:
        """Take a datagram from the server's address: a peer's address and its datagram, or None if it was something else."""
        if datagram and datagram[0] & 0xC0 == 0x40:
            return self._channels.unwrap(datagram, now)
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return None
        if message.kind is Class.INDICATION:
            return self._indicated(message, now)
        self._transactions.receive(message, now)
        return None

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """What is to be sent to the server: requests that are due, and what waited for a channel."""
        if self.state is TurnState.READY:
            self._renew(now)
        ready, self._ready, self._ready_at = self._ready, [], inf
        return self._transactions.datagrams_to_send(now) + ready

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next; it is also to be called after `receive`."""
        at = min(self._transactions.get_timer(), self._ready_at)
        if self.state is TurnState.READY:
            at = min(at, self._refresh_at, self._channels.get_timer(), *self._permitted.values())
        return None if at == inf else at

    def take_changed(self) -> bool:
        """Whether `state` or `relayed` changed since this was asked."""
        changed, self._changed = self._changed, False
        return changed

    # --- The allocation -----------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._transactions.give_up()
        self._transactions = Transactions(*self._credentials, self._chance)
        self._refresh_at = inf
        self._channels = ChannelTable()
        self._permitted = {}
        self._ready = []
        self._ready_at = inf
        self.relayed = self.mapped = self.failure = None

    def _become(self, state: TurnState) -> None:
        self.state = state
        self._changed = True

    def _fail(self, why: str) -> None:
        self._reset()
        self.failure = f"the TURN server at {self.server} {why}"
        self._become(TurnState.FAILED)

    def _request_allocation(self, done: Done, now: float, *, unsigned: Collection[int] = ()) -> None:
        attributes = {"REQUESTED-TRANSPORT": _UDP, "LIFETIME": limits.TURN_LIFETIME}
        self._transactions.begin(Method.ALLOCATE, attributes, done, now, unsigned=unsigned)

    def _allocated(self, answer: StunMessage | None, now: float) -> None:
        if answer is not None and answer.error_code in _TAKEN:
            # An earlier allocation of ours had this port, and lives on: end it and ask once more.
            self._transactions.set_credentials(*self._made_with)
            self._transactions.begin(Method.REFRESH, {"LIFETIME": 0}, self._ended, now)
        else:
            self._allocated_at_last(answer, now)

    def _ended(self, answer: StunMessage | None, now: float) -> None:
        if answer is not None and answer.kind is Class.RESPONSE:
            self._transactions.set_credentials(*self._credentials)
        # Else there was none, and coturn knows the port by the old credentials all the same, for a minute.
        self._request_allocation(self._allocated_at_last, now)

    def _allocated_at_last(self, answer: StunMessage | None, now: float) -> None:
        if answer is None or answer.kind is Class.ERROR:
            self._fail(_why(answer))
            return
        relayed = answer.address("XOR-RELAYED-ADDRESS")
        if relayed is None or not stun.is_plausible(relayed, self.server):
            self._fail("does not say which address it gave us")
            return
        self.relayed = relayed
        self.mapped = answer.address("XOR-MAPPED-ADDRESS")
        self._made_with = self._transactions.credentials
        self._refresh_after(answer, now)
        self._become(TurnState.READY)

    def _refresh_after(self, answer: StunMessage, now: float) -> None:
        lifetime = min(answer.attributes.get("LIFETIME", 0), limits.TURN_LIFETIME)
        wait = max(lifetime - limits.TURN_REFRESH_BEFORE, lifetime / 2, limits.TURN_REFRESH_LEAST)
        self._refresh_at = now + wait

    def _refreshed(self, answer: StunMessage | None, now: float) -> None:
        if answer is None or answer.kind is Class.ERROR:
            self._fail(_why(answer))
        else:
            self._refresh_after(answer, now)

    def _renew(self, now: float) -> None:
        """Begin the requests that keep alive what is in use, and forget peers that are not."""
        if self._refresh_at <= now:
            self._refresh_at = inf
            self._transactions.begin(Method.REFRESH, {"LIFETIME": limits.TURN_LIFETIME}, self._refreshed, now)
        for ip, at in self._permitted.items():
            if at <= now:
                self._permitted[ip] = now + limits.TURN_PERMISSION_REFRESH
                peer = Address(ip, 1)  # the port does not matter (§9)
                attributes = {"XOR-PEER-ADDRESS": peer}
                self._transactions.begin(Method.CREATE_PERMISSION, attributes, self._permission_answered, now)
        for channel in self._channels.take_due(now):
            self._bind(channel, now)

    def _permission_answered(self, answer: StunMessage | None, now: float) -> None:
        del now
        if answer is not None and answer.error_code == MISMATCH:
            self._fail(_why(answer))

    # --- Channels -----------------------------------------------------------------------------------------

    def _reaches(self, ip: IPv4Address | IPv6Address) -> bool:
        return self.relayed is None or ip.version == self.relayed.ip.version

    def _new_channel(self, peer: Address, now: float) -> Channel | None:
        """A channel that is being bound; None if the peer cannot have one."""
        if self.state is not TurnState.READY or not self._reaches(peer.ip):
            return None
        channel = self._channels.add(peer, now)
        if channel is not None:
            self._bind(channel, now)
        return channel

    def _bind(self, channel: Channel, now: float) -> None:
        attributes = {"CHANNEL-NUMBER": channel.number, "XOR-PEER-ADDRESS": channel.peer}
        self._transactions.begin(Method.CHANNEL_BIND, attributes, partial(self._bound, channel), now)

    def _bound(self, channel: Channel, answer: StunMessage | None, now: float) -> None:
        if answer is not None and answer.error_code == MISMATCH:
            self._fail(_why(answer))
        elif self._channels.get(channel.peer) is not channel:
            return  # forgotten meanwhile
        elif answer is None or answer.kind is Class.ERROR:
            channel.is_refused(now)
        else:
            self._ready += channel.is_bound_now(now)
            self._ready_at = now

    def _indicated(self, message: StunMessage, now: float) -> tuple[Address, bytes] | None:
        """A datagram of a peer without a channel; of those only that we let in (§11.4)."""
        peer = message.address("XOR-PEER-ADDRESS")
        data = message.attributes.get("DATA")
        if message.method is not Method.DATA or peer is None or data is None:
            return None
        if peer.ip not in self._permitted and not self._channels.lets_in(peer.ip):
            return None
        channel = self._channels.get(peer)
        if channel is not None:
            channel.used_at = now
        return peer, data


def _why(answer: StunMessage | None) -> str:
    """What became of a request, as the end of a sentence about the server; its own words are left out."""
    if answer is None:
        return "does not answer"
    code = answer.error_code
    return _REASONS.get(code or 0, f"refuses with error {code}")
