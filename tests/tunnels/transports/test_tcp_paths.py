"""Facts about TCP connections that carry datagrams, with real sockets on loopback: how they come to be, bounds, strangers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web

from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import until
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl, TcpAddress
from tunnels.errors import TunnelError, Unreachable, WrongIdentity
from tunnels.paths.checks import CHECK
from tunnels.relay.frames import OBSERVED_PATH
from tunnels.transports.tcp_paths import TcpPaths, TcpPort

KNOCK = bytes([CHECK]) + b"a knock".ljust(80)


class Side:
    """One end: what it was told, and which connections are somebody's paths as it says."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, TcpAddress]] = []
        self.closed: list[TcpAddress] = []
        self.is_path = True
        self.tasks: set[asyncio.Task[None]] = set()
        self.ports: list[TcpPort] = []
        self.paths = TcpPaths(
            on_datagrams=lambda datagrams, address: self.datagrams.extend(
                (datagram, address) for datagram in datagrams
            ),
            on_closed=self.closed.append,
            is_path=lambda _: self.is_path,
        )

    def spawn(self, coroutine, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def port(self) -> TcpPort:
        self.ports.append(TcpPort(self.paths, self.spawn, host="127.0.0.1"))
        return self.ports[-1]

    @property
    def only(self) -> TcpAddress:
        [address] = self.paths._connections
        return address

    async def close(self) -> None:
        for port in self.ports:
            port.close()
        self.paths.close()
        if self.tasks:
            await asyncio.wait(self.tasks)


@contextlib.asynccontextmanager
async def sides(count: int = 2):
    made = [Side() for _ in range(count)]
    try:
        yield made
    finally:
        for side in made:
            await side.close()


def at(port: TcpPort) -> Address:
    return Address.of("127.0.0.1", port.number)


def knock() -> bytes:
    return KNOCK


async def joined(alice: Side, bob: Side) -> None:
    """Alice connects to bob, and each takes the other for a peer."""
    alice.port().connect(at(bob.port()), knock)
    await until(lambda: bob.datagrams)
    assert bob.paths.send([KNOCK], bob.only, urgent=True)
    await until(lambda: alice.datagrams)
    alice.datagrams.clear()
    bob.datagrams.clear()


class Stranger:
    """A plain TCP client."""

    def __init__(self, port: TcpPort) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port.number))
        self.socket.setblocking(False)

    async def is_hung_up_on(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.sock_recv(self.socket, 1), 10) == b""
        except ConnectionResetError:
            return True
        finally:
            self.socket.close()


# --- how they come to be ------------------------------------------------------------------------------------


async def test_a_knock_is_the_first_thing_said_and_datagrams_follow_both_ways():
    async with sides() as (alice, bob):
        await joined(alice, bob)
        flight = [bytes([number]) * 8400 for number in range(30)] + [b"short"]
        assert alice.paths.send(flight, alice.only)
        assert bob.paths.send(flight, bob.only)
        for side in (alice, bob):
            await until(lambda side=side: len(side.datagrams) == len(flight))
            assert side.datagrams == [(datagram, side.only) for datagram in flight]


async def test_both_that_connect_at_once_have_one_connection():
    """Loopback is too quick for two SYNs to cross, as a rule; then the listening port takes one."""
    async with sides() as (alice, bob):
        here, there = alice.port(), bob.port()
        for _ in range(5):
            here.connect(at(there), knock)
            there.connect(at(here), knock)
            await asyncio.sleep(0)
        await until(lambda: alice.datagrams or bob.datagrams)
        await until(lambda: len(alice.paths) == len(bob.paths) == 1)
        assert alice.only == TcpAddress(at(there))
        assert bob.only == TcpAddress(at(here))


async def test_what_is_refused_is_tried_anew():
    async with sides() as (alice, bob):
        here = alice.port()
        there = bob.port()
        to = at(there)
        there.close()
        here.connect(to, knock)
        await until(lambda: not here._trying)
        assert len(alice.paths) == 0
        listener = socket.create_server(("127.0.0.1", to.port))
        here.connect(to, knock)
        await until(lambda: len(alice.paths) == 1)
        listener.close()


async def test_a_try_under_way_and_a_connection_that_is_there_are_left_alone():
    async with sides() as (alice, bob):
        here, there = alice.port(), at(bob.port())
        here.connect(there, knock)
        here.connect(there, knock)
        assert len(here._trying) <= 1
        await until(lambda: bob.datagrams)
        here.connect(there, knock)
        assert not here._trying
        assert len(alice.paths) == 1


async def test_a_closed_port_leaves_what_became_a_path_and_tries_no_more():
    async with sides() as (alice, bob):
        await joined(alice, bob)
        [here], [there] = alice.ports, bob.ports
        address = at(there)
        for port in (here, there, here):
            port.close()
        assert alice.paths.send([b"still there"], alice.only)
        await until(lambda: bob.datagrams)
        here.connect(Address(address.ip, 9), knock)
        assert not here._trying
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address.sockaddr)


