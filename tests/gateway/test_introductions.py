"""Introductions on real streams: both have to agree, either may take it back, and a contact who lies or floods gains nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import introductions as module
from gateway.config.settings import SocialSettings
from gateway.errors import StateError
from gateway.expose import incoming
from gateway.expose.acceptor import Acceptor
from gateway.expose.services import ServiceBook
from gateway.home import Home
from gateway.introductions import AskPlan, Introductions
from gateway.limits import (
    CIRCLE_ANEW_SECONDS,
    CIRCLE_EVERY_SECONDS,
    CIRCLE_GAP_SECONDS,
    CIRCLE_QUESTIONS,
    CIRCLES_ASKED_AT_ONCE,
    CIRCLES_REMEMBERED,
)
from gateway.overlay_dialer import OverlayDialer
from gateway.stream_header import AnswerParser, Kind, Request, Status
from resolver.circles import Member, encode_circle, encode_question
from resolver.limits import CIRCLE_ASKED_BYTES, CIRCLE_MEMBERS, CIRCLE_SECONDS, CIRCLE_TOLD_BYTES
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import NOW, key, packet
from tests.lab.serving import until
from tests.lab.streams import LabTunnel, Recorder
from tunnels.errors import Unreachable
from tunnels.identity import EndpointId

ALICE, CAROL, DAVE, MALLORY = range(1, 5)


def id_of(number: int) -> EndpointId:
    return key(number).endpoint_id


class Person:
    """An endpoint with its contacts, whose gateway takes streams as any does."""

    def __init__(self, world: World, number: int, **social: bool) -> None:
        self.world, self.id = world, id_of(number)
        self.contacts: dict[EndpointId, None] = {}
        self.named: set[EndpointId] = set()
        self.connected: dict[EndpointId, None] = {}
        self.changes = 0
        self.packet = packet(number)
        self.home = Home(world.place / str(number))
        self.tunnel = LabTunnel(self.id)
        self.dialer = OverlayDialer(self.tunnel.open_transport, lambda _: None, answer_seconds=5)
        self.asked: list[EndpointId] = []
        self.settings = SocialSettings(**social)
        self.begin()
        self.acceptor = Acceptor(ServiceBook(), self, world.tasks.spawn)  # nothing is exposed
        self.acceptor.circle = self.all
        for other in world.people:
            other.tunnel.acceptors[self.id] = self.acceptor.accept
            self.tunnel.acceptors[other.id] = other.acceptor.accept
        world.people.append(self)

    def begin(self) -> None:
        self.all = Introductions(
            self.home,
            self.settings,
            ask=self._ask,
            introducers=lambda: self.named & self.contacts.keys(),
            connected=lambda: tuple(self.connected),
            is_contact=self.is_contact,
            own_packet=lambda: self.packet,
            on_change=self._changed,
            spawn=self.world.tasks.spawn,
            clock=lambda: self.world.now,
            chance=lambda: 0.5,
        )

    async def _ask(self, who: EndpointId, question: bytes) -> bytes:
        self.asked.append(who)
        return await self.dialer.ask_circle(who, question)

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        return endpoint_id in self.contacts

    def _changed(self) -> None:
        self.changes += 1

    def forget(self, other: Person) -> None:
        del self.contacts[other.id]
        self.all.contacts_changed()

    def configure(self, **social: bool) -> None:
        self.all.configure(SocialSettings(**social))

    def knows(self, by: Person, other: Person) -> bool:
        return self.all.is_introduced(by.id, other.id)

    async def say(self, to: Person, data: bytes, *, end: bool = True) -> Recorder:
        """A stream on which it says just this about a circle."""
        transport, recorder = await self.tunnel.open_transport(to.id, Recorder)
        transport.write(Request(Kind.CIRCLE).encode() + data)
        if end:
            transport.write_eof()
        return recorder


class World:
    def __init__(self, place) -> None:
        self.place, self.now = place, NOW
        self.tasks = Tasks()
        self.people: list[Person] = []

    def meet(self, one: Person, other: Person) -> None:
        """They are contacts, and a tunnel is up."""
        for each, to in ((one, other), (other, one)):
            each.contacts[to.id] = None
            each.connected[to.id] = None
            each.all.contacts_changed()
            each.all.opened(to.id)

    async def quiet(self) -> None:
        """Until nobody asks, nor is about to."""
        now = asyncio.get_running_loop().time

        def is_quiet(every: Introductions) -> bool:
            soon = any(every._plan.due(who) < now() + 60 for who in every._wanted())
            return not (every._asking or every._news or soon)

        await until(lambda: all(is_quiet(person.all) for person in self.people))

    async def close(self) -> None:
        for person in self.people:
            person.acceptor.close()
            await person.all.close()
        await self.tasks.close()
        for person in self.people:
            for stream in person.tunnel.opened:
                stream.abort()
                stream.peer.abort()
        await asyncio.sleep(0.01)


@pytest.fixture
def place(tmp_path):
    """Where everybody has a home."""
    return furnished(tmp_path)


def furnished(place):
    for number in (ALICE, CAROL, DAVE, MALLORY):
        Home(place / str(number)).create()
    return place


@pytest.fixture
async def world(place, monkeypatch):
    monkeypatch.setattr(module, "CIRCLE_GAP_SECONDS", 0.02)
    made = World(place)
    yield made
    await made.close()


class Town(World):
    """Alice introduces carol, who agrees, to dave, who opens something to whom she introduces."""

    def __init__(self, place) -> None:
        super().__init__(place)
        self.alice = Person(self, ALICE, introduce=True)
        self.carol = Person(self, CAROL, introducible=True)
        self.dave = Person(self, DAVE)
        self.dave.named = {self.alice.id}
        for person in self.people:
            person.all.start()
        self.meet(self.alice, self.dave)
        self.meet(self.alice, self.carol)


@pytest.fixture
async def town(place, monkeypatch):
    monkeypatch.setattr(module, "CIRCLE_GAP_SECONDS", 0.02)
    made = Town(place)
    await until(lambda: made.dave.knows(made.alice, made.carol))
    await made.quiet()
    yield made
    await made.close()


def status_in(recorder: Recorder) -> Status:
    answer = AnswerParser().feed(bytes(recorder.data))
    assert answer is not None
    return answer.status


# --- who is introduced --------------------------------------------------------------------------------------


async def test_who_agrees_is_introduced_with_its_record_to_those_who_asked_before(town: Town):
    assert town.dave.all.packet_of(town.carol.id) == town.carol.packet
    assert town.dave.all.has_members(town.alice.id)
    assert town.dave.changes == 1
    assert not town.carol.all.has_members(town.alice.id), "dave did not agree"


@pytest.mark.parametrize(
    "takes_back",
    [
        lambda town: town.alice.configure(introduce=False),
        lambda town: town.carol.configure(introducible=False),
        lambda town: town.alice.forget(town.carol),
        lambda town: town.alice.forget(town.dave),
        lambda town: town.dave.forget(town.alice),
    ],
)
async def test_either_takes_it_back_and_it_is_heard_at_once(town: Town, takes_back):
    takes_back(town)
    # Who does not know dave any more does not tell it so: it hears that when it asks.
    if not town.alice.is_contact(town.dave.id):
        town.dave.all.opened(town.alice.id)
    await until(lambda: not town.dave.knows(town.alice, town.carol))


async def test_what_is_taken_back_while_nobody_can_be_told_ends_within_a_day(town: Town):
    town.alice.acceptor.circle = None
    town.now += CIRCLE_SECONDS - 1
    assert town.dave.knows(town.alice, town.carol)
    town.now += 1
    assert not town.dave.knows(town.alice, town.carol)
    changes = town.dave.changes
    town.dave.all.contacts_changed()
    await until(lambda: town.dave.changes > changes)


async def test_who_removed_its_introducer_takes_its_consent_back_when_they_meet_again(town: Town):
    del town.carol.contacts[town.alice.id]
    town.carol.all.contacts_changed()
    town.carol.all.opened(town.alice.id)
    await until(lambda: not town.dave.knows(town.alice, town.carol))


async def test_who_introduces_nobody_hears_no_consent(world: World):
    alice, carol = Person(world, ALICE), Person(world, CAROL, introducible=True)
    carol.all.start()
    world.meet(alice, carol)
    await until(lambda: carol.asked)
    await world.quiet()
    alice.configure(introduce=True)
    assert alice.all._own_circle() == frozenset()


async def test_a_plain_gateway_asks_nobody(world: World):
    alice, bob = Person(world, ALICE), Person(world, DAVE)
    for person in (alice, bob):
        person.all.start()
    world.meet(alice, bob)
    await asyncio.sleep(0.1)
    assert alice.asked == bob.asked == []


# --- who asks -----------------------------------------------------------------------------------------------


async def test_a_stranger_is_told_as_much_as_by_a_gateway_that_introduces_nobody(town: Town):
    mallory = Person(town, MALLORY)
    strange = await mallory.say(town.alice, encode_question(introducible=True, packet=mallory.packet))
    await strange.ends()
    town.alice.configure()
    friend = await town.dave.say(town.alice, encode_question(introducible=False, packet=None))
    await friend.ends()
    assert status_in(strange) is Status.FORBIDDEN
    assert strange.data == friend.data


async def test_a_contact_that_asks_too_often_waits(town: Town):
    question = encode_question(introducible=False, packet=None)
    said = []
    for _ in range(int(CIRCLE_QUESTIONS) + 1):
        said.append(await town.carol.say(town.alice, question))
        await said[-1].ends()
    assert status_in(said[-1]) is Status.OVERLOADED
    await until(lambda: not town.alice.acceptor.status.streams)


@pytest.mark.parametrize("question", [b"", b"\xc1", bytes(CIRCLE_ASKED_BYTES + 1)])
async def test_what_is_no_question_is_not_answered(town: Town, question: bytes):
    recorder = await town.carol.say(town.alice, question)
    await recorder.ends()
    assert not recorder.data
    await until(lambda: not town.alice.acceptor.status.streams)


async def test_who_never_ends_its_question_or_reads_its_answer_is_given_up(town: Town, monkeypatch):
    monkeypatch.setattr(incoming, "CIRCLE_TALK_SECONDS", 0.1)
    recorder = await town.carol.say(town.alice, b"\x90", end=False)
    await recorder.loses()
    transport, _ = await town.carol.tunnel.open_transport(town.alice.id, Recorder)
    transport.pause_reading()
    monkeypatch.setattr(town.alice.all, "answer", lambda *_: bytes(64 << 20))
    transport.write(Request(Kind.CIRCLE).encode() + b"\x90")
    transport.write_eof()
    await until(lambda: town.alice.acceptor.status.streams == 1)
    await until(lambda: not town.alice.acceptor.status.streams)


@given(data=st.binary(max_size=400))
def test_any_question_is_answered_or_refused_with_an_error_of_records(data: bytes, tmp_path_factory):
    place = furnished(tmp_path_factory.mktemp("fuzz"))

    async def ask() -> None:
        made = World(place)
        alice, carol = Person(made, ALICE, introduce=True), Person(made, CAROL)
        made.meet(alice, carol)
        recorder = await carol.say(alice, data)
        await recorder.ends()
        await made.close()

    asyncio.run(ask())


# --- what contacts answer ---------------------------------------------------------------------------------


class Liar:
    """Answers for a contact."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer

    def refusal(self, caller):
        return None

    def answer(self, caller, question):
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        b"\xc1",
        bytes(CIRCLE_TOLD_BYTES + 1),
        encode_circle([Member(id_of(CAROL), packet(DAVE))]),
        encode_circle([Member(id_of(CAROL))] * (CIRCLE_MEMBERS + 1)),
    ],
)
async def test_a_circle_that_cannot_be_believed_changes_nothing(town: Town, answer: bytes, caplog):
    town.alice.acceptor.circle = Liar(answer)
    asked = len(town.dave.asked)
    town.dave.all.opened(town.alice.id)
    await until(lambda: len(town.dave.asked) > asked)
    await until(lambda: not town.dave.all._asking)
    assert town.dave.knows(town.alice, town.carol)
    assert "does not tell its circle" in caplog.text


