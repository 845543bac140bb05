"""Two gateways meet at a beacon by a spoken code: right, wrong, twice, too late, and where there are several beacons."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import GatewayError, UsageError
from gateway.invites.errors import CodesUnsupported, CodeUnknown, CodeWrong
from gateway.invites.limits import CODES, CODES_OVER
from gateway.invites.passing import Offer, OfferState, SpokenCodes
from gateway.invites.spoken import Code, word_list
from gateway.invites.texts import invite_bytes
from tests.lab.dialer import Tasks
from tests.lab.invites import ALICE, BOB, CAROL, Clock, invite
from tests.lab.meeting_places import Beacon, Place
from tests.lab.serving import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.invites.capability import Invite
    from tunnels.identity import EndpointId, SecretKey

A, B, C = (one.endpoint_id for one in (ALICE, BOB, CAROL))


class World:
    """Alice gives codes; bob and carol say them."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.beacon = Beacon()
        self.alice = self.speaker(ALICE, self.beacon)
        self.bob = self.speaker(BOB, self.beacon)

    def speaker(self, who: SecretKey, *beacons: Beacon, seconds: float = 5.0, connected=None) -> SpokenCodes:
        place = Place(who.endpoint_id, beacons, connected)
        return SpokenCodes(
            who.endpoint_id, places=lambda: place, spawn=self.tasks.spawn, clock=Clock(), seconds=seconds
        )

    async def offer(self, **options: object) -> Offer:
        return await (options.get("by") or self.alice).offer(make)


async def make(taker: EndpointId) -> Invite:
    return invite("web", holder=taker)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close()


def other(code: Code) -> str:
    """The same number, and other words."""
    return str(Code(code.number, (code.words[0], next(w for w in word_list() if w != code.words[1]))))


async def test_who_says_the_code_gets_an_invite_for_that_endpoint_alone(world: World) -> None:
    offer = await world.offer()
    got = await world.bob.say(str(offer.code).upper())
    assert got.terms.holder == B
    await until(lambda: offer.is_over)
    assert (offer.state, offer.taker) == (OfferState.PASSED, B)
    assert offer.invite is not None
    assert offer.invite.chain == got.chain


async def test_the_beacon_sees_nothing_of_the_invite(world: World) -> None:
    offer = await world.offer()
    got = await world.bob.say(str(offer.code))
    seen = b"".join(world.beacon.said)
    assert len(world.beacon.said) == 4
    for part in (
        got.secret.seed,
        got.chain.data[1:33],
        got.packet.packet,
        *map(str.encode, offer.code.words),
    ):
        assert part in invite_bytes(got) + str(offer.code).encode()
        assert part not in seen


async def test_wrong_words_use_the_code_up_and_the_giver_is_told(world: World) -> None:
    offer = await world.offer()
    with pytest.raises(CodeWrong, match="used up"):
        await world.bob.say(await asyncio.to_thread(other, offer.code))
    await until(lambda: offer.is_over)
    assert offer.state is OfferState.GUESSED
    assert f"{B.short}… said other words; the code is dead, nobody got anything" in offer.reason
    with pytest.raises(CodeUnknown, match="it was used"):
        await world.bob.say(str(offer.code))


async def test_a_code_is_good_once(world: World) -> None:
    offer = await world.offer()
    await world.bob.say(str(offer.code))
    carol = world.speaker(CAROL, world.beacon)
    with pytest.raises(CodeUnknown):
        await carol.say(str(offer.code))


async def test_somebody_who_asks_and_goes_away_has_guessed(world: World) -> None:
    alice = world.speaker(ALICE, world.beacon, seconds=0.05)
    world.beacon.tamper = lambda said: said if said[:1] in b"\x01\x02" else None
    offer = await world.offer(by=alice)
    bob = world.speaker(BOB, world.beacon, seconds=0.05)
    with pytest.raises(CodeWrong, match="did not answer within"):
        await bob.say(str(offer.code))
    await until(lambda: offer.is_over)
    assert offer.state is OfferState.GUESSED
    assert "began to say it and went away" in offer.reason


async def test_a_beacon_that_changes_what_it_passes_on_is_a_wrong_guess(world: World) -> None:
    world.beacon.tamper = lambda said: said[:-1] + bytes([said[-1] ^ 1])
    offer = await world.offer()
    with pytest.raises(CodeWrong):
        await world.bob.say(str(offer.code))


