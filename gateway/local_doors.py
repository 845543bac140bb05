"""Every door by which programs of this machine come in: proxy, DNS, front doors, dashboard, metrics; and where each listens."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from gateway.answers.base import time_now
from gateway.control.status import ListenerReport
from gateway.dashboard.server import DashboardServer
from gateway.errors import ConfigurationError
from gateway.local_users import LocalUsers
from gateway.metrics_door import MetricsDoor
from gateway.profiles import Profiles
from gateway.proxy.dialers import RoutedDialer
from gateway.proxy.direct import DirectDialer
from gateway.proxy.listener import ProxyListener, ProxySettings
from gateway.proxy.requests import Credentials
from gateway.proxy.routing import OtherHosts
from gateway.proxy.upstream import UpstreamProxy
from gateway.secure.doors import SecureDoors
from resolver.errors import ListenError
from resolver.forwarder import Forwarder
from resolver.responder import Responder
from resolver.server import DnsServer
from resolver.zone import Zone

if TYPE_CHECKING:
    import asyncio
    import contextlib
    from collections.abc import Callable, Coroutine

    from gateway.config import Config
    from gateway.contact_book import ContactBook
    from gateway.dialing import Dialer
    from gateway.directory import Directory
    from gateway.facade import Facade
    from gateway.home import Home
    from gateway.proxy.listener import ProxyStatus
    from tunnels.identity import EndpointId


class LocalDoors:
    """Open from `start` on; `dialer` is what they reach others by, and ends TLS for services without it."""

    def __init__(
        self,
        config: Callable[[], Config],
        home: Home,
        contacts: ContactBook,
        own_id: EndpointId,
        dialer: Dialer,
        id_of: Callable[[str], EndpointId | None],
        directory: Callable[[], Directory],
        refusal: Callable[[], str],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`config` gives the configuration in force now, `id_of` whose a petname is; `refusal` why nobody else gets in."""
        self._config = config
        self._home = home
        self._contacts = contacts
        self._own_id = own_id
        self._directory = directory
        self._refusal = refusal
        self._spawn = spawn
        self._proxy: ProxyListener | None = None
        self._dns: DnsServer | None = None
        self._dashboard: DashboardServer | None = None
        self._metrics: MetricsDoor | None = None
        self.profiles = Profiles(config().profiles, contacts)
        self._secure = SecureDoors(
            config().front_door,
            config().https,
            home.authority_directory,
            dialer,
            owner_of=lambda name: id_of(name.owner) if isinstance(name.owner, str) else name.owner,
            services_at=lambda name: directory().services_at(name),
            alias_of=lambda name: directory().alias_of(name),
            admits=LocalUsers(config().front_door.users).admits,
            clock=time_now,
            changed=lambda: directory().listen_anew(),
            refusal=refusal,
        )
        self.dialer = self._secure.dialer
        self.offers_https = self._secure.offers_https

    async def start(self, stack: contextlib.AsyncExitStack, facade: Facade) -> None:
        """Open all that are switched on; `stack` closes them, but for the front doors."""
        await self._start_proxy(stack)
        responder = await self._start_dns(stack)
        await self._secure.start(responder.respond if responder is not None else None)
        await self._start_dashboard(stack, facade)
        await self._start_metrics(stack, facade)

    async def close(self) -> None:
        """Close the front doors, after all else that ends TLS by them."""
        await self._secure.close()

    async def _start_proxy(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self._config().proxy
        self._direct = self._direct_dialer()
        if not settings.enabled:
            return
        self._proxy = ProxyListener(
            self._proxy_settings(),
            self._spawn,
            host=settings.host,
            port=settings.port,
            refusal=self._refusal,
        )
        await self._proxy.start()
        stack.push_async_callback(self._proxy.close)
        self._direct.own_address = self._proxy.address

    def _direct_dialer(self) -> DirectDialer:
        upstream = self._config().proxy.upstream
        return DirectDialer(upstream=UpstreamProxy.parse(upstream) if upstream else None)

    def _proxy_settings(self) -> ProxySettings:
        settings, profiles = self._config().proxy, self._config().profiles
        self.profiles = Profiles(profiles, self._contacts)
        dialer = RoutedDialer(self.dialer, self._direct, OtherHosts(settings.other_hosts), self.profiles)
        passwords = {name: profile.password for name, profile in profiles.items()}
        credentials = (
            Credentials(settings.username, settings.password, passwords)
            if settings.username or passwords
            else None
        )
        return ProxySettings(dialer, credentials)

    def configure_proxy(self) -> None:
        """Settings of the proxy or of profiles changed: they hold for what begins now."""
        self._direct = self._direct_dialer()
        if self._proxy is not None:
            self._direct.own_address = self._proxy.address
            self._proxy.configure(self._proxy_settings())

    async def reload(self) -> None:
        """Take up an authority that was installed, or removed, since."""
        await self._secure.reload()

    async def _start_dns(self, stack: contextlib.AsyncExitStack) -> Responder | None:
        settings, loopback = self._config().dns, self._config().loopback
        if not settings.enabled:
            return None
        responder = Responder(
            Zone(loopback.network if loopback.enabled else None, ttl=settings.ttl, own_id=str(self._own_id)),
            self._directory(),
            forwarder=Forwarder(settings.forward) if settings.forward else None,
        )
        stack.push_async_callback(responder.close)
        self._dns = DnsServer(responder, ip_address(settings.host), settings.port)
        try:
            await self._dns.start()
        except ListenError as error:
            raise ConfigurationError(str(error)) from None
        stack.push_async_callback(self._dns.close)
        return responder

    async def _start_dashboard(self, stack: contextlib.AsyncExitStack, facade: Facade) -> None:
        settings = self._config().dashboard
        if not settings.enabled:
            return
        self._dashboard = DashboardServer(
            settings.host,
            settings.port,
            gateway=facade,
            log_file=self._home.log_file,
            users=LocalUsers(settings.users),
            proxy_address=lambda: self._proxy.address if self._proxy else None,
            spawn=self._spawn,
            doh=self._secure.doh_routes(),
        )
        await self._dashboard.start()
        facade.parts.dashboard = self._dashboard
        stack.push_async_callback(self._dashboard.close)

    async def _start_metrics(self, stack: contextlib.AsyncExitStack, facade: Facade) -> None:
        settings = self._config().metrics
        if not settings.enabled:
            return
        self._metrics = MetricsDoor(settings.host, settings.port, facade.metrics_text, token=settings.token)
        await self._metrics.start()
        stack.push_async_callback(self._metrics.close)

    def metrics_url(self) -> str:
        """Where Prometheus finds the figures; empty if nowhere."""
        return f"http://{_place(self._metrics.address)}/metrics" if self._metrics is not None else ""

    def proxy_status(self) -> ProxyStatus | None:
        """Who is in the proxy; None where there is none."""
        return self._proxy.status() if self._proxy is not None else None

    def reports(self) -> tuple[ListenerReport, ...]:
        """Where each of them listens."""
        return (
            ListenerReport(
                name="proxy",
                enabled=self._proxy is not None,
                addresses=(_place(self._proxy.address),) if self._proxy else (),
            ),
            ListenerReport(
                name="dns",
                enabled=self._dns is not None,
                addresses=(str(self._dns.address),) if self._dns else (),
            ),
            ListenerReport(
                name="dashboard",
                enabled=self._dashboard is not None,
                addresses=(_place(self._dashboard.address),) if self._dashboard else (),
            ),
            *self._secure.reports(),
        )


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
