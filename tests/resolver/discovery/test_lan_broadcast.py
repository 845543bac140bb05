"""Our own datagrams by real sockets: everybody hears, one hop only, and who is not on our network is not heard."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from gateway.local_network import links_of
from resolver.discovery.lan_broadcast import LanBroadcast
from resolver.discovery.lan_messages import MULTICAST_GROUP
from resolver.limits import LAN_LINKS
from tests.lab.serving import until
from tunnels.addresses import Address
from tunnels.transports.interfaces import local_networks

pytestmark = pytest.mark.needs("root", "ip")

PORT = 7398
IP_RECVTTL = 12
"""linux/in.h; Python has a name for it since 3.14."""
EVERYWHERE = (Address.of("0.0.0.0", 1), Address.of("::", 1))


class Ears:
    """What one of them heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Address]] = []

    def __call__(self, datagram: bytes, source: Address) -> None:
        self.heard.append((datagram, source))

    def versions(self, datagram: bytes) -> set[int]:
        return {source.ip.version for heard, source in self.heard if heard == datagram}


@contextlib.contextmanager
def broadcast(*, port: int = PORT):
    ears = Ears()
    made = LanBroadcast(port, ears)
    made.set_links(links_of(local_networks(), EVERYWHERE))
    try:
        yield made, ears
    finally:
        made.close()
        made.close()


async def test_what_is_said_to_everybody_is_heard_by_each_of_several_on_one_machine(on_lan):
    with broadcast() as (one, heard_by_one), broadcast() as (_, heard_by_other):
        assert one.versions == (4, 6)
        assert one.problems == {}
        assert repr(one) == "<LanBroadcast on eth0>"
        one.send(b"here I am", None)
        for ears in (heard_by_one, heard_by_other):
            await until(lambda ears=ears: ears.versions(b"here I am") == {4, 6})


async def test_an_answer_reaches_its_asker_alone(on_lan):
    with (
        broadcast() as (one, heard_by_one),
        broadcast() as (other, heard_by_other),
        broadcast() as (_, third),
    ):
        one.send(b"who?", None)
        await until(lambda: heard_by_other.versions(b"who?") == {4, 6})
        for _, source in list(heard_by_other.heard):
            assert source.port != PORT
            other.send(b"me", source)
        await until(lambda: heard_by_one.versions(b"me") == {4, 6})
        await until(lambda: third.versions(b"who?") == {4, 6})
        assert third.versions(b"me") == heard_by_other.versions(b"me") == set()


async def test_datagrams_pass_no_router(on_lan):
    with broadcast() as (one, _), contextlib.ExitStack() as stack:
        hops = []
        for family, level, option, host in (
            (socket.AF_INET, socket.IPPROTO_IP, IP_RECVTTL, on_lan.address),
            (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, on_lan.address6),
        ):
            asker = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            asker.setsockopt(level, option, 1)
            asker.bind((host, 0))
            asker.setblocking(False)
            one.send(b"me", Address.of(host, asker.getsockname()[1]))
            await asyncio.sleep(0.05)
            _, ancillary, _, _ = asker.recvmsg(100, 100)
            hops += [struct.unpack("i", data)[0] for _, _, data in ancillary]
        assert hops == [1, 1]


async def test_who_is_not_on_our_network_is_not_heard(on_lan):
    on_lan.ip("addr add 203.0.113.9/32 dev lo", "addr add 2001:db8::9/128 dev lo")
    with broadcast() as (_, ears), contextlib.ExitStack() as stack:
        for source, to in (
            ("203.0.113.9", on_lan.address),
            (on_lan.address, on_lan.address),
            ("2001:db8::9", on_lan.address6),
            (on_lan.address6, on_lan.address6),
        ):
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            sender = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sender.bind((source, 0))
            sender.sendto(source.encode(), (to, PORT))
        await until(lambda: len(ears.heard) >= 2)
        await asyncio.sleep(0.05)
        assert {heard.decode() for heard, _ in ears.heard} == {on_lan.address, on_lan.address6}


async def test_a_network_that_goes_is_left_and_one_that_comes_is_joined(on_lan):
    with broadcast() as (one, ears):
        groups = lambda: on_lan.run("ip", "maddr").stdout  # noqa: E731 - asked twice
        assert MULTICAST_GROUP in groups()
        one.set_links(())
        assert one.versions == ()
        assert MULTICAST_GROUP not in groups()
        one.send(b"nothing", None)
        one.send(b"nothing", Address.of(on_lan.address, PORT))
        one.set_links(links_of(local_networks(), EVERYWHERE))
        one.send(b"again", None)
        await until(lambda: ears.versions(b"again") == {4, 6})
        assert ears.versions(b"nothing") == set()


async def test_a_port_that_somebody_does_not_share_is_told(on_lan):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", PORT))
        with broadcast() as (one, _):
            assert one.versions == (6,)
            assert one.problems == {4: f"UDP port {PORT}: Address already in use"}
        taken.close()
        with broadcast() as (one, _):
            assert one.versions == (4, 6)


async def test_what_a_filter_forbids_is_told_until_it_goes(on_lan):
    with broadcast() as (one, _):
        on_lan.filter_udp(PORT)
        one.send(b"here I am", None)
        assert one.versions == ()
        assert one.problems[4] == f"UDP port {PORT}: Operation not permitted"
        on_lan.nft("delete table inet lab")
        one.send(b"here I am", None)
        assert one.versions == (4, 6)


async def test_networks_are_bounded(on_lan):
    on_lan.ip(*(line for n in range(LAN_LINKS + 5) for line in (
        f"link add lan{n} type veth peer name other{n}", f"addr add 10.50.{n}.1/24 dev lan{n}", f"link set lan{n} up",
        f"link set other{n} up",
    )))  # fmt: skip
    with broadcast() as (one, _):
        assert len(one._joined) == LAN_LINKS
        assert len(one._mouths) <= LAN_LINKS + 1
