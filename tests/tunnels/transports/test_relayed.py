"""Datagrams and messages by way of beacons: a real WebSocket to a small beacon on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons import LabBeacon
from tests.lab.dialer import Tasks
from tests.lab.proxies import ConnectProxy
from tunnels import limits
from tunnels.addresses import BeaconUrl, RelayAddress
from tunnels.errors import ProtocolViolation, Unreachable
from tunnels.identity import SecretKey
from tunnels.relay import frames
from tunnels.rendezvous.sealed import Opener, Sealer
from tunnels.transports import beacon_connections
from tunnels.transports.relayed import RelayState, RelayTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tunnels.identity import EndpointId


class Gateway:
    """A transport and what it was told."""

    def __init__(self, seed: int, *beacons: LabBeacon | BeaconUrl, proxy: str | None = None) -> None:
        self.key = SecretKey(bytes([seed]) * 32)
        self.id = self.key.endpoint_id
        self.tasks = Tasks()
        self.datagrams: list[tuple[bytes, RelayAddress, bool]] = []
        self.messages: list[tuple[object, bytes, BeaconUrl]] = []
        self.absent: list[RelayAddress] = []
        self.states: list[tuple[BeaconUrl, RelayState]] = []
        self.transport = RelayTransport(
            self.key,
            on_datagrams=lambda datagrams, source, urgent: self.datagrams.extend(
                (datagram, source, urgent) for datagram in datagrams
            ),
            on_message=lambda *message: self.messages.append(message),
            on_absent=self.absent.append,
            on_state=lambda *state: self.states.append(state),
            spawn=self.tasks.spawn,
            proxy=proxy,
        )
        self.transport.set_beacons(getattr(beacon, "url", beacon) for beacon in beacons)

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()
        await self.tasks.close()

    async def at_home(self, beacon: LabBeacon | None = None) -> None:
        await until(
            lambda: self.transport.home is not None and (beacon is None or self.transport.home == beacon.url)
        )

    def status(self, url: BeaconUrl):
        return next(status for status in self.transport.status() if status.url == url)


async def until(holds: Callable[[], object]) -> None:
    """Wait for it; the test's own time limit bounds it."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - it waits for things that have no event
            await asyncio.sleep(0.005)


@pytest.fixture
def quick(monkeypatch):
    """The transport's timers, a tenth as long."""
    for name in ("BEACON_NEXT", "BEACON_BACKOFF_FIRST", "BEACON_HEARTBEAT", "BEACON_UNANSWERED", "BEACON_PONG",
                 "BEACON_PONG_MOVED", "BEACON_ANSWER", "BEACON_LOGIN", "BEACON_CLOSE"):  # fmt: skip
        monkeypatch.setattr(limits, name, getattr(limits, name) / 10)
    monkeypatch.setattr(limits, "BEACON_UNUSED", 0.6)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "pinned https"])
async def test_datagrams_and_messages_pass_between_two_gateways(tls):
    async with LabBeacon(tls=tls) as beacon, Gateway(1, beacon) as alice, Gateway(2, beacon) as bob:
        await alice.at_home()
        await bob.at_home()
        to_bob = RelayAddress(beacon.url, bob.id)
        assert alice.transport.send([b"one", b"two"], to_bob, False)
        assert alice.transport.send([b"ping"], to_bob, True)
        assert alice.transport.send_message(bob.id, b"sealed", beacon.url)
        await until(lambda: len(bob.datagrams) == 3 and bob.messages)
        from_alice = RelayAddress(beacon.url, alice.id)
        assert sorted(bob.datagrams) == sorted(
            [(b"one", from_alice, False), (b"two", from_alice, False), (b"ping", from_alice, True)],
        ), bob.datagrams
        assert bob.messages == [(alice.id, b"sealed", beacon.url)]