async def test_a_code_can_be_cancelled_and_asked_about(world: World) -> None:
    offer = await world.offer()
    assert world.alice.find(str(offer.code)) is offer
    world.alice.cancel(str(offer.code))
    assert (offer.state, offer.reason) == (OfferState.FAILED, "it was cancelled")
    await until(lambda: hasattr(world.beacon.people[A], "released"))
    assert world.beacon.people[A].released == (offer.code.number, world.beacon.url)
    assert world.beacon.people[A].heard == {}
    assert world.alice.cancel(str(offer.code)) is offer
    with pytest.raises(CodeUnknown, match="not one of ours"):
        world.alice.find("9-guitar-elbow")


async def test_an_invite_that_cannot_be_made_is_told_to_both(world: World) -> None:
    async def refuse(_: EndpointId) -> Invite:
        raise GatewayError("the disk is full")

    offer = await world.alice.offer(refuse)
    with pytest.raises(CodeWrong):
        await world.bob.say(str(offer.code))
    assert (offer.state, offer.reason) == (OfferState.FAILED, "the disk is full")


async def test_a_few_codes_wait_at_once_and_the_ends_of_a_few_are_remembered(world: World) -> None:
    offers = [await world.offer() for _ in range(CODES)]
    with pytest.raises(UsageError, match=f"{CODES} codes wait already"):
        await world.offer()
    for _ in range(CODES_OVER + 4):
        world.alice.cancel(str(offers[-1].code))
        await world.beacon.table.take(offers[-1].code.number)
        offers.append(await world.offer())
    known = 0
    for offer in offers:
        try:
            known += world.alice.find(str(offer.code)) is offer
        except CodeUnknown:
            continue
    assert known <= CODES + CODES_OVER


# --- which beacon ---------------------------------------------------------------------------------------------------


async def test_of_several_beacons_the_one_that_has_the_code_is_asked_to_take_it_and_no_other(
    world: World,
) -> None:
    far = Beacon("us1.example")
    offer = await world.offer()
    bob = world.speaker(BOB, far, world.beacon, connected=frozenset({"us1.example"}))
    assert (await bob.say(str(offer.code))).terms.holder == B
    assert far.claims == [(offer.code.number, False)]


async def test_two_nodes_of_one_fleet_have_the_same_code(world: World) -> None:
    node = Beacon("eu2.example")
    node.table, node.people = world.beacon.table, world.beacon.people
    offer = await world.offer()
    bob = world.speaker(BOB, node, world.beacon)
    assert (await bob.say(str(offer.code))).terms.holder == B


async def test_the_same_number_at_two_beacons_is_asked_about_and_uses_nothing_up(world: World) -> None:
    far = Beacon("us1.example")
    carol = world.speaker(CAROL, far)
    hers = await carol.offer(make)
    mine = await world.offer()
    assert hers.code.number == mine.code.number
    bob = world.speaker(BOB, far, world.beacon)
    with pytest.raises(UsageError, match=r"--beacon https://us1\.example or --beacon https://eu1\.example"):
        await bob.say(str(mine.code))
    assert (await bob.say(str(mine.code), world.beacon.url)).terms.holder == B


async def test_a_code_that_waits_nowhere_is_told_with_where_was_looked(world: World) -> None:
    bob = world.speaker(BOB, world.beacon, Beacon("us1.example"))
    with pytest.raises(CodeUnknown, match=r"waits at eu1\.example, us1\.example: it was used, cancelled"):
        await bob.say("7-guitar-elbow")


async def test_old_beacons_and_none_are_told_apart() -> None:
    tasks = Tasks()
    old = Place(A, (Beacon(nameplates=False),))
    none = Place(A, ())
    away = Beacon()
    away.is_away = True
    for place, says in (
        (old, r"eu1\.example is too old to pass codes on; update it"),
        (none, "none is connected here"),
        (Place(A, (away,)), "none is connected here"),
    ):
        codes = SpokenCodes(A, places=lambda place=place: place, spawn=tasks.spawn, clock=Clock())
        with pytest.raises(CodesUnsupported, match=says):
            await codes.offer(make)
        if place is not none and place is not old:
            continue
        with pytest.raises(CodesUnsupported, match=says):
            await codes.say("7-guitar-elbow")
    codes = SpokenCodes(A, places=lambda: Place(A, (away,)), spawn=tasks.spawn, clock=Clock())
    with pytest.raises(CodesUnsupported, match="cannot be said: the beacon does not answer"):
        await codes.say("7-guitar-elbow")
    await tasks.close()


async def test_our_own_code_is_not_said_to_ourselves(world: World) -> None:
    offer = await world.offer()
    with pytest.raises(UsageError, match="your own; say it to somebody else"):
        await world.alice.say(str(offer.code))
