"""Traffic, joined to the gateway: the terms of its configuration, its contacts, and who is on the local network. ⚡"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.config.quantities import read_octets, read_rate
from gateway.traffic.control import Sharing, TrafficControl
from gateway.traffic.ledger import Ledger
from gateway.traffic.terms import Terms, TermsBook
from tunnels.paths.candidates import Tier, tier_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.config import Config
    from gateway.config.settings import LimitSettings, SharingSettings
    from gateway.traffic.control import Contacts
    from tunnels.identity import EndpointId
    from tunnels.status import TunnelStatus

_logger = logging.getLogger(__name__)


class Traffic:
    """The ledger, and the control that fills it."""

    def __init__(
        self,
        config: Config,
        contacts: Contacts,
        tunnels: Callable[[], Iterable[TunnelStatus]],
        clock: Callable[[], float],
    ) -> None:
        """`tunnels` are the connections there are now, `clock` is the time of day."""
        self._tunnels = tunnels
        self.ledger = Ledger(contacts.is_contact)
        self.control = TrafficControl(
            self.ledger,
            contacts,
            clock=clock,
            terms=TermsBook(configured_terms(config.limits)),
            sharing=configured_sharing(config.sharing),
            local_endpoints=self._local_endpoints,
        )

        self._warn()

    def configure(self, config: Config) -> None:
        """Take up another configuration."""
        self.control.configure(configured_terms(config.limits), configured_sharing(config.sharing))
        self._warn()

    def _warn(self) -> None:
        if self.control.has_idle_weights:
            _logger.warning("weights are set, and nothing is shared: say in [sharing] what your line carries")

    def _local_endpoints(self) -> frozenset[EndpointId]:
        return frozenset(
            tunnel.endpoint_id
            for tunnel in self._tunnels()
            if tunnel.is_current and tunnel.address is not None and tier_of(tunnel.address) is Tier.LAN
        )


def configured_terms(limits: Mapping[str, LimitSettings]) -> dict[str, Terms]:
    """[limits] as terms by scope."""
    return {
        scope: Terms(
            rate=read_rate(settings.rate) if settings.rate else None,
            quota=read_octets(settings.quota) if settings.quota else None,
            connections=settings.connections or None,
            weight=settings.weight or None,
        )
        for scope, settings in limits.items()
    }


def configured_sharing(settings: SharingSettings) -> Sharing:
    """[sharing]."""
    return Sharing(
        up=read_rate(settings.up) if settings.up else None,
        down=read_rate(settings.down) if settings.down else None,
        local=settings.local,
    )
