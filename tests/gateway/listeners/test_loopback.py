"""Programs reach services of others through loopback listeners, as if they were local servers."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from ipaddress import IPv4Address

import pytest
import uvloop

from gateway.dialing import Failure
from gateway.listeners.bindings import Binding
from gateway.listeners.loopback import LoopbackListeners
from gateway.splice import reset
from resolver.names import ServiceProtocol
from tests.lab.dialer import FakeDialer, Tasks
from tests.lab.serving import tcp_server, udp_server, until
from tests.lab.streams import Recorder

TCP, UDP = ServiceProtocol.TCP, ServiceProtocol.UDP
_IP = IPv4Address("127.80.8.1")


class _World:
    def __init__(self, **limits) -> None:
        self.dialer = FakeDialer()
        self.tasks = Tasks()
        self.listeners = LoopbackListeners(self.dialer, self.tasks.spawn, **limits)

    async def connect(self, binding: Binding) -> tuple[asyncio.Transport, Recorder]:
        ip, port = self.listeners.place_of(binding.key)
        transport, recorder = await asyncio.get_running_loop().create_connection(Recorder, str(ip), port)
        return transport, recorder

    async def udp(self, binding: Binding) -> tuple[asyncio.DatagramTransport, _Inbox]:
        ip, port = self.listeners.place_of(binding.key)
        return await asyncio.get_running_loop().create_datagram_endpoint(_Inbox, remote_addr=(str(ip), port))

    async def close(self) -> None:
        await self.listeners.close()
        await self.tasks.close()
        await asyncio.sleep(0.01)


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.datagrams = []

    def datagram_received(self, data, addr) -> None:
        self.datagrams.append(data)

    def error_received(self, exc) -> None:
        """A closed listener answers so."""


@contextlib.asynccontextmanager
async def _world(**limits):
    world = _World(**limits)
    try:
        yield world
    finally:
        await world.close()


def _binding(
    host: str = "web.alice.overlay", protocol: ServiceProtocol = TCP, ip: IPv4Address = _IP
) -> Binding:
    """On a port that is free now."""
    with socket.socket() as sock:
        sock.bind((str(ip), 0))
        return Binding(ip, sock.getsockname()[1], protocol, host)


async def _reach(world: _World, port: int) -> None:
    world.dialer.services["web.alice.overlay"] = ("127.0.0.1", port)
    binding = _binding()
    await world.listeners.apply([binding])
    assert world.listeners.place_of(binding.key) == (_IP, binding.port)
    client, seen = await world.connect(binding)
    client.write(b"hello")
    await seen.until(lambda r: r.data == b"hello")
    assert world.dialer.dialed == [("web.alice.overlay", binding.port, None)]
    assert repr(world.listeners) == "LoopbackListeners(1 listening, 1 connections)"
    client.write_eof()
    await seen.ends()
    client.close()
    await until(lambda: world.listeners.connections == 0)


async def test_a_connection_reaches_the_service() -> None:
    async with tcp_server() as port, _world() as world:
        await _reach(world, port)


def test_a_connection_reaches_the_service_on_uvloop() -> None:
    async def scenario() -> None:
        async with tcp_server() as port, _world() as world:
            await _reach(world, port)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_what_a_program_sends_before_the_service_is_there_is_not_lost() -> None:
    async with tcp_server() as port, _world() as world:
        world.dialer.services["web.alice.overlay"] = ("127.0.0.1", port)
        world.dialer.gate = asyncio.Event()
        binding = _binding()
        await world.listeners.apply([binding])
        client, seen = await world.connect(binding)
        client.write(b"a" * 1_000_000)
        client.write_eof()
        await until(lambda: world.dialer.waiting == 1)
        await asyncio.sleep(0.02)
        world.dialer.gate.set()
        await seen.ends()
        assert seen.data == b"a" * 1_000_000
        client.close()


async def test_a_failed_dial_resets_the_connection() -> None:
    async with _world() as world:
        world.dialer.failures["web.alice.overlay"] = Failure.OFFLINE
        binding = _binding()
        await world.listeners.apply([binding])
        _, seen = await world.connect(binding)
        await seen.loses()
        assert isinstance(seen.error, ConnectionResetError)
        assert world.listeners.connections == 0


async def test_a_process_that_has_no_room_resets_the_connection_and_dials_nobody() -> None:
    async with tcp_server() as port, _world(refusal=lambda: "no room") as world:
        world.dialer.services["web.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding()
        await world.listeners.apply([binding])
        _, seen = await world.connect(binding)
        await seen.loses()
        assert isinstance(seen.error, ConnectionResetError)
        assert world.listeners.connections == 0


async def test_a_program_that_gives_up_ends_its_dial() -> None:
    async with _world() as world:
        world.dialer.gate = asyncio.Event()
        binding = _binding()
        await world.listeners.apply([binding])
        client, _ = await world.connect(binding)
        await until(lambda: world.dialer.waiting == 1)
        reset(client)
        await until(lambda: world.dialer.waiting == 0)
        assert world.listeners.connections == 0


async def test_connections_survive_changes_and_even_the_end_of_their_listener() -> None:
    async with tcp_server() as port, _world() as world:
        world.dialer.services["web.alice.overlay"] = ("127.0.0.1", port)
        first, other = _binding(), _binding("ssh.alice.overlay")
        await world.listeners.apply([first])
        client, seen = await world.connect(first)
        client.write(b"one")
        await seen.until(lambda r: r.data == b"one")
        await world.listeners.apply([other, first])
        await world.listeners.apply([other])
        assert world.listeners.place_of(first.key) is None
        client.write(b"two")
        await seen.until(lambda r: r.data == b"onetwo")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.get_running_loop().create_connection(Recorder, str(_IP), first.port)
        await world.listeners.close()
        await seen.loses()
        assert isinstance(seen.error, ConnectionResetError)
        assert world.listeners.status() == ()


async def test_status_tells_where_each_binding_is_and_why() -> None:
    async with _world(limit=2) as world:
        with socket.socket() as taken:
            taken.bind((str(_IP), 0))
            taken.listen()
            moved = Binding(_IP, taken.getsockname()[1], TCP, "moved.alice.overlay")
            good, refused = _binding(), _binding("more.alice.overlay")
            await world.listeners.apply([good, moved, refused])
            told = {status.binding.host: status for status in world.listeners.status()}
            assert told["web.alice.overlay"].note == ""
            assert "another program" in told["moved.alice.overlay"].note
            assert told["moved.alice.overlay"].place == world.listeners.place_of(moved.key)
            assert told["more.alice.overlay"].place is None
            assert "2 listeners are the most" in told["more.alice.overlay"].note
            world.listeners.touch(refused.key)
            await world.listeners.apply([good, moved, refused])
            told = {status.binding.host: status for status in world.listeners.status()}
            assert told["more.alice.overlay"].place == (_IP, refused.port)
            assert told["moved.alice.overlay"].place is None
            await world.listeners.apply([])
            assert world.listeners.status() == ()


async def test_a_binding_that_cannot_be_had_is_told_and_tried_again() -> None:
    async with _world() as world:
        binding = _binding()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            await world.listeners.apply([binding])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        (status,) = world.listeners.status()
        assert status.place is None
        assert "ulimit" in status.note
        await world.listeners.apply([binding])
        assert world.listeners.place_of(binding.key) == (_IP, binding.port)


async def test_connections_are_bounded() -> None:
    async with tcp_server() as port, _world(connection_limit=2, dial_limit=5) as world:
        world.dialer.services["web.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding()
        await world.listeners.apply([binding])
        for _ in range(2):
            client, seen = await world.connect(binding)
            client.write(b"hello")
            await seen.until(lambda r: r.data == b"hello")
        _, refused = await world.connect(binding)
        await refused.loses()
        assert isinstance(refused.error, ConnectionResetError)


async def test_dials_are_bounded() -> None:
    async with _world(dial_limit=2) as world:
        world.dialer.gate = asyncio.Event()
        binding = _binding()
        await world.listeners.apply([binding])
        for _ in range(2):
            await world.connect(binding)
        await until(lambda: world.dialer.waiting == 2)
        _, refused = await world.connect(binding)
        await refused.loses()
        assert world.listeners.connections == 2


# --- UDP -----------------------------------------------------------------------------------------------------


async def test_each_source_has_its_own_flow_and_answers() -> None:
    async with udp_server() as (port, echo), _world() as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding("dns.alice.overlay", UDP)
        await world.listeners.apply([binding])
        programs = [await world.udp(binding) for _ in range(5)]
        for number, (transport, _) in enumerate(programs):
            transport.sendto(b"q%d" % number)
            transport.sendto(b"r%d" % number)
        await until(lambda: all(len(inbox.datagrams) == 2 for _, inbox in programs))
        assert [inbox.datagrams for _, inbox in programs] == [[b"Q%d" % n, b"R%d" % n] for n in range(5)]
        assert len(echo.sources) == len(world.dialer.flows) == 5
        await world.listeners.apply([])
        assert all(flow.closed for flow in world.dialer.flows)
        for transport, _ in programs:
            transport.close()


async def test_idle_sources_are_forgotten_and_served_again() -> None:
    async with udp_server() as (port, _), _world(idle_seconds=0.05) as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding("dns.alice.overlay", UDP)
        await world.listeners.apply([binding])
        transport, inbox = await world.udp(binding)
        transport.sendto(b"q")
        await until(lambda: inbox.datagrams == [b"Q"])
        await until(lambda: world.dialer.flows[0].closed)
        transport.sendto(b"again")
        await until(lambda: inbox.datagrams == [b"Q", b"AGAIN"])
        transport.close()


async def test_too_many_sources_cost_the_one_idle_longest_its_flow(monkeypatch) -> None:
    monkeypatch.setattr("gateway.listeners.loopback.LISTENER_SOURCES", 2)
    async with udp_server() as (port, _), _world() as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding("dns.alice.overlay", UDP)
        await world.listeners.apply([binding])
        for number in range(3):
            transport, inbox = await world.udp(binding)
            transport.sendto(b"q")
            await until(lambda i=inbox: i.datagrams == [b"Q"])
            transport.close()
            assert len(world.dialer.flows) == number + 1
        assert [flow.closed for flow in world.dialer.flows] == [True, False, False]


async def test_a_full_table_serves_no_new_listener(monkeypatch) -> None:
    monkeypatch.setattr("gateway.listeners.loopback.LISTENER_SOURCES_TOTAL", 1)
    async with udp_server() as (port, _), _world() as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        first, second = (_binding("dns.alice.overlay", UDP) for _ in range(2))
        await world.listeners.apply([first, second])
        one, inbox = await world.udp(first)
        one.sendto(b"q")
        await until(lambda: inbox.datagrams == [b"Q"])
        two, _ = await world.udp(second)
        two.sendto(b"q")
        await asyncio.sleep(0.02)
        assert len(world.dialer.flows) == 1
        one.close()
        two.close()


async def test_datagrams_that_wait_for_a_flow_are_bounded_and_a_failed_one_is_not_retried_at_once() -> None:
    async with udp_server() as (port, echo), _world() as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        world.dialer.failures["off.alice.overlay"] = Failure.OFFLINE
        world.dialer.gate = asyncio.Event()
        dns, off = _binding("dns.alice.overlay", UDP), _binding("off.alice.overlay", UDP)
        await world.listeners.apply([dns, off])
        transport, inbox = await world.udp(dns)
        for number in range(40):
            transport.sendto(b"%d" % number)
        await until(lambda: world.dialer.waiting == 1)
        await asyncio.sleep(0.02)
        world.dialer.gate.set()
        await until(lambda: len(inbox.datagrams) == 16)
        assert echo.received == 16
        lost, _ = await world.udp(off)
        for _ in range(5):
            lost.sendto(b"x")
            await asyncio.sleep(0.01)
        assert [host for host, _, _ in world.dialer.dialed].count("off.alice.overlay") == 1
        transport.close()
        lost.close()


async def test_a_flow_that_ends_by_itself_is_opened_again_later(monkeypatch) -> None:
    monkeypatch.setattr("gateway.listeners.udp._REOPEN_SECONDS", 0.0)
    async with udp_server() as (port, _), _world() as world:
        world.dialer.services["dns.alice.overlay"] = ("127.0.0.1", port)
        binding = _binding("dns.alice.overlay", UDP)
        await world.listeners.apply([binding])
        transport, inbox = await world.udp(binding)
        transport.sendto(b"q")
        await until(lambda: inbox.datagrams == [b"Q"])
        world.dialer.flows[0].close()
        world.dialer.flows[0].end()
        transport.sendto(b"again")
        await until(lambda: inbox.datagrams == [b"Q", b"AGAIN"])
        assert len(world.dialer.flows) == 2
        transport.close()


def _of(name: str) -> str:
    return f"{name}.overlay"


async def test_what_one_owner_has_is_updated_and_nothing_of_others() -> None:
    async with _world() as world:
        web, ssh = _binding("web.alice.overlay"), _binding("ssh.alice.overlay")
        other = _binding("web.bob.overlay", ip=IPv4Address("127.80.8.2"))
        await world.listeners.apply([web, other])
        await world.listeners.update(_of("alice"), [ssh])
        assert world.listeners.place_of(web.key) is None
        assert world.listeners.place_of(ssh.key) is not None
        assert world.listeners.place_of(other.key) is not None
        await world.listeners.update(_of("alice"), [])
        assert [status.binding for status in world.listeners.status()] == [other]


async def test_a_new_listener_takes_the_place_of_the_one_used_longest_ago() -> None:
    crowded: list[None] = []
    async with _world(limit=2, on_crowded_out=lambda: crowded.append(None)) as world:
        names = ("alice", "bob", "carol")
        alice, bob, carol = (
            _binding(f"web.{name}.overlay", ip=IPv4Address(f"127.80.8.{number}"))
            for number, name in enumerate(names, 1)
        )
        for name, binding in zip(names[:2], (alice, bob), strict=True):
            await world.listeners.update(_of(name), [binding])
            await asyncio.sleep(0.002)  # the loop's clock tells them apart
        world.listeners.touch(alice.key)
        assert not crowded
        await world.listeners.update(_of("carol"), [carol])
        listening = {status.binding for status in world.listeners.status()}
        assert (listening, crowded) == ({alice, carol}, [None])


async def test_one_owner_has_no_more_listeners_than_there_may_be_and_its_first_bindings_get_them() -> None:
    async with _world(limit=2) as world:
        bindings = [_binding(ip=IPv4Address(f"127.80.8.{number}")) for number in range(1, 6)]
        await world.listeners.update(_of("alice"), bindings)
        assert {status.binding for status in world.listeners.status()} == set(bindings[:2])
