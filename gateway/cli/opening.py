"""`overlay open`: a web page of somebody, in the browser, at an address that works on this machine as it is set up now."""

from __future__ import annotations

import socket
import sys
import webbrowser
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.errors import GatewayError, UsageError
from gateway.programs.destinations import overlay_host
from gateway.urls import url_of
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from gateway.control.names import ResolveReport
    from gateway.control.services import OfferReport
    from gateway.control.status import StatusReport


@click.command("open", cls=Command, short_help="Open a web page in the browser.")
@click.argument("name")
@click.argument("service", required=False)
@click.option("--print", "only_print", is_flag=True, help="Print the URL and open nothing.")
@output.json_option
@pass_session
def open_command(
    session: Session, *, name: str, service: str | None, only_print: bool, as_json: bool
) -> None:
    """Open the service web of NAME, or SERVICE, or the only one of its services that is a page.

    The URL is http://web.alice.overlay/ where this machine's DNS knows such names, else one under .localhost, which every browser
    finds, else the loopback address.
    """
    from gateway.control.names import ResolveRequest

    host = overlay_host(name if service is None else f"{service}.{name}")
    client = session.client()
    found = client.resolve(ResolveRequest(name=str(host)))
    offer = _page(found)
    if offer is None:
        what = f"{name} offers no web page" if service is None else f"{service} of {name} is no web page"
        raise UsageError(f"open: {what} to you, as far as is known; see: {session.command} resolve {name}")
    where = f"{offer.service}.{str(host).removeprefix(f'{host.service}.') if host.service else host}"
    urls = urls_of(where, found, offer, client.status())
    url = urls[0] if urls else ""
    if not url:
        raise GatewayError(
            f"open: nothing on this machine leads to {where} without the proxy; set the browser's proxy, or: "
            f"{session.command} forward 8080:{where}"
        )
    if as_json:
        output.echo_json({"name": where, "url": url, "others": urls[1:]})
    else:
        output.say(url)
    if only_print or as_json:
        return
    sys.stdout.flush()
    if not webbrowser.open(url):
        raise GatewayError(f"open: no browser could be started here; open {url} yourself")


def urls_of(host: str, found: ResolveReport, offer: OfferReport, status: StatusReport) -> tuple[str, ...]:
    """The addresses of a page that work here without any proxy, the best first."""
    tcp = (ServiceProtocol.TCP,)
    scheme = "https" if offer.port == 443 else "http"
    urls = []
    offered_at = f":{offer.offered}" if offer.offered not in (80, 443) else ""
    if found.ip and found.ip in _looked_up(host):
        urls.append(url_of(host, offer.offered, tcp) or f"{scheme}://{host}{offered_at}/")
    doors: dict[str, tuple[str, ...]] = {listener.name: listener.addresses for listener in status.listeners}
    if (door := doors.get("front door")) and scheme == "http":
        port = door[0].rpartition(":")[2]
        urls.append(f"http://{host.removesuffix('.overlay')}.localhost:{port}/")
    if found.ip:
        urls.append(f"{scheme}://{found.ip}{offered_at}/")
    return tuple(urls)


def _page(found: ResolveReport) -> OfferReport | None:
    """What a browser opens: web before anything else."""
    pages = [
        offer
        for offer in found.offers
        if offer.protocol == "tcp"
        and (found.service or url_of("x", offer.port, (ServiceProtocol.TCP,)).startswith("http"))
    ]
    return min(
        pages, key=lambda offer: (offer.service not in ("web", "http", "https"), offer.service), default=None
    )


def _looked_up(host: str) -> set[str]:
    """What this machine's own resolver says of a name."""
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, 80, socket.AF_INET)}
    except OSError:
        return set()