# --- who sees it where --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_beacon(answer):
    """Something that speaks HTTP, and answers so to who asks where he is seen."""
    app = web.Application()
    app.router.add_get(OBSERVED_PATH, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield BeaconUrl.parse(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def where_seen(request: web.Request) -> web.Response:
    host, port = request.transport.get_extra_info("peername")
    return web.json_response({"address": f"{host}:{port}"})


async def test_a_beacon_sees_the_very_port_and_the_connection_to_it_is_kept():
    asked = []

    async def count(request):
        asked.append(request.transport)
        return await where_seen(request)

    async with sides(1) as (alice,), a_beacon(count) as beacon:
        port = alice.port()
        assert await port.ask(beacon) == at(port)
        assert await port.ask(beacon) == at(port)
        assert asked[0] is asked[1]
        assert len(alice.tasks) == 1


async def test_it_is_asked_again_before_the_beacon_ends_the_connection(monkeypatch):
    monkeypatch.setattr(limits, "TCP_ASK_EVERY", 0.01)
    asked = []

    async def count(request):
        asked.append(request)
        return await where_seen(request)

    async with sides(1) as (alice,), a_beacon(count) as beacon:
        port = alice.port()
        await port.ask(beacon)
        await until(lambda: len(asked) > 3)
        port.close()
        await until(lambda: not alice.tasks)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 400,
        b'{"address": 7}',
        b'{"address": ""}',
        b'{"address": "example.org:80"}',
        b'{"address": "[2001:db8::1]:80"}',
        b'{"address": "203.0.113.7:0"}',
        b'{"address": "' + b"1" * 10_000_000 + b'"}',
        b"\xff\xfe",
    ],
)
async def test_a_beacon_that_says_nothing_of_use_is_said_to(answer):
    async def lie(_request):
        return web.Response(body=answer)

    async with sides(1) as (alice,), a_beacon(lie) as beacon:
        with pytest.raises(Unreachable, match=r"does not say where it sees us|of no use"):
            await alice.port().ask(beacon)
        assert not alice.tasks


async def test_a_beacon_that_sends_us_elsewhere_or_is_not_there_is_said_to():
    async def elsewhere(_request):
        raise web.HTTPFound("http://127.0.0.1:1/")

    async with sides(1) as (alice,), a_beacon(elsewhere) as beacon:
        with pytest.raises(Unreachable):
            await alice.port().ask(beacon)
    async with sides(1) as (alice,):
        with pytest.raises(Unreachable):
            await alice.port().ask(beacon)


async def test_a_beacon_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "BEACON_ANSWER", 0.05)

    over = asyncio.Event()

    async def wait(request):
        await over.wait()
        return await where_seen(request)

    async with sides(1) as (alice,), a_beacon(wait) as beacon:
        with pytest.raises(Unreachable, match="does not answer"):
            await alice.port().ask(beacon)
        over.set()


async def test_nothing_is_asked_of_who_is_not_the_beacon_of_that_id():
    async with LabBeacon(201, tls=True) as other, sides(1) as (alice,):
        wrong = BeaconUrl.parse(f"https://127.0.0.1:{other.port}#{LabBeacon(202).key.endpoint_id}")
        with pytest.raises(WrongIdentity):
            await alice.port().ask(wrong)
        assert other.requests == 0
        with pytest.raises(TunnelError, match="does not say"):
            await alice.port().ask(other.url)


# --- strangers and other hostile peers ----------------------------------------------------------------------


async def test_a_stranger_that_is_no_peer_of_ours_is_hung_up_on_and_nothing_is_passed_on():
    async with sides(1) as (alice,):
        alice.is_path = False
        stranger = Stranger(alice.port())
        stranger.socket.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await stranger.is_hung_up_on()
        assert alice.datagrams == []
        assert alice.closed == []
        assert len(alice.paths) == 0


async def test_a_stranger_is_told_nothing():
    async with sides(1) as (alice,):
        alice.is_path = False
        port = alice.port()
        stranger = Stranger(port)
        await until(lambda: len(alice.paths) == 1)
        with pytest.raises(BlockingIOError):
            stranger.socket.recv(1)
        stranger.socket.close()


async def test_a_stranger_may_say_a_few_kilobytes_of_checks_and_no_more():
    async with sides(1) as (alice,):
        alice.is_path = False
        stranger = Stranger(alice.port())
        wire = (len(KNOCK).to_bytes(2, "big") + KNOCK) * 40
        stranger.socket.send(wire * 10)
        assert await stranger.is_hung_up_on()
        assert len(alice.datagrams) <= limits.TCP_UNPROVEN_BYTES // len(KNOCK)