async def test_a_circle_of_invented_endpoints_is_bounded_and_says_nothing_of_others(town: Town):
    invented = [Member(id_of(number)) for number in range(1000, 1000 + CIRCLE_MEMBERS)]
    town.alice.acceptor.circle = Liar(encode_circle(invented))
    town.dave.all.opened(town.alice.id)
    await until(lambda: town.dave.all.is_introduced(town.alice.id, invented[0].endpoint_id))
    assert not town.dave.all.is_introduced(town.carol.id, invented[0].endpoint_id)
    assert town.dave.all.packet_of(invented[0].endpoint_id) is None


async def test_who_cannot_be_reached_keeps_its_circle_and_is_not_asked_all_the_time(town: Town):
    town.dave.tunnel.failure = Unreachable("nobody there")
    asked = len(town.dave.asked)
    town.dave.all.opened(town.alice.id)
    await until(lambda: len(town.dave.asked) == asked + 1)
    await asyncio.sleep(0.1)
    assert len(town.dave.asked) == asked + 1
    assert town.dave.knows(town.alice, town.carol)


# --- searches ---------------------------------------------------------------------------------------------


async def test_a_search_asks_connected_contacts_that_were_not_asked_lately(town: Town, monkeypatch):
    carol = town.carol
    town.dave.settings = SocialSettings(introducible=True)
    town.dave.configure(introducible=True)
    # Alice's circle is another now, and she tells carol so, who asks when she looks for somebody.
    await until(lambda: town.dave.id in town.alice.all._own_circle())
    await town.quiet()

    async def found() -> bool:
        await carol.all.ask_again()
        return carol.all.packet_of(town.dave.id) is not None

    async with asyncio.timeout(5):
        while not await found():  # noqa: ASYNC110 - she is asked by each search, until she may be
            await asyncio.sleep(0.02)
    assert carol.all.packet_of(town.dave.id) == town.dave.packet

    asked = len(carol.asked)
    await carol.all.ask_again()
    assert len(carol.asked) == asked, "a moment ago"
    monkeypatch.setattr(module, "CIRCLE_ANEW_SECONDS", 0)
    await asyncio.gather(*(carol.all.ask_again() for _ in range(10)))
    assert len(carol.asked) == asked + 1, "searches at one time share the question"


