"""A beacon: the web server that gateways connect to, and everything behind it. ⚡

`BeaconServer` is all of one node, whether `overlay beacon` runs it or a gateway lends it to its contacts.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.beacon.charging import Charging
from gateway.beacon.door import Door
from gateway.beacon.fleet import Fleet
from gateway.beacon.hub import Hub
from gateway.beacon.limits import (
    BEACON_BODY_BYTES,
    BEACON_KEEPALIVE_SECONDS,
    BEACON_LOGIN_SECONDS,
    BEACON_SHUTDOWN_SECONDS,
    BEACON_STORE_SECONDS,
)
from gateway.beacon.metrics import Metrics
from gateway.beacon.offers import ConfiguredOffers
from gateway.beacon.places import observed
from gateway.beacon.record_routes import RecordRoutes
from gateway.beacon.sessions import Sessions
from gateway.beacon.stores import StoreUnavailable
from gateway.beacon.topic_desk import TopicDesk
from gateway.errors import ConfigurationError
from gateway.exposition import CONTENT_TYPE
from gateway.supervision import Supervisor
from tunnels.addresses import BeaconUrl
from tunnels.relay.frames import CONNECT_PATH, OBSERVED_PATH, Leaving
from tunnels.transports.interfaces import interface_addresses, reachable_ips

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.beacon.offers import Offers
    from gateway.beacon.settings import BeaconConfig
    from gateway.beacon.stores import Stores
    from tunnels.identity import EndpointId, SecretKey

_logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
"""Connections the kernel may have ready for us: all gateways of a beacon that restarted come at once."""


def wall_clock() -> float:
    """Seconds since 1970, by this machine."""
    return time.time()  # noqa: TID251 - the shell is where the clock is read


class BeaconServer:
    """Listens from `start` to `close`."""

    def __init__(
        self,
        config: BeaconConfig,
        secret_key: SecretKey,
        stores: Stores,
        *,
        tls: ssl.SSLContext | None = None,
        pinned: bool = True,
        offers: Offers | None = None,
        access: Callable[[EndpointId], bool] = lambda _: True,
        port_key: str = "[beacon] port or --port",
    ) -> None:
        """`stores` are closed by whoever opened them; without `tls` it speaks plain HTTP; `pinned` is whether its
        URL has to hold its id, because nothing else proves who it is; `access` tells who may log in, `port_key` where a person chooses the port.
        """
        self._config = config
        self._secret_key = secret_key
        self._stores = stores
        self.tls = tls
        self._pinned = pinned
        self._port_key = port_key
        self._supervisor = Supervisor()
        self.hub = Hub(config.relay)
        self._charging = Charging(self.hub, self._stores.accounts, config.relay, self._supervisor, wall_clock)
        self._fleet: Fleet | None = None
        if self._stores.presence is not None and self._stores.bus is not None:
            self._fleet = Fleet(
                self.hub,
                self._stores.presence,
                self._stores.bus,
                self._supervisor,
                deliver=lambda receiver, frame: self.sessions.deliver_here(receiver, frame),
                absent=lambda sender, receiver, kind: self.sessions.absent(sender, receiver, kind),
            )
        self.topics = TopicDesk(self._stores.topics, self._supervisor)
        self.sessions = Sessions(
            secret_key,
            self.hub,
            offers=offers or ConfiguredOffers(policy=config.beacon.policy, relays=config.relay.enabled),
            charging=self._charging,
            fleet=self._fleet,
            nameplates=self._stores.nameplates,
            is_ours=self._is_ours,
            access=access,
            known=lambda request: self.door.known(request),
            supervisor=self._supervisor,
            topics=self.topics,
        )
        self._records = RecordRoutes(self._stores.records, config.records) if config.records.enabled else None
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=BEACON_KEEPALIVE_SECONDS,
            lingering_time=0.0,  # the rest of a refused body is not waited for
            shutdown_timeout=BEACON_SHUTDOWN_SECONDS,
        )
        self._servers: list[asyncio.Server] = []
        self._leaving = False

    # --- from outside -----------------------------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where it really listens."""
        return tuple(
            (str(name[0]), int(name[1]))
            for server in self._servers
            for name in (sock.getsockname() for sock in server.sockets)
        )

    @property
    def url(self) -> BeaconUrl:
        """What gateways are to be told: the first configured URL, else an address of this machine."""
        beacon_id = self._secret_key.endpoint_id if self._pinned else None
        urls = self._config.beacon.urls
        if urls:
            return replace(urls[0], beacon_id=beacon_id)
        host, port = self.addresses[0]
        if ip_address(host).is_unspecified:
            ips = reachable_ips(*interface_addresses())
            host = str(ips[0]) if ips else "127.0.0.1"
        shown = f"[{host}]" if ":" in host else host
        return BeaconUrl("http" if self.tls is None else "https", shown, port, beacon_id)

    async def start(self) -> None:
        """Listen; ConfigurationError says in one line why not."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 - made by setup
        self.door = Door(server)
        self._metrics = Metrics(self.hub, self.sessions, self.door, self._records)
        if self._fleet is not None:
            await self._fleet.start()
        self._charging.start()
        self.sessions.start()
        port = self._config.beacon.port
        for ip in self._config.beacon.bind:
            await self._listen(ip, port)
            port = port or self.addresses[0][1]

    async def leave(self) -> None:
        """Say to everybody that this node goes away, and give them the time that is configured."""
        self._leaving = True
        self.sessions.tell(Leaving(seconds=self._config.beacon.drain))
        if len(self.hub):
            await asyncio.sleep(self._config.beacon.drain)

    async def close(self) -> None:
        """Stop listening, hang up on everybody, write down what was relayed; idempotent."""
        self._leaving = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._charging.flush()
        self.sessions.close()
        await self._runner.cleanup()
        await self._supervisor.close()

    # --- within -----------------------------------------------------------------------------------------------

    async def _listen(self, ip: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        seconds = BEACON_LOGIN_SECONDS if self.tls is not None else None
        try:
            server = await loop.create_server(
                self.door,
                ip,
                port,
                ssl=self.tls,
                backlog=_BACKLOG,
                reuse_address=True,
                ssl_handshake_timeout=seconds,
            )
        except OSError as error:
            if self._servers and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                _logger.info("%s is not to be had on this machine; the beacon does without", ip)
                return
            await self.close()
            why = {
                errno.EADDRINUSE: "another program uses this port",
                errno.EACCES: "that port needs a privilege (CAP_NET_BIND_SERVICE)",
            }.get(error.errno or 0, (error.strerror or str(error)).lower())
            raise ConfigurationError(
                f"the beacon cannot listen on {ip} port {port}: {why}; choose another with {self._port_key}"
            ) from None
        self._servers.append(server)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=BEACON_BODY_BYTES)
        # A middleware would stay on the stack of every WebSocket, half a kilobyte each.
        app.on_response_prepare.append(self._count)
        app.add_routes(
            [
                web.get(CONNECT_PATH, self.sessions.connect),
                web.get(OBSERVED_PATH, self._observed),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/", self._root),
            ]
        )
        if self._config.metrics.enabled:
            app.add_routes([web.get("/metrics", self._show_metrics)])
        if self._records is not None:
            app.add_routes(self._records.routes())
        return app

    def _is_ours(self, authority: str) -> bool:
        """Whether a gateway that says so meant this beacon: by its configured URLs, else by any number it has here.

        A name is only believed if it is configured: whoever owns another name could pass logins on to us.
        """
        if self._config.beacon.urls:
            return any(url.authority == authority for url in self._config.beacon.urls)
        try:
            url = BeaconUrl.parse(f"{'http' if self.tls is None else 'https'}://{authority}")
            return url.host == "localhost" or bool(ip_address(url.host.strip("[]")))
        except ValueError:
            return False

    async def _count(self, request: web.Request, response: web.StreamResponse) -> None:
        del response
        self.door.asked(request)

    async def _root(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text=f"This is an overlay beacon. {self._config.beacon.policy}".rstrip() + "\n")

    async def _observed(self, request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        return web.json_response({"address": observed(peer)}, headers={"Cache-Control": "no-store"})

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether gateways should come here: not while leaving, full, or without the database."""
        del request
        if self._leaving:
            return web.Response(status=503, text="leaving\n")
        if self.hub.full:
            return web.Response(status=503, text="full\n")
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                await self._stores.ready()
        except (StoreUnavailable, TimeoutError):
            why = "the database does not answer; those who are here are served\n"
            return web.Response(status=503, text=why)
        return web.Response(text="ready\n")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        ip = ip_address(str(peer[0]).partition("%")[0]) if peer else None
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if mapped is None or not any(mapped in ip_network(network) for network in self._config.metrics.allow):
            raise web.HTTPForbidden(text="Metrics are shown to the networks in [metrics] allow only.\n")
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    def __repr__(self) -> str:
        return f"BeaconServer({', '.join(f'{host}:{port}' for host, port in self.addresses)}; {self.hub!r})"
