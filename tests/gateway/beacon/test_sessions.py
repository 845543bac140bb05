"""Gateways' WebSockets on a real beacon: login, frames, text, and everything a stranger might try instead."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from gateway.beacon import sessions as sessions_module
from gateway.beacon.embedded import open_embedded
from gateway.beacon.limits import BEACON_CLAIM_BURST, BEACON_NAMEPLATE_SECONDS, BEACON_NAMEPLATES_PER_ENDPOINT
from gateway.beacon.offers import ConfiguredOffers
from gateway.beacon.server import wall_clock
from gateway.beacon.settings import RelaySettings
from tests.lab.relay_clients import RelayClient
from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl
from tunnels.errors import WrongIdentity
from tunnels.limits import RELAY_FRAME, RELAY_TEXT, RELAY_WHO_IDS
from tunnels.relay import frames
from tunnels.relay.frames import Challenge, FrameKind, Hello, Online, Refused, encode
from tunnels.relay.login import hello

SENT = [FrameKind.DATA, FrameKind.PATH, FrameKind.MESSAGE]


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever the condition is about
            await asyncio.sleep(0.01)


# --- meeting by spoken codes ------------------------------------------------------------------------------------


async def test_two_meet_at_a_number_and_talk_by_mail(world) -> None:
    server = await world.beacon()
    a, b, c = [await world.client(server, number) for number in (1, 2, 3)]
    assert a.welcome.nameplates
    token = bytes(range(16))
    await a.say(frames.Nameplate(token=token))
    plated = await a.hear()
    assert plated.seconds == BEACON_NAMEPLATE_SECONDS
    await b.say(frames.Claim(number=plated.number, take=False))
    assert await b.hear() == frames.Claimed(found=True, tag=frames.tag_of(token))
    await b.say(frames.Claim(number=plated.number, take=True))
    assert await b.hear() == frames.Claimed(found=True, id=str(a.endpoint_id), token=token)
    await c.say(frames.Claim(number=plated.number, take=True))
    assert await c.hear() == frames.Claimed(found=False)
    await b.send(FrameKind.MAIL, a.endpoint_id, token + b"hello")
    assert await a.receive() == (FrameKind.MAIL, b.endpoint_id, token + b"hello")


async def test_a_number_is_given_back_by_who_has_it(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    await a.say(frames.Nameplate(token=bytes(16)))
    number = (await a.hear()).number
    for client, found in ((b, True), (a, False)):
        await client.say(frames.Release(number=number))
        await client.say(frames.Claim(number=number, take=False))
        assert (await client.hear()).found is found


async def test_numbers_of_one_gateway_are_few_and_looks_for_those_of_others_too(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    for _ in range(BEACON_NAMEPLATES_PER_ENDPOINT):
        await a.say(frames.Nameplate(token=bytes(16)))
        assert isinstance(await a.hear(), frames.Plated)
    await a.say(frames.Nameplate(token=bytes(16)))
    assert (await a.hear()).code == "busy"
    for number in range(1, BEACON_CLAIM_BURST + 1):
        await a.say(frames.Claim(number=number, take=True))
        assert isinstance(await a.hear(), frames.Claimed)
    await a.say(frames.Claim(number=1, take=True))
    refused = await a.hear()
    assert (refused.code, "wait a minute" in refused.reason) == ("rate", True)


async def test_an_address_has_few_numbers_however_many_ids_it_makes(
    world, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.beacon.sessions.client_of", lambda _: "203.0.113.9")
    monkeypatch.setattr("gateway.beacon.sessions.BEACON_NAMEPLATE_BURST", 5)
    server = await world.beacon()
    answers = []
    for number in (1, 2):
        client = await world.client(server, number)
        for _ in range(BEACON_NAMEPLATES_PER_ENDPOINT):
            await client.say(frames.Nameplate(token=bytes(16)))
            answers.append(await client.hear())
    assert [isinstance(answer, frames.Plated) for answer in answers] == [True] * 5 + [False] * 3
    assert (answers[-1].code, "wait a minute" in answers[-1].reason) == ("rate", True)


@pytest.mark.parametrize(
    "said", ['{"type":"claim","number":0,"take":true}', '{"type":"nameplate","token":"AA=="}']
)
async def test_numbers_and_tokens_that_cannot_be_end_the_connection(world, said: str) -> None:
    client = await world.client(await world.beacon(), 1)
    await client.socket.send_str(said)
    assert await client.closed() == 1008


# --- what works -----------------------------------------------------------------------------------------------


async def test_a_gateway_logs_in_and_is_told_where_it_comes_from_and_what_it_may(world) -> None:
    server = await world.beacon(beacon={"policy": "be kind"}, relay=RelaySettings(bytes_per_second=1_000_000))
    client = await world.client(server, 1)
    welcome = client.welcome
    own = client.socket.get_extra_info("sockname")
    assert welcome.observed == f"{own[0]}:{own[1]}"
    assert (welcome.policy, welcome.relays) == ("be kind", True)
    assert welcome.limits.bytes_per_second == 1_000_000
    assert server.hub.find(client.endpoint_id) is not None


@pytest.mark.parametrize("kind", SENT)
async def test_what_one_sends_the_other_gets_unchanged_with_the_senders_id(world, kind: FrameKind) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    for size in (1, 100, 2000):
        body = secrets.token_bytes(size)
        await a.send(kind, b.endpoint_id, body)
        assert await b.receive() == (kind, a.endpoint_id, body)
        await b.send(kind, a.endpoint_id, body)
        assert await a.receive() == (kind, b.endpoint_id, body)


async def test_the_largest_frame_passes(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    body = secrets.token_bytes(RELAY_FRAME)
    await a.send(FrameKind.DATA, b.endpoint_id, body)
    assert await b.receive() == (FrameKind.DATA, a.endpoint_id, body)


@pytest.mark.parametrize("kind", SENT)
async def test_for_somebody_who_is_not_here_the_sender_gets_an_answer(world, kind: FrameKind) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    await a.send(kind, key(2).endpoint_id, b"x")
    assert await a.receive() == (FrameKind.ABSENT, key(2).endpoint_id, bytes([kind]))


async def test_frames_go_to_oneself_too(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    await a.send(FrameKind.PATH, a.endpoint_id, b"x")
    assert await a.receive() == (FrameKind.PATH, a.endpoint_id, b"x")


async def test_those_who_are_here_are_told_to_whoever_knows_their_ids(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    await a.say(frames.Who(ids=(str(b.endpoint_id), str(key(3).endpoint_id))))
    assert await a.hear() == Online(ids=(str(b.endpoint_id),))
    await b.socket.close()
    await until(lambda: len(server.hub) == 1)
    await a.say(frames.Who(ids=(str(b.endpoint_id),)))
    assert await a.hear() == Online(ids=())


async def test_no_turn_and_no_vouchers_are_answers(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    await a.say(frames.TurnPlease())
    assert await a.hear() == frames.Turn(turn=None)
    await a.say(frames.Redeem(voucher="overlay:v1x"))
    answer = await a.hear()
    assert isinstance(answer, Refused)
    assert answer.code == "voucher"


async def test_a_ping_is_answered(world) -> None:
    server = await world.beacon()
    a = await RelayClient.open(world.http, server.url, 1, autoping=False)
    await a.login()
    await a.socket.ping(b"hello?")
    answer = await a.socket.receive(timeout=5)
    assert (answer.type.name, bytes(answer.data)) == ("PONG", b"hello?")


async def test_the_newest_connection_of_an_id_takes_the_place_of_the_older_one(world) -> None:
    server = await world.beacon()
    old, other = await world.client(server, 1), await world.client(server, 2)
    new = await world.client(server, 1)
    refused = await old.hear()
    assert isinstance(refused, Refused)
    assert refused.code == "login"
    assert await old.closed() == 1000
    await other.send(FrameKind.DATA, new.endpoint_id, b"x")
    assert await new.receive() == (FrameKind.DATA, other.endpoint_id, b"x")
    assert len(server.hub) == 2


async def test_a_relay_that_is_lent_takes_whom_its_owner_knows(world) -> None:
    server = await world.beacon(options={"access": lambda i: i == key(1).endpoint_id})
    await world.client(server, 1)
    stranger = await world.open(server, 2)
    await _say_hello(stranger)
    refused = await stranger.hear()
    assert isinstance(refused, Refused)
    assert refused.code == "access"
    assert await stranger.closed() == 1008


async def test_who_may_not_come_in_any_more_is_sent_away(world) -> None:
    friends = {key(1).endpoint_id, key(2).endpoint_id}
    server = await world.beacon(options={"access": friends.__contains__})
    stays, goes = await world.client(server, 1), await world.client(server, 2)
    friends.discard(goes.endpoint_id)
    server.sessions.recheck()
    assert (await refusal(goes)).startswith("access: ")
    await stays.send(FrameKind.DATA, stays.endpoint_id, b"x")
    assert (await stays.receive())[2] == b"x"


async def test_a_full_beacon_says_so_and_takes_back_whom_it_knows(world) -> None:
    server = await world.beacon(relay=RelaySettings(sessions=1))
    await world.client(server, 1)
    second = await world.open(server, 2)
    await _say_hello(second)
    refused = await second.hear()
    assert isinstance(refused, Refused)
    assert refused.code == "busy"
    await world.client(server, 1)
    async with world.http.get(f"{server.url.origin}/readyz") as answer:
        assert answer.status == 503


async def test_the_quota_is_charged_and_told(world) -> None:
    stores = await open_embedded(None, clock=wall_clock)
    server = await world.beacon(stores, relay=RelaySettings(quota_bytes=5000))
    a, b = await world.client(server, 1), await world.client(server, 2)
    assert a.welcome.limits.left_bytes == 5000
    for _ in range(6):
        await a.send(FrameKind.DATA, b.endpoint_id, bytes(967))
    refused = await a.hear()
    assert isinstance(refused, Refused)
    assert refused.code == "quota"
    await server.close()  # writes down what is not written yet
    period = int(wall_clock() // 86_400)
    assert (await stores.accounts.balance(a.endpoint_id, period)).used_bytes == 5000
    assert (await stores.accounts.balance(b.endpoint_id, period)).used_bytes == 0
    await stores.close()


async def test_silence_is_asked_about_and_then_ended(world, monkeypatch) -> None:
    monkeypatch.setattr(sessions_module, "BEACON_SWEEP_EVERY", 0.02)
    monkeypatch.setattr(sessions_module, "BEACON_PING_AFTER", 0.05)
    monkeypatch.setattr(sessions_module, "BEACON_SILENT_AFTER", 0.4)
    server = await world.beacon()
    alive, dead = (
        await world.client(server, 1),
        await RelayClient.open(world.http, server.url, 2, autoping=False),
    )
    await dead.login()
    listening = asyncio.get_running_loop().create_task(alive.closed())  # answers pings
    assert (await dead.socket.receive(timeout=5)).type.name == "PING"
    assert await dead.closed() == 1001
    assert server.hub.find(alive.endpoint_id) is not None
    await alive.socket.close()
    await listening


# --- what a stranger tries ------------------------------------------------------------------------------------


async def _say_hello(client: RelayClient, url: BeaconUrl | None = None) -> Hello:
    challenge = await client.hear()
    assert isinstance(challenge, Challenge)
    said = hello(client.secret_key, challenge, secrets.token_bytes(16), url or client.url, "test")
    await client.say(said)
    return said


async def refusal(client: RelayClient) -> str:
    answer = await client.hear()
    assert isinstance(answer, Refused)
    assert await client.closed() == 1008
    return f"{answer.code}: {answer.reason}"


async def test_whoever_claims_anothers_id_is_refused_and_the_other_stays(world) -> None:
    server = await world.beacon()
    victim = await world.client(server, 1)
    thief = await world.open(server, 2)
    challenge = await thief.hear()
    said = hello(thief.secret_key, challenge, secrets.token_bytes(16), server.url, "test")
    await thief.say(
        Hello(
            id=str(victim.endpoint_id), nonce=said.nonce, signature=said.signature, authority=said.authority
        )
    )
    assert (await refusal(thief)).startswith("login: the signature")
    await victim.send(FrameKind.DATA, victim.endpoint_id, b"still here")
    assert (await victim.receive())[2] == b"still here"


async def test_a_login_that_was_seen_is_good_for_nothing(world) -> None:
    server = await world.beacon()
    first = await world.open(server, 1)
    seen = await _say_hello(first)
    await first.hear()
    thief = await world.open(server, 2)
    await thief.hear()
    await thief.say(seen)
    assert (await refusal(thief)).startswith("login: ")
    assert server.hub.find(key(1).endpoint_id) is not None


async def test_a_login_for_another_beacon_is_not_passed_on_to_this_one(world) -> None:
    server = await world.beacon(beacon={"urls": (BeaconUrl.parse("https://beacon.example"),)})
    client = await world.open(server, 1)
    await _say_hello(client, BeaconUrl.parse("https://evil.example"))
    assert "meant for another beacon" in await refusal(client)
    client = await world.open(server, 1)
    await _say_hello(client, BeaconUrl.parse("https://beacon.example"))
    assert isinstance(await client.hear(), frames.Welcome)


async def test_a_beacon_without_a_name_believes_no_name(world) -> None:
    server = await world.beacon()
    client = await world.open(server, 1)
    await _say_hello(client, BeaconUrl.parse("http://evil.example:8080"))
    assert "meant for another beacon" in await refusal(client)


async def test_a_gateway_notices_a_beacon_with_another_key(world) -> None:
    server = await world.beacon()
    client = await world.open(server, 1)
    challenge = await client.hear()
    with pytest.raises(WrongIdentity):
        hello(
            client.secret_key,
            challenge,
            bytes(16),
            BeaconUrl.parse(f"{server.url.origin}#{key(5).endpoint_id}"),
            "",
        )


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[" * 2000, '{"type":"who","ids":[]}', '{"type":"hello"}', "x" * (RELAY_TEXT + 1), "\0\ud83d"],
)
async def test_junk_instead_of_a_login_is_refused(world, text: str) -> None:
    server = await world.beacon()
    client = await world.open(server, 1)
    await client.hear()
    await client.socket.send_str(text.encode("utf-8", "replace").decode())
    assert (await refusal(client)).startswith("login: ")
    assert server.sessions.failed["refused"] == 1


async def test_frames_before_the_login_are_not_passed_on(world) -> None:
    server = await world.beacon()
    b, stranger = await world.client(server, 2), await world.open(server, 1)
    await stranger.send(FrameKind.DATA, b.endpoint_id, b"x")
    await stranger.closed()
    await b.send(FrameKind.DATA, b.endpoint_id, b"mine")
    assert (await b.receive())[1] == b.endpoint_id


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01short",
        encode(FrameKind.ABSENT, key(2).endpoint_id, b"\x01"),
        encode(FrameKind.DATA, key(2).endpoint_id, bytes(RELAY_FRAME + 1)),
        encode(FrameKind.DATA, key(2).endpoint_id, bytes(500_000)),
        encode(FrameKind.MESSAGE, key(2).endpoint_id, bytes(5000)),
        secrets.token_bytes(3000)[1:],
    ],
    ids=["empty", "short", "absent", "one too large", "half a megabyte", "large message", "chance"],
)
async def test_a_frame_that_is_none_ends_that_connection_and_no_other(world, frame: bytes) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    await a.socket.send_bytes(b"\x09" + frame if len(frame) == 2999 else frame)
    assert await a.closed() in (1008, 1009)
    await b.send(FrameKind.PATH, b.endpoint_id, b"x")
    assert await b.receive() == (FrameKind.PATH, b.endpoint_id, b"x")
    await until(lambda: len(server.hub) == 1)


@pytest.mark.parametrize(
    "text", ["junk", '{"type":"hello"}', '{"type":"who","ids":["' + "1" * 52 + '"]}', " " * (RELAY_TEXT + 1)]
)
async def test_text_that_is_none_ends_that_connection(world, text: str) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    await a.socket.send_str(text)
    assert await a.closed() == 1008


async def test_logging_in_twice_ends_the_connection(world) -> None:
    server = await world.beacon()
    a = await world.open(server, 1)
    said = await _say_hello(a)
    await a.hear()
    await a.say(said)
    await a.hear()
    assert await a.closed() == 1008


async def test_more_ids_than_may_be_asked_for_are_a_violation(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    ids = tuple(str(key(n).endpoint_id) for n in range(1, RELAY_WHO_IDS + 2))
    await a.socket.send_str(frames.encode_text(frames.Who(ids=ids)))
    assert await a.closed() == 1008


async def test_questions_have_a_rate(world) -> None:
    server = await world.beacon(relay=RelaySettings(messages_per_second=1))
    a = await world.client(server, 1)
    for _ in range(10):
        await a.say(frames.Who(ids=()))
    answers = [await a.hear() for _ in range(10)]
    assert sum(isinstance(answer, Online) for answer in answers) in (4, 5)
    assert answers[-1].code == "rate"


async def test_a_receiver_that_does_not_read_costs_a_bounded_amount_and_nobody_elses_time(world) -> None:
    server = await world.beacon()
    a, slow, b = [await world.client(server, n) for n in (1, 2, 3)]
    slow.socket._reader._protocol.pause_reading()  # its socket fills
    body = bytes(RELAY_FRAME)
    for n in range(600):  # 19 MB
        await a.send(FrameKind.DATA, slow.endpoint_id, n.to_bytes(4) + body[4:])
    await a.send(FrameKind.PATH, slow.endpoint_id, b"urgent")
    await a.send(FrameKind.DATA, b.endpoint_id, b"to another")
    assert await b.receive() == (FrameKind.DATA, a.endpoint_id, b"to another")
    session = server.hub.find(slow.endpoint_id)
    assert 0 < server.hub.queued <= 1024 * 1024 + 64 * 1024
    assert session._transport.get_write_buffer_size() < 128 * 1024
    assert server.hub.counters.dropped["queue"] > 0
    slow.socket._reader._protocol.resume_reading()
    got = [await slow.receive()]
    while got[-1][0] is not FrameKind.PATH:
        got.append(await slow.receive())
    numbers = [int.from_bytes(body[:4]) for _, _, body in got[:-1]]
    assert numbers == sorted(numbers), "what was sent before the path message came in order"
    assert numbers[-1] < 599, "and the path message came before data that was sent before it"
    while numbers[-1] < 599:
        numbers.append(int.from_bytes((await slow.receive())[2][:4]))
    assert len(numbers) < 600, "the oldest that waited were dropped"
    assert numbers[-30:] == list(range(570, 600)), "the newest were not"
    await until(lambda: session.pump is None and session.backlog is None)
    await a.send(FrameKind.DATA, slow.endpoint_id, b"again")
    assert (await slow.receive())[2] == b"again"


@pytest.mark.parametrize("asks", ["pings", "questions"])
async def test_whoever_asks_and_asks_and_reads_no_answer_is_cut_off(world, asks: str) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    session = server.hub.find(a.endpoint_id)
    a.socket._reader._protocol.pause_reading()
    question = frames.encode_text(frames.Who(ids=()))

    async def ask() -> None:
        for _ in range(400_000):
            await (a.socket.ping(bytes(125)) if asks == "pings" else a.socket.send_str(question))
            assert session._transport.get_write_buffer_size() < 512 * 1024

    with pytest.raises(ConnectionError):
        await ask()
    await until(lambda: len(server.hub) == 0)


async def test_a_flood_from_one_leaves_others_served(world) -> None:
    server = await world.beacon(relay=RelaySettings(bytes_per_second=100_000))
    flooder, a, b = [await world.client(server, n) for n in (1, 2, 3)]
    flooding = asyncio.get_running_loop().create_task(_flood(flooder, b))
    try:
        for n in range(50):
            await a.send(FrameKind.MESSAGE, b.endpoint_id, n.to_bytes(4))
            while (got := await b.receive())[1] != a.endpoint_id:
                pass
            assert got[2] == n.to_bytes(4)
    finally:
        flooding.cancel()
    assert server.hub.counters.dropped["rate"] > 10


async def _flood(client: RelayClient, to: RelayClient) -> None:
    while True:
        await client.send(FrameKind.DATA, to.endpoint_id, bytes(10_000))
        await asyncio.sleep(0)


async def test_a_receiver_that_hangs_up_amid_its_backlog_leaves_nothing_behind(world) -> None:
    server = await world.beacon()
    a, slow = await world.client(server, 1), await world.client(server, 2)
    slow.socket._reader._protocol.pause_reading()
    for _ in range(300):
        await a.send(FrameKind.DATA, slow.endpoint_id, bytes(RELAY_FRAME))
    await until(lambda: server.hub.queued > 0)
    slow.socket._response.connection.transport.abort()
    await until(lambda: len(server.hub) == 1)
    assert server.hub.queued == 0
    await a.send(FrameKind.DATA, slow.endpoint_id, b"x")
    assert (await a.receive())[0] is FrameKind.ABSENT


# --- dialling back --------------------------------------------------------------------------------------------


async def test_a_beacon_that_dials_back_says_so_and_tells_what_became_of_it(world) -> None:
    asked = []

    class Dialler:
        def dial_back(self, observed: str, client: str | None, port: int, nonce: bytes, now: float) -> bool:
            asked.append((observed, client, port, nonce))
            return port != 53

    server = await world.beacon(options={"offers": ConfiguredOffers(dialler=Dialler())})
    client = await world.client(server, 1)
    assert client.welcome.dials_back
    for port, sent in ((41641, True), (53, False)):
        await client.say(frames.DialBack(port=port, nonce=bytes(12)))
        assert await client.hear() == frames.Dialled(sent=sent)
    own = client.socket.get_extra_info("sockname")
    assert asked[0] == (f"{own[0]}:{own[1]}", None, 41641, bytes(12))


async def test_a_beacon_that_does_not_dial_back_says_so(world) -> None:
    client = await world.client(await world.beacon(), 1)
    assert not client.welcome.dials_back
    await client.say(frames.DialBack(port=41641, nonce=bytes(12)))
    assert await client.hear() == frames.Dialled(sent=False)
