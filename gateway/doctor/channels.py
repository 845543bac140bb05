"""Which channels a running gateway has, and all of them tried at once: at its start, and by `overlay doctor`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from gateway.doctor import probing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Network
    from pathlib import Path

    from gateway.control.status import StatusReport
    from gateway.doctor.facts import Channel, Proof


def channels(
    status: StatusReport,
    ip: str,
    network: IPv4Network | None,
    login: tuple[str, str] | None = None,
    *,
    by_name: bool = True,
    authority: Path | None = None,
) -> dict[Channel, Callable[[], Proof]]:
    """How to try each channel that is on. `ip` is what our own name stands for here, empty if nothing; `network` has the loopback
    addresses; `by_name`: also ask the proxy for our name, for which `login` is needed where it has a password. `authority` is
    where the one for local HTTPS is kept.
    """
    name = f"{status.endpoint_id}.overlay"
    found: dict[Channel, Callable[[], Proof]] = {}
    proxy, dns, dashboard = (status.listener(door) for door in ("proxy", "dns", "dashboard"))
    if proxy:
        place = probing.place_of(proxy)
        found["proxy"] = partial(probing.socks, place)
        if by_name:
            found["socks5h"] = partial(probing.socks5h, place, name, login)
            found["http-connect"] = partial(probing.http_connect, place, name, login)
    if dns:
        place = probing.place_of(dns)
        found["dns-udp"] = partial(probing.dns, place, name, ip)
        found["dns-tcp"] = partial(probing.dns, place, name, ip, tcp=True)
    if network is not None:
        found["loopback"] = partial(probing.loopback, ip or str(network.broadcast_address - 1))
    if dashboard and by_name:
        found["doh"] = partial(probing.doh, probing.place_of(dashboard), name, ip)
    front_door, https = (status.listener(door) for door in ("front door", "https"))
    if front_door and by_name:
        found["front-door"] = partial(probing.front_door, probing.place_of(front_door))
    if https and by_name:
        found["https"] = partial(probing.front_door, probing.place_of(https), authority)
    if dashboard and proxy:
        host, port = probing.place_of(proxy)
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        found["pac"] = partial(probing.pac, probing.place_of(dashboard), shown)
    return found


def try_all(probes: Mapping[Channel, Callable[[], Proof]]) -> dict[Channel, Proof]:
    """What came of each; all are tried at once, so that a dead one costs its time only once."""
    if not probes:
        return {}
    with ThreadPoolExecutor(len(probes), thread_name_prefix="doctor") as threads:
        running = {channel: threads.submit(probing.proven, probe) for channel, probe in probes.items()}
        return {channel: future.result() for channel, future in running.items()}
