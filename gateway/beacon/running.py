"""`overlay beacon` as a process: read, build, listen, wait for a signal, leave in order. ⚡"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import signal
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import logs
from gateway.beacon.dialing_back import BackDialler
from gateway.beacon.embedded import open_embedded
from gateway.beacon.knocking import KnockingSockets
from gateway.beacon.offers import ConfiguredOffers
from gateway.beacon.redeeming import VoucherDesk
from gateway.beacon.reflector import StunServer
from gateway.beacon.server import BeaconServer, wall_clock
from gateway.beacon.shared import open_shared
from gateway.beacon.tls import own_certificate, self_signed
from gateway.beacon.turn import TurnCredentials
from gateway.errors import ConfigurationError
from gateway.limits import OPEN_FILES
from tunnels.keyfile import load_or_create_key
from tunnels.nat.attested import Attester
from tunnels.nat.reflector import SECRET_BYTES
from tunnels.transports.interfaces import interface_addresses, reachable_ips

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from gateway.beacon.settings import BeaconConfig, TurnSettings
    from gateway.beacon.stores import Stores
    from gateway.home import Home
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.relay.frames import TurnServer

_logger = logging.getLogger(__name__)


async def run(home: Home, config: BeaconConfig, *, on_ready: Callable[[BeaconServer], None]) -> None:
    """Run a beacon on `home` until SIGINT or SIGTERM; `on_ready` is called once it listens.

    GatewayError, or an error of tunnels, says in one line why it could not start; nothing is left running then.
    """
    _allow_many_files()
    await asyncio.to_thread(home.create)
    with await asyncio.to_thread(home.lock):
        secret_key = await asyncio.to_thread(load_or_create_key, home.identity_file)
        log = logs.set_up(
            level=config.beacon.log_level,
            form=config.beacon.log_format,
            file=None,  # whatever runs us keeps what we say
            colour=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            secrets=[text for text in (config.turn.secret, config.redis.url) if text],
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                server = await _start(stack, home, config, secret_key)
                stopped = asyncio.Event()
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, stopped.set)
                _logger.info("up")
                on_ready(server)
                await stopped.wait()
                _logger.info("leaving", extra={"duration": config.beacon.drain})
                await server.leave()
        finally:
            await asyncio.to_thread(log.close)


async def _start(
    stack: contextlib.AsyncExitStack, home: Home, config: BeaconConfig, secret_key: SecretKey
) -> BeaconServer:
    stores = await open_stores(home, config)
    stack.push_async_callback(stores.close)
    stun = _start_stun(config, Attester(secret_key, wall_clock))
    if stun is not None:
        stack.callback(stun.close)
    dialler = None
    if config.stun.enabled:
        sockets = KnockingSockets()
        stack.callback(sockets.close)
        dialler = BackDialler(sockets.send)
    server = BeaconServer(
        config,
        secret_key,
        stores,
        tls=await asyncio.to_thread(tls_of, config, secret_key),
        pinned=not config.tls.certificate,
        offers=ConfiguredOffers(
            policy=config.beacon.policy,
            relays=config.relay.enabled,
            stun=stun.addresses if stun is not None else (),
            dialler=dialler,
            turn=turn_of(config.turn),
            redeem=VoucherDesk(secret_key, config.vouchers.issuers, stores.accounts, wall_clock).redeem
            if config.vouchers.issuers
            else None,
        ),
    )
    stack.push_async_callback(server.close)
    await server.start()
    return server


async def open_stores(home: Home, config: BeaconConfig) -> Stores:
    """The database of this node, or of its fleet."""
    if config.redis.url:
        return await open_shared(
            config.redis.url,
            clock=wall_clock,
            node=config.redis.node,
            prefix=config.redis.prefix,
            record_seconds=config.records.keep,
        )
    return await open_embedded(
        home.path / "state" / "beacon.sqlite",
        clock=wall_clock,
        records=config.records.limit,
        record_seconds=config.records.keep,
    )


def turn_of(settings: TurnSettings) -> Callable[[EndpointId], TurnServer | None] | None:
    """What gives an endpoint its TURN credentials: always the same server's, of several."""
    servers = [TurnCredentials(address, settings.secret, settings.seconds) for address in settings.servers]
    if not servers:
        return None
    return lambda endpoint_id: servers[endpoint_id.key[0] % len(servers)].for_endpoint(
        endpoint_id, wall_clock()
    )


def _start_stun(config: BeaconConfig, attester: Attester) -> StunServer | None:
    """The STUN server; where its addresses are not configured, the beacon's own, and other ports if those are taken."""
    settings = config.stun
    if not settings.enabled:
        return None
    secret = secrets.token_bytes(SECRET_BYTES)
    if settings.bind:
        server = StunServer(
            settings.bind, settings.ports, secret=secret, public=settings.addresses, attester=attester
        )
        server.start()
        return server
    ips = stun_ips(config.beacon.bind, reachable_ips(*interface_addresses()))
    for ports in (settings.ports, (0,) * len(settings.ports)):
        server = StunServer(ips, ports, secret=secret, public=settings.addresses, attester=attester)
        try:
            server.start()
        except ConfigurationError as error:
            _logger.warning("%s", error)
        else:
            return server
    return None


def stun_ips(bind: tuple[str, ...], reachable: Sequence[IPv4Address | IPv6Address]) -> tuple[str, ...]:
    """The ips that a beacon which listens on `bind` answers STUN on: two of each family, those it is reached at first."""
    found: list[str] = []
    for text in bind:
        ip = ip_address(text)
        choice = (
            [str(ip)] if not ip.is_unspecified else [str(r) for r in reachable if r.version == ip.version]
        )
        found += choice[:2]
    return tuple(dict.fromkeys(found))


def tls_of(config: BeaconConfig, secret_key: SecretKey) -> ssl.SSLContext | None:
    """What the beacon proves itself with; None for plain HTTP, which is the default on loopback addresses only."""
    settings = config.tls
    if settings.certificate:
        return own_certificate(Path(settings.certificate).expanduser(), Path(settings.key).expanduser())
    if settings.mode == "off" or (settings.mode == "auto" and config.beacon.is_local):
        return None
    return self_signed(secret_key)


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: each gateway takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
