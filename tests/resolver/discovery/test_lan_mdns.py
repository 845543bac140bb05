"""Multicast DNS by zeroconf: our service is there with its record, others' are heard, and answers stay near."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest
from dnslib import QTYPE, DNSRecord

from gateway.local_network import links_of
from resolver.discovery.lan_mdns import LanMdns
from resolver.discovery.lan_messages import SERVICE_TYPE, to_text
from resolver.limits import LAN_MDNS_TEXTS
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key, packet, record
from tests.lab.serving import until
from tunnels.addresses import Address
from tunnels.transports.interfaces import local_networks

pytestmark = pytest.mark.needs("root", "ip")

IP_RECVTTL = 12
"""linux/in.h; Python has a name for it since 3.14."""
EVERYWHERE = (Address.of("0.0.0.0", 1), Address.of("::", 1))


class Speaker:
    """One gateway's multicast DNS."""

    def __init__(self, number: int, tasks: Tasks) -> None:
        self.number = number
        self.heard: list[bytes] = []
        self.gone: list[object] = []
        self.mdns = LanMdns(
            key(number).endpoint_id, heard=self.heard.append, gone=self.gone.append, spawn=tasks.spawn
        )

    async def join(self) -> None:
        await self.mdns.set_links(links_of(local_networks(), EVERYWHERE))

    async def publish(self, **arguments: object) -> bytes:
        data = packet(self.number, **arguments).to_bytes()
        await self.mdns.publish(data, record(self.number, **arguments))
        return data


@contextlib.asynccontextmanager
async def speakers(*numbers: int):
    tasks = Tasks()
    made = [Speaker(number, tasks) for number in numbers]
    try:
        for each in made:
            await each.join()
        yield made
    finally:
        for each in made:
            await each.mdns.close()
            await each.mdns.close()
        await tasks.close()


async def test_a_service_is_heard_with_its_record_again_when_it_changes_and_its_goodbye(on_lan):
    async with speakers(1, 2) as (one, other):
        assert one.mdns.versions == (4, 6)
        assert one.mdns.problem == ""
        assert repr(one.mdns) == "<LanMdns on>"
        first = await one.publish()
        await until(lambda: first in other.heard)
        second = await one.publish(nickname="one", addresses=("192.0.2.7:7",))
        await until(lambda: second in other.heard)
        await one.mdns.close()
        assert repr(one.mdns) == "<LanMdns off>"
        await until(lambda: key(1).endpoint_id in other.gone)
        assert one.heard == []


async def test_forged_texts_of_a_name_that_came_before_do_not_hide_the_true_one(on_lan):
    async with speakers(1, 2) as (one, other):
        name = b"".join(
            bytes((len(label),)) + label
            for label in f"{key(1).endpoint_id}.{SERVICE_TYPE}".encode().split(b".")
        )
        forged = [key(1).endpoint_id.key + bytes([number]) * 200 for number in range(2 * LAN_MDNS_TEXTS)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
            liar.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(on_lan.address))
            for data in forged:
                text = to_text(data)
                answer = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + name
                answer += struct.pack(">HHIH", QTYPE.TXT, 1, 2**31 - 1, len(text)) + text
                liar.sendto(answer, ("224.0.0.251", 5353))
        await asyncio.sleep(0.1)
        data = await one.publish()
        await until(lambda: data in other.heard)
        await other.mdns.find(key(1).endpoint_id)
        assert data in other.heard[-LAN_MDNS_TEXTS:]


async def test_what_is_published_before_there_is_a_network_is_announced_when_there_is_one(on_lan):
    tasks = Tasks()
    early = Speaker(1, tasks)
    data = await early.publish()
    await early.mdns.set_links(())
    assert early.mdns.versions == ()
    async with speakers(2) as (other,):
        await early.join()
        await until(lambda: data in other.heard)
        await early.mdns.set_links(())
        await until(lambda: other.gone == [key(1).endpoint_id])
    await early.mdns.close()
    await tasks.close()