async def test_what_is_sent_in_one_turn_travels_in_one_frame_and_path_messages_first():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice, Gateway(2, beacon) as bob:
        await alice.at_home()
        to_bob = RelayAddress(beacon.url, bob.id)
        alice.transport.send([b"a"], to_bob, False)
        alice.transport.send([b"b"], to_bob, False)
        alice.transport.send([b"path"], to_bob, True)
        await until(lambda: len(beacon.heard) == 2)
        assert [(kind.name, frames.datagrams_of(body)) for kind, _, body in beacon.heard] == [
            ("PATH", [b"path"]),
            ("DATA", [b"a", b"b"]),
        ]


async def test_a_large_burst_arrives_whole_and_in_order():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice, Gateway(2, beacon) as bob:
        await alice.at_home()
        await bob.at_home()
        burst = [bytes([i]) * 8400 for i in range(100)] + [bytes(limits.RELAY_FRAME - 2)]
        assert alice.transport.send(burst, RelayAddress(beacon.url, bob.id))
        await until(lambda: len(bob.datagrams) == len(burst))
        assert [datagram for datagram, _, _ in bob.datagrams] == burst
        assert max(len(body) for _, _, body in beacon.heard) <= limits.RELAY_FRAME


async def test_a_peer_that_is_not_there_is_told():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        nobody = RelayAddress(beacon.url, SecretKey(b"\x09" * 32).endpoint_id)
        assert alice.transport.send([b"x"], nobody)
        await until(lambda: alice.absent)
        assert alice.absent == [nobody]


async def test_another_beacon_is_connected_on_demand_and_closed_when_unused(quick):
    async with (
        LabBeacon() as home,
        LabBeacon(201) as other,
        Gateway(1, home) as alice,
        Gateway(2, other) as bob,
    ):
        await alice.at_home()
        await bob.at_home()
        alice.transport.send([b"x"], RelayAddress(other.url, bob.id))
        await until(lambda: bob.datagrams)
        assert bob.datagrams[0][1] == RelayAddress(other.url, alice.id)
        assert alice.transport.home == home.url
        await until(lambda: (other.url, RelayState.CLOSED) in alice.states)
        assert alice.transport.home == home.url
        await until(lambda: list(other.sessions) == [bob.id])


async def test_a_beacon_that_cannot_be_had_is_not_asked_again_at_once():
    async with LabBeacon() as home, Gateway(1, home) as alice:
        away = BeaconUrl.parse("http://127.0.0.1:9")
        address = RelayAddress(away, SecretKey(b"\x09" * 32).endpoint_id)
        assert alice.transport.send([b"x"], address)
        await until(lambda: (away, RelayState.WAITING) in alice.states)
        assert not alice.transport.send([b"x"], address)
        alice.transport.network_changed()
        assert alice.transport.send([b"x"], address)


async def test_a_record_that_names_many_beacons_does_not_open_as_many_connections():
    async with LabBeacon() as home, Gateway(1, home) as alice:
        await alice.at_home()
        peer = SecretKey(b"\x09" * 32).endpoint_id
        urls = [
            BeaconUrl.parse(f"http://127.0.0.1:{port}") for port in range(1, limits.BEACON_CONNECTIONS + 3)
        ]
        sent = [alice.transport.send([b"x"], RelayAddress(url, peer)) for url in urls]
        assert sent == [True] * limits.BEACON_CONNECTIONS + [False] * 2


async def test_plain_http_is_spoken_only_by_who_has_such_a_beacon():
    async with LabBeacon(tls=True) as home, LabBeacon(201) as plain, Gateway(1, home) as alice:
        await alice.at_home()
        assert not alice.transport.send([b"x"], RelayAddress(plain.url, alice.id))
        assert plain.requests == 0


async def test_a_stranger_does_not_make_us_connect():
    async with LabBeacon() as home, LabBeacon(201) as other, Gateway(1, home) as alice:
        await alice.at_home()
        assert not alice.transport.send([b"x"], RelayAddress(other.url, alice.id), may_connect=False)
        assert alice.transport.send([b"x"], RelayAddress(home.url, alice.id), may_connect=False)
        assert other.requests == 0


