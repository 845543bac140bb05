"""DNS for tests: queries made with dnslib, replies read with it, and the real `dig`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dnslib import EDNS0, QTYPE, DNSLabel, DNSQuestion, DNSRecord

from resolver.messages import Query, parse_query

if TYPE_CHECKING:
    from tunnels.addresses import Address


def query_bytes(name: str, kind: str = "A", *, edns: int | None = None, message_id: int = 7) -> bytes:
    """A query as a stub resolver sends it; `edns` is the UDP size it offers."""
    labels = tuple(label.encode() for label in name.removesuffix(".").split(".") if label)
    record = DNSRecord(q=DNSQuestion(DNSLabel(labels), getattr(QTYPE, kind)))
    record.header.id = message_id
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns))
    return bytes(record.pack())


def query(name: str, kind: str = "A", *, edns: int | None = None) -> Query:
    """The same, read by `parse_query`."""
    read = parse_query(query_bytes(name, kind, edns=edns))
    assert isinstance(read, Query)
    return read


def reply(data: bytes | None) -> DNSRecord:
    """A reply, read by dnslib."""
    assert data is not None
    return DNSRecord.parse(data)


def rows(section: list) -> list[str]:
    """The records of a section as `name type data`, EDNS left out."""
    return [f"{row.rname} {QTYPE[row.rtype]} {row.rdata}" for row in section if row.rtype != QTYPE.OPT]


async def dig(server: Address, *arguments: str) -> str:
    """What dig prints for one question to the server."""
    process = await asyncio.create_subprocess_exec(
        "dig", f"@{server.ip}", "-p", str(server.port), "+tries=1", "+time=5", *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode()


async def ask(server: Address, data: bytes) -> bytes:
    """The server's reply over UDP."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()

    class Question(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            reply.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Question, remote_addr=server.sockaddr)
    transport.sendto(data)
    try:
        async with asyncio.timeout(10):
            return await reply
    finally:
        transport.close()
