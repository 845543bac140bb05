"""A burst on real sockets, with a real STUN server of two addresses on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_address

import pytest

from gateway.beacon.reflector import StunServer
from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.behavior import Filtering, Mapping, behavior_of
from tunnels.nat.probes import Burst
from tunnels.transports.probe_sockets import measure


def new_burst(servers: list[Address]) -> Burst:
    return Burst(servers, local_ips={ip_address("127.0.0.1")}, chance=os.urandom)


def deaf() -> Address:
    """An address where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return Address.of(*sock.getsockname())


async def test_a_machine_without_a_nat_is_measured():
    server = StunServer(["127.0.0.1", "127.0.0.2"], [0, 0], secret=os.urandom(32))
    server.start()
    try:
        burst = new_burst([Address.parse(text) for text in server.addresses])
        await measure(burst)
    finally:
        server.close()
    assert len(burst.answered) == 4
    behavior = behavior_of(burst.evidence())
    assert behavior.translated is False
    assert behavior.mapping is Mapping.ENDPOINT_INDEPENDENT
    assert behavior.filtering is Filtering.ENDPOINT_INDEPENDENT


async def test_ipv6_is_measured_as_well():
    server = StunServer(["::1"], [0, 0], secret=os.urandom(32))
    server.start()
    try:
        burst = Burst(
            [Address.parse(text) for text in server.addresses],
            local_ips={ip_address("::1")},
            chance=os.urandom,
        )
        await measure(burst)
    finally:
        server.close()
    assert len(burst.answered) == 2
    assert behavior_of(burst.evidence()).translated is False


async def test_errors_of_the_network_are_losses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PROBE_GIVE_UP", 0.3)
    burst = new_burst([deaf()])  # refused, as ICMP says
    await measure(burst)
    assert burst.answered == ()
    assert burst.is_over


async def test_nobody_to_ask_is_over_at_once():
    await measure(new_burst([]))


async def test_the_sockets_are_closed_when_it_is_cancelled():
    before = len(os.listdir("/proc/self/fd"))
    burst = new_burst([deaf()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await measure(burst)
    assert burst.sent == 2
    assert len(os.listdir("/proc/self/fd")) == before
