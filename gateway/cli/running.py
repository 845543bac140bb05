"""`overlay up`, `down`, `status`, `reload`: the life of the daemon."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.published import show_published
from gateway.errors import GatewayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from gateway.control.status import (
        BeaconReport,
        DhtReport,
        LendingReport,
        LocalNetworkReport,
        PortMappingReport,
        StatusReport,
    )

_STOP_SECONDS: Final = 15.0
"""How long `down` waits for the daemon to end: it gives open streams a moment."""

_PORT: Final = click.IntRange(0, 65535)

_FLAGS: Final = {
    "nickname": "gateway.nickname",
    "log_level": "gateway.log_level",
    "log_format": "gateway.log_format",
    "quic_engine": "tunnels.quic_engine",
    "tunnel_port": "tunnels.port",
    "bind": "tunnels.bind",
    "address": "tunnels.addresses",
    "beacon": "beacons.urls",
    "dht": "dht.enabled",
    "proxy_port": "proxy.port",
    "dns_port": "dns.port",
    "dashboard_port": "dashboard.port",
    "front_door_port": "front_door.port",
    "https_port": "https.port",
}
"""The flag of each key that has one; `--no-…` flags are below."""

_SWITCHES: Final = ("proxy", "dns", "loopback", "dashboard")


@click.command("up", cls=Command, short_help="Run the gateway in the foreground.")
@click.option("--proxy-port", type=_PORT, metavar="PORT", help="SOCKS and HTTP proxy; 0 for any free port.")
@click.option("--dns-port", type=_PORT, metavar="PORT", help="DNS server for .overlay; 0 for any free port.")
@click.option(
    "--front-door-port", type=_PORT, metavar="PORT", help="Pages under .localhost; 0 for any free port."
)
@click.option(
    "--https-port",
    type=_PORT,
    metavar="PORT",
    help="The same with TLS, after `overlay ca install`; 0 for any free port.",
)
@click.option(
    "--dashboard-port", type=_PORT, metavar="PORT", help="Pages and proxy.pac; 0 for any free port."
)
@click.option(
    "--tunnel-port",
    type=_PORT,
    metavar="PORT",
    help="UDP port of tunnels; 0 for one that is picked once and kept.",
)
@click.option("--bind", multiple=True, metavar="IP", help="Listen for tunnels there (repeatable).")
@click.option(
    "--address", multiple=True, metavar="IP:PORT", help="Public address to put into tickets (repeatable)."
)
@click.option("--beacon", multiple=True, metavar="URL", help="A beacon to be at home at (repeatable).")
@click.option("--dht", type=click.Choice(["auto", "on", "off"]), help="Records in the Mainline DHT.")
@click.option("--no-proxy", is_flag=True, help="No proxy.")
@click.option("--no-dns", is_flag=True, help="No DNS server.")
@click.option("--no-loopback", is_flag=True, help="No loopback addresses.")
@click.option("--no-dashboard", is_flag=True, help="No pages and no proxy.pac.")
@click.option("--nickname", metavar="NAME", help="What joining contacts call this gateway.")
@click.option(
    "--quic-engine", type=click.Choice(["qh3", "aioquic"]), help="What speaks QUIC; qh3 is the faster one."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="What is logged.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Lines for people, or JSON objects.")
@pass_session
def up_command(session: Session, /, **flags: object) -> None:
    """Run the gateway in the foreground, until Ctrl+C or `overlay down`."""
    import asyncio

    from gateway.cli import first_run
    from gateway.process import run

    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        runner.run(
            run(
                session.home,
                overrides_of(flags),
                on_ready=partial(first_run.show, session.command),
            )
        )


@click.command("down", cls=Command, short_help="Stop the running gateway.")
@output.json_option
@pass_session
def down_command(session: Session, *, as_json: bool) -> None:
    """Stop the running gateway."""
    home = session.home
    stopping = home.running_pid()
    session.client().down()
    deadline = time.monotonic() + _STOP_SECONDS
    while (pid := home.running_pid()) is not None:
        if time.monotonic() > deadline:
            raise GatewayError(
                f"down: process {pid} is still ending; see `{session.command} logs`, or kill it"
            )
        time.sleep(0.05)
    if as_json:
        output.echo_json({"stopped": stopping})
    else:
        output.say("Stopped.")


@click.command("status", cls=Command, short_help="What listens, is exposed, is connected.")
@click.option("--published", is_flag=True, help="What our records tell, and where they are.")
@output.json_option
@pass_session
def status_command(session: Session, *, published: bool, as_json: bool) -> None:
    """What the running gateway listens on, exposes, knows and is connected to."""
    if published:
        records = session.client().published()
        if as_json:
            output.echo_json(records)
        else:
            show_published(records)
        return
    report = session.client().status()
    if as_json:
        output.echo_json(report)
        return
    output.head(f"overlay {report.version}, up for {output.duration(report.uptime)} (process {report.pid})")
    output.pairs(_doors(report))
    if report.services:
        _section("Services")
        rows = [(s.name, s.port, ", ".join(s.settings.protocols), s.settings.target) for s in report.services]
        output.table(("name", "port", "protocol", "target"), rows)
    if report.tunnels:
        _section("Tunnels")
        titles = ("with", "path", "since", "round trip", "streams", "in", "out", "up for")
        output.table(titles, _tunnel_rows(report))
    if report.beacons:
        _section("Beacons")
        output.table(("url", "state", "for", "sees us at", "in", "out", "notes"), _beacon_rows(report))
    if report.lending:
        _section("Lent relay")
        output.pairs(_lending_rows(report.lending))
    if report.loopback:
        _section("Loopback addresses")
        output.table(("name", "address", "ports"), _loopback_rows(report))
    for warning in report.warnings:
        output.warn(warning)


@click.command("reload", cls=Command, short_help="Apply what changed in gateway.toml.")
@output.json_option
@pass_session
def reload_command(session: Session, *, as_json: bool) -> None:
    """Read gateway.toml again and apply what changed, without touching what did not."""
    report = session.client().reload()
    if as_json:
        output.echo_json(report)
        return
    if not report.applied and not report.restart:
        output.say("Nothing has changed.")
    if report.applied:
        output.say(f"Applied: {', '.join(report.applied)}.")
    if report.restart:
        output.warn(f"{', '.join(report.restart)}: changed, and in force after the next start")


def overrides_of(flags: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given, as dotted keys of the configuration."""
    given = {
        _FLAGS[flag]: value for flag, value in flags.items() if flag in _FLAGS and value not in (None, ())
    }
    return given | {f"{section}.enabled": False for section in _SWITCHES if flags.get(f"no_{section}")}


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _section(title: str) -> None:
    output.say()
    output.head(title)


