"""What our network is like: measured before it matters, measured anew where it led to nothing, told as a description. ⚡"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits as tunnel_limits
from tunnels.crossing import limits
from tunnels.crossing.own import describe, is_contradicted
from tunnels.errors import Unreachable
from tunnels.nat.dialback import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import Address
    from tunnels.crossing.description import Description
    from tunnels.dialer import Spawn
    from tunnels.joined_transport import JoinedTransport
    from tunnels.nat.report import NetworkReport


class OwnNetwork:
    """Measures as soon as there are STUN servers, and again after a change or in doubt."""

    def __init__(
        self, transport: JoinedTransport, *, label_key: bytes, spawn: Spawn, on_change: Callable[[], None]
    ) -> None:
        """`label_key` makes our labels of networks ours; `on_change` is called when `describe` may say something else."""
        self._transport = transport
        self._label_key = label_key
        self._spawn = spawn
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._report: NetworkReport | None = None
        self._is_small = False
        """Whether the router was seen to run out of room for mappings, since we are here."""
        self._small: dict[bytes, None] = {}
        """Labels of networks where that was seen, the latest last."""
        self._was_contradicted = False
        """Whether a peer saw us where no server does, since we are in this network."""
        self._is_measuring = False
        self._measure_again = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def close(self) -> None:
        """Measure no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    @property
    def servers(self) -> tuple[Address, ...]:
        """STUN servers that we may ask over IPv4."""
        return tuple(server for server in self._transport.gatherer.servers if server.ip.version == 4)

    def describe(self, challenge: bytes = b"") -> Description:
        """It, as far as it is known, for a peer that is to have itself attested over that challenge."""
        servers, mapping = self.servers, self._transport.mapping(4)
        is_mapped = (
            mapping is not None and mapping.external is not None and mapping.verdict is Verdict.VERIFIED
        )
        label = self._here
        return describe(
            self._report,
            is_mapped=is_mapped,
            network=label,
            is_small=self._is_small or label in self._small,
            challenge=challenge,
            attester=servers[0] if servers and self._transport.home_id is not None else None,
        )

    @property
    def _here(self) -> bytes:
        """The label of this network; empty while nothing is known of it."""
        return b"" if self._report is None else self._label(self._report)

    def _label(self, report: NetworkReport) -> bytes:
        """The same whenever we are here, and nothing that others could make anything of."""
        seen = " ".join(sorted(map(str, report.ipv4.behavior.external_ips))).encode()
        size = limits.NETWORK_LABEL_BYTES
        return blake2b(seen, key=self._label_key, digest_size=size).digest() if seen else b""

    # --- news -------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """We are elsewhere: what was known is of another network."""
        self._report = None
        self._is_small = self._was_contradicted = False
        self.measure_soon()

    def cramped(self) -> None:
        """The router has no room for more: small attempts only, while we are here and whenever we are again."""
        self._is_small = True
        if label := self._here:
            self._small.pop(label, None)
            self._small[label] = None
            if len(self._small) > limits.SMALL_NETWORKS:
                del self._small[next(iter(self._small))]
        self._on_change()

    def is_seen_elsewhere(self, observed: Iterable[Address]) -> bool:
        """Whether a peer sees us where no server does; of each network that is told once."""
        if self._report is None or self._was_contradicted:
            return False
        self._was_contradicted = is_contradicted(self._report, list(observed))
        return self._was_contradicted

    def doubt(self, now: float, *, rest: float = 0.0) -> None:
        """Measure anew as soon as what is known is a while old, and after these seconds at the earliest."""
        if self._timer is None and not self._closed:
            age = inf if self._report is None else now - self._report.measured_at
            wait = max(rest, limits.NETWORK_CREDIBLE - age)
            self._timer = self._loop.call_later(wait, self._measure_anew)

    def _measure_anew(self) -> None:
        self._timer = None
        self.measure_soon(limits.NETWORK_CREDIBLE)

    # --- measuring --------------------------------------------------------------------------------------

    def measure_soon(self, max_age: float = tunnel_limits.NETCHECK_KEPT) -> None:
        """Have a report that is no older; there are STUN servers to ask, or other ones."""
        if self._closed or not self._transport.gatherer.servers:
            return
        if self._is_measuring:
            self._measure_again = True
            return
        self._is_measuring = True
        self._spawn(self._measure(max_age), "measuring the network")

    async def _measure(self, max_age: float) -> None:
        try:
            self._report = await self._transport.network_check.report(max_age)
        except Unreachable:  # no server is left, or the network changes all the time: there will be news
            self._report = None
        finally:
            self._is_measuring = False
        self._on_change()
        if self._measure_again:
            self._measure_again = False
            self.measure_soon()
