"""An upstream DNS server for tests, on UDP and TCP of one loopback port, with manners to choose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from dnslib import RR, A, DNSRecord

from resolver.messages import Kind
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Sequence


class Upstream(asyncio.DatagramProtocol):
    """Answers every question with 192.0.2.80, after a false reply if it is told to lie."""

    def __init__(
        self,
        *,
        answers: Sequence[RR] = (RR("example.org", Kind.A, rdata=A("192.0.2.80")),),
        rcode: int = 0,
        lie: str = "",
        silent: bool = False,
        truncated: bool = False,
        tcp_lie: bool = False,
        break_off: bool = False,
    ) -> None:
        self.answers = answers
        self.rcode = rcode
        self.lie = lie
        self.silent = silent
        self.truncated = truncated
        self.tcp_lie = tcp_lie
        self.break_off = break_off
        self.asked: list[tuple[int, int]] = []
        """Message id and source port of each UDP query."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = Address.of(*self._tcp.sockets[0].getsockname())
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.address.sockaddr)

    async def close(self) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append((int.from_bytes(data[:2]), addr[1]))
        if self.silent:
            return
        answer = self._reply(data, truncated=self.truncated)
        for message in (*self._lies(data, answer), answer):
            cast("asyncio.DatagramTransport", self._udp).sendto(message, addr)

    def _lies(self, data: bytes, answer: bytes) -> list[bytes]:
        false = answer.replace(bytes([192, 0, 2, 80]), bytes([6, 6, 6, 6]))
        match self.lie:
            case "id":
                return [bytes([false[0], false[1] ^ 1]) + false[2:]]
            case "question":
                return [false.replace(b"\x07example", b"\x07exampla")]
            case "query":
                return [data]
            case "short":
                return [b"", false[:5], false[:12]]
        return []

    def _reply(self, data: bytes, *, truncated: bool) -> bytes:
        answer = DNSRecord.parse(data).reply(aa=0)
        answer.header.rcode = self.rcode
        if truncated:
            answer.header.tc = 1
        else:
            answer.add_answer(*self.answers)
        return bytes(answer.pack())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        answer = self._reply(data, truncated=False)
        if self.tcp_lie:
            answer = b"\x00\x00" + answer[2:]
        writer.write(len(answer).to_bytes(2) + (answer[:5] if self.break_off else answer))
        writer.close()
