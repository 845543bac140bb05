"""On which networks we are found, what is kept of whom, and when our record is told anew."""

from __future__ import annotations

import socket
from ipaddress import ip_interface
from typing import TYPE_CHECKING

import pytest

from gateway.answers.base import time_now
from gateway.config.settings import LanSettings
from gateway.local_network import LocalNetwork, links_of
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key, local_packet
from tests.lab.serving import until
from tunnels.addresses import Address
from tunnels.transports.interfaces import InterfaceNetwork

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket

LOOPBACK = socket.if_indextoname(1)


def networks(*texts: str) -> list[InterfaceNetwork]:
    made = [ip_interface(text) for text in texts]
    return [InterfaceNetwork(LOOPBACK, each.ip, each.network) for each in made]


def bound(*hosts: str) -> tuple[Address, ...]:
    return tuple(Address.of(host, 7777) for host in hosts)


BOTH = networks("192.168.1.5/24", "10.0.0.5/8", "fe80::5/64", "fd00::5/64")


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("0.0.0.0", "::"), {"192.168.1.5", "10.0.0.5", "fe80::5", "fd00::5"}),
        (("0.0.0.0",), {"192.168.1.5", "10.0.0.5"}),
        (("::",), {"fe80::5", "fd00::5"}),
        (("192.168.1.5",), {"192.168.1.5"}),
        (("127.0.0.1",), set()),
        ((), set()),
    ],
)
def test_we_are_found_where_our_tunnels_listen(hosts, expected):
    links = links_of(BOTH, bound(*hosts))
    assert {str(ip) for link in links for ip, _ in (*link.ipv4, *link.ipv6)} == expected
    assert {(link.name, link.index) for link in links} <= {(LOOPBACK, 1)}


def test_an_interface_that_went_away_meanwhile_is_none():
    (network,) = networks("192.168.1.5/24")
    gone = InterfaceNetwork("gone0", network.ip, network.network)
    assert links_of([gone], bound("0.0.0.0")) == ()


def test_link_local_addresses_are_told_where_there_are_no_others(monkeypatch):
    found: list[InterfaceNetwork] = []
    monkeypatch.setattr("gateway.local_network.local_networks", lambda: found)
    room = Room("::")
    for texts, told in (
        (("fe80::5/64",), ["[fe80::5]:7777"]),
        (("fe80::5/64", "fd00::5/64"), []),
        (("fe80::5/64", "169.254.7.7/16"), ["[fe80::5]:7777"]),
        (("169.254.7.7/16",), []),
        ((), []),
    ):
        found[:] = networks(*texts)
        assert list(map(str, room.network.addresses())) == told
    found[:] = networks("fe80::5/64", "169.254.7.7/16")
    assert set(map(str, Room("::", "0.0.0.0").network.addresses())) == {"[fe80::5]:7777", "169.254.7.7:7777"}
    assert Room("127.0.0.1").network.addresses() == ()
    assert room.network.interfaces() == (LOOPBACK,)


class Room:
    """A gateway's local network that has no way to speak."""

    def __init__(self, *hosts: str) -> None:
        self.tasks = Tasks()
        self.learned: list[SignedPacket] = []
        self.changes = 0
        self.may_tell = True
        self.network = LocalNetwork(
            LanSettings(mdns=False, fallback=False),
            key(1),
            bound=lambda: bound(*(hosts or ("127.0.0.1",))),
            may_tell=lambda: self.may_tell,
            is_hidden=lambda: False,
            is_contact=lambda endpoint_id: endpoint_id == key(7).endpoint_id,
            learn=self.learned.append,
            on_change=self._changed,
            spawn=self.tasks.spawn,
            clock=time_now,
        )

    def _changed(self) -> None:
        self.changes += 1

    async def close(self) -> None:
        await self.network.close()
        await self.network.close()
        await self.tasks.close()


async def test_what_may_not_be_told_any_more_is_withdrawn():
    room = Room()
    room.network.changed()
    await room.network.start()
    await room.network.source.publish(local_packet(1, signed_at=time_now()))
    room.network.changed()
    assert room.network.source._packet is not None
    room.may_tell = False
    room.network.changed()
    await until(lambda: room.network.source._packet is None)
    assert room.changes == 0
    assert room.network.report().interfaces == ()
    assert "LanSource" in repr(room.network)
    await room.close()


async def test_another_network_is_news_for_who_publishes():
    room = Room()
    await room.network.start()
    room.network._network_changed()
    assert room.changes == 1
    await room.close()


async def test_only_records_of_contacts_are_learned_without_being_asked_for():
    room = Room()
    await room.network.start()
    for number in (7, 8):
        room.network.source._hear(local_packet(number, signed_at=time_now()).to_bytes(), None)
    assert [each.endpoint_id for each in room.learned] == [key(7).endpoint_id]
    assert len(room.network.source.heard()) == 2
    await room.close()