async def test_the_longest_unused_connection_makes_way_for_another(quick, monkeypatch):
    monkeypatch.setattr(limits, "BEACON_CONNECTIONS", 1)
    monkeypatch.setattr(limits, "BEACON_STAYS", 0.1)
    monkeypatch.setattr(limits, "BEACON_BEGIN_PERIOD", 0.1)
    async with LabBeacon() as home, LabBeacon(201) as one, LabBeacon(202) as two, Gateway(1, home) as alice:
        await alice.at_home()
        assert alice.transport.send([b"x"], RelayAddress(one.url, alice.id))
        await until(lambda: one.sessions)
        assert not alice.transport.send([b"x"], RelayAddress(two.url, alice.id))
        await asyncio.sleep(0.15)
        assert alice.transport.send([b"x"], RelayAddress(two.url, alice.id))
        await until(lambda: two.sessions and not one.sessions)
        assert home.sessions


async def test_the_first_beacon_that_works_is_home_and_stays_it(quick):
    refusing = BeaconUrl.parse("http://127.0.0.1:9")
    async with LabBeacon() as slow, LabBeacon(201) as fast:
        slow.login_seconds = 0.4
        async with Gateway(1, refusing, slow, fast) as alice:
            await alice.at_home(fast)
            await until(lambda: not slow.sessions)
            assert alice.transport.home == fast.url
            assert alice.status(refusing).error


async def test_another_home_is_found_when_it_dies():
    async with LabBeacon() as first, LabBeacon(201) as second, Gateway(1, first, second) as alice:
        await alice.at_home(first)
        assert not second.logins
        await first.stop()
        await alice.at_home(second)
        assert alice.states[-1] == (second.url, RelayState.CONNECTED)


async def test_a_beacon_that_restarts_is_found_again(quick):
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        await beacon.stop()
        await until(lambda: alice.transport.home is None)
        again = LabBeacon(port=beacon.port)
        async with again:
            await alice.at_home()
            assert again.logins == [alice.id]


@pytest.mark.parametrize("logs_in", [False, True])
async def test_a_home_that_falls_silent_is_left_within_the_time_of_a_ping(quick, logs_in):
    async with LabBeacon() as first, LabBeacon(201) as second, Gateway(1, first, second) as alice:
        await alice.at_home(first)
        first.silent, first.logs_in_silently = True, logs_in
        alice.transport.send([b"x"], RelayAddress(first.url, alice.id))
        await alice.at_home(second)
        assert "no sign of life" in alice.status(first.url).error


async def test_after_a_network_change_a_dead_connection_is_replaced_within_a_second():
    async with LabBeacon() as first, LabBeacon(201) as second, Gateway(1, first, second) as alice:
        await alice.at_home(first)
        first.silent = True
        alice.transport.network_changed()
        await alice.at_home(second)


async def test_after_a_network_change_a_living_connection_is_kept(quick):
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        alice.transport.network_changed()
        await asyncio.sleep(limits.BEACON_PONG_MOVED * 2)
        assert alice.transport.home == beacon.url
        assert len(beacon.logins) == 1


async def test_after_a_network_change_an_attempt_begins_anew():
    async with LabBeacon() as beacon:
        beacon.login_seconds = 5.0
        async with Gateway(1, beacon) as alice:
            await until(lambda: beacon.requests)
            beacon.login_seconds = 0.0
            alice.transport.network_changed()
            await alice.at_home()
            assert beacon.requests == 2


async def test_a_new_list_makes_a_beacon_that_is_connected_already_our_home_at_once():
    async with LabBeacon() as home, LabBeacon(201) as other, Gateway(1, home) as alice:
        await alice.at_home()
        alice.transport.send([b"x"], RelayAddress(other.url, alice.id))
        await until(lambda: (other.url, RelayState.CONNECTED) in alice.states)
        alice.transport.set_beacons([other.url])
        assert alice.transport.home == other.url
        assert alice.states[-1] == (other.url, RelayState.CONNECTED)
        assert alice.id in home.sessions, "those who know us there are heard for a while"


