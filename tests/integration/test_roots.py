"""A known contact is found as long as one of the ways to find records works, and with none of them from what is kept.

Each way is a row of ROOTS: how it is there, how it is dead, and what a gateway says of it then.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from tests.lab.gateways import GatewayProcess, free_port, wait_until
from tests.lab.pkarr_relay import PkarrRelay
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


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
    alive: Callable[[], AbstractAsyncContextManager[Standing]]
    dead: Callable[[], Standing]
    """The same, where nobody answers."""


class _Ticket(Standing):
    async def introduce(self, pair: Pair) -> None:
        report = await asyncio.to_thread(pair.alice.json, "ticket")
        await pair.run(pair.bob, "join", report["ticket"], "--name", "alice")


@contextlib.asynccontextmanager
async def _ticket() -> AsyncIterator[Standing]:
    yield _Ticket(source="contacts")


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
async def _beacon() -> AsyncIterator[Standing]:
    async with PkarrRelay() as relay:
        yield _Beacon({"beacons": [f"records = ['{relay.url}']"]}, relay.url.origin, relay)


def _dead_beacon() -> Standing:
    origin = f"http://127.0.0.1:{free_port()}"
    return Standing({"beacons": [f"records = ['{origin}']"]}, origin)


ROOTS = (
    Root("tickets", _ticket, lambda: Standing(source="contacts")),
    Root("beacon", _beacon, _dead_beacon),
)


@contextlib.asynccontextmanager
async def pair_with(home: Path, standing: list[Standing]) -> AsyncIterator[Pair]:
    """Two gateways that use all these; bob has alice in his address book."""
    port = free_port()
    sections: dict[str, list[str]] = {
        "tunnels": [f"port = {port}", f"addresses = ['127.0.0.1:{port}']"],
        "publish": ["public = ['relays', 'services', 'addresses']"],
    }
    bobs = {name: lines for name, lines in sections.items() if name != "tunnels"}
    for each in standing:
        for name, lines in each.settings.items():
            sections[name] = [*sections.get(name, ()), *lines]
            bobs[name] = [*bobs.get(name, ()), *lines]
    alice = GatewayProcess(home / "alice", nickname="alice", config=_toml(sections))
    bob = GatewayProcess(home / "bob", nickname="bob", config=_toml(bobs))
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
    tmp_path: Path, alive: Root
) -> None:
    async with alive.alive() as there:
        standing = [there if root is alive else root.dead() for root in ROOTS]
        async with pair_with(tmp_path, standing) as pair:
            pong = await asyncio.to_thread(pair.bob.run, "ping", "alice", "-c", "1")
            assert "127.0.0.1" in pong.stdout
            explained = await asyncio.to_thread(pair.bob.json, "resolve", "alice", "--explain")
            found = {each["source"] for each in explained["sources"] if each["finding"] == "found"}
            assert found == {there.source}
            used = next(each for each in explained["sources"] if each["in_use"])
            assert used["source"] == there.source


async def test_with_every_way_dead_a_contact_is_reached_from_what_is_kept(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        roots = contextlib.AsyncExitStack()
        # Not the ticket, which is itself something that is kept.
        standing = [await roots.enter_async_context(root.alive()) for root in ROOTS if root.name != "tickets"]
        stack.push_async_callback(roots.aclose)
        async with pair_with(tmp_path, standing) as pair:
            await pair.run(pair.bob, "ping", "alice", "-c", "1")
            await asyncio.to_thread(pair.bob.stop)
            await roots.aclose()
            await asyncio.to_thread(pair.bob.start)
            assert "127.0.0.1" in await pair.run(pair.bob, "ping", "alice", "-c", "1")
            explained = await asyncio.to_thread(pair.bob.json, "resolve", "alice", "--explain")
            assert not [each for each in explained["sources"] if each["finding"] == "found"]
            (record,) = explained["records"]
            assert record["source"] in {each.source for each in standing}
            assert record["in_use"]


async def test_a_stranger_is_found_from_what_is_kept_too(tmp_path: Path) -> None:
    """A record that was found once, of somebody who is in no address book."""
    async with contextlib.AsyncExitStack() as stack:
        there = await stack.enter_async_context(_beacon())
        async with pair_with(tmp_path, [there]) as pair:
            await pair.run(pair.bob, "contacts", "rm", "alice")
            name = f"{pair.alice.id}.overlay"
            await pair.run(pair.bob, "ping", name, "-c", "1")
            await asyncio.to_thread(pair.bob.stop)
            await stack.aclose()
            await asyncio.to_thread(pair.bob.start)
            await asyncio.to_thread(
                wait_until, lambda: pair.bob.run("ping", name, "-c", "1", check=False).returncode == 0
            )
