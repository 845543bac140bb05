"""What the command line and the dashboard may ask, answered by the parts of a running gateway."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gateway as package
from gateway.answers.base import time_now
from gateway.answers.dashboard import DashboardAnswers
from gateway.answers.invites import InviteAnswers
from gateway.answers.metrics import MetricsAnswers
from gateway.answers.names import NameAnswers
from gateway.answers.network import NetworkAnswers
from gateway.answers.records import RecordAnswers
from gateway.answers.services import ServiceAnswers
from gateway.answers.topics import TopicAnswers
from gateway.answers.usage import UsageAnswers
from gateway.answers.zones import ZoneAnswers
from gateway.control.status import ListenerReport, StatusReport, TunnelReport
from gateway.errors import UsageError
from gateway.metrics import Counts
from gateway.reach import beacon_report, path_word, port_mapping_report, selected
from resolver.lookalikes import shown
from tunnels.addresses import Address, BeaconUrl
from tunnels.events import TunnelState

__all__ = ["Facade", "Parts", "time_now"]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Config
    from gateway.contact_book import ContactBook
    from gateway.control.configuration import ReloadReport
    from gateway.control.vouchers import AddVoucherRequest, VoucherReport
    from gateway.dashboard.server import DashboardServer
    from gateway.dht import Dht
    from gateway.directory import Directory
    from gateway.exposed import ExposedServices
    from gateway.headroom.watcher import Watcher
    from gateway.held_vouchers import HeldVouchers
    from gateway.home import Home
    from gateway.introductions import Introductions
    from gateway.inviting import Inviting
    from gateway.lending import Lending
    from gateway.local_network import LocalNetwork
    from gateway.overlay_dialer import OverlayDialer
    from gateway.own_zone import OwnZone
    from gateway.publishing import Made, Publisher
    from gateway.reach import Reach
    from gateway.remote_services import RemoteServices
    from gateway.topics.service import Topics
    from gateway.usage.commanded import CommandedLimits
    from gateway.usage.meter import Meter
    from resolver.client import ResolverClient
    from resolver.discovery.base import Scope
    from tunnels.endpoint import Endpoint
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.status import TunnelStatus


@dataclass(slots=True)
class Parts:
    """The parts of a running gateway that answers are made from."""

    home: Home
    secret_key: SecretKey
    config: Config
    nickname: str
    contacts: ContactBook
    id_of: Callable[[str], EndpointId | None]
    """Whose a petname is, our own nickname included."""
    exposed: ExposedServices
    remote_services: RemoteServices
    endpoint: Endpoint
    records: ResolverClient
    dialer: OverlayDialer
    directory: Directory
    own_addresses: Callable[[], tuple[Address, ...]]
    """Where we tell others that we are."""
    listeners: Callable[[], tuple[ListenerReport, ...]]
    access_changed: Callable[[], None]
    """Services or contacts changed: streams that are not allowed any more end."""
    reload: Callable[[], Awaitable[ReloadReport]]
    stop: Callable[[], None]
    started: float
    """By the loop's clock."""
    own_relays: Callable[[], tuple[BeaconUrl, ...]]
    """Our beacons, our home first."""
    inviting: Inviting
    """Invites, made and taken."""
    publisher: Publisher
    published_record: Callable[[Scope], Made | str]
    """Our record for a scope as it would be published now, or why there is none."""
    reach: Reach | None = None
    """What tells of paths and beacons; None where there is nothing of the kind."""
    vouchers: HeldVouchers | None = None
    """None where there is nobody to hand one in."""
    lending: Lending | None = None
    """The relay that we lend."""
    local_network: LocalNetwork | None = None
    """None where it is off."""
    topics: Topics | None = None
    dht: Dht | None = None
    introductions: Introductions | None = None
    """Contacts of contacts."""
    dashboard: DashboardServer | None = None
    """None where it is off."""
    own_zone: OwnZone | None = None
    """Our zone and profile."""
    headroom: Watcher | None = None
    """Memory, descriptors and disk; None where nobody watches them."""
    limits: CommandedLimits | None = None
    """Limits, and those of them that commands set; None where nothing is limited."""
    meter: Meter | None = None
    """Accounts by month; None where none are kept."""
    flows_with: Callable[[EndpointId], int] = lambda _: 0
    """How many UDP flows there are with an endpoint."""
    counts: Callable[[], Counts] = Counts
    """What the adapters count of themselves, for metrics."""
    metrics_url: Callable[[], str] = str
    """Where Prometheus may fetch the figures; empty if nowhere."""