async def test_a_search_waits_for_nobody_for_long_and_asks_few_at_once(world: World, monkeypatch):
    monkeypatch.setattr(module, "CIRCLE_WAIT_SECONDS", 0.05)
    carol = Person(world, CAROL)
    for number in range(100, 100 + CIRCLES_ASKED_AT_ONCE + 2):
        carol.contacts[id_of(number)] = carol.connected[id_of(number)] = None
        carol.tunnel.acceptors[id_of(number)] = lambda _: Recorder()
    await carol.all.ask_again()
    assert carol.asked == [], "it has not started"
    carol.all.start()
    async with asyncio.timeout(2):
        await carol.all.ask_again()
    assert len(carol.asked) == CIRCLES_ASKED_AT_ONCE


# --- when to ask --------------------------------------------------------------------------------------------


def test_a_contact_is_asked_at_once_and_then_about_hourly():
    plan, who = AskPlan(lambda: 0.0), id_of(ALICE)
    assert plan.due(who) < 0
    plan.asked(who, 100.0)
    assert plan.due(who) == 100 + 0.75 * CIRCLE_EVERY_SECONDS
    plan.soon(who)
    assert plan.due(who) == 100 + CIRCLE_GAP_SECONDS
    plan.asked(who, 150.0)
    plan.soon(who)  # such as by a tunnel that this very question opens
    plan.answered(who, well=True)
    assert plan.due(who) == 150 + 0.75 * CIRCLE_EVERY_SECONDS
    plan.asked(who, 200.0)
    plan.soon(who)
    plan.answered(who, well=False)
    assert plan.due(who) == 200 + CIRCLE_GAP_SECONDS
    plan.asked(who, 200.0)
    plan.all_soon()
    plan.answered(who, well=True)
    assert plan.due(who) == 200 + CIRCLE_GAP_SECONDS


