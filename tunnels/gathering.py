"""Our own candidates: where peers might reach this endpoint, kept true while the network changes under it.

Addresses of interfaces, what a person configured, what STUN servers see our sockets as, an allocation on a TURN server
once some peer is reached by a relay only, and the relays themselves.
"""

from __future__ import annotations

import asyncio
import os
import time
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, RelayAddress, TurnAddress
from tunnels.demux import KINDS, DatagramKind
from tunnels.nat.reflexive import ReflexiveAddresses
from tunnels.nat.turn import TurnClient
from tunnels.paths.candidates import Candidate, CandidateKind, bounded, is_sane
from tunnels.transports.interfaces import advertised, interface_addresses, reachable_ips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId
    from tunnels.relay.frames import TurnServer


class Gatherer:
    """Gathers candidates; `candidates` are the present ones, best known first."""

    def __init__(
        self,
        endpoint_id: EndpointId,
        configured: Iterable[Address],
        *,
        bound: Callable[[], tuple[Address, ...]],
        send: Callable[[list[bytes], Address], object],
        on_change: Callable[[], None],
    ) -> None:
        """`bound` are our sockets, `send` sends from them, `on_change` is called when `candidates` are other ones."""
        self._endpoint_id = endpoint_id
        self._configured = tuple(configured)
        self._bound = bound
        self._send = send
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._hosts: tuple[Address, ...] = ()
        self._relays: tuple[BeaconUrl, ...] = ()
        self._reflexive = ReflexiveAddresses(os.urandom)
        self._refreshed_at = -inf
        self._turn_server: TurnServer | None = None
        self._turn: TurnClient | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.candidates: tuple[Candidate, ...] = ()

    def __repr__(self) -> str:
        return f"<Gatherer of {', '.join(map(str, self.candidates))}>"

    def start(self) -> None:
        """Look at the interfaces for the first time; the sockets are bound."""
        self._look()
        self._update()

    def close(self) -> None:
        """Give the allocation back, and ask nobody any more."""
        if self._turn is not None:
            self._turn.close(time.monotonic())
            self._transmit(time.monotonic())
            self._turn = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- news -------------------------------------------------------------------------------------------

    def network_changed(self) -> None:
        """Addresses, routes, or the time we slept are others: everything is asked anew."""
        now = time.monotonic()
        self._look()
        self._reflexive.network_changed(now)
        self._drop_turn()
        self._progress(now)
        self._update()

    def set_relays(self, relays: tuple[BeaconUrl, ...]) -> None:
        """The beacons peers find us at, home first."""
        self._relays = relays
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
        if turn is None or self._turn_server is None or turn.address != self._turn_server.address:
            self._drop_turn()
        self._turn_server = turn
        self._progress(now)

    def set_active(self, is_active: bool) -> None:
        """Whether some connection needs our addresses to stay fresh."""
        now = time.monotonic()
        self._reflexive.set_active(is_active, now)
        if not is_active:
            self._drop_turn()
        self._progress(now)

    def refresh(self) -> None:
        """A path broke: our NAT may show us at another address now, and peers cannot find out before we do."""
        now = time.monotonic()
        if now >= self._refreshed_at + limits.REFRESH_EVERY:
            self._refreshed_at = now
            self._reflexive.refresh(now)
            self._progress(now)

    def want_turn(self) -> None:
        """Some peer is reached by a relay only: get an allocation, if our beacon has a TURN server."""
        server = self._turn_server
        if (
            self._turn is not None
            or server is None
            or (address := _address(server.address, with_loopback=True)) is None
        ):
            return
        now = time.monotonic()
        self._turn = TurnClient(address, server.username, server.password, os.urandom)
        self._turn.allocate(now)
        self._progress(now)

    @property
    def turn_server(self) -> Address | None:
        """The server on which we have an allocation."""
        return self._turn.server if self._turn is not None and self._turn.relayed is not None else None

    # --- datagrams --------------------------------------------------------------------------------------

    def asks_turn(self, address: Address) -> bool:
        """Whether that is the server that we have an allocation on, or want one."""
        return self._turn is not None and address == self._turn.server

    def is_turn(self, address: Address, datagram: bytes) -> bool:
        """Whether a datagram from there is for `turn_received`.

        A beacon may name any address as a TURN server's, a peer's too: as long as it did not give us an allocation,
        only STUN from there is not the peer's.
        """
        turn = self._turn
        return (
            turn is not None
            and address == turn.server
            and (turn.relayed is not None or KINDS[datagram[0]] is DatagramKind.STUN)
        )

    def turn_received(self, datagram: bytes, now: float) -> tuple[bytes, TurnAddress] | None:
        """The peer's datagram in one that came from our TURN server; None if there is none in it."""
        turn = self._turn
        if turn is None or (datagram[:1] < b"\x04" and self.stun_received(datagram, turn.server, now)):
            return None
        found = turn.receive(datagram, now)
        if found is None:
            self._progress(now)
            return None
        return found[1], TurnAddress(turn.server, found[0])

    def turn_send(self, datagrams: list[bytes], address: TurnAddress) -> bool:
        """Send by way of our allocation; False if it is gone."""
        turn = self._turn
        if turn is None or turn.server != address.server:
            return False
        now = time.monotonic()
        ready = turn.send(address.peer, datagrams, now)
        if ready:
            self._send(ready, turn.server)
        else:
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

    def _drop_turn(self) -> None:
        if self._turn is not None:
            self._turn.close(time.monotonic())
            self._transmit(time.monotonic())
            self._turn = None
            self._update()

    def _progress(self, now: float) -> None:
        """Send what is due, and wait for what is next."""
        self._transmit(now)
        changed = self._reflexive.take_changed()
        if self._turn is not None and self._turn.take_changed():
            changed = True
        if changed:
            self._update()
        timers = [self._reflexive.get_timer()]
        if self._turn is not None:
            timers.append(self._turn.get_timer())
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
        if self._turn is not None:
            for datagram in self._turn.datagrams_to_send(now):
                self._send([datagram], self._turn.server)

    def _update(self) -> None:
        own = [Candidate(address, CandidateKind.CONFIGURED) for address in self._configured]
        own += [Candidate(address, CandidateKind.HOST) for address in self._hosts]
        own += [Candidate(address, CandidateKind.SERVER_REFLEXIVE) for address in self._reflexive.addresses]
        if self._turn is not None and self._turn.relayed is not None:
            own.append(Candidate(self._turn.relayed, CandidateKind.RELAYED))
        relays = [RelayAddress(beacon, self._endpoint_id) for beacon in self._relays]
        own += [Candidate(address, CandidateKind.RELAY) for address in relays]
        candidates = bounded(own)
        if candidates != self.candidates:
            self.candidates = candidates
            self._on_change()


def _address(text: str, with_loopback: bool) -> Address | None:
    """An address that a beacon told us; None if it is none, or nothing that we should send to."""
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    return address if is_sane(address, with_loopback=with_loopback) else None