async def test_a_stranger_that_proves_nothing_in_time_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(limits, "TCP_PROVE", 0.05)
    monkeypatch.setattr(limits, "TCP_LOOK", 0.02)
    async with sides(1) as (alice,):
        alice.is_path = False
        stranger = Stranger(alice.port())
        stranger.socket.send(b"\0")
        assert await stranger.is_hung_up_on()
        assert len(alice.paths) == 0
        assert alice.closed == []


async def test_one_port_accepts_a_few_in_a_while():
    async with sides(1) as (alice,):
        alice.is_path = False
        port = alice.port()
        strangers = [Stranger(port) for _ in range(limits.TCP_ACCEPTED)]
        await until(lambda: len(alice.paths) == limits.TCP_ACCEPTED)
        assert await Stranger(port).is_hung_up_on()
        assert len(alice.paths) == limits.TCP_ACCEPTED
        for stranger in strangers:
            stranger.socket.close()


async def test_of_too_many_that_prove_nothing_the_oldest_makes_room(monkeypatch):
    monkeypatch.setattr(limits, "TCP_ACCEPTED", 100)
    async with sides(1) as (alice,):
        alice.is_path = False
        port = alice.port()
        first = Stranger(port)
        await until(lambda: len(alice.paths) == 1)
        others = [Stranger(port) for _ in range(limits.TCP_UNPROVEN)]
        assert await first.is_hung_up_on()
        assert len(alice.paths) == limits.TCP_UNPROVEN
        for other in others:
            other.socket.close()


async def test_more_connections_than_we_keep_are_closed_at_once(monkeypatch):
    monkeypatch.setattr(limits, "TCP_CONNECTIONS", 2)
    async with sides(3) as (bob, *others):
        port = bob.port()
        for number, other in enumerate(others):
            other.port().connect(at(port), knock)
            await until(lambda number=number: len(bob.datagrams) > number)
        assert await Stranger(port).is_hung_up_on()
        assert len(bob.paths) == 2


async def test_a_peer_that_breaks_the_framing_loses_its_path():
    async with sides() as (alice, bob):
        await joined(alice, bob)
        address = bob.only
        alice.paths._connections[alice.only]._socket.send(bytes(10))
        await until(lambda: bob.closed)
        assert bob.closed == [address]
        await until(lambda: alice.closed)
        assert not alice.paths.send([b"x"], TcpAddress(at(bob.ports[0])))


async def test_a_peer_that_does_not_read_costs_a_bounded_queue_and_path_messages_overtake_it():
    async with sides() as (alice, bob):
        await joined(alice, bob)
        bob_end = bob.paths._connections[bob.only]
        asyncio.get_running_loop().remove_reader(bob_end._socket)
        flight = [b"\x40" * 8400] * 50
        for _ in range(100):
            alice.paths.send(flight, alice.only)
        end = alice.paths._connections[alice.only]
        assert end._outbox.dropped > 0
        assert end._outbox._bytes <= limits.TCP_BUFFER
        assert len(end._unwritten) <= limits.TCP_WRITE + 8402
        alice.paths.send([KNOCK], alice.only, urgent=True)
        asyncio.get_running_loop().add_reader(bob_end._socket, bob_end._readable)
        await until(lambda: any(datagram == KNOCK for datagram, _ in bob.datagrams))
        behind = next(at for at, (datagram, _) in enumerate(bob.datagrams) if datagram == KNOCK)
        await until(lambda: not end._outbox and not end._unwritten)
        await until(lambda: len(bob.datagrams) > behind + limits.TCP_BUFFER // 8400 - 10)


# --- their end ----------------------------------------------------------------------------------------------


async def test_what_nobody_uses_any_more_is_closed_and_the_peer_learns_of_it(monkeypatch):
    monkeypatch.setattr(limits, "TCP_LOOK", 0.02)
    async with sides() as (alice, bob):
        await joined(alice, bob)
        address, other = alice.only, bob.only
        alice.is_path = False
        await until(lambda: alice.closed and bob.closed)
        assert (alice.closed, bob.closed) == ([address], [other])


async def test_what_is_silent_for_too_long_is_closed(monkeypatch):
    monkeypatch.setattr(limits, "TCP_LOOK", 0.02)
    monkeypatch.setattr(limits, "TCP_SILENT", 0.1)
    async with sides() as (alice, bob):
        await joined(alice, bob)
        await until(lambda: alice.closed and bob.closed)
        assert len(alice.paths) == len(bob.paths) == 0
        await until(lambda: alice.paths._timer is None)


async def test_after_the_end_nothing_is_called_back():
    async with sides() as (alice, bob):
        await joined(alice, bob)
        alice.paths.close()
        await until(lambda: bob.closed)
        assert alice.closed == []
        assert repr(bob.paths) == "<TcpPaths 0 proven of 0>"
        assert repr(alice.ports[0]) == f"<TcpPort {alice.ports[0].number} trying nobody>"
