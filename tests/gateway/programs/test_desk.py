"""Programs on the control socket: what they may ask for, how it ends, and how much there may be."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from gateway.dialing import DialError, Failure
from gateway.errors import UsageError
from gateway.programs import desk as module
from gateway.programs import offering
from gateway.programs.client import HungUp, ProgramClient
from gateway.programs.limits import PROGRAM_HELD, PROGRAM_LINE_BYTES, PROGRAM_WAITING
from gateway.programs.messages import Accept, Connect, Forward, ForwardRule, Offer, OpenFlow


@pytest.fixture
def client(desk):
    return ProgramClient(desk.home)


async def joined(client, *, strict: bool = False):
    """A service, and both ends of a stream to it."""
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk", public=True))
    connecting = asyncio.get_running_loop().run_in_executor(
        None, lambda: client.connect(Connect(host="talk.me.overlay", strict=strict))
    )
    call = await asyncio.to_thread(calls.next, 5)
    far = await asyncio.to_thread(client.accept, call, strict=strict)
    return calls, await connecting, far


async def received(sock: socket.socket) -> bytes:
    def read() -> bytes:
        return b"".join(iter(lambda: sock.recv(65536), b""))

    return await asyncio.to_thread(read)


async def test_bytes_and_ends_pass_both_ways(client):
    calls, near, far = await joined(client)
    with near.sock, far.sock:
        near.sock.sendall(b"there")
        near.sock.shutdown(socket.SHUT_WR)
        assert await received(far.sock) == b"there"
        assert (await asyncio.to_thread(client.ending, far.attached.stream)).state == "ended"
        far.sock.sendall(b"and back")
        far.sock.shutdown(socket.SHUT_WR)
        assert await received(near.sock) == b"and back"
        assert (await asyncio.to_thread(client.ending, near.attached.stream)).state == "ended"
    calls.close()


async def test_a_strict_program_that_goes_without_a_word_has_crashed(client):
    calls, near, far = await joined(client, strict=True)
    near.sock.sendall(b"half")
    near.sock.close()
    with far.sock:
        assert await received(far.sock) == b"half"
        assert (await asyncio.to_thread(client.ending, far.attached.stream)).state == "cut"
    calls.close()


async def test_a_strict_program_that_has_said_so_ends_well(client):
    calls, near, far = await joined(client, strict=True)
    near.sock.sendall(b"all")
    await asyncio.to_thread(client.done, near.attached.stream)
    near.sock.close()
    with far.sock:
        assert await received(far.sock) == b"all"
        assert (await asyncio.to_thread(client.ending, far.attached.stream)).state == "ended"
    calls.close()


async def test_a_service_goes_with_its_program(client, desk):
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk"))
    assert desk.services.book.get("talk") is not None
    calls.close()
    async with asyncio.timeout(5):
        while desk.services.book.get("talk") is not None:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
    with pytest.raises(DialError):
        await asyncio.to_thread(client.connect, Connect(host="talk.me.overlay"))


async def test_callers_of_a_program_that_stops_are_told(client):
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk"))
    connecting = asyncio.get_running_loop().run_in_executor(
        None, lambda: client.connect(Connect(host="talk.me.overlay"))
    )
    await asyncio.to_thread(calls.next, 5)
    calls.close()
    with pytest.raises(DialError, match="stopped to listen") as refused:
        await connecting
    assert refused.value.failure is Failure.TARGET_REFUSED


async def test_a_caller_is_taken_once(client):
    calls, near, far = await joined(client)
    with pytest.raises(UsageError, match="was taken before"):
        await asyncio.to_thread(client.connect, Accept(stream=far.attached.stream))
    for each in (near, far):
        each.sock.close()
    calls.close()


async def test_no_more_callers_wait_than_may(client, monkeypatch):
    monkeypatch.setattr(offering, "PROGRAM_WAITING", 2)
    assert PROGRAM_WAITING > 2
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk"))
    loop = asyncio.get_running_loop()
    waiting = [
        loop.run_in_executor(None, lambda: client.connect(Connect(host="talk.me.overlay"))) for _ in range(2)
    ]
    for _ in waiting:
        await asyncio.to_thread(calls.next, 5)
    with pytest.raises(DialError) as refused:
        await asyncio.to_thread(client.connect, Connect(host="talk.me.overlay"))
    assert refused.value.failure is Failure.OVERLOADED
    calls.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_no_more_is_open_than_may_be(client, monkeypatch):
    monkeypatch.setattr(module, "PROGRAM_HELD", 1)
    assert PROGRAM_HELD > 1
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk"))
    with pytest.raises(UsageError, match="the most there may be"):
        await asyncio.to_thread(client.offer, Offer(service="more"))
    monkeypatch.setattr(module, "PROGRAM_STREAMS", 0)
    for asked in (Connect(host="talk.me.overlay"), OpenFlow(host="talk.me.overlay")):
        with pytest.raises((DialError, HungUp)):
            await asyncio.to_thread(client.connect, asked)
    calls.close()


async def test_a_process_without_room_says_so_and_what_is_open_goes_on(client, desk):
    calls, near, far = await joined(client)
    rule = ForwardRule(listen="127.0.0.1", listen_port=0, host="talk.me.overlay")
    opened, troubles = await asyncio.to_thread(client.forward, Forward(rules=(rule,)))
    desk.desk.refusal = lambda: "this gateway has no room for more connections"
    for asked in (Connect(host="talk.me.overlay"), OpenFlow(host="talk.me.overlay")):
        with pytest.raises(DialError, match="no room for more") as refused:
            await asyncio.to_thread(client.connect, asked)
        assert refused.value.failure is Failure.OVERLOADED
    for held, wanted in ((client.offer, Offer(service="more")), (client.forward, Forward(rules=(rule,)))):
        with pytest.raises(UsageError, match="no room for more"):
            await asyncio.to_thread(held, wanted)
    host, port = opened.places[0].split(":")
    reader, _ = await asyncio.open_connection(host, int(port))
    with pytest.raises(ConnectionResetError):
        await reader.read()
    near.sock.sendall(b"still here")
    assert await asyncio.to_thread(far.sock.recv, 100) == b"still here"
    for each in (near, far):
        each.sock.close()
    calls.close()
    troubles.close()


async def test_a_forwarded_port_leads_to_the_service_and_tells_what_fails(client, desk):
    rule = ForwardRule(listen="127.0.0.1", listen_port=0, host="talk.me.overlay")
    opened, troubles = await asyncio.to_thread(client.forward, Forward(rules=(rule,)))
    port = int(opened.places[0].rpartition(":")[2])

    def visit() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as visitor:
                return visitor.recv(100)
        except ConnectionResetError:
            return b"reset"

    assert await asyncio.to_thread(visit) == b"reset"
    assert "exposes nothing there" in (await asyncio.to_thread(troubles.next, 5)).error
    _, calls = await asyncio.to_thread(client.offer, Offer(service="talk"))
    visiting = asyncio.get_running_loop().run_in_executor(None, visit)
    far = await asyncio.to_thread(client.accept, await asyncio.to_thread(calls.next, 5))
    far.sock.sendall(b"hello")
    assert await visiting == b"hello"
    far.sock.close()
    troubles.close()
    async with asyncio.timeout(5):
        while desk.desk._held > 1:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(visit)
    calls.close()


async def test_nonsense_and_long_lines_are_refused(desk):
    for data in (b"OVERLAY/1 nonsense\n", b"OVERLAY/1 " + b"x" * (PROGRAM_LINE_BYTES + 1)):
        reader, writer = await asyncio.open_unix_connection(await asyncio.to_thread(desk.home.control_socket))
        writer.write(data)
        async with asyncio.timeout(5):
            assert b'"code":"usage"' in await reader.read()
        writer.close()


async def test_requests_go_on_as_before_beside_programs(desk):
    path = await asyncio.to_thread(desk.home.control_socket)
    reader, writer = await asyncio.open_unix_connection(path)
    for part in (b"G", b"ET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
async def test_another_user_is_refused(desk):
    path = await asyncio.to_thread(desk.home.control_socket)
    await asyncio.to_thread(os.chmod, path, 0o666)
    await asyncio.to_thread(os.chmod, path.parent, 0o755)
    code = (  # it goes there first: others may not look into the directories above
        "import os, socket, sys; place, name = os.path.split(sys.argv[1]); os.chdir(place); os.setuid(12345)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(name)\n"
        'os.write(s.fileno(), b\'OVERLAY/1 {"do": "offer", "service": "x"}\\n\'); print(s.recv(999).decode())'
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "belongs to another user" in done.stdout