def _doors(report: StatusReport) -> list[tuple[str, str]]:
    """Who this gateway is, and where it listens."""
    rows = [("id", report.endpoint_id), ("nickname", report.nickname)]
    titles = {"proxy": "SOCKS and HTTP", "dns": "names under .overlay", "tunnels": report.quic_engine}
    for listener in report.listeners:
        where = _where(listener.addresses) or ("off" if not listener.enabled else "not listening")
        if listener.name == "dashboard" and listener.addresses:
            rows.append(("dashboard", f"http://{listener.addresses[0]}/  (overlay dash lets a browser in)"))
            rows.append(("pac", f"http://{listener.addresses[0]}/proxy.pac"))
        else:
            about = listener.note or (titles.get(listener.name, "") if listener.addresses else "")
            rows.append((listener.name, f"{where}  ({about})" if about else where))
    reachable = (*report.addresses, *map(output.relay, report.relays))
    rows += [("reachable at", _where(reachable))] if reachable else []
    mapping = report.port_mapping
    if mapping is not None and mapping.router:  # where there is no router, there is nothing to map
        rows.append(("port mapping", _port_mapping(mapping)))
    pinhole = report.pinhole
    if pinhole is not None and pinhole.external:  # without one, nothing is translated all the same
        rows.append(("IPv6 pinhole", _port_mapping(pinhole)))
    if report.local_network is not None:
        rows.append(("local network", _local_network(report.local_network)))
    if report.dht is not None and (report.dht.enabled or report.dht.problem):
        rows.append(("dht", _dht(report.dht)))
    return [*rows, ("home", report.home)]


