"""One UDP listener: each source address has a flow of its own, so that answers find the program that asked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.dialing import DialError
from gateway.limits import FLOW_EARLY_DATAGRAMS, UDP_FLOW_FAILED_SECONDS
from tunnels.transports.batches import BatchSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.dialing import Dialer, Flow
    from gateway.flows.keeper import FlowKeeper
    from gateway.listeners.bindings import Binding
    from gateway.listeners.tcp import Spawn

_logger = logging.getLogger(__name__)
_BATCHES_PER_TURN: Final = 2  # then other sockets have their turn

SourceAddress = tuple[str, int]


class UdpListener:
    """Owns a bound socket; its sources live in a keeper that all UDP listeners share."""

    def __init__(
        self,
        sock: socket.socket,
        binding: Binding,
        dialer: Dialer,
        spawn: Spawn,
        keeper: FlowKeeper,
        on_used: Callable[[Binding], None],
    ) -> None:
        self.binding = binding
        self.dialer = dialer
        self.spawn = spawn
        self.keeper = keeper
        self.sources: dict[SourceAddress, Source] = {}
        self._socket = sock
        self._batches = BatchSocket(sock)
        self._answers: dict[SourceAddress, list[bytes]] = {}
        self._on_used = on_used
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._on_readable)

    def close(self) -> None:
        """Stop listening and end all flows; idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            for source in list(self.sources.values()):
                source.expire()
            self._batches.close()

    def send_to(self, address: SourceAddress, data: bytes) -> None:
        """Answer a source, with the other answers of this turn; dropped when the kernel has no room."""
        answers = self._answers.get(address)
        if answers is not None:
            answers.append(data)
            return
        if not self._answers:
            self._loop.call_soon(self._send_answers)
        self._answers[address] = [data]

    def _send_answers(self) -> None:
        answers, self._answers = self._answers, {}
        if self._socket.fileno() >= 0:
            for address, datagrams in answers.items():
                self._batches.send(datagrams, address)

    def _on_readable(self) -> None:
        for _ in range(_BATCHES_PER_TURN):
            try:
                batch = self._batches.receive()
            except OSError:  # an ICMP error about an earlier answer
                continue
            if not batch:
                return
            for data, address in batch:
                source = self.sources.get(address)
                if source is None:
                    source = Source(self, address)
                    if not self.keeper.add(source, self):
                        continue  # too many sources in all, and none of them ours
                    self.sources[address] = source
                    self._on_used(self.binding)
                source.send(data)


class Source:
    """One local address that sends to a UDP listener, and its flow."""

    __slots__ = ("_address", "_flow", "_listener", "_retry_at", "_task", "_waiting")

    def __init__(self, listener: UdpListener, address: SourceAddress) -> None:
        self._listener = listener
        self._address = address
        self._flow: Flow | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = []
        self._retry_at = 0.0

    def send(self, data: bytes) -> None:
        """One datagram from the source: sent, or kept while its flow opens, or dropped."""
        self._listener.keeper.touch(self)
        if self._flow is not None:
            self._flow.send(data)
        elif self._task is not None:
            if len(self._waiting) < FLOW_EARLY_DATAGRAMS:
                self._waiting.append(data)
        elif asyncio.get_running_loop().time() >= self._retry_at:
            self._waiting.append(data)
            self._task = self._listener.spawn(self._dial(), f"udp flow to {self._listener.binding.host}")

    def expire(self) -> None:
        """End the flow and forget the source."""
        self._listener.sources.pop(self._address, None)
        self._listener.keeper.remove(self)
        if self._task is not None:
            self._task.cancel()
        if self._flow is not None:
            self._flow.close()
            self._flow = None

    async def _dial(self) -> None:
        binding = self._listener.binding
        try:
            flow = await self._listener.dialer.open_flow(
                binding.host, binding.port, self._on_datagram, self._on_closed
            )
        except DialError as error:
            _logger.info("datagrams to %s are dropped: %s", binding, error)
            self._retry_at = asyncio.get_running_loop().time() + UDP_FLOW_FAILED_SECONDS
        else:
            self._flow = flow
            for data in self._waiting:
                flow.send(data)
        finally:
            self._waiting.clear()
            self._task = None

    def _on_datagram(self, data: bytes) -> None:
        self._listener.keeper.touch(self)
        self._listener.send_to(self._address, data)

    def _on_closed(self) -> None:
        """The flow ended by itself; the next datagram opens another, though not at once."""
        self._flow = None
        self._retry_at = asyncio.get_running_loop().time() + _REOPEN_SECONDS


_REOPEN_SECONDS: Final = 1.0  # a refusal comes this way too: without a pause each datagram would ask again