async def test_a_connection_from_an_address_that_is_gone_is_replaced_at_once(monkeypatch):
    monkeypatch.setattr(limits, "BEACON_PONG_MOVED", 1000.0)
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        monkeypatch.setattr(beacon_connections, "interface_addresses", lambda: ([], frozenset()))
        alice.transport.network_changed()
        await until(lambda: len(beacon.logins) == 2)


async def test_a_beacon_that_leaves_is_left_before_it_goes():
    async with LabBeacon() as first, LabBeacon(201) as second, Gateway(1, first, second) as alice:
        await alice.at_home(first)
        await first.say(alice.id, frames.encode_text(frames.Leaving(seconds=5)))
        await alice.at_home(second)
        assert alice.id in first.sessions, "the old one still carries what is on its way"


async def test_two_gateways_with_one_key_do_not_throw_each_other_out_for_ever(quick, monkeypatch):
    monkeypatch.setattr(limits, "BEACON_STEADY", 0.0)
    async with LabBeacon() as beacon, Gateway(1, beacon) as first:
        await first.at_home()
        async with Gateway(1, beacon) as second:
            await second.at_home()
            await until(lambda: "took its place" in first.status(beacon.url).error)
            await asyncio.sleep(1)
            assert len(beacon.logins) < 12


async def test_questions_are_answered():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice, Gateway(2, beacon) as bob:
        await alice.at_home()
        await bob.at_home()
        strangers = [SecretKey(bytes([seed]) * 32).endpoint_id for seed in range(3, 80)]
        assert await alice.transport.who([*strangers, bob.id]) == {bob.id}
        assert (await alice.transport.redeem("good")).limits.credit_bytes == 7
        with pytest.raises(Unreachable, match="forged"):
            await alice.transport.redeem("bad")
        turn = await alice.transport.turn()
        assert turn is not None
        assert alice.status(beacon.url).welcome.turn == turn


async def test_topics_are_said_and_asked_for_at_a_beacon_that_knows_of_them():
    topics = [bytes([number]) * 20 for number in range(limits.RELAY_TOPICS + 3)]
    async with LabBeacon(topics=limits.RELAY_TOPICS) as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        assert await alice.transport.join_topics(topics, beacon.url) == limits.RELAY_TOPICS
        bob = SecretKey(b"\x02" * 32).endpoint_id
        beacon.members = (str(bob), "y" * 51 + "b", str(bob))
        assert await alice.transport.who_is_in(topics[0], beacon.url) == (bob, bob)


async def test_a_beacon_that_does_not_know_of_topics_hears_nothing_of_them():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        with pytest.raises(Unreachable, match="keeps no topics"):
            await alice.transport.join_topics([bytes(20)], beacon.url)
        with pytest.raises(Unreachable, match="keeps no topics"):
            await alice.transport.who_is_in(bytes(20), beacon.url)
        assert beacon.said == []
        assert alice.transport.home == beacon.url


async def test_a_question_without_an_answer_ends(quick):
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        beacon.silent = True
        with pytest.raises(Unreachable, match=r"does not answer|went away"):
            await alice.transport.who([alice.id])
    with pytest.raises(Unreachable, match="no beacon"):
        await Gateway(3).transport.who([alice.id])


async def test_status_tells_people_and_machines_what_there_is():
    async with LabBeacon(stun=("192.0.2.1:3478",)) as beacon, Gateway(1, beacon) as alice:
        assert alice.status(beacon.url).state is RelayState.CONNECTING
        await alice.at_home()
        status = alice.status(beacon.url)
        assert status.state is RelayState.CONNECTED
        assert status.is_home
        assert status.connected_seconds is not None
        assert status.welcome.stun == ("192.0.2.1:3478",)
        assert status.welcome.observed == "192.0.2.1:1"
        assert status.beacon_id == beacon.key.endpoint_id
        assert [state for _, state in alice.states] == [RelayState.CONNECTING, RelayState.CONNECTED]