def test_a_search_asks_those_who_answer_each_minute_and_others_each_hour():
    plan, who = AskPlan(lambda: 0.0), id_of(ALICE)
    assert plan.may_ask_again(who, 0.0)
    plan.asked(who, 0.0)
    plan.answered(who, well=True)
    assert not plan.may_ask_again(who, CIRCLE_ANEW_SECONDS - 1)
    assert plan.may_ask_again(who, CIRCLE_ANEW_SECONDS)
    plan.answered(who, well=False)
    assert not plan.may_ask_again(who, CIRCLE_EVERY_SECONDS - 1)
    plan.has_news(who)
    assert not plan.may_ask_again(who, CIRCLE_GAP_SECONDS - 1)
    assert plan.may_ask_again(who, CIRCLE_GAP_SECONDS)
    plan.asked(who, 50.0)
    assert not plan.may_ask_again(who, 50 + CIRCLE_GAP_SECONDS)


def test_a_plan_is_bounded():
    plan = AskPlan(lambda: 0.0)
    for number in range(CIRCLES_REMEMBERED + 5):
        plan.asked(EndpointId(number.to_bytes(32)), 1.0)
    assert len(plan) == CIRCLES_REMEMBERED


async def test_those_who_ask_are_bounded(world: World, monkeypatch):
    monkeypatch.setattr(module, "CIRCLES_REMEMBERED", 3)
    alice = Person(world, ALICE, introduce=True)
    for number in range(10, 20):
        alice.contacts[id_of(number)] = None
        assert alice.all.refusal(id_of(number)) is None
    assert len(alice.all._listeners) == 3


