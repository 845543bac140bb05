"""Calls: an endpoint that may be dialled on direct paths only is told by its beacon who dials it, so that its NAT lets us in.

A call says where the caller is. Who is called sends an opener to each of these addresses, which makes its own NAT expect
datagrams from there, and calls back with its own addresses, which the caller's handshake then tries. The beacon carries
sealed messages and no datagram.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.paths.candidates import Candidate, CandidateKind, is_sane
from tunnels.rendezvous import messages
from tunnels.rendezvous.messages import Call
from tunnels.rendezvous.sealed import Opener, Sealer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId, SecretKey

OPENER: Final = b"\x24" + bytes(7)
"""A datagram that says nothing; whoever gets it drops it."""

_NONCE_BYTES: Final = 24
_KINDS: Final = frozenset(CandidateKind)


class Calls:
    """Seals and opens calls, and bounds what they make us do."""

    def __init__(
        self,
        secret_key: SecretKey,
        *,
        send_message: Callable[[EndpointId, bytes, BeaconUrl], bool],
        send: Callable[[bytes, Address, int], None],
        clock: Callable[[], float],
    ) -> None:
        """`send` takes a datagram, where to, and how many routers it may pass; `clock` gives seconds since 1970."""
        self._send_message = send_message
        self._send = send
        self._clock = clock
        self._sealer = Sealer(secret_key, secrets.token_bytes(16))
        self._opener = Opener(secret_key)
        self._opened_at: dict[EndpointId, float] = {}
        self._called_at: dict[EndpointId, float] = {}
        """Those whose answers are waited for."""

    def call(
        self,
        endpoint_id: EndpointId,
        beacons: Iterable[BeaconUrl],
        own: Iterable[Candidate],
        *,
        is_answer: bool = False,
        description: bytes = b"",
    ) -> None:
        """Tell an endpoint, at each of these beacons, that we are dialling it, or were called by it, from where, and from what network."""
        places = [(one.kind, one.address) for one in own if isinstance(one.address, Address)]
        if not is_answer:
            _remember(self._called_at, endpoint_id)
        payload = messages.encode(Call.of(places, is_answer=is_answer, description=description))
        for beacon in dict.fromkeys(beacons):
            nonce = secrets.token_bytes(_NONCE_BYTES)
            sealed = self._sealer.seal(endpoint_id, payload, now=self._clock(), nonce=nonce)
            self._send_message(endpoint_id, sealed, beacon)

    def received(
        self, sender: EndpointId, sealed: bytes, *, with_loopback: bool
    ) -> tuple[Call, tuple[Candidate, ...]]:
        """A call, and those of its addresses that may be sent to; ProtocolViolation for anything else."""
        call = messages.decode(self._opener.open_sealed(sender, sealed, now=self._clock()))
        candidates = tuple(
            Candidate(address, CandidateKind(kind))
            for kind, address in call.candidates()
            if kind in _KINDS and is_sane(address, with_loopback=with_loopback)
        )
        return call, candidates

    def answered(self, sender: EndpointId) -> None:
        """A call is answered once: handshakes go to where the answer says. ProtocolViolation for one that nobody waits for."""
        if time.monotonic() - self._called_at.pop(sender, -limits.CALL_FRESH) >= limits.CALL_FRESH:
            raise ProtocolViolation(f"{sender.short} answers what was not asked")

    def open_towards(self, sender: EndpointId, candidates: Iterable[Candidate]) -> None:
        """Let our NAT expect datagrams from these addresses; at most so often for each sender.

        They die on the way: some NATs take what comes unasked for a reason to show whoever is behind them at another port.
        """
        now = time.monotonic()
        if now - self._opened_at.get(sender, -limits.CALL_EVERY) < limits.CALL_EVERY:
            raise ProtocolViolation(f"{sender.short} calls too often")
        _remember(self._opened_at, sender)
        for candidate in candidates:
            if isinstance(candidate.address, Address):
                self._send(OPENER, candidate.address, limits.OPENER_TTL)


def _remember(times: dict[EndpointId, float], endpoint_id: EndpointId) -> None:
    """That it was now; of too many the one longest ago is forgotten."""
    times.pop(endpoint_id, None)
    times[endpoint_id] = time.monotonic()
    if len(times) > limits.MAX_CALLERS:
        del times[next(iter(times))]
