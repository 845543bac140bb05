"""The small beacon that a gateway with a reachable address lends to its contacts, or to all, in its own process. ⚡

It is `gateway.beacon.server` with small limits: it relays and passes sealed messages on, answers STUN, and keeps no
records and nothing on disk. Its key is the gateway's, so that it needs no certificate; whoever knows its URL, which
ends in our id, speaks with us or with nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.beacon.dialing_back import BackDialler
from gateway.beacon.embedded import open_embedded
from gateway.beacon.knocking import KnockingSockets
from gateway.beacon.offers import ConfiguredOffers
from gateway.beacon.reflector import StunServer
from gateway.beacon.running import stun_ips
from gateway.beacon.server import BeaconServer, wall_clock
from gateway.beacon.settings import BeaconConfig, BeaconSettings, RecordSettings, RelaySettings
from gateway.beacon.tls import self_signed
from gateway.control.status import LendingReport
from gateway.errors import ConfigurationError
from gateway.limits import LEND_DRAIN_SECONDS, LEND_NAMES
from tunnels.addresses import BeaconUrl
from tunnels.nat.attested import Attester
from tunnels.nat.reflector import SECRET_BYTES
from tunnels.transports.interfaces import interface_addresses, reachable_ips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config.settings import LendSettings
    from tunnels.addresses import Address
    from tunnels.identity import EndpointId, SecretKey

_logger = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"


class Lending:
    """Lends from `start` to `close`."""

    def __init__(
        self,
        settings: LendSettings,
        secret_key: SecretKey,
        *,
        is_contact: Callable[[EndpointId], bool],
        addresses: Sequence[Address] = (),
    ) -> None:
        """`is_contact` is asked at each login, and again at each `recheck`; `addresses` are our public ones."""
        self._settings = settings
        self._secret_key = secret_key
        self._is_contact = is_contact
        self._addresses = addresses
        self._offers = ConfiguredOffers(policy=f"lent by {secret_key.endpoint_id.short}")
        self._open = contextlib.AsyncExitStack()
        self._server: BeaconServer
        self.url: BeaconUrl
        """How others know it; since `start`."""
        self.local_origin: str
        """How we know it on this machine, whatever stands between us and the public address."""

    async def start(self) -> None:
        """Listen; ConfigurationError says in one line why not, and nothing is left."""
        async with contextlib.AsyncExitStack() as stack:
            stores = await open_embedded(None, clock=wall_clock)
            stack.push_async_callback(stores.close)
            self._server = BeaconServer(
                self._config(),
                self._secret_key,
                stores,
                tls=await asyncio.to_thread(self_signed, self._secret_key),
                offers=self._offers,
                access=self._may_use,
                port_key="[lend] port",
            )
            stack.push_async_callback(self._server.close)
            await self._server.start()
            port = self._server.addresses[0][1]
            self.url = public_url(self._settings, port, self._secret_key.endpoint_id, self._addresses)
            self.local_origin = f"https://{_LOOPBACK}:{port}"
            stun = self._start_stun(port)
            if stun is not None:
                stack.callback(stun.close)
                self._offers.stun = stun.addresses
                sockets = KnockingSockets()
                stack.callback(sockets.close)
                self._offers.dialler = BackDialler(sockets.send)
            stack.push_async_callback(self._server.leave)
            self._open = stack.pop_all()
        _logger.info("lending a relay to %s at %s", self._settings.to, self.url.authority)

    async def close(self) -> None:
        """Say goodbye to those who are here, and stop; idempotent."""
        await self._open.aclose()

    def recheck(self) -> None:
        """Contacts changed: whoever may not use it any more is disconnected."""
        self._server.sessions.recheck()

    def report(self, name_of: Callable[[EndpointId], str]) -> LendingReport:
        """How it is now; `name_of` gives the name of an endpoint for people."""
        others = [one.endpoint_id for one in self._server.hub.sessions if not self._is_ours(one.endpoint_id)]
        return LendingReport(
            url=str(self.url),
            to=self._settings.to,
            most=self._settings.connections,
            connected=len(others),
            endpoints=tuple(map(name_of, others[:LEND_NAMES])),
            relayed_bytes=self._server.hub.counters.relayed_bytes,
        )

    def __repr__(self) -> str:
        return f"<Lending to {self._settings.to}: {self._server!r}>"

    # --- within -----------------------------------------------------------------------------------------------

    def _config(self) -> BeaconConfig:
        settings = self._settings
        # We are there ourselves, by loopback: our own public address may not be reached from behind our router.
        bind = settings.host if settings.host == "0.0.0.0" else f"{settings.host} {_LOOPBACK}"  # noqa: S104
        return BeaconConfig(
            beacon=BeaconSettings(
                bind=tuple(dict.fromkeys(bind.split())),
                port=settings.port,
                urls=(BeaconUrl.parse(settings.public_url),) if settings.public_url else (),
                drain=LEND_DRAIN_SECONDS,
            ),
            records=RecordSettings(enabled=False),
            relay=RelaySettings(
                sessions=settings.connections + 1, bytes_per_second=settings.bytes_per_second
            ),
        )

    def _start_stun(self, port: int) -> StunServer | None:
        """STUN on the UDP port of the same number; without it those who are at home here see no direct paths."""
        ips = stun_ips((self._settings.host,), reachable_ips(*interface_addresses()))[:1]
        try:
            told = ip_address(self.url.host.strip("[]"))
        except ValueError:
            told = None
        public = tuple(str(told) for ip in ips if told is not None and told.version == ip_address(ip).version)
        server = StunServer(
            ips,
            (port,),
            secret=secrets.token_bytes(SECRET_BYTES),
            public=public,
            attester=Attester(self._secret_key, wall_clock),
        )
        try:
            server.start()
        except ConfigurationError as error:
            _logger.warning("the relay that we lend answers no STUN: %s", error)
            return None
        return server

    def _may_use(self, endpoint_id: EndpointId) -> bool:
        return self._settings.to == "all" or self._is_ours(endpoint_id) or self._is_contact(endpoint_id)

    def _is_ours(self, endpoint_id: EndpointId) -> bool:
        return endpoint_id == self._secret_key.endpoint_id


def public_url(
    settings: LendSettings, port: int, endpoint_id: EndpointId, addresses: Sequence[Address]
) -> BeaconUrl:
    """How others reach it: as configured, else a public address of ours, else one of this machine.

    ConfigurationError where there is none.
    """
    if settings.public_url:
        return replace(BeaconUrl.parse(settings.public_url), beacon_id=endpoint_id)
    host = ip_address(settings.host)
    found = [host] if not host.is_unspecified else [address.ip for address in addresses]
    found = found or list(reachable_ips(*interface_addresses()))
    if not found:
        raise ConfigurationError(
            "[lend] this machine has no address that others reach; say how they reach it with public_url"
        )
    shown = f"[{found[0]}]" if found[0].version == 6 else str(found[0])
    return BeaconUrl("https", shown, port, endpoint_id)
