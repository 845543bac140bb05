"""A gateway that has a process for itself: its home locked, its log, signals and descriptors; `daemon` is what runs in it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

from gateway import logs
from gateway.config import Config, load
from gateway.daemon import Daemon
from gateway.limits import OPEN_FILES
from gateway.service_notes import ServiceNotes
from tunnels.keyfile import load_or_create_key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from ipaddress import IPv4Network

    from gateway.facade import Facade
    from gateway.home import Home

_logger = logging.getLogger(__name__)


async def run(
    home: Home,
    overrides: Mapping[str, object],
    *,
    on_ready: Callable[[Facade, IPv4Network | None], Coroutine[Any, Any, None]],
) -> None:
    """Run a gateway on `home` until it is told to stop by a signal or the control socket.

    `overrides` are settings from the command line; `on_ready` runs beside it once everything listens, and is told the
    network of loopback addresses. GatewayError, or an error of tunnels, says in one line why it could not start; nothing is left running then.
    """
    _allow_many_files()
    notes = ServiceNotes.taken_from(os.environ)
    await asyncio.to_thread(home.create)
    lock = await asyncio.to_thread(home.lock)
    try:
        config = await asyncio.to_thread(load, home.config_file, environ=os.environ, overrides=overrides)
        secret_key = await asyncio.to_thread(load_or_create_key, home.identity_file)
        log = logs.set_up(
            level=config.gateway.log_level,
            form=config.gateway.log_format,
            file=home.log_file,
            colour=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            secrets=_secrets(config),
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                daemon = Daemon(home, overrides, config, secret_key, log)
                await daemon.start(stack)
                daemon.heed_signals()
                # What was read lives as long as we do. Looking through ten thousand contacts for garbage now and then
                # would let everything wait for a tenth of a second each time.
                gc.freeze()
                screen = daemon.tell(on_ready)
                with notes:
                    await daemon.stopped.wait()
                screen.cancel()  # it would ask for what is being closed
                _logger.info("stopping")
        finally:
            await asyncio.to_thread(log.close)
    finally:
        lock.release()


def _secrets(config: Config) -> list[str]:
    """What no line of the log may show."""
    profiles = (profile.password for profile in config.profiles.values())
    return [secret for secret in (config.proxy.password, config.metrics.token, *profiles) if secret]


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: each connection through the proxy takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
