"""How long a real NAT of the kernel lets a silent socket be reached, measured with a real STUN server."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.reflector import StunServer
from tests.lab.internet import an_internet
from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.lifetime import Lifetime
from tunnels.nat.waiting import LifetimeProbe
from tunnels.transports.probe_sockets import measure

if TYPE_CHECKING:
    from tests.lab.internet import Internet
    from tests.lab.networks import Machine

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack"), pytest.mark.timeout(60)]

EXPECTED = {4: Lifetime(1, 9), 60: Lifetime(9, None)}
"""By the seconds that the router remembers; all are measured at once."""


async def test_the_kernel_s_patience_is_found_out(monkeypatch):
    monkeypatch.setattr(limits, "LIFETIME_WAITS", (1, 9))
    monkeypatch.setattr(limits, "LIFETIME_LATE", 1.0)
    with an_internet() as internet:
        machine = internet.server("beacon")
        with machine.entered():
            server = StunServer([machine.address], [3478], secret=os.urandom(32))
            server.start()
        probes = {
            remembers: LifetimeProbe(Address.parse(server.addresses[0]), chance=os.urandom)
            for remembers in EXPECTED
        }
        try:
            async with asyncio.TaskGroup() as tasks:
                for remembers, probe in probes.items():
                    with home_that_remembers(internet, remembers).entered():
                        tasks.create_task(measure(probe))
                        await asyncio.sleep(0)  # its first turn, in which all its sockets are made
        finally:
            server.close()
        assert {remembers: probe.lifetime for remembers, probe in probes.items()} == EXPECTED


def home_that_remembers(internet: Internet, seconds: int) -> Machine:
    """A machine behind a router that forgets silent UDP sockets after so long."""
    home = internet.home(f"home{seconds}")
    for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
        home.router.run("sysctl", "-qw", f"net.netfilter.{name}={seconds}")
    return home.host(f"laptop{seconds}")
