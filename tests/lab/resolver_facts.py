"""A NameSource for tests: names and facts in a dictionary, some at hand and some only after waiting."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from resolver.facts import NOT_FOUND, NameFacts, NameStatus, ServiceFacts
from resolver.names import OverlayName, ServiceProtocol
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from collections.abc import Iterable

ALICE = key(1).endpoint_id
ALICE_ADDRESS = IPv4Address("127.80.3.1")
WEB_ADDRESS = IPv4Address("127.80.3.2")
SHOP_ADDRESS = IPv4Address("127.80.3.3")
GAME_ADDRESS = IPv4Address("127.80.3.4")

SERVICES = (
    ServiceFacts("web", 80, 8080, ServiceProtocol.TCP, WEB_ADDRESS),
    ServiceFacts("https", 443, 8443, ServiceProtocol.TCP, SHOP_ADDRESS),
    ServiceFacts("game", 5000, 5000, ServiceProtocol.UDP, GAME_ADDRESS),
)


def exists(address: IPv4Address, **more: object) -> NameFacts:
    """Facts of a name of alice's."""
    return NameFacts(NameStatus.EXISTS, "", ALICE, address, SERVICES, **more)  # type: ignore[arg-type]


class FakeNames:
    """`facts` are at hand; `slow` names need `lookup`, which waits for `release` to be set."""

    def __init__(self) -> None:
        self.facts: dict[str, NameFacts] = {
            "alice.overlay": exists(ALICE_ADDRESS, texts=("hello",)),
            f"{ALICE}.overlay": exists(ALICE_ADDRESS),
            "web.alice.overlay": exists(WEB_ADDRESS),
            "https.alice.overlay": exists(SHOP_ADDRESS),
            "game.alice.overlay": exists(GAME_ADDRESS),
            "offline.overlay": NameFacts(NameStatus.UNKNOWN, "offline.overlay did not answer at any address"),
        }
        self.slow: dict[str, NameFacts] = {}
        self.release = asyncio.Event()
        self.lookups: list[str] = []

    def lookup_nowait(self, name: OverlayName) -> NameFacts | None:
        if str(name) in self.slow:
            return None
        return self.facts.get(str(name), NOT_FOUND)

    async def lookup(self, name: OverlayName) -> NameFacts:
        self.lookups.append(str(name))
        await self.release.wait()
        return self.slow[str(name)]

    def name_at(self, address: IPv4Address) -> OverlayName | None:
        return {
            ALICE_ADDRESS: OverlayName.parse("alice.overlay"),
            WEB_ADDRESS: OverlayName.parse("web.alice.overlay"),
        }.get(address)

    def add_many(self, names: Iterable[str]) -> None:
        for name in names:
            self.facts[name] = exists(ALICE_ADDRESS)