async def test_one_beacon_by_two_names_is_one_connection():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice, Gateway(2, beacon) as bob:
        await alice.at_home()
        await bob.at_home()
        pinned = BeaconUrl.parse(f"{beacon.url}#{beacon.key.endpoint_id}")
        by_name = BeaconUrl.parse(f"http://localhost:{beacon.port}")
        assert alice.transport.send([b"pinned"], RelayAddress(pinned, bob.id))
        await until(lambda: bob.datagrams)
        bob.transport.send([b"back"], bob.datagrams[0][1])
        await until(lambda: alice.datagrams)
        assert alice.datagrams[0][1] == RelayAddress(pinned, bob.id), "as it was written to"
        alice.transport.send([b"lost"], RelayAddress(by_name, bob.id))
        await until(lambda: (by_name, RelayState.CLOSED) in alice.states)
        alice.transport.send([b"named"], RelayAddress(by_name, bob.id))
        await until(lambda: len(bob.datagrams) == 2)
        assert beacon.logins == [alice.id, bob.id] or beacon.logins == [bob.id, alice.id]
        assert alice.transport.home == beacon.url


# --- by way of a proxy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", "user:pass"])
async def test_a_pinned_beacon_is_reached_through_a_proxy(login):
    async with ConnectProxy(login) as proxy, LabBeacon(tls=True) as beacon:
        async with Gateway(1, beacon, proxy=proxy.url) as alice, Gateway(2, beacon) as bob:
            await alice.at_home()
            await bob.at_home()
            assert proxy.targets == [f"127.0.0.1:{beacon.port}"]
            burst = [bytes([i]) * 8400 for i in range(100)]
            alice.transport.send(burst, RelayAddress(beacon.url, bob.id))
            await until(lambda: len(bob.datagrams) == len(burst))


async def test_a_proxy_that_wants_a_login_is_told():
    async with ConnectProxy("user:pass") as proxy, LabBeacon(tls=True) as beacon:
        async with Gateway(1, beacon, proxy=proxy.url.replace("user:pass@", "")) as alice:
            await until(lambda: alice.status(beacon.url).error)
            assert "the proxy refused with 407" in alice.status(beacon.url).error


async def test_an_impostor_behind_a_proxy_hears_nothing():
    async with ConnectProxy() as proxy, LabBeacon(tls=True) as beacon:
        url = BeaconUrl.parse(f"https://127.0.0.1:{beacon.port}#{SecretKey(bytes(32)).endpoint_id}")
        async with Gateway(1, url, proxy=proxy.url) as alice:
            await until(lambda: alice.status(url).error)
            assert "does not have the key" in alice.status(url).error
            assert beacon.requests == 0


@pytest.mark.needs("tinyproxy")
async def test_tinyproxy_carries_a_beacon(tmp_path):
    async with LabBeacon(tls=True) as beacon, tinyproxy(tmp_path, beacon.port) as proxy:
        async with Gateway(1, beacon, proxy=proxy) as alice, Gateway(2, beacon, proxy=proxy) as bob:
            await alice.at_home()
            await bob.at_home()
            alice.transport.send([b"x" * 8400] * 50, RelayAddress(beacon.url, bob.id))
            await until(lambda: len(bob.datagrams) == 50)


