"""A Mainline DHT on loopback for one test: nodes of npm's bittorrent-dht, of libtorrent, and liars in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import libtorrent

from resolver.discovery import krpc
from resolver.discovery.bencode import MalformedMessage, decode, encode
from resolver.discovery.dht import DhtSource
from resolver.discovery.dht_table import DhtTable, TableSettings
from tests.lab.npm import installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from resolver.signed_packets import SignedPacket
    from tests.lab.netns import Namespace
    from tunnels.identity import EndpointId

PATIENCE = 20.0
"""Seconds for what takes a fraction of one on a machine that is not busy."""
_SCRIPT = Path(__file__).with_suffix("").with_name("dht_npm.mjs")


async def eventually(is_so: Callable[[], bool]) -> None:
    """Until it is so, of which nobody tells us."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.02)


def npm_packages() -> Path:
    """Where bittorrent-dht and pkarr are installed."""
    return installed("bittorrent-dht@11.0.12", "pkarr@1.3.0")


class NpmNodes:
    """`async with NpmNodes(10) as nodes`: their ports, and what they are told to do."""

    def __init__(self, count: int, *, join: int = 0, namespace: Namespace | None = None) -> None:
        """`join` is the port of a node of a DHT that is there; they are on the loopback of `namespace`, or of ours."""
        self._arguments = str(count), str(join)
        self._namespace = namespace

    async def __aenter__(self) -> Self:
        place = await asyncio.to_thread(npm_packages)
        node = shutil.which("node")
        assert node is not None
        script = await asyncio.to_thread(_SCRIPT.read_text)
        command = [node, "--input-type=module", "-e", script, "--", *self._arguments]
        self._process = await asyncio.create_subprocess_exec(
            *(command if self._namespace is None else self._namespace.command(*command)),
            cwd=place,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self.ports: list[int] = await self._line()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert line, "the nodes of npm ended"
        return json.loads(line)

    async def do(self, command: str, **options: object) -> Any:
        """What a command of dht_npm.mjs answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **options}).encode() + b"\n")
        answer = await self._line()
        assert "error" not in answer, answer
        return answer["done"]

    async def kept(self, endpoint_id: EndpointId) -> list[int]:
        """The timestamps of the endpoint's records at those that keep one."""
        found: list[int] = await self.do("kept", target=krpc.target_of(endpoint_id).hex())
        return found


def place(host: str, port: int) -> str:
    """As libtorrent and our settings write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.asynccontextmanager
async def libtorrent_nodes(count: int, *, join: int = 0, host: str = "127.0.0.1") -> AsyncIterator[list[int]]:
    """The ports of nodes of libtorrent that keep what they are given; `join` is the port of a node that is there."""
    kinds = libtorrent.alert.category_t
    sessions = [
        libtorrent.session(
            {
                "listen_interfaces": place(host, 0),
                "dht_bootstrap_nodes": place(host, join) if join else "",
                "alert_mask": kinds.dht_notification,
                **dict.fromkeys(("enable_lsd", "enable_upnp", "enable_natpmp"), False),
                **dict.fromkeys(
                    (
                        "dht_restrict_routing_ips",
                        "dht_restrict_search_ips",
                        "dht_prefer_verified_node_ids",
                        "dht_ignore_dark_internet",
                    ),
                    False,
                ),
            }
        )
        for _ in range(count)
    ]
    try:
        await eventually(lambda: all(session.listen_port() for session in sessions))
        ports = [session.listen_port() for session in sessions]
        for session in sessions:
            for port in (join, *ports) if join else ports:
                session.add_dht_node((host, port))
        yield ports
    finally:
        await asyncio.to_thread(sessions.clear)


@contextlib.asynccontextmanager
async def dht_source(
    ports: Iterable[int],
    *,
    nodes: int = 1,
    host: str = "127.0.0.1",
    on_news: Callable[[SignedPacket], None] = lambda _: None,
) -> AsyncIterator[DhtSource]:
    """A source that knows the DHT by these ports, once its table has so many nodes."""
    bootstrap = [place(host, port) for port in ports]
    table = DhtTable(TableSettings(hosts=[host], bootstrap=bootstrap, private=True))
    source = DhtSource(table, hosts=[host], bootstrap=bootstrap, private=True, on_news=on_news)
    await source.open()
    try:
        await eventually(lambda: source.nodes >= nodes)
        yield source
    finally:
        await source.close()


class Liar(asyncio.DatagramProtocol):
    """A node that gives what it likes, names whom it likes, and keeps nothing."""

    def __init__(self, give: Callable[[bytes], dict[bytes, Any]], *, refuses: bool = True) -> None:
        """`give` makes what it adds to an answer about a target; `refuses` tells it says so, or says nothing."""
        self._give = give
        self._refuses = refuses
        self.id = secrets.token_bytes(krpc.ID_BYTES)
        self.port = 0
        self.named: list[bytes] = []
        """Compact nodes that it names, besides made-up ones."""
        self.delay = 0.0
        """Seconds from a question to its answer."""
        self.is_silent = False
        self.puts = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    @property
    def compact(self) -> bytes:
        return self.id + compact_place(self.port)

    def join(self, ports: Iterable[int]) -> None:
        """Make others know of it: whoever asks is a node."""
        for port in ports:
            query = {
                b"a": {b"id": self.id, b"target": self.id},
                b"q": b"find_node",
                b"t": b"join",
                b"y": b"q",
            }
            self._transport.sendto(encode(query), ("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(MalformedMessage):
            message = decode(data)
            if self.is_silent or not isinstance(message, dict) or message.get(b"y") != b"q":
                return
            arguments: Any = message[b"a"]
            reply: dict[bytes, Any] = {b"t": message[b"t"], b"y": b"r"}
            if message[b"q"] in (b"put", b"announce_peer"):
                self.puts += 1
                if not self._refuses:
                    return
                reply |= {b"y": b"e", b"e": [203, b"go away\nforged line"]}
            else:
                target = arguments.get(b"target") or arguments.get(b"info_hash") or self.id
                near = [target[:-3] + secrets.token_bytes(3) + nowhere() for _ in range(4)]
                answer = {b"id": self.id, b"token": b"token", b"nodes": b"".join((*near, *self.named))}
                if message[b"q"] in (b"get", b"get_peers"):
                    answer |= self._give(target)
                reply[b"r"] = answer
            asyncio.get_running_loop().call_later(self.delay, self._answer, encode(reply), addr)

    def _answer(self, reply: bytes, addr: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)

    def close(self) -> None:
        self._transport.close()


def compact_place(port: int) -> bytes:
    """127.0.0.1 and a port, as nodes write it."""
    return bytes((127, 0, 0, 1)) + port.to_bytes(2)


def nowhere() -> bytes:
    """A place on this machine where nobody is, another one each time."""
    return bytes((127, 9)) + secrets.token_bytes(2) + (9).to_bytes(2)


@contextlib.asynccontextmanager
async def liars(
    gives: Iterable[Callable[[bytes], dict[bytes, Any]]], *, known_to: Iterable[int]
) -> AsyncIterator[list[Liar]]:
    """One liar for each thing to give, known to the nodes at these ports; they name each other."""
    nodes = [Liar(give, refuses=number % 2 == 0) for number, give in enumerate(gives)]
    try:
        for node in nodes:
            await node.open()
        known = tuple(known_to)
        for node in nodes:
            node.named = [other.compact for other in secrets.SystemRandom().sample(nodes, min(4, len(nodes)))]
            node.join(known)
        yield nodes
    finally:
        for node in nodes:
            node.close()
