"""Streams of peers reach the targets they may use, and nothing else; what a peer can fill is bounded."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

import pytest

from gateway import limits
from gateway.expose.proxy_protocol import proxy_header
from gateway.splice import reset
from gateway.stream_header import Answer, AnswerParser, Kind, Request, Status
from gateway.traffic.terms import Terms
from tests.lab.serving import serving, tcp_server, udp_server, unix_server, until
from tests.lab.streams import ALICE, BOB, CAROL, LabStream, Recorder, start, take, tunnel_pair


async def _call(world, wire: bytes = b"", caller=BOB) -> tuple[LabStream, Recorder]:
    """Open a raw stream to the acceptor and send bytes on it."""
    near, far = await tunnel_pair(caller, ALICE)
    world.tunnel.opened.append(near)
    start(far, world.acceptor.accept(far))
    recorder = take(near)
    near.write(wire)
    return near, recorder


async def _answer(recorder: Recorder) -> tuple[Answer, bytes]:
    parser = AnswerParser()
    await recorder.until(lambda r: len(r.data) >= 7 and len(r.data) >= 6 + int.from_bytes(r.data[4:6]))
    answer = parser.feed(bytes(recorder.data))
    assert answer is not None
    return answer, parser.rest


async def test_a_stream_reaches_its_target_one_byte_at_a_time() -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        near, seen = await _call(world)
        for byte in Request(Kind.TCP_CONNECT, "web", 80).encode() + b"hello":
            near.write(bytes([byte]))
            await asyncio.sleep(0)
        await seen.until(lambda r: r.data.endswith(b"hello"))
        assert await _answer(seen) == (Answer(Status.OK), b"hello")
        assert world.acceptor.status.streams == 1
        assert world.acceptor.status.pending == 0
        near.write_eof()
        await seen.ends()
        near.close()
        await until(lambda: world.acceptor.status.streams == 0)


async def test_a_unix_socket_is_a_target(tmp_path) -> None:
    async with unix_server(str(tmp_path / "s")), serving() as world:
        world.expose("web", f"unix:{tmp_path}/s")
        _, seen = await _call(world, Request(Kind.TCP_CONNECT, "", 80).encode() + b"hello")
        await seen.until(lambda r: r.data.endswith(b"hello"))


@pytest.mark.parametrize(
    ("caller", "request_", "status"),
    [
        (BOB, Request(Kind.TCP_CONNECT, "web", 80), Status.OK),
        (BOB, Request(Kind.TCP_CONNECT, "secret", 1), Status.FORBIDDEN),
        (BOB, Request(Kind.TCP_CONNECT, "none", 1), Status.NO_SERVICE),
        (BOB, Request(Kind.UDP_FLOW, "web", 80), Status.NO_SERVICE),
        (BOB, Request(Kind.TCP_CONNECT, "", 12), Status.NO_SERVICE),
        (CAROL, Request(Kind.TCP_CONNECT, "web", 80), Status.NO_SERVICE),
        (CAROL, Request(Kind.TCP_CONNECT, "secret", 1), Status.NO_SERVICE),
        (CAROL, Request(Kind.TCP_CONNECT, "open", 1), Status.OK),
    ],
)
async def test_only_who_may_gets_through(caller, request_, status) -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        world.expose("secret", str(port), port=99, allow=())
        world.expose("open", str(port), port=98, public=True)
        _, seen = await _call(world, request_.encode(), caller)
        assert (await _answer(seen))[0].status is status
        if status is not Status.OK:
            await seen.ends()
            assert world.acceptor.status.streams == 0


@pytest.mark.parametrize(
    ("target", "status"),
    [("refused", Status.TARGET_REFUSED), ("unix:/nowhere/s", Status.TARGET_REFUSED),
     ("no-such-host.invalid:80", Status.TARGET_UNREACHABLE), ("a..b:80", Status.TARGET_UNREACHABLE)],
)  # fmt: skip
async def test_errors_of_targets_become_statuses(target: str, status: Status) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        async with serving() as world:
            world.expose("web", str(taken.getsockname()[1]) if target == "refused" else target)
            _, seen = await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
            answer, _ = await _answer(seen)
            assert answer.status is status
            assert "web" in answer.reason
            assert "127.0.0.1" not in answer.reason  # where targets are is nobody's business


async def test_a_target_that_does_not_accept_in_time_is_unreachable() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            async with serving(connect_seconds=0.2) as world:
                world.expose("web", str(full.getsockname()[1]))
                _, seen = await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
                assert (await _answer(seen))[0].status is Status.TARGET_UNREACHABLE


async def test_a_header_that_does_not_come_is_not_waited_for() -> None:
    async with serving(header_seconds=0.05) as world:
        _, seen = await _call(world, b"OV\x01")
        assert (await _answer(seen))[0].status is Status.BAD_REQUEST
        await seen.ends()
        assert world.acceptor.status.streams == 0


@pytest.mark.parametrize(
    ("wire", "status"),
    [(b"GET / HTTP/1.1\r\n\r\n", Status.BAD_REQUEST), (b"OV\x02\x01", Status.WRONG_VERSION),
     (b"OV\x01\x77\x00\x00", Status.BAD_REQUEST)],
)  # fmt: skip
async def test_what_is_no_request_is_answered_so(wire: bytes, status: Status) -> None:
    async with serving() as world:
        _, seen = await _call(world, wire)
        assert (await _answer(seen))[0].status is status
        await seen.ends()


async def test_a_stream_that_ends_in_its_header_is_over() -> None:
    async with serving() as world:
        near, seen = await _call(world, b"OV\x01")
        near.write_eof()
        assert (await _answer(seen))[0].status is Status.BAD_REQUEST
        near, _ = await _call(world, b"OV\x01")
        reset(near)
        await until(lambda: world.acceptor.status.streams == 0)


async def test_closing_ends_a_dial_under_way() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            async with serving() as world:
                world.expose("web", str(full.getsockname()[1]))
                await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
                await until(lambda: len(world.tasks.tasks) == 1)
                world.acceptor.close()
                await until(lambda: not world.tasks.tasks)
                assert world.acceptor.status.streams == 0


async def test_unanswered_streams_are_bounded_per_caller(monkeypatch) -> None:
    monkeypatch.setattr("gateway.expose.acceptor.STREAMS_PENDING_PER_ENDPOINT", 5)
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port), public=True)
        request = Request(Kind.TCP_CONNECT, "web", 80).encode()
        waiting = [await _call(world) for _ in range(5)]
        _, refused = await _call(world, request)
        assert (await _answer(refused))[0].status is Status.OVERLOADED
        _, other = await _call(world, request, CAROL)
        assert (await _answer(other))[0].status is Status.OK
        for near, seen in waiting:
            near.write(request)
            assert (await _answer(seen))[0].status is Status.OK
        assert world.acceptor.status.pending == 0
        _, again = await _call(world, request)
        assert (await _answer(again))[0].status is Status.OK


async def test_a_process_that_has_no_room_tells_the_caller_why() -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port), public=True)
        world.acceptor.refusal = lambda: (
            "this gateway has no room for more connections: its memory is used up"
        )
        _, refused = await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
        answer = (await _answer(refused))[0]
        assert answer.status is Status.OVERLOADED
        assert "its memory is used up" in answer.reason
        assert world.acceptor.status.streams == 0


async def test_open_streams_are_bounded_per_caller(monkeypatch) -> None:
    monkeypatch.setattr("gateway.expose.acceptor.STREAMS_PER_ENDPOINT", 3)
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        request = Request(Kind.TCP_CONNECT, "web", 80).encode()
        held = [await _call(world, request) for _ in range(3)]
        for _, seen in held:
            assert (await _answer(seen))[0].status is Status.OK
        _, refused = await _call(world, request)
        assert (await _answer(refused))[0].status is Status.OVERLOADED
        reset(held[0][0])
        await until(lambda: world.acceptor.status.streams == 2)
        _, again = await _call(world, request)
        assert (await _answer(again))[0].status is Status.OK


async def test_a_burst_of_streams_is_served_without_a_task_each() -> None:
    assert limits.STREAMS_PENDING_PER_ENDPOINT >= 1000
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        request = Request(Kind.TCP_CONNECT, "web", 80).encode()
        seen = [(await _call(world, request + b"%d" % number))[1] for number in range(300)]
        for number, recorder in enumerate(seen):
            await recorder.until(lambda r, n=number: bytes(r.data).endswith(b"%d" % n))
        assert world.acceptor.status.streams == 300
        assert not world.tasks.tasks  # a joined stream has no task


@pytest.mark.parametrize("known", [True, False])
async def test_the_proxy_protocol_tells_the_target_who_calls(known: bool) -> None:
    server = Recorder()
    async with tcp_server(lambda: server) as port, serving() as world:
        world.expose("web", str(port), proxy_protocol="v2")
        address = IPv4Address("127.80.3.1")
        world.acceptor.address_of = lambda caller: address if known and caller == BOB else None
        await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode() + b"hello")
        await server.until(lambda r: r.data.endswith(b"hello"))
        if known:
            source_port = int.from_bytes(server.data[24:26])
            header = proxy_header(BOB, (address, source_port), (IPv4Address("127.0.0.1"), port))
        else:
            header = proxy_header(BOB)
        assert server.data == header + b"hello"
        world.acceptor.close()
        await server.ends()


async def test_an_http_target_is_told_who_calls_and_cannot_be_told_otherwise() -> None:
    server = Recorder()
    async with tcp_server(lambda: server) as port, serving() as world:
        world.expose("web", str(port), http_endpoint_header=True, host_header="localhost")
        near, seen = await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
        near.write(b"GET / HTTP/1.1\r\nHost: web.alice.overlay\r\nX-Overlay-Endpoint: forged\r\n\r\n")
        await server.until(lambda r: r.data.endswith(b"\r\n\r\n"))
        assert b"X-Overlay-Endpoint: " + str(BOB).encode() in server.data
        assert b"forged" not in server.data
        assert b"Host: localhost\r\n" in server.data
        reset(near)
        await until(lambda: world.acceptor.status.streams == 0)
        await seen.loses()


async def test_a_host_alone_may_be_rewritten() -> None:
    server = Recorder()
    async with tcp_server(lambda: server) as port, serving() as world:
        world.expose("web", str(port), host_header="localhost:3000")
        await _call(
            world,
            Request(Kind.TCP_CONNECT, "web", 80).encode()
            + b"GET / HTTP/1.1\r\nHost: x\r\nX-Overlay-Endpoint: forged\r\n\r\n",
        )
        await server.until(lambda r: r.data.endswith(b"\r\n\r\n"))
        assert b"Host: localhost:3000\r\n" in server.data
        assert b"forged" not in server.data


async def test_a_unix_target_is_told_who_calls_without_addresses(tmp_path) -> None:
    async with unix_server(str(tmp_path / "s")), serving() as world:
        world.expose("web", f"unix:{tmp_path}/s", proxy_protocol="v2")
        world.acceptor.address_of = lambda _: IPv4Address("127.80.3.1")
        _, seen = await _call(world, Request(Kind.TCP_CONNECT, "web", 80).encode())
        await seen.until(lambda r: r.data.endswith(proxy_header(BOB)))


async def test_a_udp_target_that_cannot_be_found_is_unreachable() -> None:
    async with serving() as world:
        for number, host in enumerate(("no-such-host.invalid", "a..b")):
            world.expose(f"dns{number}", f"{host}:{53 + number}/udp")
            _, seen = await _call(world, Request(Kind.UDP_FLOW, f"dns{number}", 53).encode())
            answer, _ = await _answer(seen)
            assert answer.status is Status.TARGET_UNREACHABLE
        assert repr(world.acceptor) == "Acceptor(0 streams, 0 pending, 0 flows)"


async def test_the_list_names_what_the_caller_may_use() -> None:
    async with serving() as world:
        world.expose("web", "8000")
        world.expose("secret", "9000", allow=())
        world.expose("games", "5000-5100/tcp+udp", public=True)
        listed = await world.dialer.list_services(ALICE)
        assert [(s.name, s.first_port, s.last_port, s.public) for s in listed] == [
            ("games", 5000, 5100, True),
            ("web", 80, 80, False),
        ]
        world.tunnel.caller = CAROL
        assert [s.name for s in await world.dialer.list_services(ALICE)] == ["games"]
        assert world.acceptor.status.streams == 0


async def test_streams_end_when_their_service_does() -> None:
    async with tcp_server() as port, udp_server() as (udp_port, _), serving() as world:
        for name in ("web", "other"):
            world.expose(name, str(port), port=1 if name == "web" else 2)
        world.expose("dns", f"{udp_port}/udp")
        seen = {}
        for name, kind in (("web", Kind.TCP_CONNECT), ("other", Kind.TCP_CONNECT), ("dns", Kind.UDP_FLOW)):
            _, seen[name] = await _call(world, Request(kind, name, 53).encode())
            assert (await _answer(seen[name]))[0].status is Status.OK
        assert world.acceptor.recheck() == 0
        world.book.remove("web")
        world.book.remove("dns")
        assert world.acceptor.recheck() == 2
        await seen["web"].loses()
        await seen["dns"].loses()
        assert not seen["other"].lost
        world.contacts.petnames.clear()
        assert world.acceptor.recheck() == 1
        await seen["other"].loses()
        assert isinstance(seen["other"].error, ConnectionResetError)
        await until(lambda: world.acceptor.status.streams == 0)
        assert world.acceptor.status.flows == 0


async def test_at_a_limit_a_caller_is_told_which_and_gets_in_again_when_one_ends() -> None:
    async with tcp_server() as port, serving(terms={"contacts.bob": Terms(connections=1)}) as world:
        world.expose("web", str(port))
        request = Request(Kind.TCP_CONNECT, "web", 80).encode()
        near, first = await _call(world, request + b"hello")
        await first.until(lambda r: r.data.endswith(b"hello"))
        _, second = await _call(world, request)
        told = "you have 1 connection open, which is the limit; close some and try again"
        assert await _answer(second) == (Answer(Status.LIMITED, told), b"")
        near.abort()
        await until(lambda: not len(world.traffic))
        _, third = await _call(world, request)
        assert (await _answer(third))[0].status is Status.OK


async def test_a_connection_that_came_to_nothing_counts_no_more() -> None:
    async with serving(terms={"services.dead": Terms(connections=1)}) as world:
        world.expose("dead", "unix:/nowhere", port=80)
        for _ in range(3):
            _, seen = await _call(world, Request(Kind.TCP_CONNECT, "dead", 80).encode())
            assert (await _answer(seen))[0].status is Status.TARGET_REFUSED
        assert not len(world.traffic)


async def test_a_flow_is_a_connection_too() -> None:
    async with udp_server() as (port, _), serving(terms={"contacts.bob": Terms(connections=1)}) as world:
        world.expose("dns", str(port), protocols=("udp",), port=53)
        request = Request(Kind.UDP_FLOW, "dns", 53).encode()
        _, first = await _call(world, request)
        assert (await _answer(first))[0].status is Status.OK
        _, second = await _call(world, request)
        assert (await _answer(second))[0].status is Status.LIMITED