class Facade(
    DashboardAnswers,
    InviteAnswers,
    ZoneAnswers,
    ServiceAnswers,
    NameAnswers,
    NetworkAnswers,
    RecordAnswers,
    TopicAnswers,
    UsageAnswers,
    MetricsAnswers,
):
    """Implements `gateway.control.api.Gateway`; what concerns services, contacts and names is in `gateway.answers`."""

    # --- status -----------------------------------------------------------------------------------------

    async def status(self, *, with_contacts: bool = True) -> StatusReport:
        parts = self.parts
        contacts = await self.contacts() if with_contacts else ()
        return StatusReport(
            version=package.__version__,
            endpoint_id=str(parts.secret_key.endpoint_id),
            nickname=parts.nickname,
            pid=os.getpid(),
            home=str(parts.home.path),
            uptime=asyncio.get_running_loop().time() - parts.started,
            quic_engine=parts.config.tunnels.quic_engine,
            listeners=parts.listeners(),
            addresses=tuple(map(str, parts.own_addresses())),
            relays=tuple(map(str, parts.own_relays())),
            services=await self.services(),
            contacts=contacts,
            tunnels=tuple(
                self._tunnel(tunnel)
                for tunnel in parts.endpoint.status()
                if tunnel.state is TunnelState.OPEN and tunnel.is_current
            ),
            beacons=tuple(map(beacon_report, parts.reach.relays())) if parts.reach is not None else (),
            port_mapping=port_mapping_report(mapping) if (mapping := parts.endpoint.mapping()) else None,
            pinhole=port_mapping_report(pinhole) if (pinhole := parts.endpoint.mapping(6)) else None,
            lending=parts.lending.report(self._name_of) if parts.lending is not None else None,
            local_network=parts.local_network.report() if parts.local_network is not None else None,
            dht=parts.dht.report() if parts.dht is not None else None,
            loopback=parts.directory.loopback(),
            warnings=(
                *parts.endpoint.warnings(),
                *(parts.headroom.state.warnings() if parts.headroom is not None else ()),
                *parts.contacts.warnings,
                *parts.exposed.warnings,
                *parts.directory.warnings(),
                *(
                    f"{one.petname} now calls itself {shown(one.nickname)} ({one.nickname_before} before); it is {one.petname} "
                    f"here until: overlay contacts rename {one.petname} NEW-NAME"
                    for one in contacts
                    if one.nickname_before
                ),
                *(f"our record is not at {where}: {why}" for where, why in parts.publisher.failures.items()),
            ),
        )

    def _tunnel(self, tunnel: TunnelStatus) -> TunnelReport:
        contact = self.parts.contacts.book.find_id(tunnel.endpoint_id)
        paths = self._paths(tunnel.endpoint_id)
        used = selected(paths)
        # QUIC's own is of the path before, while nothing goes by the one that was changed to.
        rtt = tunnel.rtt if used is None or used.rtt is None else used.rtt
        return TunnelReport(
            endpoint_id=str(tunnel.endpoint_id),
            petname=contact.petname if contact is not None else "",
            address=str(tunnel.address or ""),
            path=path_word(tunnel.address, paths, is_lent=self._is_lent),
            path_seconds=None if used is None else used.selected_for,
            rtt_ms=None if rtt is None else rtt * 1000,
            streams=tunnel.streams,
            bytes_in=tunnel.bytes_received,
            bytes_out=tunnel.bytes_sent,
            seconds=tunnel.age or 0.0,
            trying=tunnel.trying,
        )

    # --- vouchers ---------------------------------------------------------------------------------------

    async def vouchers(self) -> tuple[VoucherReport, ...]:
        held = self.parts.vouchers
        return held.reports() if held is not None else ()

    async def add_voucher(self, request: AddVoucherRequest) -> VoucherReport:
        held = self.parts.vouchers
        if held is None:
            raise UsageError("vouchers: this gateway knows no beacon; name one with: overlay up --beacon URL")
        try:
            beacon = BeaconUrl.parse(request.beacon) if request.beacon else None
        except ValueError as error:
            raise UsageError(f"vouchers: {error}") from None
        return await held.add(request.voucher, beacon)

    # --- the daemon itself ------------------------------------------------------------------------------

    async def reload(self) -> ReloadReport:
        return await self.parts.reload()

    async def down(self) -> None:
        self.parts.stop()
