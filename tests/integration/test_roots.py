"""A known contact is found as long as one of the ways to find records works, and with none of them from what is kept.

Each way is a row of ROOTS: how it is there, how it is dead, and what a gateway says of it then. Both gateways are on one
machine with a local network, whose loopback addresses have the other places.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from tests.lab.dht import NpmNodes, npm_packages
from tests.lab.gateways import GatewayProcess, wait_until
from tests.lab.lans import a_lan, gateway_on
from tests.lab.pkarr_relay import PkarrRelay
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.lab.lans import LanMachine

pytestmark = [pytest.mark.needs("root", "ip", "nft", "node", "npm"), pytest.mark.timeout(120)]

PORT = 7777
"""Of alice's tunnels."""
NOBODY = 9
"""A port of this machine where nothing listens."""


@dataclass
class Pair:
    """Alice, who is to be found, and bob, who knows her id."""

    alice: GatewayProcess
    bob: GatewayProcess

    async def run(self, gateway: GatewayProcess, *words: str) -> str:
        done = await asyncio.to_thread(gateway.run, *words)
        return done.stdout


@dataclass
class Standing:
    """A way to find records that is there, until the context ends."""

    settings: dict[str, list[str]] = field(default_factory=dict)
    """Lines of the gateways' configurations, by section."""
    source: str = ""
    """What `overlay resolve --explain` calls it."""

    async def introduce(self, pair: Pair) -> None:
        """What people do, once both gateways run."""

    async def is_ready(self, pair: Pair) -> None:
        """Return when alice can be found there."""


@dataclass(frozen=True)
class Root:
    """One way to find records."""

    name: str
    alive: Callable[[LanMachine], AbstractAsyncContextManager[Standing]]
    dead: Callable[[LanMachine], Standing]
    """The same, where nobody answers."""


class _Ticket(Standing):
    async def introduce(self, pair: Pair) -> None:
        report = await asyncio.to_thread(pair.alice.json, "ticket")
        await pair.run(pair.bob, "join", report["ticket"], "--name", "alice")


@contextlib.asynccontextmanager
async def _ticket(machine: LanMachine) -> AsyncIterator[Standing]:
    del machine
    yield _Ticket(source="contacts")


@contextlib.asynccontextmanager
async def _lan(machine: LanMachine) -> AsyncIterator[Standing]:
    yield Standing(source="local network")
    _dead_lan(machine)


def _dead_lan(machine: LanMachine) -> Standing:
    """A network that lets through neither multicast DNS nor our own datagrams."""
    for port in (5353, 7398):
        machine.filter_udp(port)
    return Standing(source="local network")


@dataclass
class _Beacon(Standing):
    relay: PkarrRelay | None = None

    async def is_ready(self, pair: Pair) -> None:
        assert self.relay is not None
        while not self._addresses(pair.alice.id):  # noqa: ASYNC110 - the relay has no event
            await asyncio.sleep(0.02)

    def _addresses(self, endpoint_id: str) -> object:
        assert self.relay is not None
        payload = self.relay.payloads.get(endpoint_id)
        if payload is None:
            return ()
        return EndpointRecord.from_packet(
            SignedPacket.parse_payload(EndpointId.parse(endpoint_id), payload)
        ).addresses


@contextlib.asynccontextmanager
async def _beacon(machine: LanMachine) -> AsyncIterator[Standing]:
    async with PkarrRelay(namespace=machine) as relay:
        yield _Beacon({"beacons": [f"records = ['{relay.url}']"]}, relay.url.origin, relay)


def _dead_beacon(machine: LanMachine) -> Standing:
    del machine
    origin = f"http://127.0.0.1:{NOBODY}"
    return Standing({"beacons": [f"records = ['{origin}']"]}, origin)


@dataclass
class _Dht(Standing):
    nodes: NpmNodes | None = None

    async def is_ready(self, pair: Pair) -> None:
        assert self.nodes is not None
        while not await self.nodes.kept(EndpointId.parse(pair.alice.id)):  # noqa: ASYNC110 - nor have these
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _dht(machine: LanMachine) -> AsyncIterator[Standing]:
    async with NpmNodes(10, namespace=machine) as nodes:
        yield _Dht(_dht_settings(*nodes.ports[:2]), "dht", nodes)


def _dead_dht(machine: LanMachine) -> Standing:
    del machine
    return Standing(_dht_settings(NOBODY), "dht")


def _dht_settings(*ports: int) -> dict[str, list[str]]:
    places = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    return {"dht": ["private = true", f"bootstrap = [{places}]"]}


ROOTS = (
    Root("tickets", _ticket, lambda _: Standing(source="contacts")),
    Root("LAN", _lan, _dead_lan),
    Root("beacon", _beacon, _dead_beacon),
    Root("DHT", _dht, _dead_dht),
)