@asynccontextmanager
async def tinyproxy(directory: Path, port: int) -> AsyncIterator[str]:
    """Run tinyproxy, asking for a login, and let it go to one port only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    configuration = directory / "tinyproxy.conf"
    lines = [f"Port {own}", "Listen 127.0.0.1", "BasicAuth user secret", f"ConnectPort {port}", "Timeout 60"]
    configuration.write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        "tinyproxy",
        "-d",
        "-c",
        configuration,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(ConnectionError):
                    _, writer = await asyncio.open_connection("127.0.0.1", own)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield f"http://user:secret@127.0.0.1:{own}"
    finally:
        process.terminate()
        await process.wait()


# --- beacons that mean no good --------------------------------------------------------------------------------------


async def refused(beacon: LabBeacon, words: str) -> None:
    async with Gateway(1, beacon) as alice:
        await until(lambda: alice.status(beacon.url).error)
        assert words in alice.status(beacon.url).error
        assert alice.transport.home is None
        assert alice.states[-1][1] in (RelayState.WAITING, RelayState.CONNECTING)


async def test_a_beacon_that_claims_another_id_is_left_before_anything_is_said():
    async with LabBeacon(tls=True) as beacon:
        other = SecretKey(b"\x07" * 32).endpoint_id
        url = BeaconUrl.parse(f"https://127.0.0.1:{beacon.port}#{other}")
        async with Gateway(1, url) as alice:
            await until(lambda: alice.status(url).error)
            assert "does not have the key that its URL names" in alice.status(url).error
            assert beacon.requests == 0


async def test_a_beacon_without_a_known_certificate_is_not_trusted():
    async with LabBeacon(tls=True) as beacon:
        url = BeaconUrl.parse(f"https://127.0.0.1:{beacon.port}")
        async with Gateway(1, url) as alice:
            await until(lambda: alice.status(url).error)
            assert "self-signed" in alice.status(url).error.replace("self signed", "self-signed")
            assert beacon.requests == 0


async def test_a_beacon_that_cannot_prove_its_id_is_left():
    async with LabBeacon() as beacon:
        beacon.claims = SecretKey(b"\x07" * 32).endpoint_id
        await refused(beacon, "cannot prove")


async def test_a_beacon_that_refuses_says_why():
    async with LabBeacon() as beacon:
        beacon.refuse = "not on\nthe list"
        await refused(beacon, "it refuses us: not on the list")


@pytest.mark.parametrize(("status", "words"), [(404, "HTTP 404"), (302, "points elsewhere")])
async def test_what_is_no_beacon_is_told(status, words):
    async with LabBeacon() as beacon:
        beacon.status = status
        await refused(beacon, words)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x09" + bytes(32),
        b"\x01" + bytes(32) + b"\x00\x09short",
        b"\x01" + bytes(limits.RELAY_FRAME + 100),
        b"\x03" + bytes(32 + limits.RELAY_MESSAGE + 1),
        "no json",
        '{"type":"challenge","beacon":"' + "y" * 52 + '","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}',
        "{" + " " * limits.RELAY_TEXT + "}",
    ],
    ids=["empty", "kind", "length", "oversize", "message", "json", "login", "text"],
)
async def test_junk_ends_the_connection_and_nothing_else(frame):
    async with LabBeacon() as beacon, LabBeacon(201) as second, Gateway(1, beacon, second) as alice:
        await alice.at_home(beacon)
        await beacon.say(alice.id, frame)
        await alice.at_home(second)
        assert alice.status(beacon.url).error
        assert not alice.datagrams
        assert not alice.messages


async def test_a_beacon_that_reads_nothing_costs_bounded_memory(monkeypatch):
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        connection = alice.transport._connections._connections[beacon.url]
        for session in beacon.sessions.values():
            session._req.transport.pause_reading()
        to = RelayAddress(beacon.url, alice.id)
        for _ in range(40):
            assert alice.transport.send([bytes(8400)] * 100, to)
            await asyncio.sleep(0)
        assert connection._outbox._data_bytes <= limits.RELAY_BUFFER
        assert connection._outbox.dropped > 1000


@pytest.mark.parametrize("deed", ["drops", "repeats", "reorders", "swaps senders", "swaps receivers"])
async def test_whatever_a_beacon_does_to_sealed_messages_it_can_only_deny(deed):
    """Alice and Eve write to Bob; he reads what they wrote, each once, or nothing."""
    async with LabBeacon() as beacon:
        async with Gateway(1, beacon) as alice, Gateway(2, beacon) as bob, Gateway(3, beacon) as eve:
            for gateway in (alice, bob, eve):
                await gateway.at_home()
            held: list[tuple[EndpointId, bytes]] = []

            def tamper(
                sender: EndpointId, receiver: EndpointId, frame: bytes
            ) -> list[tuple[EndpointId, bytes]]:
                kind, _, body = frames.decode(frame)
                match deed:
                    case "drops":
                        return []
                    case "repeats":
                        return [(receiver, frame)] * 3
                    case "swaps senders":
                        return [
                            (receiver, frames.encode(kind, eve.id if sender == alice.id else alice.id, body))
                        ]
                    case "swaps receivers":
                        return [(eve.id if receiver == bob.id else bob.id, frame)]
                held.append((receiver, frame))
                return held[::-1] if len(held) == 4 else []

            beacon.tamper = tamper
            written = set()
            for gateway in (alice, eve):
                sealer = Sealer(gateway.key, bytes(16))
                for number in range(2):
                    payload = f"{gateway.id.short} {number}".encode()
                    written.add((gateway.id, payload))
                    message = sealer.seal(bob.id, payload, now=1000.0, nonce=os.urandom(24))
                    assert gateway.transport.send_message(bob.id, message, beacon.url)
            await until(lambda: len(beacon.heard) == 4)
            beacon.tamper = None
            for gateway in (alice, eve):  # what is sent after them comes after them
                gateway.transport.send_message(bob.id, b"end", beacon.url)
                gateway.transport.send_message(eve.id, b"end", beacon.url)
            await until(lambda: [body for _, body, _ in bob.messages + eve.messages].count(b"end") == 4)
            read = []
            for reader in (bob, eve):
                opener = Opener(reader.key)
                for sender, message, _ in reader.messages:
                    with contextlib.suppress(ProtocolViolation):
                        read.append((sender, opener.open_sealed(sender, message, now=1000.0)))
            assert len(read) == len(set(read))
            assert set(read) == (written if deed in ("repeats", "reorders") else set())


async def test_turn_servers_are_learned_when_asked_for_and_not_in_a_flood():
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        asked = await alice.transport.turn()
        before = len(alice.states), len(beacon.said)
        for number in range(2000):
            forced = frames.TurnServer(
                address=f"192.0.2.{number % 250 + 1}:3478", username="", password="", seconds=0
            )
            await beacon.say(alice.id, frames.encode_text(frames.Turn(turn=forced)))
        assert await alice.transport.who([alice.id]) == {alice.id}  # it is through with all of them
        assert alice.status(beacon.url).welcome.turn == asked
        assert (len(alice.states), len(beacon.said)) == (before[0], before[1] + 1)


async def test_leaving_is_heard_once(quick):
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        session = beacon.sessions[alice.id]
        for _ in range(500):
            await session.send_str(frames.encode_text(frames.Leaving(seconds=1)))
        await until(lambda: len(beacon.logins) == 2)
        assert len(alice.states) < 20


async def test_a_beacon_that_claims_anothers_id_ends_no_connection_to_that_one(quick, monkeypatch):
    """The claim stands in its first frame; the proof, which it has not, comes last."""
    monkeypatch.setattr(
        limits, "BEACON_UNUSED", 60.0
    )  # it is not used while the liar is tried again and again
    async with LabBeacon(201) as honest, LabBeacon(202) as liar, Gateway(2, honest) as bob:
        await bob.at_home()
        liar.claims = honest.claims
        async with Gateway(1) as alice:
            alice.transport.set_beacons([])
            to_bob = RelayAddress(honest.url, bob.id)
            assert not alice.transport.send([b"x"], to_bob, False)  # plain http is for one's own beacons only
            alice.transport.set_beacons([liar.url])
            assert alice.transport.send([b"one"], to_bob, False)
            await until(lambda: len(bob.datagrams) == 1)
            claims = liar.requests
            await until(lambda: liar.requests > claims + 2)
            assert alice.transport.home is None
            assert alice.id in honest.sessions
            assert len([login for login in honest.logins if login == alice.id]) == 1
            assert alice.transport.send([b"two"], to_bob, False)
            await until(lambda: len(bob.datagrams) == 2)


async def test_ever_new_beacons_of_peers_are_not_all_gone_to():
    async with LabBeacon() as home, Gateway(1, home) as alice:
        await alice.at_home()
        asked = 0
        for number in range(500):
            nowhere = BeaconUrl.parse(
                f"http://127.0.0.1:{1 + number % 9}#{SecretKey(os.urandom(32)).endpoint_id}"
            )
            asked += alice.transport.send([b"x"], RelayAddress(nowhere, alice.id), False)
            await asyncio.sleep(0)
        assert asked == limits.BEACON_CONNECTIONS
        assert len(alice.transport.status()) <= 1 + limits.BEACON_CONNECTIONS


async def test_a_lent_relay_is_home_until_a_beacon_of_ours_works(quick):
    async with LabBeacon() as beacon, LabBeacon(201, tls=True) as lent:
        beacon.refuse = "full"
        async with Gateway(1) as alice:
            alice.transport.set_beacons([beacon.url], [lent.url])
            await alice.at_home(lent)
            assert alice.status(beacon.url).state is not RelayState.CLOSED, "it is still wanted"
            beacon.refuse = None
            await alice.at_home(beacon)
            assert alice.id in lent.sessions, "those who know us there are heard for a while"
            await until(lambda: alice.id not in lent.sessions)


async def test_a_lent_relay_that_lets_us_in_no_more_is_told_of_while_we_have_none(quick):
    async with LabBeacon(201, tls=True) as lent:
        lent.refuse = "lent to others"
        async with Gateway(1) as alice:
            assert alice.transport.status() == ()
            alice.transport.set_beacons([], [lent.url])
            await until(lambda: "lent to others" in alice.status(lent.url).error)


async def test_we_are_always_at_the_relay_that_we_lend_and_our_home_is_another(quick):
    async with LabBeacon() as home, LabBeacon(201, tls=True) as own, Gateway(1, home) as alice:
        await alice.at_home(home)
        known_as = BeaconUrl("https", "friend.example", 7443, own.url.beacon_id)
        alice.transport.set_own(known_as, own.url.origin)
        await until(lambda: alice.id in own.sessions)
        async with Gateway(2, own) as bob:
            await bob.at_home()
            assert bob.transport.send([b"hello"], RelayAddress(own.url, alice.id))
            await until(lambda: alice.datagrams)
            assert alice.datagrams == [(b"hello", RelayAddress(known_as, bob.id), False)]
        await asyncio.sleep(2 * limits.BEACON_UNUSED)
        assert alice.transport.home == home.url
        assert alice.id in own.sessions, "it is kept, whether it is used or not"
        await own.sessions[alice.id].close()
        await until(lambda: len(own.logins) == 3)


async def test_the_relay_that_we_lend_is_asked_without_the_proxy_and_is_home_where_there_is_no_other(quick):
    async with LabBeacon(201, tls=True) as own, Gateway(1, proxy="http://127.0.0.1:1") as alice:
        alice.transport.set_own(own.url, own.url.origin)
        await alice.at_home(own)
        alice.transport.network_changed()
        await asyncio.sleep(0.1)
        assert len(own.logins) == 1, "our own machine is on every network"


async def test_a_look_that_is_due_at_once_may_be_asked_for_again():
    """Of what is due at once uvloop gives a handle that does not say when."""
    async with LabBeacon() as beacon, Gateway(1, beacon) as alice:
        await alice.at_home()
        connection = alice.transport._connections.get(beacon.url)
        connection._liveness._ask_at = asyncio.get_running_loop().time()
        for _ in range(3):
            connection._arm()
        await until(lambda: connection._liveness._asked_at >= connection.since)
        await asyncio.sleep(0.1)
        assert connection.is_up


async def test_a_strangers_relay_is_the_last_home_and_its_word_is_not_believed():
    async with LabBeacon(200) as lent, LabBeacon(201) as strange, Gateway(1) as alice:
        alice.transport.set_beacons((lent.url,))  # so that plain HTTP is spoken
        alice.transport.set_beacons((), (), (strange.url,))
        await alice.at_home(strange)
        assert alice.transport.home_id is None
        alice.transport.set_beacons((), (strange.url,))
        assert alice.transport.home_id == strange.key.endpoint_id
        alice.transport.set_beacons((lent.url,), (), (strange.url,))
        await alice.at_home(lent)
        assert alice.transport.home_id == lent.key.endpoint_id
