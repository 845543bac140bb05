"""The first screen: a tick for what was proved, a cross with the reason for what was not, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli import first_run
from gateway.control.names import ResolveReport, ResolveRequest
from gateway.control.status import (
    BeaconReport,
    DhtReport,
    ListenerReport,
    LocalNetworkReport,
    PortMappingReport,
    StatusReport,
)
from gateway.doctor.facts import Proof
from tests.gateway.doctor.facts import ME, status

if TYPE_CHECKING:
    from gateway.facade import Facade


class Gateway:
    """Tells the statuses it was given, the last one for ever."""

    def __init__(self, *statuses: StatusReport) -> None:
        self.statuses = list(statuses)

    async def status(self, *, with_contacts: bool = True) -> StatusReport:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    async def resolve(self, request: ResolveRequest) -> ResolveReport:
        return ResolveReport(name=request.name, endpoint_id=ME)


async def shown(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, proofs: dict[Any, Proof]) -> None:
    monkeypatch.setattr(first_run, "try_all", lambda _: proofs)
    monkeypatch.setattr(first_run, "UP_REACH_SECONDS", 0.2)
    monkeypatch.setattr(first_run, "UP_NEWS_SECONDS", 3.0)
    as_facade: Facade = gateway  # type: ignore[assignment]
    await first_run.show("overlay --home x", as_facade, None)


WELL = {channel: Proof(ok=True) for channel in ("proxy", "dns-udp", "dns-tcp", "pac", "loopback")}


async def test_it_tells_who_where_and_what_next(monkeypatch, capsys) -> None:
    await shown(monkeypatch, Gateway(status(warnings=("port 80 needs a privilege",))), WELL)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].endswith("is up; Ctrl+C or `overlay --home x down` stops it.")
    for told in (
        ME,
        f"{ME}.overlay",
        "✓ proxy ",
        "127.0.0.1:1080",
        "✓ dns ",
        "✓ pac ",
        "http://127.0.0.1:7399/proxy.pac",
        "✓ loopback ",
        "✓ udp ",
        "✓ lan ",
        "✓ beacon https://eu1.example",
        "overlay --home x expose web 127.0.0.1:8000",
        "overlay --home x join INVITE",
        "curl --proxy socks5h://127.0.0.1:1080 ",
        "dig @127.0.0.1 -p 5399 ",
        "overlay --home x doctor",
    ):
        assert told in out
    assert "✗" not in out
    assert err == "warning: port 80 needs a privilege\n"
    assert len(lines) < 25


async def test_what_was_not_proved_has_a_cross_the_reason_and_where_to_look(monkeypatch, capsys) -> None:
    await shown(
        monkeypatch, Gateway(status()), WELL | {"dns-tcp": Proof(ok=False, detail="nobody listens there")}
    )
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "✗" in line]
    assert "127.0.0.1:5399: nobody listens there (dns-tcp); overlay doctor dns" in line


async def test_what_is_off_is_neither(monkeypatch, capsys) -> None:
    off = tuple(ListenerReport(name=name, enabled=False) for name in ("proxy", "dns", "dashboard"))
    await shown(monkeypatch, Gateway(status(listeners=off, dht=None, beacons=(), local_network=None)), {})
    out = capsys.readouterr().out
    for door in ("proxy", "dns", "pac", "loopback", "udp", "beacon"):
        assert f"  · {door} " in out
    assert "curl" not in out


async def test_what_comes_late_is_a_line_of_its_own(monkeypatch, capsys) -> None:
    early = status(beacons=(BeaconReport(url="https://eu1.example#id", state="connecting"),))
    late = status(
        beacons=(BeaconReport(url="https://eu1.example#id", state="connected", observed="192.0.2.1:5"),)
    )
    await shown(monkeypatch, Gateway(*[early] * 5, late), WELL)
    lines = capsys.readouterr().out.splitlines()
    assert any("… beacon https://eu1.example" in line for line in lines[:-1])
    assert lines[-1].strip() == "✓ beacon https://eu1.example  connected, sees us at 192.0.2.1:5"


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (
            {"port_mapping": PortMappingReport(router="r")},
            ("waiting", "port mapping", "being asked for at r"),
        ),
        (
            {"port_mapping": PortMappingReport(router="r", problem="refused")},
            ("note", "port mapping", "refused"),
        ),
        (
            {"port_mapping": PortMappingReport(router="r", external="e:1", state="verified", protocol="PCP")},
            ("ok", "port mapping", "e:1  (verified, PCP)"),
        ),
        ({"dht": DhtReport(enabled=True)}, ("waiting", "dht", "looking for nodes")),
        (
            {"beacons": (BeaconReport(url="u", state="waiting", error="refused"),)},
            ("problem", "beacon u", "refused; overlay doctor beacons"),
        ),
        (
            {"local_network": LocalNetworkReport(interfaces=("e",), mdns_problem="not permitted")},
            ("problem", "lan", "not permitted; overlay doctor lan"),
        ),
        (
            {"listeners": (ListenerReport(name="tunnels", addresses=("0.0.0.0:1", "[::]:1")),)},
            ("note", "ipv6", "this machine has no address that others reach"),
        ),
    ],
)
def test_each_way_that_others_come_by(given, row) -> None:
    rows = [(one.how, one.what, one.detail) for one in first_run.reach_rows(status(**given))]
    assert row in rows
