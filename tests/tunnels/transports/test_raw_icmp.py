"""Raw sockets between two real hosts: what is heard, what is not, and how much of a flood."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.lab.netns import Namespace, two_hosts
from tunnels import limits
from tunnels.errors import ConfigurationError
from tunnels.nat import pwnat
from tunnels.transports import raw_icmp
from tunnels.transports.raw_icmp import RawIcmp

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESSES = {
    4: (ip_address("10.123.0.1"), ip_address("10.123.0.2")),
    6: (ip_address("fd12:3::1"), ip_address("fd12:3::2")),
}


class Heard(list):
    """What a socket was told, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    def __call__(self, message, source) -> None:
        self.append((message, source))
        self.came.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self) < count:
                self.came.clear()
                await self.came.wait()


@contextlib.contextmanager
def a_socket(host: Namespace, version: int) -> Iterator[tuple[RawIcmp, Heard]]:
    heard = Heard()
    with host.entered():
        sock = RawIcmp(version, heard)
    try:
        yield sock, heard
    finally:
        sock.close()


def message(version: int, kind: int, body: bytes) -> bytes:
    head = struct.pack("!BBHI", kind, 0, 0, 0) + body
    if version == 6:
        return head
    return head[:2] + struct.pack("!H", pwnat.checksum(head)) + head[4:]


@pytest.mark.needs("root", "ip")
@pytest.mark.parametrize("version", [4, 6])
async def test_time_exceeded_is_heard_and_nothing_else(version):
    exceeded, echo = pwnat.TIME_EXCEEDED[version], pwnat.ECHO[version]
    left, right = ADDRESSES[version]
    with two_hosts() as (a, b), a_socket(a, version) as (sender, _), a_socket(b, version) as (_, heard):
        assert sender.send(message(version, echo, b"a ping of somebody"), right)
        assert sender.send(message(version, exceeded, b"this one"), right)
        await heard.wait(1)
        ((came, source),) = heard
        assert came[0] == exceeded
        assert came[8:] == b"this one"
        assert source == left


@pytest.mark.needs("root", "ip")
async def test_of_a_flood_so_many_are_looked_at_and_later_it_listens_again():
    right = ADDRESSES[4][1]
    with two_hosts() as (a, b), a_socket(a, 4) as (sender, _), a_socket(b, 4) as (_, heard):
        for number in range(10 * limits.PWNAT_READS):
            sender.send(message(4, 11, number.to_bytes(4)), right)
        await heard.wait(limits.PWNAT_READS)
        await asyncio.sleep(0)
        assert len(heard) == limits.PWNAT_READS
        await heard.wait(limits.PWNAT_READS + 1)


@pytest.mark.needs("root", "ip")
async def test_an_ipv6_message_leaves_from_the_address_that_is_named():
    other = ip_address("fd12:3::77")
    with two_hosts() as (a, b), a_socket(a, 6) as (sender, _), a_socket(b, 6) as (_, heard):
        a.ip(f"addr add {other}/64 dev eth0 nodad")
        assert sender.send(message(6, 3, b"from there"), ADDRESSES[6][1], other)
        await heard.wait(1)
        assert heard[0][1] == other


@pytest.mark.needs("root", "ip")
async def test_where_there_is_no_way_it_says_so():
    with two_hosts() as (a, _), a_socket(a, 4) as (sender, _):
        assert not sender.send(message(4, 11, b""), ip_address("203.0.113.1"))


async def test_elsewhere_than_on_linux_it_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match="Linux only"):
        RawIcmp(4, lambda *_: None)


async def test_who_may_not_open_one_is_told_how(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(raw_icmp.socket, "socket", refuse)
        with pytest.raises(ConfigurationError) as caught:
            RawIcmp(4, lambda *_: None)
    advice = str(caught.value)
    assert "sudo setcap cap_net_raw+ep /" in advice
    assert "AmbientCapabilities=CAP_NET_RAW" in advice
    assert "\n" not in advice
