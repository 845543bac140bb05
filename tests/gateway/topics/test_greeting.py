"""The hello on real streams: both learn what they share; whoever is slow, rude or silent costs little."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.expose.acceptor import Acceptor
from gateway.expose.services import ServiceBook
from gateway.stream_header import Answer as StreamAnswer
from gateway.stream_header import Kind, Request, Status
from gateway.topics import greeting as module
from gateway.topics.greeting import Greeter
from gateway.topics.hello import Asking, HelloError
from gateway.topics.limits import TOPIC_HELLO_BYTES, TOPIC_HELLOS, TOPIC_HELLOS_PER_ENDPOINT
from gateway.topics.manifest import Manifest
from resolver.topics import topic_id, topic_key
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key
from tests.lab.serving import Contacts, until
from tests.lab.streams import ALICE, BOB, LabTunnel, Recorder
from tunnels.errors import Unreachable

CHAT, GAME = topic_id("chat"), topic_id("game")
HERS, HIS = Manifest(name="Alice's"), Manifest(name="Bob's")


class Pair:
    """Bob asks alice, whose gateway accepts his streams as it does any."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.met: list = []
        self.acceptor = Acceptor(ServiceBook(), Contacts(), self.tasks.spawn, header_seconds=5)
        self.alice = Greeter(ALICE, self._never, lambda *words: self.met.append(words))
        self.acceptor.greet = self.alice.answer
        self.tunnel = LabTunnel(BOB)
        self.tunnel.acceptors[ALICE] = self.acceptor.accept
        self.bob = Greeter(BOB, self._open, self._never)
        self.alice.keys = {topic_id(name): topic_key(name) for name in ("chat", "music")}
        self.alice.manifests = {CHAT: HERS}
        self.bob.keys = {topic_id(name): topic_key(name) for name in ("chat", "game")}
        self.bob.manifests = {CHAT: HIS}

    async def _open(self, endpoint_id, factory, *, is_stranger):
        assert is_stranger, "nobody here chose it"
        return await self.tunnel.open_transport(endpoint_id, factory)

    def _never(self, *_):
        raise AssertionError

    async def say(self, data: bytes) -> Recorder:
        """A stream of bob's on which he says just this."""
        transport, recorder = await self.tunnel.open_transport(ALICE, Recorder)
        transport.write(data)
        return recorder

    @property
    def streams(self) -> int:
        return self.acceptor.status.streams


@pytest.fixture
async def pair():
    made = Pair()
    yield made
    made.acceptor.close()
    await made.tasks.close()
    for stream in made.tunnel.opened:
        stream.abort()
        stream.peer.abort()
    await asyncio.sleep(0.01)


async def test_both_learn_what_they_share_and_the_stream_ends(pair):
    assert await pair.bob.ask(ALICE) == {CHAT: HERS}
    await until(lambda: pair.met and not pair.streams)
    assert pair.met == [(BOB, {CHAT: HIS})]


async def test_who_shares_nothing_is_met_by_nobody(pair):
    pair.bob.keys = {GAME: topic_key("game")}
    assert await pair.bob.ask(ALICE) == {}
    await until(lambda: not pair.streams)
    assert pair.met == []


async def test_an_older_gateway_that_knows_no_topics_is_told_of_in_one_line(pair):
    def older(transport):
        class End(Recorder):
            def data_received(self, data):
                transport.write(
                    StreamAnswer(Status.BAD_REQUEST, "streams of kind 6 are not known here").encode()
                )
                transport.close()

        return End()

    pair.tunnel.acceptors[ALICE] = older
    with pytest.raises(HelloError, match="streams of kind 6 are not known here"):
        await pair.bob.ask(ALICE)


async def test_who_cannot_be_dialled_is_told_by_the_tunnels_error(pair):
    pair.tunnel.failure = Unreachable("nobody there")
    with pytest.raises(Unreachable):
        await pair.bob.ask(ALICE)


async def test_who_never_answers_is_given_up(pair, monkeypatch):
    monkeypatch.setattr(module, "TOPIC_HELLO_SECONDS", 0.1)
    pair.tunnel.acceptors[ALICE] = lambda _: Recorder()
    with pytest.raises(TimeoutError):
        await pair.bob.ask(ALICE)
    await until(lambda: pair.tunnel.opened[0].is_closing())


@pytest.mark.parametrize(
    "answer", [b"", b"junk that is no frame", StreamAnswer(Status.OK).encode() + b"\x00\x03abc"]
)
async def test_an_answer_of_garbage_is_a_hello_error(pair, answer):
    def liar(transport):
        class End(Recorder):
            def data_received(self, data):
                transport.write(answer)
                transport.close()

        return End()

    pair.tunnel.acceptors[ALICE] = liar
    with pytest.raises(HelloError):
        await pair.bob.ask(ALICE)


@pytest.mark.parametrize(
    "rest", [b"", b"\xff\xff", b"\x00\x01\x90", (TOPIC_HELLO_BYTES).to_bytes(2), b"\x00\x04junkjunk" * 100]
)
async def test_garbage_in_place_of_a_question_costs_a_stream_and_a_moment(pair, rest, monkeypatch):
    monkeypatch.setattr(module, "TOPIC_HELLO_SECONDS", 0.1)
    recorder = await pair.say(Request(Kind.TOPICS).encode() + rest)
    await recorder.ends()
    await until(lambda: not pair.streams)
    assert pair.met == []


async def test_who_hangs_up_after_the_answer_has_proved_itself_all_the_same(pair):
    class Hasty(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write_eof()

        def connection_made(self, transport):
            self.transport = transport

    asking = Asking(pair.bob.keys, {}, BOB, ALICE, lambda count: bytes(count))
    transport, _ = await pair.tunnel.open_transport(ALICE, Hasty)
    transport.write(Request(Kind.TOPICS).encode() + asking.question)
    await until(lambda: pair.met)
    assert pair.met == [(BOB, {CHAT: None})]


async def test_one_caller_is_not_answered_without_end_and_neither_are_many(pair):
    refused = 0
    for _ in range(int(TOPIC_HELLOS_PER_ENDPOINT) + 3):
        try:
            await pair.bob.ask(ALICE)
        except HelloError as error:
            refused += "too often" in str(error)
    assert refused == 3
    everybody = [key(number).endpoint_id for number in range(100, 100 + int(TOPIC_HELLOS) + 50)]
    answered = [pair.alice.answer(each, lambda: None) for each in everybody]
    assert sum(each is not None for each in answered) <= TOPIC_HELLOS
    assert answered[-1] is None
    with contextlib.suppress(HelloError):
        await pair.bob.ask(ALICE)
    await until(lambda: not pair.streams)


async def test_without_topics_an_acceptor_refuses(pair):
    pair.acceptor.greet = None
    with pytest.raises(HelloError):
        await pair.bob.ask(ALICE)
