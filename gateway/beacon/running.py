"""`overlay beacon` as a process: read, build, listen, wait for a signal, leave in order. ⚡"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import logs
from gateway.beacon.memory import MemoryAccounts, MemoryRecords, Stores
from gateway.beacon.offers import PlainOffers
from gateway.beacon.server import BeaconServer
from gateway.beacon.tls import own_certificate, self_signed
from gateway.limits import BEACON_BUCKETS, OPEN_FILES
from tunnels.keyfile import load_or_create_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.beacon.settings import BeaconConfig
    from gateway.home import Home
    from tunnels.identity import SecretKey

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
            secrets=[secret for secret in (config.turn.secret, config.redis.url) if secret],
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                server = await _start(stack, config, secret_key)
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
    stack: contextlib.AsyncExitStack, config: BeaconConfig, secret_key: SecretKey
) -> BeaconServer:
    stores = Stores(MemoryRecords(config.records.limit), MemoryAccounts(BEACON_BUCKETS))
    server = BeaconServer(
        config,
        secret_key,
        stores,
        tls=await asyncio.to_thread(tls_of, config, secret_key),
        pinned=not config.tls.certificate,
        offers=PlainOffers(policy=config.beacon.policy, relays=config.relay.enabled),
    )
    stack.push_async_callback(server.close)
    await server.start()
    return server


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
