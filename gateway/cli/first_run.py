"""What a person sees first: who this gateway is, what of it was proved to work just now, and what to type next."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.control.names import ResolveRequest
from gateway.doctor.channels import channels, try_all
from gateway.errors import GatewayError
from gateway.limits import UP_NEWS_SECONDS, UP_REACH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Network

    from gateway.control.status import StatusReport
    from gateway.doctor.facts import Channel, Proof
    from gateway.facade import Facade

_LOOK_SECONDS = 0.1
"""Between two looks at what is still awaited: a person sees no delay."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    how: str
    """`ok`, `problem`, `note` or `waiting`."""
    what: str
    detail: str


async def show(command: str, gateway: Facade, network: IPv4Network | None) -> None:
    """Print the first screen, and then for a minute what comes late. `network` has the loopback addresses, None if they are off."""
    status = await gateway.status(with_contacts=False)
    output.head(f"overlay {status.version} is up; Ctrl+C or `{command} down` stops it.")
    sys.stdout.flush()  # whoever waits for this line need not wait for the proofs
    try:
        ip = (await gateway.resolve(ResolveRequest(name=status.endpoint_id))).ip
    except GatewayError:
        ip = ""
    proofs = await asyncio.to_thread(try_all, channels(status, ip, network, by_name=False))
    deadline = asyncio.get_running_loop().time() + UP_REACH_SECONDS
    while any(row.how == "waiting" for row in reach_rows(status)):
        if asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
        status = await gateway.status(with_contacts=False)
    output.pairs(_who(status))
    output.say()
    rows = [*door_rows(status, proofs), *reach_rows(status)]
    _print(rows)
    _tell_next(command, status)
    for warning in status.warnings:
        output.warn(warning)
    sys.stdout.flush()
    await _tell_news(gateway, rows)


async def _tell_news(gateway: Facade, rows: list[Row]) -> None:
    """A line for each that was awaited, when it has come; nothing more after a minute: the log has it."""
    waiting = {row.what for row in rows if row.how == "waiting"}
    deadline = asyncio.get_running_loop().time() + UP_NEWS_SECONDS
    while waiting and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(10 * _LOOK_SECONDS)
        news = [
            row
            for row in reach_rows(await gateway.status(with_contacts=False))
            if row.what in waiting and row.how != "waiting"
        ]
        waiting -= {row.what for row in news}
        _print(news)
        sys.stdout.flush()


def _who(status: StatusReport) -> list[tuple[str, str]]:
    rows = [("id", status.endpoint_id), ("name", f"{status.endpoint_id}.overlay")]
    rows += [("nickname", status.nickname)] if status.nickname else []
    return [*rows, ("home", status.home)]


def door_rows(status: StatusReport, proofs: Mapping[Channel, Proof]) -> Iterator[Row]:
    """The ways in for programs on this machine, each as it proved itself."""
    doors: tuple[tuple[str, str, tuple[Channel, ...]], ...] = (
        ("proxy", "SOCKS and HTTP proxy", ("proxy",)),
        ("dns", "names under .overlay", ("dns-udp", "dns-tcp")),
        ("dashboard", "", ("pac",)),
    )
    for door, title, tried in doors:
        where = status.listener(door)
        name = "pac" if door == "dashboard" else door
        if not where:
            listener = next((one for one in status.listeners if one.name == door), None)
            why = listener.note if listener is not None else ""
            yield Row("note" if not why else "problem", name, why or f"off ([{door}] enabled, --no-{door})")
            continue
        where = f"http://{where}/proxy.pac" if door == "dashboard" else where
        yield _proven(
            name, where, title, [(channel, proofs[channel]) for channel in tried if channel in proofs]
        )
    if "loopback" in proofs:
        yield _proven("loopback", "an address for each name", "", [("loopback", proofs["loopback"])])
    else:
        yield Row("note", "loopback", "off ([loopback] enabled, --no-loopback)")


