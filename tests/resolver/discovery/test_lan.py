"""The local network as a record source, by real sockets; and what strangers on it can do, which is little."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from gateway.answers.base import time_now
from gateway.local_network import links_of
from resolver.discovery import lan_messages
from resolver.discovery.base import Scope
from resolver.discovery.lan import LanSource
from resolver.errors import DiscoveryError
from resolver.limits import LAN_ANSWERS_PER_SOURCE, LAN_DATAGRAM_BYTES, LAN_FIND_SECONDS, LAN_STRANGERS
from tests.lab.crowds import crowd
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key, local_packet
from tests.lab.serving import until
from tunnels.addresses import Address
from tunnels.transports.interfaces import local_networks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resolver.discovery.lan_links import LanLink
    from resolver.signed_packets import SignedPacket
    from tests.lab.lans import LanMachine

pytestmark = pytest.mark.needs("root", "ip")

PORT = 7398
EVERYWHERE = (Address.of("0.0.0.0", 1), Address.of("::", 1))
CONTACT = 7


class Gateway:
    """One gateway's local network; the endpoint of number 7 is everybody's contact."""

    def __init__(self, number: int, **ways: bool) -> None:
        self.number = number
        self.tasks = Tasks()
        self.heard: list[SignedPacket] = []
        self.is_on_network = True
        self.source = LanSource(
            key(number).endpoint_id,
            port=PORT,
            **ways,
            links=self._links,
            is_known=lambda endpoint_id: endpoint_id == key(CONTACT).endpoint_id,
            on_heard=self.heard.append,
            farewell=lambda: self.packet(seconds=0),
            spawn=self.tasks.spawn,
            clock=time_now,
            chance=lambda: 0.5,
        )

    def _links(self) -> tuple[LanLink, ...]:
        return links_of(local_networks(), EVERYWHERE) if self.is_on_network else ()

    def packet(self, **arguments: object) -> SignedPacket:
        return local_packet(self.number, signed_at=time_now(), **arguments)

    async def find(self, number: int) -> SignedPacket | None:
        return await self.source.find(key(number).endpoint_id)

    def hears(self, number: int) -> bool:
        return any(each.endpoint_id == key(number).endpoint_id for each in self.source.heard())


@contextlib.asynccontextmanager
async def gateways(*numbers: int, **ways: bool) -> AsyncIterator[list[Gateway]]:
    made = [Gateway(number, **ways) for number in numbers]
    try:
        for each in made:
            await each.source.start()
        yield made
    finally:
        for each in made:
            await each.source.close()
            await each.source.close()
            await each.tasks.close()


BOTH_WAYS = pytest.mark.parametrize(
    "ways",
    [{}, {"mdns": False}, {"fallback": False}],
    ids=["both ways", "our own datagrams", "multicast DNS"],
)


@BOTH_WAYS
async def test_a_record_that_is_published_is_heard_and_found_at_once(on_lan, ways):
    async with gateways(1, 2, **ways) as (one, other):
        mine = one.packet()
        await one.source.publish(mine)
        await until(lambda: other.hears(1))
        assert other.heard == [mine]
        assert await other.find(1) == mine
        assert one.source.name == "local network"
        assert one.source.scope is Scope.LOCAL
        assert repr(other.source) == "<LanSource on eth0, 1 heard>"


@BOTH_WAYS
async def test_a_newer_record_takes_the_place_of_the_one_before(on_lan, ways):
    async with gateways(1, 2, **ways) as (one, other):
        await one.source.publish(one.packet())
        await until(lambda: other.hears(1))
        newer = one.packet(addresses=("192.0.2.99:9",))
        await one.source.publish(newer)
        await until(lambda: other.source.heard() == (newer,))


@BOTH_WAYS
async def test_a_goodbye_is_heard(on_lan, ways):
    async with gateways(1, 2, **ways) as (one, other):
        await one.source.publish(one.packet())
        await until(lambda: other.hears(1))
        await one.source.close()
        await until(lambda: not other.hears(1))
        assert other.source.status().heard == 0


@BOTH_WAYS
async def test_what_is_withdrawn_is_gone_until_something_is_published_again(on_lan, ways):
    async with gateways(1, 2, **ways) as (one, other):
        await one.source.withdraw()
        await one.source.publish(one.packet())
        await until(lambda: other.hears(1))
        await one.source.withdraw()
        await until(lambda: not other.hears(1))
        assert await other.find(1) is None
        again = one.packet()
        await one.source.publish(again)
        await until(lambda: other.source.heard() == (again,))


@BOTH_WAYS
async def test_who_was_not_heard_is_asked_for_and_who_is_not_there_is_not_waited_for_long(on_lan, ways):
    async with gateways(1, 2, **ways) as (one, other):
        await one.source.publish(one.packet())
        await until(lambda: other.hears(1))
        other.source._heard.left(key(1).endpoint_id)
        found = await other.find(1)
        assert found is not None
        assert found.endpoint_id == key(1).endpoint_id
        began = time.monotonic()
        assert await other.find(9) is None
        assert time.monotonic() - began < LAN_FIND_SECONDS + 2


async def test_several_who_look_for_one_get_it_and_one_who_gives_up_disturbs_nobody(on_lan):
    async with gateways(1, 2, mdns=False) as (one, other):
        searches = [asyncio.get_running_loop().create_task(other.find(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        searches[0].cancel()
        await one.source.publish(one.packet())
        found = await asyncio.gather(*searches[1:])
        assert [each.endpoint_id for each in found] == [key(1).endpoint_id] * 2


async def test_who_comes_later_hears_of_those_who_are_there_without_asking(on_lan):
    async with gateways(1, mdns=False) as (one,):
        await one.source.publish(one.packet())
        await asyncio.sleep(1.3)  # its second announcement is over, and the third far away
        async with gateways(2, mdns=False) as (late,):
            await late.source.publish(late.packet())
            await until(lambda: late.hears(1))
            assert one.hears(2)


async def test_what_was_published_before_the_start_is_announced(on_lan):
    early = Gateway(1)
    await early.source.publish(early.packet())
    assert early.source.heard() == ()
    async with gateways(2) as (other,):
        await early.source.start()
        await until(lambda: other.hears(1))
        await early.source.close()
        await early.tasks.close()


async def test_without_a_local_network_nothing_can_be_asked_until_there_is_one(on_lan):
    async with gateways(1, 2) as (one, other):
        other.is_on_network = False
        other.source.network_changed()
        await until(lambda: other.source.status().interfaces == ())
        with pytest.raises(DiscoveryError, match="on no local network"):
            await other.find(1)
        await one.source.publish(one.packet())
        status = other.source.status()
        assert (status.mdns, status.fallback) == ((), ())
        other.is_on_network = True
        other.source.network_changed()
        await until(lambda: other.hears(1))
        assert other.source.status().mdns == other.source.status().fallback == (4, 6)


async def test_the_one_who_asks_is_known_by_who_answers(on_lan):
    async with gateways(1, 2, mdns=False) as (one, other):
        await one.source.publish(one.packet())
        await until(lambda: other.hears(1))
        one.source._heard.left(key(2).endpoint_id)
        other.source._packet = mine = other.packet()
        other.source._talk._packet = mine.to_bytes()  # without an announcement
        other.source._heard.left(key(1).endpoint_id)
        assert await other.find(1) is not None
        await until(lambda: one.hears(2))


# --- attacks --------------------------------------------------------------------------------------------------


class Attacker:
    """Sends what it likes to everybody on the network."""

    def __init__(self, machine: LanMachine) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind((machine.address, 0))
        self.socket.setblocking(False)

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, ("255.255.255.255", PORT))

    def announce(self, data: bytes) -> None:
        self.send(lan_messages.announcement(data))

    def received(self) -> list[bytes]:
        got = []
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(self.socket.recv(3000))
        return got


@pytest.fixture
def attacker(on_lan):
    made = Attacker(on_lan)
    yield made
    made.socket.close()


async def test_forgeries_and_garbage_are_not_believed_and_do_no_harm(on_lan, attacker):
    async with gateways(1, 2, mdns=False) as (one, other):
        mine = one.packet()
        await one.source.publish(mine)
        await until(lambda: other.hears(1))
        forged = bytearray(one.packet(addresses=("203.0.113.66:66",)).to_bytes())
        forged[-1] ^= 1
        attacker.announce(bytes(forged))
        for garbage in (
            b"",
            b"x",
            b"OVLN",
            b"OVLN\x01\x01" + b"y" * 2000,
            b"\0" * 9000,
            b"OVLN\x01\x02" + b"z" * 500,
        ):
            attacker.send(garbage)
        await until(lambda: other.source.status().refused == 1)
        assert other.source.heard() == (mine,)
        assert await other.find(1) == mine


async def test_an_older_record_that_is_replayed_counts_no_more_not_even_after_the_goodbye(on_lan, attacker):
    async with gateways(1, 2, 3, mdns=False) as (one, other, witness):
        old, new = one.packet(addresses=("203.0.113.66:66",)), one.packet()
        await one.source.publish(new)
        await until(lambda: other.hears(1))
        attacker.announce(old.to_bytes())
        await one.source.close()
        await until(lambda: not other.hears(1) and not witness.hears(1))
        for replayed in (old, new):
            attacker.announce(replayed.to_bytes())
        last = local_packet(4, signed_at=time_now())
        attacker.announce(last.to_bytes())
        await until(lambda: other.hears(4))
        assert not other.hears(1)
        assert await other.find(1) is None


async def test_a_flood_of_ten_thousand_strangers_leaves_contacts_and_the_wanted_as_they_are(on_lan, attacker):
    strangers = await asyncio.to_thread(crowd, 10_000, signed_at=time_now())
    async with gateways(1, CONTACT, 3, mdns=False) as (one, contact, wanted):
        await contact.source.publish(contact.packet())
        await until(lambda: one.hears(CONTACT))
        began = time.monotonic()
        for number, data in enumerate(strangers):
            attacker.announce(data)
            if number % 20 == 0:
                await asyncio.sleep(0)
        await wanted.source.publish(wanted.packet())
        found = await one.find(3)
        assert found is not None
        assert found.endpoint_id == key(3).endpoint_id
        assert one.hears(CONTACT)
        status = one.source.status()
        assert status.heard <= LAN_STRANGERS + 1
        spent = time.monotonic() - began
        assert status.dropped > 10_000 - 500 - 25 * spent - status.heard, (
            "no more than its share was looked at"
        )


async def test_questions_without_end_get_a_bounded_number_of_answers_and_fewer_bytes(on_lan, attacker):
    async with gateways(1, mdns=False) as (one,):
        await one.source.publish(one.packet())
        sent = 0
        for _ in range(500):
            attacker.send(lan_messages.question(key(1).endpoint_id, b""))
            sent += LAN_DATAGRAM_BYTES
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        answers = [got for got in attacker.received() if got[5] == lan_messages.Kind.ANSWER]
        assert 1 <= len(answers) <= 4 * LAN_ANSWERS_PER_SOURCE
        assert max(map(len, answers)) < LAN_DATAGRAM_BYTES
        assert sum(map(len, answers)) < sent / 50


async def test_what_a_stranger_asks_for_another_ip_goes_nowhere_off_the_network(on_lan, attacker):
    on_lan.ip("addr add 203.0.113.9/32 dev lo")
    async with gateways(1, mdns=False) as (one,):
        await one.source.publish(one.packet())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind(("203.0.113.9", 0))
            far.setblocking(False)
            far.sendto(lan_messages.question(key(1).endpoint_id, b""), (on_lan.address, PORT))
            attacker.send(lan_messages.question(key(1).endpoint_id, b""))
            await until(lambda: bool(attacker.received()))
            with pytest.raises(BlockingIOError):
                far.recv(3000)