@pytest.fixture
def machine() -> Iterator[LanMachine]:
    npm_packages()  # not within the time of a test of gateways
    with a_lan(4) as lan:
        yield lan.machine()


@contextlib.asynccontextmanager
async def pair_with(machine: LanMachine, home: Path, standing: list[Standing]) -> AsyncIterator[Pair]:
    """Two gateways that use all these; bob has alice in his address book."""
    bobs: dict[str, list[str]] = {}
    for each in standing:
        for name, lines in each.settings.items():
            bobs[name] = [*bobs.get(name, ()), *lines]
    alices = {
        **bobs,
        "tunnels": [f"port = {PORT}", f"addresses = ['{machine.address}:{PORT}']"],
        "publish": ["public = ['relays', 'services', 'addresses']"],
    }
    alice, bob = (
        gateway_on(machine, home / name, name, *("--dht", "on"), config=_toml(sections))
        for name, sections in (("alice", alices), ("bob", bobs))
    )
    try:
        await asyncio.gather(asyncio.to_thread(alice.start), asyncio.to_thread(bob.start))
        pair = Pair(alice, bob)
        await pair.run(bob, "contacts", "add", "alice", alice.id)
        for each in standing:
            await each.introduce(pair)
            await each.is_ready(pair)
        yield pair
        await asyncio.gather(asyncio.to_thread(alice.stop), asyncio.to_thread(bob.stop))
    finally:
        await asyncio.gather(asyncio.to_thread(alice.kill), asyncio.to_thread(bob.kill))


def _toml(sections: dict[str, list[str]]) -> str:
    return "\n".join(line for name, lines in sections.items() for line in (f"[{name}]", *lines))


@pytest.mark.parametrize("alive", ROOTS, ids=lambda root: root.name)
async def test_one_way_is_enough_to_reach_a_contact_whatever_else_is_dead(
    machine: LanMachine, tmp_path: Path, alive: Root
) -> None:
    async with alive.alive(machine) as there:
        standing = [there if root is alive else root.dead(machine) for root in ROOTS]
        async with pair_with(machine, tmp_path, standing) as pair:
            assert machine.address in await pair.run(pair.bob, "ping", "alice", "-c", "1")
            explained = await asyncio.to_thread(pair.bob.json, "resolve", "alice", "--explain")
            asked = {each["source"]: each["finding"] for each in explained["sources"]}
            assert asked.keys() >= {each.source for each in standing}
            assert [name for name, finding in asked.items() if finding == "found"] == [there.source]
            used = next(each for each in explained["sources"] if each["in_use"])
            assert used["source"] == there.source


async def test_with_every_way_dead_a_contact_is_reached_from_what_is_kept(
    machine: LanMachine, tmp_path: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        roots = contextlib.AsyncExitStack()
        # Not the ticket, which is itself something that is kept.
        alive = [root for root in ROOTS if root.name != "tickets"]
        standing = [await roots.enter_async_context(root.alive(machine)) for root in alive]
        stack.push_async_callback(roots.aclose)
        async with pair_with(machine, tmp_path, standing) as pair:

            async def kept() -> set[str]:
                """By what way the records that bob has came; none comes now."""
                assert machine.address in await pair.run(pair.bob, "ping", "alice", "-c", "1")
                explained = await asyncio.to_thread(pair.bob.json, "resolve", "alice", "--explain")
                assert any(each["in_use"] for each in explained["records"])
                return {each["source"] for each in explained["records"]}

            assert "local network" in await kept()
            await roots.aclose()
            await asyncio.to_thread(pair.alice.stop)
            await asyncio.to_thread(pair.alice.start)
            assert "local network" in await kept(), "alice was dialled anew"

            await asyncio.to_thread(pair.bob.stop)
            await asyncio.to_thread(pair.bob.start)
            assert await kept() <= {each.source for each in standing} - {"local network"}
            explained = await asyncio.to_thread(pair.bob.json, "resolve", "alice", "--explain")
            assert not [each for each in explained["sources"] if each["finding"] == "found"]


async def test_a_stranger_is_found_from_what_is_kept_too(machine: LanMachine, tmp_path: Path) -> None:
    """A record that was found once, of somebody who is in no address book."""
    async with contextlib.AsyncExitStack() as stack:
        there = await stack.enter_async_context(_beacon(machine))
        standing = [there, _dead_lan(machine), _dead_dht(machine)]
        async with pair_with(machine, tmp_path, standing) as pair:
            await pair.run(pair.bob, "contacts", "rm", "alice")
            name = f"{pair.alice.id}.overlay"
            await pair.run(pair.bob, "ping", name, "-c", "1")
            await asyncio.to_thread(pair.bob.stop)
            await stack.aclose()
            await asyncio.to_thread(pair.bob.start)
            await asyncio.to_thread(
                wait_until, lambda: pair.bob.run("ping", name, "-c", "1", check=False).returncode == 0
            )
