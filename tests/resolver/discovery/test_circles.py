"""Contacts of contacts as a source."""

from __future__ import annotations

from resolver.circles import Circles, Member
from resolver.discovery.base import Scope
from resolver.discovery.circles import CirclesSource
from tests.lab.resolver_keys import NOW, key, packet

ALICE, CAROL = (key(number).endpoint_id for number in (1, 3))


async def test_what_contacts_passed_on_is_found_after_they_were_asked_again() -> None:
    circles = Circles()
    asked = []

    async def ask_again() -> None:
        asked.append(None)
        circles.told(ALICE, [Member(CAROL, packet(3))], NOW)

    source = CirclesSource(lambda who: circles.packet_of(who, NOW), ask_again)
    assert (source.name, source.scope) == ("contacts of contacts", Scope.PUBLIC)
    assert await source.find(CAROL) == packet(3)
    assert await source.find(ALICE) is None
    assert len(asked) == 2
    await source.publish(packet(1))