async def test_who_came_later_hears_of_those_who_are_there_and_may_ask_for_one(on_lan):
    async with speakers(1) as (one,):
        data = await one.publish()
        await asyncio.sleep(0.6)  # its announcements are over
        async with speakers(2) as (late,):
            await until(lambda: data in late.heard)
            late.heard.clear()
            await late.mdns.find(key(1).endpoint_id)
            await late.mdns.find(key(9).endpoint_id)


async def test_an_answer_to_one_host_passes_no_router(on_lan):
    """zeroconf answers whoever asks, from wherever: with one hop to live, no answer leaves this network."""
    async with speakers(1) as (one,):
        await one.publish()
        query = bytes(DNSRecord.question(SERVICE_TYPE, "PTR").pack())
        for family, level, option, host in (
            (socket.AF_INET, socket.IPPROTO_IP, IP_RECVTTL, on_lan.address),
            (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, on_lan.address6),
        ):
            with socket.socket(family, socket.SOCK_DGRAM) as asker:
                asker.setsockopt(level, option, 1)
                asker.bind((host, 0))
                asker.setblocking(False)
                asker.sendto(query, (host, 5353))
                loop = asyncio.get_running_loop()
                readable = asyncio.Event()
                loop.add_reader(asker, readable.set)
                async with asyncio.timeout(5):
                    await readable.wait()
                loop.remove_reader(asker)
                answer, ancillary, _, _ = asker.recvmsg(9000, 100)
                assert str(key(1).endpoint_id) in str(DNSRecord.parse(answer).get_a().rdata)
                assert [struct.unpack("i", data)[0] for _, _, data in ancillary] == [1]


async def test_the_largest_record_fits_into_one_packet(on_lan):
    async with speakers(1, 2) as (one, other):
        addresses = tuple(f"[fd00::{n:x}]:{7000 + n}" for n in range(2, 16))
        most = record(1, nickname="n" * 60, addresses=addresses)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
            witness.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            witness.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            witness.bind(("224.0.0.251", 5353))
            membership = socket.inet_aton("224.0.0.251") + socket.inet_aton(on_lan.address)
            witness.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            witness.setblocking(False)
            data = most.sign(key(1)).to_bytes()
            await one.mdns.publish(data, most)
            await until(lambda: data in other.heard)
            sizes = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    came = witness.recv(9000)
                    if any(rr.rtype == QTYPE.TXT for rr in DNSRecord.parse(came).rr):
                        sizes.append(len(came))
            assert sizes
            assert max(sizes) <= 1472, "it fits into one packet of Ethernet"


async def test_a_forged_text_beside_the_true_one_does_not_hide_it(on_lan):
    async with speakers(1, 2) as (one, other):
        liar = Speaker(1, Tasks())
        await liar.join()
        forged = packet(3).to_bytes()
        await liar.mdns.publish(forged, record(3))
        data = await one.publish()
        await until(lambda: data in other.heard)
        await liar.mdns.close()


async def test_names_that_are_no_ids_and_texts_that_are_no_records_are_passed_over(on_lan):
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    async with speakers(1, 2) as (one, other):
        stranger = AsyncZeroconf(interfaces=[on_lan.address])
        for name in ("printer", str(key(5).endpoint_id)):
            info = AsyncServiceInfo(
                SERVICE_TYPE, f"{name}.{SERVICE_TYPE}", port=1, properties={"a": "b"}, server="x.local."
            )
            await stranger.async_register_service(info, cooperating_responders=True)
        data = await one.publish()
        await until(lambda: data in other.heard)
        assert other.heard == [data] * len(other.heard)
        await stranger.async_close()


async def test_a_port_that_somebody_does_not_share_is_told_and_tried_again(on_lan):
    tasks = Tasks()
    one = Speaker(1, tasks)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::", 5353))
        await one.join()
        assert one.mdns.problem == "UDP port 5353 is taken by a program that does not share it"
        assert one.mdns.versions == ()
    await one.join()
    assert one.mdns.problem == ""
    assert one.mdns.versions == (4, 6)
    await one.mdns.close()
    await tasks.close()
