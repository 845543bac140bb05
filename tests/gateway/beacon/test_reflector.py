"""Facts about the STUN server on real sockets, and what clients of others make of it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import contextmanager

import pytest
from aioice import stun as aioice_stun

from gateway.beacon.reflector import StunServer
from gateway.errors import ConfigurationError
from tunnels.addresses import Address
from tunnels.nat import stun
from tunnels.nat.reflector import PROOF_BYTES, Outcome
from tunnels.nat.reflexive import ReflexiveAddresses

SECRET = b"s" * 32
TWO = ("127.0.0.1", "127.0.0.2")


@contextmanager
def running(bind=TWO, ports=(0, 0), **more):
    server = StunServer(bind, ports, secret=SECRET, **more)
    server.start()
    try:
        yield server
    finally:
        server.close()


class Client(asyncio.DatagramProtocol):
    """A UDP socket whose datagrams can be waited for; also what aioice's transactions send with."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
        self.transaction: aioice_stun.Transaction | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.address = Address.of(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data, addr) -> None:
        if self.transaction is not None:
            self.transaction.response_received(aioice_stun.parse_message(data), addr)
        else:
            self.received.put_nowait((data, addr[:2]))

    def send_stun(self, message, addr) -> None:
        self.transport.sendto(bytes(message), addr)

    async def ask(self, server: str, **attributes):
        """The message that answers, and where it came from."""
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        request = stun.encode(stun.Method.BINDING, stun.Class.REQUEST, bytes(12), named)
        self.transport.sendto(request, Address.parse(server).sockaddr)
        data, source = await asyncio.wait_for(self.received.get(), 5)
        return stun.decode(data), str(Address.of(*source))


@pytest.fixture
async def client():
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Client, local_addr=("127.0.0.1", 0)
    )
    yield protocol
    transport.close()


async def test_aioice_learns_its_address(client):
    with running() as server:
        request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
        address = Address.parse(server.addresses[0]).sockaddr
        client.transaction = aioice_stun.Transaction(request, address, client)
        response, source = await client.transaction.run()
        assert response.attributes["XOR-MAPPED-ADDRESS"] == client.address.sockaddr
        assert source == address
        assert server.counts == {Outcome.ANSWERED: 1}


async def test_after_a_proof_answers_come_from_each_of_the_four_addresses(client):
    with running() as server:
        first, both, port, ip = server.addresses
        assert len({Address.parse(text).ip for text in (first, both)}) == 2
        assert len({Address.parse(text).port for text in (first, both)}) == 2
        message, source = await client.ask(first, PADDING=bytes(100), ROUTABLE=bytes(PROOF_BYTES))
        assert source == first
        assert str(message.address("OTHER-ADDRESS")) == both
        proof = message.attributes["ROUTABLE"]
        for change, expected in ((0, first), (2, port), (4, ip), (6, both)):
            message, source = await client.ask(first, CHANGE_REQUEST=change, ROUTABLE=proof)
            assert source == expected
            assert message.address("XOR-MAPPED-ADDRESS") == client.address
        message, source = await client.ask(first, CHANGE_REQUEST=6)
        assert (message.error_code, source) == (403, first)


async def test_our_own_client_agrees_over_all_four(client):
    with running() as server:
        machine = ReflexiveAddresses(lambda count: b"\x07" * count)
        machine.set_servers(map(Address.parse, server.addresses), 0.0)
        for datagram, address in machine.datagrams_to_send(0.0):
            client.transport.sendto(datagram, address.sockaddr)
            data, source = await asyncio.wait_for(client.received.get(), 5)
            assert machine.receive(data, Address.of(*source), 0.1)
        assert machine.addresses == (client.address,)
        assert machine.varies(4) is False


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_both_families_are_served():
    with running(("127.0.0.1", "::1"), (0,)) as server:
        assert [Address.parse(text).ip.version for text in server.addresses] == [4, 6]
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Client, local_addr=("::1", 0))
        message, _ = await client.ask(server.addresses[1])
        assert message.address("XOR-MAPPED-ADDRESS") == client.address
        transport.close()


async def test_a_burst_of_junk_leaves_it_answering_others(client):
    with running() as server:
        address = Address.parse(server.addresses[0]).sockaddr
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.9", 0)
        )
        for size in range(500):
            transport.sendto(bytes(size), address)
        message, _ = await client.ask(server.addresses[0])
        assert message.address("XOR-MAPPED-ADDRESS") == client.address
        assert server.counts[Outcome.JUNK] + server.counts[Outcome.LIMITED] > 100
        transport.close()


async def test_clients_are_told_the_public_addresses():
    with running(public=("198.51.100.1", "198.51.100.2")) as server:
        assert {str(Address.parse(text).ip) for text in server.addresses} == {"198.51.100.1", "198.51.100.2"}


async def test_with_every_address_bound_none_is_told(client):
    with running(("0.0.0.0",), (0,)) as server:
        assert server.addresses == ()
        assert repr(server) == "<StunServer at addresses that are not known>"
        [(sock, _)] = server._families[0]._sockets.values()
        message, _ = await client.ask(f"127.0.0.1:{sock.getsockname()[1]}", PADDING=bytes(200))
        assert set(message.attributes) == {"XOR-MAPPED-ADDRESS", "MAPPED-ADDRESS"}


async def test_a_port_that_is_taken_is_said_in_one_line_and_nothing_stays_bound():
    with running(("127.0.0.1",), (0,)) as server:
        taken = Address.parse(server.addresses[0]).port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            free = sock.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"^\[stun\] UDP 127.0.0.1 port {taken} cannot be bound: .*ports$"
        ):
            with running(("127.0.0.1",), (free, taken)):
                pass
        with running(("127.0.0.1",), (free,)):
            pass


async def test_the_ports_are_released_and_closing_twice_is_fine():
    with running() as server:
        port = Address.parse(server.addresses[0]).port
    server.close()
    with running(("127.0.0.1",), (port,)):
        pass


@pytest.mark.parametrize(
    ("bind", "ports", "public", "says"),
    [
        (("127.0.0.1",), (0,), ("198.51.100.1", "198.51.100.2"), "give as many of each"),
        (("127.0.0.1",), (0,), ("2001:db8::1",), "give as many of each"),
        (("127.0.0.1", "127.0.0.2", "127.0.0.3"), (0,), (), "one ip or two"),
    ],
)
async def test_what_does_not_fit_together_is_refused(bind, ports, public, says):
    with pytest.raises(ConfigurationError, match=says), running(bind, ports, public=public):
        pass


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return output.decode()


@pytest.mark.needs("turnserver")
async def test_coturns_client_learns_its_address():
    with running(("127.0.0.1",), (0,)) as server:
        port = str(Address.parse(server.addresses[0]).port)
        output = await run("turnutils_stunclient", "-p", port, "127.0.0.1")
        assert "UDP reflexive addr: 127.0.0.1:" in output


@pytest.mark.needs("turnserver")
async def test_coturns_behaviour_discovery_finds_no_nat_on_this_machine():
    assert shutil.which("turnutils_natdiscovery"), "it comes with turnserver"
    with running() as server:
        port = str(Address.parse(server.addresses[0]).port)
        output = await run("turnutils_natdiscovery", "-m", "-P", "-p", port, "-L", "127.0.0.1", "127.0.0.1")
        assert "RFC 5780 response 2" in output, "it was asked at the other address too"
        assert "NAT with Endpoint Independent Mapping!" in output
