"""Strangers' first packets: answered, asked to come back with a token, or dropped, so that no flood fills our memory."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.errors import TunnelClosed
from tunnels.events import CloseCode, TunnelState
from tunnels.handshakes import Admission, HandshakeTable
from tunnels.quic.packets import RetryTokens, parse_initial

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import PathAddress
    from tunnels.driver import TunnelDriver
    from tunnels.handshakes import Origin
    from tunnels.quic.packets import Initial


class IncomingConnections:
    """Who has begun a handshake with us and has not proved its id yet."""

    def __init__(
        self,
        drivers: dict[TunnelDriver, None],
        *,
        accept: Callable[[Initial, PathAddress, bytes | None], TunnelDriver],
        dispose: Callable[[TunnelDriver], None],
        send: Callable[[list[bytes], PathAddress], object],
    ) -> None:
        """`drivers` are all connections of the endpoint; `accept` makes one for an Initial packet with, after a Retry,
        the connection id that its client first chose."""
        self._drivers = drivers
        self._accept = accept
        self._dispose = dispose
        self._send = send
        self._tokens = RetryTokens(secrets.token_bytes(16))
        self._unproven: dict[TunnelDriver, tuple[Origin, bool]] = {}
        self.handshakes = HandshakeTable()
        self.by_admission: dict[Admission, int] = {}

    def __len__(self) -> int:
        return len(self._unproven)

    def first_packet(self, datagram: bytes, address: PathAddress, now: float) -> bool:
        """A packet with a long header for no connection of ours; False if it is not the first of one either."""
        initial = parse_initial(datagram)
        if initial is None:
            return False
        origin = _origin(address)
        original = self._tokens.original_id(initial, address, now)
        admission = self.handshakes.admit(origin, address_proved=original is not None)
        if admission is Admission.ACCEPT and len(self._drivers) >= limits.MAX_TUNNELS:
            if original is None:
                admission = Admission.RETRY  # nobody is closed for a source that may be forged
            elif not self._make_room(now):
                admission = Admission.DROP
        self.by_admission[admission] = self.by_admission.get(admission, 0) + 1
        if admission is Admission.RETRY:
            new_id = secrets.token_bytes(limits.CONNECTION_ID_BYTES)
            retry = self._tokens.retry_packet(initial, address, new_id, secrets.token_bytes(12), now)
            self._send([retry], address)
        elif admission is Admission.ACCEPT:
            driver = self._accept(initial, address, original)
            self.handshakes.begin(origin, address_proved=original is not None)
            self._unproven[driver] = (origin, original is not None)
            driver.receive([datagram], address, now)
        return True

    def over(self, driver: TunnelDriver) -> None:
        """Its client has proved its id, or it is gone."""
        unproven = self._unproven.pop(driver, None)
        if unproven is not None:
            origin, address_proved = unproven
            self.handshakes.end(origin, address_proved=address_proved)

    def _make_room(self, now: float) -> bool:
        """Let go of one connection: a closed one, one that never had a stream, or the one unused for longest.

        False if all are in use.
        """
        room = next((driver for driver in self._drivers if driver.tunnel.state is TunnelState.CLOSED), None)
        if room is None:
            unused = [
                driver for driver in self._drivers if driver.is_usable and not driver.tunnel.stream_count
            ]
            if not unused:
                return False
            room = max(unused, key=lambda driver: (not driver.had_streams, driver.tunnel.unused_for(now)))
            room.close(CloseCode.BUSY, TunnelClosed("made room for another connection"))
        self._dispose(room)
        return True


def _origin(address: PathAddress) -> Origin:
    if isinstance(address, RelayAddress):
        return address.endpoint_id
    return address.ip if isinstance(address, Address) else address.peer.ip