def _proven(name: str, where: str, title: str, proofs: list[tuple[str, Proof]]) -> Row:
    failed = [(channel, proof) for channel, proof in proofs if not proof.ok]
    if failed:
        channel, proof = failed[0]
        return Row("problem", name, f"{where}: {proof.detail} ({channel}); overlay doctor {name}")
    if not proofs:
        return Row("note", name, f"{where}  not tried")
    details = [proof.detail for _, proof in proofs if proof.detail and "password" in proof.detail]
    about = ", ".join([title, *details] if title else details)
    return Row("ok", name, f"{where}  ({about})" if about else where)


def reach_rows(status: StatusReport) -> Iterator[Row]:
    """How others reach this machine: what of it works, what does not, and what is still to come."""
    tunnels = next((one.addresses for one in status.listeners if one.name == "tunnels"), ())
    families = sorted({"IPv6" if address.startswith("[") else "IPv4" for address in tunnels})
    if tunnels:
        yield Row("ok", "udp", f"{', '.join(tunnels)}  ({' and '.join(families)}, {status.quic_engine})")
    else:
        yield Row("note", "udp", "tunnels do not listen")
    six = [address for address in status.addresses if address.startswith("[")]
    if "IPv6" in families:
        yield (
            Row("ok", "ipv6", ", ".join(six))
            if six
            else Row("note", "ipv6", "this machine has no address that others reach")
        )
    local = status.local_network
    if local is not None and local.interfaces:
        ways = [
            *(["multicast DNS"] if local.mdns else []),
            *(["our own datagrams"] if local.fallback else []),
        ]
        problem = local.mdns_problem or local.fallback_problem
        detail = (
            f"{', '.join(local.interfaces)}, by {' and '.join(ways)}"
            if ways
            else f"{problem}; overlay doctor lan"
        )
        yield Row("ok" if ways else "problem", "lan", detail)
    for beacon in status.beacons:
        url = beacon.url.partition("#")[0]
        if beacon.state == "connected":
            seen = f", sees us at {beacon.observed}" if beacon.observed else ""
            yield Row("ok", f"beacon {url}", f"connected{seen}")
        elif beacon.error:
            yield Row("problem", f"beacon {url}", f"{beacon.error}; overlay doctor beacons")
        else:
            yield Row("waiting", f"beacon {url}", "being connected")
    mapping = status.port_mapping
    if mapping is not None and mapping.router:
        if mapping.external and not mapping.problem:
            yield Row("ok", "port mapping", f"{mapping.external}  ({mapping.state}, {mapping.protocol})")
        elif mapping.problem:
            yield Row("note", "port mapping", mapping.problem)
        else:
            yield Row("waiting", "port mapping", f"being asked for at {mapping.router}")
    dht = status.dht
    if dht is not None and dht.enabled:
        yield (
            Row("ok", "dht", f"{dht.nodes} nodes")
            if dht.nodes
            else Row("waiting", "dht", "looking for nodes")
        )
    if not status.beacons and not (dht is not None and dht.enabled):
        yield Row(
            "note", "beacon", "none: others find us on this network and by tickets; overlay up --beacon URL"
        )


def _print(rows: list[Row]) -> None:
    colours = {"ok": "green", "problem": "red"}
    width = max((len(row.what) for row in rows), default=0)
    for row in rows:
        mark = click.style(output.mark(row.how), fg=colours.get(row.how))
        click.echo(f"  {mark} {output.visible(row.what).ljust(width)}  {output.visible(row.detail)}")


def _tell_next(command: str, status: StatusReport) -> None:
    proxy, dns = status.listener("proxy"), status.listener("dns")
    output.say()
    output.head("Next, in another terminal")
    steps = [
        (f"{command} expose web 127.0.0.1:8000", "offer a local server to others, with an invite"),
        (f"{command} join INVITE", "reach somebody who gave you one"),
    ]
    if proxy:
        steps.append((f"curl --proxy socks5h://{proxy} http://web.NAME.overlay/", "open a service of theirs"))
    if dns:
        host, _, port = dns.rpartition(":")
        steps.append(
            (f"dig @{host.strip('[]')} -p {port} web.NAME.overlay +short", "its address on this machine")
        )
    if status.listener("dashboard"):
        steps.append((f"{command} dash", "the dashboard, in a browser"))
    steps.append((f"{command} doctor", "look at everything, and tell what helps"))
    output.pairs(steps)
