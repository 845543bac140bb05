"""Records and topics in a real DHT: nodes of two independent implementations, and liars."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from resolver.discovery.dht import DhtSource
from resolver.discovery.dht_table import DhtTable, TableSettings
from resolver.discovery.krpc import target_of
from resolver.errors import DiscoveryError
from resolver.limits import (
    DHT_ANNOUNCES_PER_HOUR,
    DHT_COPIES,
    DHT_PEERS,
    DHT_PUBLISH_PER_HOUR,
    DHT_SEARCHES,
)
from resolver.records import EndpointRecord
from tests.lab.dht import NpmNodes, dht_source, eventually, liars, libtorrent_nodes, npm_packages
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.signed_packets import SignedPacket

pytestmark = pytest.mark.needs("node", "npm")

ALICE = key(1).endpoint_id
OLD, NEW = packet(signed_at=NOW), packet(signed_at=NOW + 1)
TOPIC = bytes(range(20))


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    npm_packages()


def item_of(packet: SignedPacket, **changes: Any) -> dict[str, Any]:
    """What a node of npm keeps of a packet."""
    item = {
        "k": packet.endpoint_id.key.hex(),
        "sig": packet.signature.hex(),
        "seq": packet.timestamp,
        "v": packet.packet.hex(),
    }
    return item | changes


def given(packet: SignedPacket, **changes: Any) -> Callable[[bytes], dict[bytes, Any]]:
    """What a liar gives: this packet, or a change of it."""
    item = {
        b"k": packet.endpoint_id.key,
        b"sig": packet.signature,
        b"seq": packet.timestamp,
        b"v": packet.packet,
    }
    item |= {name.encode(): value for name, value in changes.items()}
    return lambda _: item


async def test_what_one_publishes_another_finds_in_a_dht_of_two_implementations() -> None:
    async with AsyncExitStack() as stack:
        npm = await stack.enter_async_context(NpmNodes(10))
        await stack.enter_async_context(libtorrent_nodes(6, join=npm.ports[0]))
        alice = await stack.enter_async_context(dht_source(npm.ports[:2], nodes=8))
        bob = await stack.enter_async_context(dht_source(npm.ports[2:4], nodes=8))
        assert await bob.find(ALICE) is None
        began = time.monotonic()
        for packet_ in (OLD, NEW):
            await alice.publish(packet_)
            assert await bob.find(ALICE) == packet_
        assert time.monotonic() - began < 10  # each takes half a second at most, where nothing else runs
        assert alice.last_publication is not None
        assert alice.last_publication.stored == DHT_COPIES
        assert NEW.timestamp in await npm.kept(ALICE)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_nodes_of_libtorrent_alone_keep_what_is_published(host: str) -> None:
    """Their tokens are bound to our ip, and they verify what they keep."""
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(libtorrent_nodes(8, host=host))
        alice = await stack.enter_async_context(dht_source(ports[:2], nodes=5, host=host))
        await alice.publish(NEW)
        assert alice.last_publication is not None
        assert alice.last_publication.stored >= 6
        bob = await stack.enter_async_context(dht_source(ports[:2], nodes=5, host=host))
        assert await bob.find(ALICE) == NEW


async def test_what_the_pkarr_package_publishes_is_found_and_the_other_way_round() -> None:
    async with NpmNodes(10) as npm, dht_source(npm.ports[:2], nodes=8) as source:
        timestamp = int((NOW + 5) * 1e6)
        overlay = f"_overlay.{ALICE}"
        signed = await npm.do(
            "publish",
            seed=(1).to_bytes(32).hex(),
            timestamp=timestamp,
            answers=[
                {
                    "name": overlay,
                    "type": "TXT",
                    "ttl": 300,
                    "data": ["v=1", f"exp={int(NOW) + 3600}", "n=alice", "a=192.0.2.1:7777"],
                },
                {"name": "notes", "type": "TXT", "ttl": 300, "data": ["whatever"]},
            ],
        )
        assert signed["nodes"]
        found = await source.find(ALICE)
        assert found is not None
        assert found.to_payload().hex() == signed["payload"]
        assert EndpointRecord.from_packet(found).nickname == "alice"

        ours = packet(2, nickname="bob")
        await source.publish(ours)
        read = await npm.do("resolve", key=ours.endpoint_id.key.hex())
        assert read["payload"] == ours.to_payload().hex()
        assert read["answers"] == [[f"_overlay.{ours.endpoint_id}", "TXT"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"sig": "00" * 64},
        {"seq": NEW.timestamp + 1},
        {"v": (b"\0" * 12).hex()},
        {"v": (b"\0" * 1001).hex()},
        {"k": key(2).endpoint_id.key.hex()},
    ],
    ids=["forged", "replayed under another number", "another value", "oversized", "of another key"],
)
async def test_an_item_that_was_not_signed_so_is_nothing(changes: dict[str, Any]) -> None:
    async with NpmNodes(8) as npm, dht_source(npm.ports[:2], nodes=4) as source:
        await npm.do("plant", target=target_of(ALICE).hex(), item=item_of(NEW, **changes))
        assert await source.find(ALICE) is None


async def test_a_record_older_than_the_one_out_there_is_not_published() -> None:
    async with NpmNodes(8) as npm, dht_source(npm.ports[:2], nodes=4) as source:
        await source.publish(NEW)
        with pytest.raises(DiscoveryError, match="newer record of us"):
            await source.publish(OLD)
        assert set(await npm.kept(ALICE)) == {NEW.timestamp}
        assert source.last_publication is not None
        assert source.last_publication.stored == 0


async def test_twenty_liars_of_thirty_delay_and_do_not_deceive() -> None:
    """Forged, old and huge records, none at all, nodes that do not exist, and nobody of them keeps anything."""
    lies = [
        given(NEW, sig=bytes(64), seq=NEW.timestamp + 9),
        given(OLD),
        given(NEW, v=bytes(1500)),
        given(NEW, seq=NEW.timestamp + 9),
        lambda _: {},
    ] * 4
    async with AsyncExitStack() as stack:
        npm = await stack.enter_async_context(NpmNodes(10))
        nodes = await stack.enter_async_context(liars(lies, known_to=npm.ports))
        alice = await stack.enter_async_context(dht_source((npm.ports[0], nodes[0].port), nodes=8))
        bob = await stack.enter_async_context(dht_source((npm.ports[1], nodes[1].port), nodes=8))
        await alice.publish(NEW)
        assert alice.last_publication is not None
        assert alice.last_publication.stored >= 3
        assert sum(node.puts for node in nodes) > 0
        assert await npm.kept(ALICE)
        late: list[SignedPacket] = []
        bob._on_news = late.append
        found = await bob.find(ALICE)
        await eventually(lambda: not bob._searches)
        assert NEW in (found, *late)
        assert set(filter(None, (found, *late))) <= {OLD, NEW}
        with pytest.raises(DiscoveryError, match="newer record"):
            await alice.publish(OLD)


async def test_a_newer_record_that_comes_after_the_answer_is_told() -> None:
    """The node with it answers late; whoever asked has gone on with what came first."""
    news: list[SignedPacket] = []
    async with AsyncExitStack() as stack:
        quick, tardy = await stack.enter_async_context(liars([given(OLD), given(NEW)], known_to=()))
        quick.named = tardy.named = []
        tardy.delay = 0.7
        source = await stack.enter_async_context(
            dht_source((quick.port, tardy.port), nodes=0, on_news=news.append)
        )
        assert await source.find(ALICE) == OLD
        await eventually(lambda: bool(news))
        assert news == [NEW]


async def test_topics_are_announced_and_found_with_the_other_implementation() -> None:
    async with NpmNodes(10) as npm, dht_source(npm.ports[:2], nodes=8) as source:
        await npm.do("announce", topic=TOPIC.hex(), port=4242)
        assert "127.0.0.1:4242" in map(str, await source.find_peers(TOPIC))
        source.announce(TOPIC, 4343)
        await eventually(lambda: not source._searches)
        assert "127.0.0.1:4343" in await npm.do("lookup", topic=TOPIC.hex())
        assert {"127.0.0.1:4242", "127.0.0.1:4343"} <= set(map(str, await source.find_peers(TOPIC)))


async def test_liars_do_not_fill_the_peers_of_a_topic() -> None:
    """Each answer counts for a share, whatever it names."""

    def many(liar: int) -> Callable[[bytes], dict[bytes, Any]]:
        places = [bytes((10, liar, number, 1, 1, 1)) for number in range(100)]
        return lambda _: {b"values": places}

    async with AsyncExitStack() as stack:
        gives = [*map(many, range(8)), lambda _: {b"values": [bytes((127, 0, 0, 1)) + (4242).to_bytes(2)]}]
        nodes = await stack.enter_async_context(liars(gives, known_to=()))
        source = await stack.enter_async_context(dht_source([node.port for node in nodes], nodes=0))
        found = await source.find_peers(TOPIC)
        assert "127.0.0.1:4242" in map(str, found)
        assert len(found) == DHT_PEERS


async def test_announcements_are_bounded() -> None:
    async with liars([lambda _: {}], known_to=()) as (node,), dht_source([node.port], nodes=0) as source:
        now = asyncio.get_running_loop().time()
        for _ in range(DHT_ANNOUNCES_PER_HOUR):
            assert source._announcing.take(now)
        source.announce(TOPIC, 4242)
        assert not source._searches


async def test_without_any_node_it_says_so() -> None:
    async with dht_source([1], nodes=0) as source:
        with pytest.raises(DiscoveryError, match="no node of the DHT answers"):
            await source.find(ALICE)
        with pytest.raises(DiscoveryError, match="no node of the DHT answers"):
            await source.publish(NEW)
        assert await source.find_peers(TOPIC) == ()


async def test_searches_and_publications_are_bounded() -> None:
    async with liars([lambda _: {}], known_to=()) as (node,), dht_source([node.port], nodes=0) as source:
        node.is_silent = True
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(refused(source)) for _ in range(DHT_SEARCHES + 3)]
        assert sum("under way" in task.result() for task in asked) == 3
        for _ in range(DHT_PUBLISH_PER_HOUR):
            source._publishing.take(asyncio.get_running_loop().time())
        with pytest.raises(DiscoveryError, match="an hour"):
            await source.publish(NEW)


async def refused(source: DhtSource) -> str:
    with pytest.raises(DiscoveryError) as error:
        await source.find(ALICE)
    return str(error.value)


async def test_an_address_that_is_not_ours_is_told() -> None:
    table = DhtTable(TableSettings(hosts=["192.0.2.1"]))
    with pytest.raises(DiscoveryError, match=r"192\.0\.2\.1"):
        await DhtSource(table, hosts=["192.0.2.1"], bootstrap=()).open()
