"""A TURN server to talk to: a small one in memory that can be told to misbehave, and a real coturn."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunnels.addresses import Address
from tunnels.nat import stun
from tunnels.nat.stun import Class, Method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tunnels.nat.turn import TurnClient

USER, PASSWORD, REALM = "bob", "secret", "realm"
SERVER = Address.parse("198.51.100.1:3478")
RELAYED = Address.parse("198.51.100.1:50000")
MAPPED = Address.parse("203.0.113.9:41641")


@dataclass
class FakeTurn:
    """A TURN server for one client, without time: what is bound stays bound."""

    errors: dict[Method, int] = field(default_factory=dict)
    """Requests to refuse, with which error."""
    lifetime: int = 600
    relayed: Address | None = RELAYED
    silent: bool = False
    stale: bool = False
    """The existing allocation of an earlier run is in the way."""
    allocated: bool = False
    forgot: bool = False
    """It knows no allocation of ours, until there is another."""
    channels: dict[int, Address] = field(default_factory=dict)
    requests: list[tuple[Method, dict]] = field(default_factory=list)
    arrived: list[tuple[Address, bytes]] = field(default_factory=list)
    """What peers got."""
    passwords: dict[str, str] = field(default_factory=lambda: {USER: PASSWORD})
    owner: str = ""
    """Whose the existing allocation is."""
    key: bytes = b""
    """Of whoever asked last."""

    def forget(self) -> None:
        """As a server does that was started anew, and to which a NAT shows us at another port."""
        self.allocated = self.stale = False
        self.forgot = True
        self.channels.clear()

    def receive(self, datagram: bytes) -> bytes | None:
        """Its answer."""
        if self.silent:
            return None
        if datagram[0] & 0xC0 == 0x40:
            channel, size = struct.unpack_from("!HH", datagram)
            assert len(datagram) == 4 + size
            self.arrived.append((self.channels[channel], datagram[4:]))
            return None
        request = stun.decode(datagram)
        user = request.attributes.get("USERNAME", "")
        self.key = hashlib.md5(f"{user}:{REALM}:{self.passwords.get(user)}".encode()).digest()
        if user not in self.passwords or not request.is_signed_with(self.key):
            return self._answer(
                request, {"ERROR-CODE": (401, ""), "REALM": REALM, "NONCE": b"nonce"}, key=None
            )
        self.requests.append((request.method, dict(request.attributes)))
        code = self.errors.get(request.method)
        if self.forgot and request.method is not Method.ALLOCATE:
            code = 437
        if code is not None:
            return self._answer(request, {"ERROR-CODE": (code, "go away\nforged log line")})
        match request.method:
            case Method.ALLOCATE:
                if self.stale:
                    return self._answer(request, {"ERROR-CODE": (437, "")})
                self.allocated, self.forgot, self.owner = True, False, user
                relayed = {} if self.relayed is None else {"XOR-RELAYED-ADDRESS": self.relayed}
                return self._answer(
                    request, {**relayed, "XOR-MAPPED-ADDRESS": MAPPED, "LIFETIME": self.lifetime}
                )
            case Method.REFRESH:
                if self.owner not in ("", user):
                    return self._answer(request, {"ERROR-CODE": (441, "")})
                if request.attributes["LIFETIME"] == 0:
                    self.allocated = self.stale = False
                    return self._answer(request, {"LIFETIME": 0})
                return self._answer(request, {"LIFETIME": self.lifetime})
            case Method.CHANNEL_BIND:
                self.channels[request.attributes["CHANNEL-NUMBER"]] = request.address("XOR-PEER-ADDRESS")
                return self._answer(request, {})
            case Method.CREATE_PERMISSION:
                return self._answer(request, {})
        raise AssertionError(request)

    def _answer(self, request, attributes, key: bytes | None = b"") -> bytes:
        kind = Class.ERROR if "ERROR-CODE" in attributes else Class.RESPONSE
        key = self.key if key == b"" else key
        return stun.encode(request.method, kind, request.transaction_id, attributes, key=key)

    def serve(self, client: TurnClient, now: float) -> None:
        """Exchange datagrams with the client until neither has more to say at this time."""
        while datagrams := client.datagrams_to_send(now):
            for datagram in datagrams:
                if (answer := self.receive(datagram)) is not None:
                    assert client.receive(answer, now) is None

    def count(self, method: Method) -> int:
        """Requests of that method so far."""
        return sum(found is method for found, _ in self.requests)


@asynccontextmanager
async def coturn(directory: Path, *lines: str, port: int) -> AsyncIterator[Address]:
    """A real TURN server on loopback, with these lines added to its configuration."""
    configuration = directory / "turnserver.conf"
    common = (
        "listening-ip=127.0.0.1",
        "relay-ip=127.0.0.1",
        f"listening-port={port}",
        f"realm={REALM}",
        "no-tls",
        "no-dtls",
        "no-cli",
        "allow-loopback-peers",
        "log-file=stdout",
        "simple-log",
        "pidfile=",
        "userdb=",
        *lines,
    )
    configuration.write_text("\n".join((*common, "")), encoding="utf-8")
    process = await _started(configuration, port)
    try:
        yield Address.of("127.0.0.1", port)
    finally:
        await _ended(process)


async def _started(configuration: Path, port: int) -> asyncio.subprocess.Process:
    """Coturn, once it answers; now and then it starts and never does, and is started again."""
    for attempt in range(3):
        process = await asyncio.create_subprocess_exec(
            "turnserver",
            "-c",
            str(configuration),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await wait_until_it_answers(port)
        except AssertionError:
            await _ended(process)
            if attempt == 2:
                raise
        else:
            return process
    raise AssertionError


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


class _Probe(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answered = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answered.set()


async def wait_until_it_answers(port: int) -> None:
    """Ask from a new port each time: a source that coturn hears of while it starts is never answered."""
    for attempt in range(30):  # on a busy machine it takes seconds to start, and tenths of one to answer
        transport, probe = await asyncio.get_running_loop().create_datagram_endpoint(
            _Probe, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(stun.encode(Method.BINDING, Class.REQUEST, bytes(12)), ("127.0.0.1", port))
        try:
            await asyncio.wait_for(probe.answered.wait(), min(0.1 * (attempt + 1), 1.0))
        except TimeoutError:
            continue
        else:
            return
        finally:
            transport.close()
    raise AssertionError("coturn does not answer")
