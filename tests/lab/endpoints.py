"""Real endpoints on 127.0.0.1 that know each other's addresses, and protocols for their streams."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from tunnels.endpoint import Endpoint, EndpointSettings
from tunnels.identity import EndpointId, SecretKey
from tunnels.paths.candidates import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import PathAddress
    from tunnels.streams import TunnelTransport


gc.freeze()  # what was imported so far is not looked through again by the collections below


def key_of(name: str) -> SecretKey:
    """Everybody of the same name has the same key."""
    return SecretKey(hashlib.sha256(name.encode()).digest())


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait until the condition holds, looking again whenever the loop has turned; what it gave."""
    async with asyncio.timeout(seconds):
        while not (found := condition()):  # noqa: ASYNC110 - anything at all may be waited for
            await asyncio.sleep(0.002)
    return found


class Peer(asyncio.Protocol):
    """Keeps all that happened on a stream; answers nothing."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.received = bytearray()
        self.datagrams: list[bytes] = []
        self.calls: list[str] = []
        self.ended = asyncio.Event()
        self.paused = False
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.close_at_end = False

    def connection_made(self, transport: TunnelTransport) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.calls[-1] != "data":
            self.calls.append("data")

    def datagram_received(self, data: bytes) -> None:
        self.datagrams.append(data)

    def eof_received(self) -> bool:
        self.calls.append("end")
        self.ended.set()
        return not self.close_at_end

    def pause_writing(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def resume_writing(self) -> None:
        self.calls.append("resume")
        self.paused = False

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(error)  # a second call would raise


class Echo(Peer):
    """Sends back what it gets, with the end, holding no more than a buffer's worth."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def datagram_received(self, data: bytes) -> None:
        self.transport.send_datagram(data)

    def eof_received(self) -> bool:
        self.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Lab:
    """Endpoints by name; each finds the others, unless told otherwise, at their first address."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.accepted: dict[str, list[asyncio.Protocol]] = {}
        self.accepts: dict[str, Callable[[], asyncio.Protocol]] = {}
        self.found: dict[EndpointId, tuple[PathAddress, ...]] = {}
        self.policies: dict[str, PathPolicy] = {}
        """Which paths an endpoint of that name may use, to anybody; any, unless told otherwise."""
        self.has_contacts: set[str] = set()
        """The names of those to whom everybody is a contact."""
        self.home_changes: Counter[str] = Counter()
        """How often an endpoint of that name told of its home."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self.problems.append(context))

    def spawn(self, coroutine, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def find(self, endpoint_id: EndpointId) -> tuple[PathAddress, ...]:
        return self.found.get(endpoint_id, ())

    def start(self, name: str, *, key: SecretKey | None = None, **settings: Any) -> Endpoint:
        """A new endpoint of that name; an earlier one of the name is forgotten but not closed."""
        accepted = self.accepted.setdefault(name, [])

        def accept(_transport: TunnelTransport) -> asyncio.Protocol:
            protocol = self.accepts.get(name, Peer)()
            accepted.append(protocol)
            return protocol

        secret = key or key_of(name)
        endpoint = Endpoint(
            secret,
            EndpointSettings(**{"bind": ("127.0.0.1",), **settings}),
            find_addresses=self.find,
            accept_stream=accept,
            spawn=self.spawn,
            policy_of=lambda _: self.policies.get(name, PathPolicy.AUTO),
            is_known=lambda _: name in self.has_contacts,
            home_changed=lambda: self.home_changes.update([name]),
        )
        endpoint.start()
        self.endpoints[name] = endpoint
        self.found[endpoint.endpoint_id] = endpoint.addresses
        return endpoint

    def crash(self, name: str) -> int:
        """The endpoint is gone from one moment to the next, and tells nobody; its port."""
        endpoint = self.endpoints.pop(name)
        port = endpoint.addresses[0].port
        endpoint._transport._udp.close()
        endpoint._transport._watch.close()
        return port

    async def open(self, here: str, there: str, factory: Callable[[], asyncio.Protocol] = Peer) -> Any:
        """A stream between two of them: our protocol; its transport is its attribute."""
        _, protocol = await self.endpoints[here].open_stream(self.endpoints[there].endpoint_id, factory)
        return protocol

    async def peer_of(self, name: str, count: int = 1) -> Any:
        """The latest protocol of a stream that `name` accepted, once there are `count`."""
        await until(lambda: len(self.accepted[name]) >= count)
        return self.accepted[name][-1]

    async def close(self) -> None:
        for endpoint in self.endpoints.values():
            await endpoint.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


@contextlib.asynccontextmanager
async def lab():
    """A lab that is closed at the end, and that fails if anything was reported to the event loop meanwhile."""
    here = Lab()
    try:
        yield here
    finally:
        await here.close()
    gc.collect()  # what was never retrieved is reported when it is collected
    await asyncio.sleep(0)
    assert here.problems == []