def _dht(dht: DhtReport) -> str:
    if not dht.enabled:
        return f"off: {dht.problem}"
    words = f"{dht.nodes} nodes" + (", answering others" if dht.serves else "")
    if dht.stored is None or dht.published_ago is None:
        return words
    ago = f"{output.duration(dht.published_ago)} ago"
    return f"{words}; our record on {dht.stored} of them {ago}" + (f": {dht.problem}" if dht.problem else "")


def _port_mapping(mapping: PortMappingReport) -> str:
    if not mapping.external:
        at = f" (router {mapping.router})" if mapping.router else ""
        return f"none: {mapping.problem}{at}" if mapping.problem else f"being asked for{at}"
    words = f"{mapping.external}, {mapping.state}  ({mapping.protocol} at {mapping.router})"
    return f"{words}: {mapping.problem}" if mapping.problem else words


def _local_network(found: LocalNetworkReport) -> str:
    """Where we are found, and how: `eth0, by multicast DNS (IPv4, IPv6), …`."""
    if not found.interfaces:
        return "none; our tunnels listen on no network that others share"

    def versions(working: tuple[int, ...], problem: str) -> str:
        words = [*(f"IPv{version}" for version in working), *([problem] if problem else [])]
        return ", ".join(words) or "off"

    ways = (
        f"multicast DNS ({versions(found.mdns, found.mdns_problem)})",
        f"our own datagrams ({versions(found.fallback, found.fallback_problem)})",
    )
    return f"{_where(found.interfaces)}: {', '.join(ways)}; {found.heard} heard"


def _where(addresses: Sequence[str]) -> str:
    return ", ".join(addresses)


def _tunnel_rows(report: StatusReport) -> list[tuple[str, ...]]:
    return [
        (
            tunnel.petname or tunnel.endpoint_id[:8],
            f"{tunnel.path} {tunnel.address.removeprefix('relay ').removesuffix(' by TCP')}"
            + (f", trying {tunnel.trying}" if tunnel.trying else ""),
            "" if tunnel.path_seconds is None else f"{output.duration(tunnel.path_seconds)} ago",
            "" if tunnel.rtt_ms is None else f"{tunnel.rtt_ms:.1f} ms",
            str(tunnel.streams),
            output.amount(tunnel.bytes_in),
            output.amount(tunnel.bytes_out),
            output.duration(tunnel.seconds),
        )
        for tunnel in report.tunnels
    ]


def _beacon_rows(report: StatusReport) -> list[tuple[str, ...]]:
    return [
        (
            beacon.url,
            f"{beacon.state}, home" if beacon.home else beacon.state,
            "" if beacon.seconds is None else output.duration(beacon.seconds),
            beacon.observed,
            output.amount(beacon.bytes_in),
            output.amount(beacon.bytes_out),
            "; ".join(_beacon_notes(beacon)),
        )
        for beacon in report.beacons
    ]


def _lending_rows(lending: LendingReport) -> list[tuple[str, str]]:
    connected = f"{lending.connected} of {lending.most}"
    if lending.endpoints:
        more = ", …" if lending.connected > len(lending.endpoints) else ""
        connected += f": {', '.join(lending.endpoints)}{more}"
    return [
        ("url", lending.url),
        ("for", "everybody" if lending.to == "all" else "contacts"),
        ("connected", connected),
        ("relayed", output.amount(lending.relayed_bytes)),
    ]


def _beacon_notes(beacon: BeaconReport) -> list[str]:
    notes = [beacon.error] if beacon.error else []
    notes += [beacon.policy] if beacon.policy else []
    notes += ["relays nothing"] if not beacon.relays else []
    notes += [] if beacon.left_bytes is None else [f"{output.amount(beacon.left_bytes)} left"]
    notes += [f"{output.amount(beacon.credit_bytes)} from vouchers"] if beacon.credit_bytes else []
    return notes


def _loopback_rows(report: StatusReport) -> list[tuple[str, str, str]]:
    return [
        (
            entry.name,
            entry.ip,
            ", ".join(
                f"{o.offered}/{o.protocol}" + (f" for {o.port}" if o.offered != o.port else "")
                for o in entry.offers
            ),
        )
        for entry in report.loopback
    ]
