"""Our own candidates: where peers might reach this endpoint, kept true while the network changes under it.

Addresses of interfaces, what a person configured, a port that our router maps to us, what STUN servers see our sockets as, an allocation on a TURN server
once some peer is reached by a relay only, and the relays themselves.
"""

from __future__ import annotations

import asyncio
import os
import time
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.demux import KINDS, DatagramKind
from tunnels.nat.allocation import Allocation
from tunnels.nat.reflexive import ReflexiveAddresses
from tunnels.paths.candidates import Candidate, CandidateKind, bounded, is_sane
from tunnels.transports.interfaces import advertised, interface_addresses, reachable_ips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import BeaconUrl, TurnAddress
    from tunnels.identity import EndpointId
    from tunnels.nat.allocation import TurnPlace
    from tunnels.relay.frames import TurnServer

_ORDER: Final = (
    CandidateKind.CONFIGURED,
    CandidateKind.MAPPED,
    CandidateKind.HOST,
    CandidateKind.SERVER_REFLEXIVE,
    CandidateKind.RELAYED,
    CandidateKind.RELAY,
)
"""In which our candidates are told."""


class Gatherer:
    """Gathers candidates; `candidates` are the present ones, best known first."""

    def __init__(
        self,
        endpoint_id: EndpointId,
        configured: Iterable[Address],
        *,
        bound: Callable[[], tuple[Address, ...]],
        send: Callable[[list[bytes], Address], bool],
        on_change: Callable[[], None],
    ) -> None:
        """`bound` are our sockets, `send` sends from them, `on_change` is called when `candidates` are other ones.

        `send` gives False for what is larger than the interface carries.
        """
        self._endpoint_id = endpoint_id
        self._configured = tuple(configured)
        self._bound = bound
        self._send = send
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._hosts: tuple[Address, ...] = ()
        self.local_ips: frozenset[IPv4Address | IPv6Address] = frozenset()
        """Every address of this machine."""
        self._relays: tuple[BeaconUrl, ...] = ()
        self._mapped: dict[int, tuple[Address, bool]] = {}
        """By IP version, with whether somebody verified it."""
        self._reflexive = ReflexiveAddresses(os.urandom)
        self._refreshed_at = -inf
        self._allocation = Allocation(os.urandom)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.candidates: tuple[Candidate, ...] = ()

    def __repr__(self) -> str:
        return f"<Gatherer of {', '.join(map(str, self.candidates))}>"

    def start(self) -> None:
        """Look at the interfaces for the first time; the sockets are bound."""
        self._look()
        self._update()

    def close(self) -> None:
        """Give the allocation back, and ask nobody any more."""
        now = time.monotonic()
        self._allocation.close(now)
        self._transmit(now)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- news -------------------------------------------------------------------------------------------

    def network_changed(self) -> None:
        """Addresses, routes, or the time we slept are others: everything is asked anew."""
        now = time.monotonic()
        self._look()
        self._reflexive.network_changed(now)
        self._allocation.network_changed(now)
        self._progress(now)
        self._update()

    def set_relays(self, relays: tuple[BeaconUrl, ...]) -> None:
        """The beacons peers find us at, home first."""
        self._relays = relays
        self._update()

    def set_mapped(self, address: Address | None, is_verified: bool, version: int = 4) -> None:
        """What our router maps to us, or lets in to us over IPv6; if nobody verified that, all else is better."""
        if address is None:
            self._mapped.pop(version, None)
        else:
            self._mapped[version] = address, is_verified
        self._update()

    def set_servers(
        self, stun: Iterable[str], turn: TurnServer | None, *, with_loopback: bool = False
    ) -> None:
        """What our home beacon tells of STUN and TURN servers; `with_loopback`: it is on this machine itself."""
        now = time.monotonic()
        servers = [address for text in stun if (address := _address(text, with_loopback)) is not None]
        if turn is not None and _address(turn.address, with_loopback) is None:
            turn = None
        self._reflexive.set_servers(servers, now)
        self._allocation.set_server(turn, now)
        self._progress(now)

    def set_active(self, is_active: bool) -> None:
        """Whether some connection needs our addresses to stay fresh."""
        now = time.monotonic()
        self._reflexive.set_active(is_active, now)
        self._progress(now)

    def refresh(self) -> None:
        """A path broke: our NAT may show us at another address now, and peers cannot find out before we do."""
        now = time.monotonic()
        if now >= self._refreshed_at + limits.REFRESH_EVERY:
            self._refreshed_at = now
            self._reflexive.refresh(now)
            self._allocation.verify(now)
            self._progress(now)

    def want_turn(self, permitted: Iterable[IPv4Address | IPv6Address]) -> None:
        """Some peer is reached by a relay only: get an allocation, if our beacon has a TURN server, and let these in."""
        now = time.monotonic()
        self._allocation.want(permitted, now)
        self._progress(now)

    def release_turn(self) -> None:
        """No peer is reached by way of others any more."""
        now = time.monotonic()
        self._allocation.release(now)
        self._progress(now)

    @property
    def turn(self) -> TurnPlace | None:
        """Where our allocation is; None while there is none."""
        return self._allocation.place

    # --- what is seen of us -----------------------------------------------------------------------------

    @property
    def servers(self) -> tuple[Address, ...]:
        """The STUN servers that are asked, those of our home beacon in its order."""
        return self._reflexive.servers

    def sightings(self) -> dict[Address, Address]:
        """Where each STUN server sees the tunnels' socket, of those that answered."""
        return self._reflexive.sightings()

    def has_address(self, version: int) -> bool:
        """Whether other machines may know us by an address of this IP version."""
        return any(host.ip.version == version for host in self._hosts)

    # --- datagrams --------------------------------------------------------------------------------------

    def asks_turn(self, address: Address) -> bool:
        """Whether that is the server that we have an allocation on, or want one."""
        return address == self._allocation.server

    def is_turn(self, address: Address, datagram: bytes) -> bool:
        """Whether a datagram from there is for `turn_received`.

        A beacon may name any address as a TURN server's, a peer's too: as long as it did not give us an allocation,
        only STUN from there is not the peer's.
        """
        return self.asks_turn(address) and (
            self._allocation.relayed is not None or KINDS[datagram[0]] is DatagramKind.STUN
        )

    def turn_received(self, datagram: bytes, source: Address, now: float) -> tuple[bytes, TurnAddress] | None:
        """The peer's datagram in one that came from our TURN server; None if there is none in it."""
        if datagram[:1] < b"\x04" and self.stun_received(datagram, source, now):
            return None  # it is asked where it sees us, too
        found = self._allocation.receive(datagram, now)
        if found is None:
            self._progress(now)
        return found

    def turn_send(self, datagrams: list[bytes], address: TurnAddress) -> bool:
        """Send by way of our allocation, without which they are lost; False as `send` has it."""
        now = time.monotonic()
        ready = self._allocation.send(address, datagrams, now)
        if ready:
            return self._send(ready, address.server)
        self._progress(now)  # a channel is asked for
        return True

    def stun_received(self, datagram: bytes, source: Address, now: float) -> bool:
        """Whether a STUN message was the answer to a question of ours."""
        known = self._reflexive.receive(datagram, source, now)
        if known:
            self._progress(now)
        return known

    # --- inside -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        found, defaults = interface_addresses()
        self._hosts = advertised(self._bound(), reachable_ips(found, defaults), ())
        self.local_ips = frozenset(entry.ip for entry in found)

    def _progress(self, now: float) -> None:
        """Send what is due, and wait for what is next."""
        if self._closed:
            return
        self._transmit(now)
        is_seen_elsewhere = self._reflexive.take_changed()
        if is_seen_elsewhere:
            self._allocation.verify(now)
        if self._allocation.take_changed() or is_seen_elsewhere:
            self._update()
        timers = (self._reflexive.get_timer(), self._allocation.get_timer())
        due = min((timer for timer in timers if timer is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if due is not None:
            wait = max(due - now, limits.TIMER_RESOLUTION)
            self._timer = self._loop.call_later(wait, lambda: self._progress(time.monotonic()))

    def _transmit(self, now: float) -> None:
        for datagram, address in self._reflexive.datagrams_to_send(now):
            self._send([datagram], address)
        for datagram, address in self._allocation.datagrams_to_send(now):
            self._send([datagram], address)

    def _update(self) -> None:
        if self._closed:
            return
        hosts = [Candidate(address, CandidateKind.HOST) for address in self._hosts]
        others = [Candidate(address, CandidateKind.CONFIGURED) for address in self._configured]
        others += [
            Candidate(address, CandidateKind.SERVER_REFLEXIVE) for address in self._reflexive.addresses
        ]
        for address, is_verified in self._told_mapped():
            mapped = [Candidate(address, CandidateKind.MAPPED)]
            others = mapped + others if is_verified else others + mapped
        if self._allocation.relayed is not None:
            others.append(Candidate(self._allocation.relayed, CandidateKind.RELAYED))
        relays = [RelayAddress(beacon, self._endpoint_id) for beacon in self._relays]
        others += [Candidate(address, CandidateKind.RELAY) for address in relays]
        # A machine of many interfaces must not crowd out the few addresses by which strangers to its network reach it.
        kept = bounded(others + hosts)
        candidates = tuple(sorted(kept, key=self._rank))
        if candidates != self.candidates:
            self.candidates = candidates
            self._on_change()

    def _told_mapped(self) -> list[tuple[Address, bool]]:
        """Mapped addresses, and whether they were verified.

        None that STUN servers see elsewhere, so that another NAT stands before our router; and no pinhole that nobody could
        try, as the address is told of anyway.
        """
        told = []
        for address, is_verified in self._mapped.values():
            seen = {one.ip for one in self._reflexive.addresses if one.ip.version == address.ip.version}
            is_likely = address not in self._hosts and (not seen or address.ip in seen)
            if is_verified or is_likely:
                told.append((address, is_verified))
        return told

    def _rank(self, candidate: Candidate) -> int:
        is_doubtful = (
            candidate.kind is CandidateKind.MAPPED and (candidate.address, True) not in self._mapped.values()
        )
        return _ORDER.index(CandidateKind.SERVER_REFLEXIVE if is_doubtful else candidate.kind)


def _address(text: str, with_loopback: bool) -> Address | None:
    """An address that a beacon told us; None if it is none, or nothing that we should send to."""
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    return address if is_sane(address, with_loopback=with_loopback) else None
