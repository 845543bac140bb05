"""The configuration in the words of the traffic control."""

from __future__ import annotations

from gateway.config import parse
from gateway.traffic.control import Sharing
from gateway.traffic.service import Traffic, configured_sharing, configured_terms
from gateway.traffic.terms import Terms
from tests.lab.metered import Contacts, FakeStream
from tunnels.addresses import Address
from tunnels.events import TunnelState
from tunnels.identity import EndpointId
from tunnels.status import TunnelStatus


def test_sections_become_terms_by_scope():
    config = parse(
        b"""
        [limits.default]
        rate = "1MB/s"
        [limits.strangers]
        connections = 8
        [limits.contacts.bob]
        quota = "10GB"
        weight = 4
        [limits.groups.family]
        rate = "unlimited"
        [limits.services.web]
        rate = "8Mbit/s"
        [sharing]
        up = "2MB/s"
        local = "last"
        """,
        source="f.toml",
    )
    assert configured_terms(config.limits) == {
        "default": Terms(rate=10**6),
        "strangers": Terms(connections=8),
        "contacts.bob": Terms(quota=10**10, weight=4),
        "groups.family": Terms(rate=2**62),
        "services.web": Terms(rate=10**6),
    }
    assert configured_sharing(config.sharing) == Sharing(up=2 * 10**6, local="last")
    assert not configured_sharing(parse(b"", source="f.toml").sharing).is_on


async def test_weights_without_anything_to_share_are_warned_of(caplog):
    weighted = b"[limits.contacts.bob]\nweight = 4\n"
    traffic = Traffic(parse(weighted, source="f.toml"), Contacts(), lambda: (), lambda: 0.0)
    assert caplog.messages == [
        "weights are set, and nothing is shared: say in [sharing] what your line carries"
    ]
    caplog.clear()
    traffic.configure(parse(weighted + b"[sharing]\nup = '1MB/s'", source="f.toml"))
    assert not caplog.messages
    traffic.control.close()


async def test_who_is_reached_by_a_private_address_is_on_the_local_network():
    def tunnel(who: EndpointId, address: str | None, *, is_current: bool = True) -> TunnelStatus:
        at = Address.parse(address) if address is not None else None
        return TunnelStatus(who, TunnelState.OPEN, True, is_current, at, None, 0, 0, 0, None)

    near, far, old, lost = (EndpointId(bytes([number]) * 32) for number in range(1, 5))
    tunnels = [
        tunnel(near, "192.168.1.7:7"),
        tunnel(far, "203.0.113.7:7"),
        tunnel(old, "10.0.0.7:7", is_current=False),
        tunnel(lost, None),
    ]
    config = parse(b"[sharing]\nup = '1MB/s'", source="f.toml")
    traffic = Traffic(config, Contacts(*(near, far, old, lost)), lambda: tunnels, lambda: 0.0)
    gated = []
    for who in (near, far, old, lost):
        stream = FakeStream()
        traffic.control.admit(who, "web", "served").begin(stream)
        gated.append(stream.gated)
    assert gated == [False, True, True, True]
    traffic.control.close()