# --- on disk ------------------------------------------------------------------------------------------------


async def test_circles_consents_and_who_was_told_of_ours_are_there_after_a_restart(town: Town):
    for person in town.people:
        await person.all.close()
        await asyncio.to_thread(person.begin)
    assert town.dave.knows(town.alice, town.carol)
    assert town.alice.all._own_circle() == {town.carol.id}
    assert list(town.carol.all._agreed) == [town.alice.id]


@pytest.mark.parametrize("saved", [b"[]", b"{", b'{"circles": 1}', b'{"agreed": 7}', b'{"agreed": ["me"]}'])
async def test_a_damaged_file_is_told_and_begun_anew(world: World, saved: bytes, caplog):
    alice = Person(world, ALICE, introduce=True)
    await asyncio.to_thread(alice.home.state_file("circles").write_bytes, saved)
    await asyncio.to_thread(alice.begin)
    assert "asked for their circles again" in caplog.text
    assert alice.all._own_circle() == frozenset()


async def test_a_full_disk_is_told_and_costs_nothing_else(town: Town, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", full)
    town.dave.all.contacts_changed()
    town.dave.all.configure(SocialSettings())
    await town.dave.all.close()
    assert "the disk is full" in caplog.text
    assert town.dave.knows(town.alice, town.carol)
