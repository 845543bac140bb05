"""The DNS server on real sockets, asked by dig and by hand."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from resolver import limits
from resolver.errors import ListenError
from resolver.responder import Responder
from resolver.server import DnsServer
from resolver.zone import Zone
from tests.lab.resolver_dns import dig, query_bytes, reply, rows
from tests.lab.resolver_facts import ALICE, ALICE_ADDRESS, FakeNames, exists
from tunnels.addresses import Address

LOCALHOST = IPv4Address("127.0.0.1")


@contextlib.asynccontextmanager
async def running(names: FakeNames | None = None, **more: float) -> AsyncIterator[DnsServer]:
    responder = Responder(Zone(), names or FakeNames())
    server = DnsServer(responder, LOCALHOST, 0, **more)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        await responder.close()


async def connect(server: DnsServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.address.sockaddr)


def framed(name: str, kind: str = "A", message_id: int = 7) -> bytes:
    data = query_bytes(name, kind, message_id=message_id)
    return len(data).to_bytes(2) + data


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))


async def wait_until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the sockets under test tell no event
            await asyncio.sleep(0.001)


@pytest.mark.needs("dig")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("alice.overlay", ["127.80.3.1"]),
        ("+tcp alice.overlay", ["127.80.3.1"]),
        ("+noedns alice.overlay", ["127.80.3.1"]),
        ("+bufsize=512 alice.overlay", ["127.80.3.1"]),
        ("alice.overlay AAAA", []),
        (f"web.{ALICE}.overlay", []),
        ("_web._tcp.alice.overlay SRV", ["0 0 8080 web.alice.overlay."]),
        ("alice.overlay HTTPS", ["1 . port=8443 ipv4hint=127.80.3.3"]),
        ("alice.overlay TXT", [f'"id={ALICE}"', '"hello"']),
        ("-x 127.80.3.2", ["web.alice.overlay."]),
        ("overlay SOA", ["dns.overlay. hostmaster.overlay. 1 3600 600 86400 5"]),
        ("overlay NS", ["dns.overlay."]),
        ("alice.overlay ANY", ['"RFC8482" ""']),
    ],
)
async def test_dig_gets_the_answer(arguments: str, expected: list[str]) -> None:
    async with running() as server:
        assert (await dig(server.address, *arguments.split(), "+short")).split("\n")[:-1] == expected


@pytest.mark.needs("dig")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("alice.overlay", "status: NOERROR"),
        ("alice.overlay", "flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1"),
        ("alice.overlay", "EDNS: version: 0, flags:; udp: 1232"),
        ("alice.overlay AAAA", "status: NOERROR"),
        ("alice.overlay AAAA", "ANSWER: 0, AUTHORITY: 1"),
        ("nobody.overlay", "status: NXDOMAIN"),
        ("+tcp nobody.overlay", "status: NXDOMAIN"),
        ("offline.overlay", "status: SERVFAIL"),
        (
            "offline.overlay",
            "EDE: 22 (No Reachable Authority): (offline.overlay did not answer at any address)",
        ),
        ("example.org", "status: REFUSED"),
        ("example.org", "EDE: 20 (Not Authoritative)"),
        ("-x 8.8.8.8", "status: REFUSED"),
        ("-c CH -t TXT version.bind", "status: REFUSED"),
        ("+opcode=status alice.overlay", "status: NOTIMP"),
        ("+edns=1 +noednsneg alice.overlay", "status: BADVERS"),
        ("+dnssec alice.overlay", "flags: do; udp: 1232"),
        ("_web._tcp.alice.overlay SRV", "web.alice.overlay.\t30\tIN\tA\t127.80.3.2"),
    ],
)
async def test_dig_sees_the_status_and_the_sections(arguments: str, expected: str) -> None:
    async with running() as server:
        assert expected in await dig(server.address, *arguments.split())


@pytest.mark.needs("dig")
async def test_dig_is_sent_to_tcp_for_what_does_not_fit() -> None:
    names = FakeNames()
    names.facts["alice.overlay"] = exists(
        ALICE_ADDRESS, texts=tuple(f"{number:0>200}" for number in range(9))
    )
    async with running(names) as server:
        cut = await dig(server.address, "+ignore", "alice.overlay", "TXT")
        assert "flags: qr aa tc" in cut
        assert ";alice.overlay." in cut
        assert "Truncated, retrying in TCP mode" in await dig(server.address, "alice.overlay", "TXT")


async def test_udp_and_tcp_share_one_free_port() -> None:
    async with running() as server, running() as other:
        assert server.address.port > 0
        assert server.address != other.address
        assert str(server.address) in repr(server)
        _, writer = await connect(server)
        writer.close()


async def test_ipv6_loopback_works_too() -> None:
    server = DnsServer(Responder(Zone(), FakeNames()), IPv6Address("::1"), 0)
    try:
        await server.start()
    except ListenError:
        pytest.skip("no IPv6 here")
    reader, writer = await connect(server)
    writer.write(framed("alice.overlay"))
    assert rows(reply(await read_reply(reader)).rr) == ["alice.overlay. A 127.80.3.1"]
    writer.close()
    await server.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_a_taken_port_is_one_line_with_the_remedy(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenError,
            match=rf"cannot listen on 127.0.0.1:{port}: another program does; choose another DNS port \(0 takes",
        ):
            await DnsServer(Responder(Zone(), FakeNames()), LOCALHOST, port).start()


async def test_an_address_this_machine_lacks_is_one_line_with_the_remedy() -> None:
    with pytest.raises(ListenError, match=r"192.0.2.1:5399: this machine has no such address; choose"):
        await DnsServer(Responder(Zone(), FakeNames()), IPv4Address("192.0.2.1"), 5399).start()


async def test_before_the_start_there_is_no_address() -> None:
    server = DnsServer(Responder(Zone(), FakeNames()), LOCALHOST, 0)
    with pytest.raises(ListenError, match="not been started"):
        _ = server.address
    assert repr(server) == "<DnsServer not started>"
    await server.close()


async def test_closing_frees_the_port_and_cuts_connections() -> None:
    async with running() as server:
        reader, writer = await connect(server)
        writer.write(framed("alice.overlay"))
        await read_reply(reader)
        address = server.address
        await server.close()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    again = DnsServer(Responder(Zone(), FakeNames()), LOCALHOST, address.port)
    await again.start()
    assert again.address == address
    await again.close()


async def test_a_tcp_query_arrives_one_byte_at_a_time() -> None:
    async with running() as server:
        reader, writer = await connect(server)
        for byte in framed("alice.overlay"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert rows(reply(await read_reply(reader)).rr) == ["alice.overlay. A 127.80.3.1"]
        writer.close()


async def test_pipelined_queries_are_answered_as_they_are_ready() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    async with running(names) as server:
        reader, writer = await connect(server)
        writer.write(framed("far.overlay", message_id=1) + framed("alice.overlay", message_id=2))
        assert (await read_reply(reader))[:2] == b"\x00\x02"
        names.release.set()
        assert (await read_reply(reader))[:2] == b"\x00\x01"
        writer.close()


async def test_more_queries_than_the_pipeline_holds_wait_and_all_are_answered() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    count = limits.TCP_PIPELINE + 10
    async with running(names) as server:
        reader, writer = await connect(server)
        writer.write(b"".join(framed("far.overlay", message_id=number) for number in range(count)))
        await wait_until(lambda: len(names.lookups) == limits.TCP_PIPELINE)
        names.release.set()
        ids = {int.from_bytes((await read_reply(reader))[:2]) for _ in range(count)}
        assert ids == set(range(count))
        writer.close()


async def test_a_client_that_ends_its_side_still_gets_its_replies() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    async with running(names) as server:
        reader, writer = await connect(server)
        writer.write(framed("far.overlay"))
        writer.write_eof()
        await wait_until(lambda: names.lookups)
        names.release.set()
        assert rows(reply(await read_reply(reader)).rr) == ["far.overlay. A 127.80.3.1"]
        assert await reader.read() == b""
        writer.close()


async def test_a_reply_to_a_reply_is_never_sent() -> None:
    async with running() as server:
        reader, writer = await connect(server)
        looped = bytearray(framed("alice.overlay", message_id=1))
        looped[4] |= 0x80
        writer.write(bytes(looped) + framed("alice.overlay", message_id=2))
        assert (await read_reply(reader))[:2] == b"\x00\x02"
        writer.close()


@pytest.mark.parametrize("dribble", [False, True])
async def test_a_connection_that_brings_no_whole_query_is_cut(dribble: bool) -> None:
    async with running(tcp_idle_seconds=0.05) as server:
        reader, writer = await connect(server)
        with contextlib.suppress(ConnectionError):
            while dribble and not reader.at_eof():
                writer.write(b"\x01")
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await wait_until(lambda: server.status().tcp_connections == 0)
        writer.close()


@pytest.mark.parametrize("length", [0, 11, limits.QUERY_BYTES + 1, 65535])
async def test_a_message_of_a_length_no_query_has_is_cut_before_it_is_held(length: int) -> None:
    async with running() as server:
        reader, writer = await connect(server)
        writer.write(length.to_bytes(2))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_client_that_does_not_read_is_not_read_from() -> None:
    names = FakeNames()
    names.facts["alice.overlay"] = exists(
        ALICE_ADDRESS, texts=tuple(f"{number:0>200}" for number in range(200))
    )
    responder = Responder(Zone(), names)
    server = DnsServer(responder, LOCALHOST, 0)
    await server.start()
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, server.address.sockaddr)
        flood = framed("alice.overlay", "TXT") * 5000
        sending = loop.create_task(loop.sock_sendall(client, flood))
        seen = -1
        while seen != responder.status().queries or not seen:  # until it no longer grows
            seen = responder.status().queries
            await asyncio.sleep(0.05)
        assert 0 < seen < 5000
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert rows(reply(await over_udp(server.address, query_bytes("web.alice.overlay"))).rr)
    await server.close()


async def over_udp(server: Address, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(server.sockaddr)
        await loop.sock_sendall(client, data)
        async with asyncio.timeout(5):
            return await loop.sock_recv(client, 65535)


async def test_a_flood_of_connections_costs_the_flooder_its_own_oldest_ones() -> None:
    async with running() as server:
        flood = [await connect(server) for _ in range(limits.TCP_CONNECTIONS_PER_CLIENT + 20)]
        await wait_until(lambda: server.status().tcp_connections == limits.TCP_CONNECTIONS_PER_CLIENT)
        reader, writer = flood[-1]
        writer.write(framed("alice.overlay"))
        assert rows(reply(await read_reply(reader)).rr) == ["alice.overlay. A 127.80.3.1"]
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await flood[0][0].readexactly(1)
        for _, writer in flood:
            writer.transport.abort()


async def test_the_longest_idle_connection_of_all_clients_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.server.TCP_CONNECTIONS", 3)
    async with running() as server:
        connections = [await connect(server) for _ in range(3)]
        reader, writer = connections[0]
        writer.write(framed("alice.overlay"))
        await read_reply(reader)
        connections.append(await connect(server))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await connections[1][0].readexactly(1)  # not the first, which has just asked
        assert server.status().tcp_connections == 3
        for _, writer in connections:
            writer.transport.abort()


async def test_replies_the_system_does_not_take_are_dropped_and_counted() -> None:
    async with running() as server:
        assert server._udp is not None
        server._udp.pause_writing()  # what the transport calls when its buffer is full
        server._udp.datagram_received(query_bytes("alice.overlay"), ("127.0.0.1", 9))
        assert server.status().dropped_replies == 1
        server._udp.resume_writing()
        assert await over_udp(server.address, query_bytes("alice.overlay"))
        assert server.status().dropped_replies == 1


async def test_junk_over_udp_is_survived() -> None:
    async with running() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as junk:
            for size in (0, 1, 11, 12, 13, 512, 5000):
                junk.sendto(b"\x00" * size, server.address.sockaddr)
                junk.sendto(b"\xff" * size, server.address.sockaddr)
        answered = await over_udp(server.address, query_bytes("alice.overlay"))
        assert rows(reply(answered).rr) == ["alice.overlay. A 127.80.3.1"]
        assert server.status().dropped_replies == 0
