"""Which contacts lend a relay, and which strangers: where we are at home while none of our beacons can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.limits import LENT_RELAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId


def may_lend(packet: bytes) -> bool:
    """Whether a DNS packet or what holds one may be of an endpoint that lends a relay: quicker than to read it."""
    return b"l=https://" in packet


class Lenders:
    """The relays that contacts lend, as their records say, in the order in which they came to be known."""

    def __init__(
        self, lent_by: Callable[[EndpointId], BeaconUrl | None], on_change: Callable[[], None]
    ) -> None:
        """`lent_by` tells what the newest record of an endpoint says; `on_change` is called when `relays` is another."""
        self._lent_by = lent_by
        self._on_change = on_change
        self._contacts: dict[EndpointId, BeaconUrl | None] = {}
        self.relays: tuple[BeaconUrl, ...] = ()
        self.strangers: tuple[BeaconUrl, ...] = ()
        """Relays that strangers lend (`gateway.topics.relays`); they come after those of contacts."""

    def __repr__(self) -> str:
        return f"<Lenders {', '.join(relay.authority for relay in self.relays)}>"

    def learned(self, endpoint_id: EndpointId) -> None:
        """There is a newer record of an endpoint."""
        if endpoint_id in self._contacts:
            self._contacts[endpoint_id] = self._lent_by(endpoint_id)
            self._update()

    def contacts_changed(self, contacts: Iterable[EndpointId]) -> None:
        """These are the contacts now; only those that are new are looked up."""
        known = self._contacts
        self._contacts = {
            each: known[each] if each in known else self._lent_by(each) for each in dict.fromkeys(contacts)
        }
        self._update()

    def strangers_found(self, relays: tuple[BeaconUrl, ...]) -> None:
        """These strangers lend one to everybody."""
        if relays != self.strangers:
            self.strangers = relays
            self._on_change()

    def _update(self) -> None:
        lent = dict.fromkeys(relay for relay in self._contacts.values() if relay is not None)
        relays = tuple(lent)[:LENT_RELAYS]
        if relays != self.relays:
            self.relays = relays
            self._on_change()
