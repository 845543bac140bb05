"""Our allocation on the TURN server that our home beacon names: while some connection needs one, it is there. Sans-IO.

One that is refused or lost is asked for again, later each time, with the newest credentials. One that nobody needs is
given back after a while, since a path that comes back needs it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunnels.addresses import Address, TurnAddress
from tunnels.nat import limits
from tunnels.nat.turn import TurnClient, TurnState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.relay.frames import TurnServer


@dataclass(frozen=True, slots=True)
class TurnPlace:
    """Where an allocation is."""

    server: Address
    relayed: Address
    """Where others reach us by it."""


class Allocation:
    """None, until it is wanted and there is a server. `now` is the event loop's clock."""

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        """`chance` gives so many random bytes that nobody can guess."""
        self._chance = chance
        self._offer: TurnServer | None = None
        self._client: TurnClient | None = None
        self._is_wanted = False
        self._permitted: tuple[IPv4Address | IPv6Address, ...] = ()
        self._begin_at = inf
        """When it is asked for."""
        self._began_at = -inf
        self._not_before = -inf
        """When it may be asked for again."""
        self._failures = 0
        self._ready_since = inf
        self._give_back_at = inf
        self._last_words: list[tuple[bytes, Address]] = []
        """To a server that is another one now."""
        self._changed = False

    def __repr__(self) -> str:
        return f"<Allocation {'wanted' if self._is_wanted else 'not wanted'}, {self._client}>"

    @property
    def server(self) -> Address | None:
        """Whose datagrams `receive` is to get."""
        return self._client.server if self._client is not None else None

    @property
    def relayed(self) -> Address | None:
        """Where others reach us by it, while there is one."""
        return self._client.relayed if self._client is not None else None

    @property
    def place(self) -> TurnPlace | None:
        """Where it is, while there is one."""
        client = self._client
        return None if client is None or client.relayed is None else TurnPlace(client.server, client.relayed)

    @property
    def failure(self) -> str | None:
        """Why there is none although it is wanted, in one line, where that is known."""
        return self._client.failure if self._client is not None else None

    # --- what the owner does ------------------------------------------------------------------------------

    def set_server(self, offer: TurnServer | None, now: float) -> None:
        """What the beacon tells now: the same server with newer credentials, another one, or None."""
        if offer == self._offer:
            return
        self._offer = offer
        address = _address(offer)
        if offer is None or address is None or address != self.server:
            self._leave(now)
        if offer is None or address is None:
            return
        if self._client is None:
            self._client = TurnClient(address, offer.username, offer.password, self._chance)
            self._failures = 0
            self._not_before = self._began_at + limits.TURN_RETRY
            if self._is_wanted:
                self._begin_at = max(now, self._not_before)
            return
        self._client.set_credentials(offer.username, offer.password)
        if self._client.state is TurnState.FAILED:  # of the old ones, perhaps
            self._begin_at = min(self._begin_at, max(now, self._began_at + limits.TURN_RETRY))

    def want(self, permitted: Iterable[IPv4Address | IPv6Address], now: float) -> None:
        """Some connection needs it; these may send to us before we sent to them."""
        self._give_back_at = inf
        permitted = tuple(permitted)
        client = self._client
        if client is not None and client.state is TurnState.READY and permitted != self._permitted:
            client.set_permitted(permitted, now)
        self._permitted = permitted
        if not self._is_wanted:
            self._is_wanted = True
            if client is not None and client.state is not TurnState.READY:
                self._begin_at = max(now, self._not_before)

    def release(self, now: float) -> None:
        """No connection needs it any more; it is kept for a while."""
        if self._is_wanted and self._give_back_at == inf:
            self._give_back_at = now + limits.TURN_LINGER

    def close(self, now: float) -> None:
        """Give it back, by the next `datagrams_to_send`."""
        self._is_wanted = False
        self._begin_at = self._give_back_at = inf
        self._ready_since = inf
        if self._client is not None and self._client.state in (TurnState.READY, TurnState.ALLOCATING):
            self._client.close(now)
            self._changed |= self._client.take_changed()

    def network_changed(self, now: float) -> None:
        """It belongs to an address that may not be ours any more: ask for another one."""
        if not self._is_wanted:
            return
        self._failures = 0
        if self._client is not None:
            self._begin(now)

    def verify(self, now: float) -> None:
        """A path broke, or a NAT shows us elsewhere: the server may not know us any more, which it says when asked."""
        if self._client is not None:
            self._client.verify(now)

    def send(self, address: TurnAddress, datagrams: list[bytes], now: float) -> list[bytes]:
        """What to send to the server now; what waits for a channel comes out of `datagrams_to_send` later."""
        client = self._client
        if client is None or client.server != address.server:
            return []
        return client.send(address.peer, datagrams, now)

    # --- what the socket's side does ----------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> tuple[bytes, TurnAddress] | None:
        """A peer's datagram and where it came from, in one that came from `server`; None if it was something else."""
        client = self._client
        if client is None:
            return None
        found = client.receive(datagram, now)
        if found is not None:
            return found[1], TurnAddress(client.server, found[0])
        self._look(now)
        return None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """What is due, with the server it goes to."""
        if self._give_back_at <= now:
            self.close(now)
        if self._begin_at <= now:
            self._begin(now)
        due, self._last_words = self._last_words, []
        client = self._client
        if client is not None:
            due += [(datagram, client.server) for datagram in client.datagrams_to_send(now)]
            self._look(now)
        return due

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next; it is also to be called after everything else."""
        at = min(self._begin_at, self._give_back_at)
        other = self._client.get_timer() if self._client is not None else None
        at = at if other is None else min(at, other)
        return None if at == inf else at

    def take_changed(self) -> bool:
        """Whether it came, went, or is another one since this was asked."""
        changed, self._changed = self._changed, False
        return changed

    # --- inside -------------------------------------------------------------------------------------------

    def _leave(self, now: float) -> None:
        """The server is another one: give back what we have there, of which no answer is waited for."""
        if self._client is None:
            return
        self._client.close(now)
        self._last_words += [
            (datagram, self._client.server) for datagram in self._client.datagrams_to_send(now)
        ]
        self._client = None
        self._ready_since = self._begin_at = inf
        self._changed = True

    def _begin(self, now: float) -> None:
        self._begin_at = inf
        if self._client is not None:
            self._began_at = now
            self._ready_since = inf
            self._client.allocate(now)

    def _look(self, now: float) -> None:
        """What became of our requests."""
        client = self._client
        if client is None or not client.take_changed():
            return
        self._changed = True
        if client.state is TurnState.READY:
            self._ready_since = now
            client.set_permitted(self._permitted, now)
        elif client.state is TurnState.FAILED and self._is_wanted:
            if now - self._ready_since >= limits.TURN_RETRY:  # it was good for a while
                self._failures = 0
                self._not_before = now
            else:
                spread = 1 + self._chance(1)[0] / 255
                wait = min(limits.TURN_RETRY * 2**self._failures, limits.TURN_RETRY_MAX)
                self._failures = min(self._failures + 1, limits.TURN_RETRIES_COUNTED)
                self._not_before = now + wait * spread
            self._ready_since = inf
            self._begin_at = self._not_before


def _address(offer: TurnServer | None) -> Address | None:
    """Where the server is; None where that is no address at which one can be."""
    try:
        address = Address.parse(offer.address) if offer is not None else None
    except ValueError:
        return None
    if address is None or address.ip.is_multicast or address.ip.is_unspecified:
        return None
    return address
