"""Which dialer a host goes to."""

from __future__ import annotations

import pytest

from gateway.dialing import DialError, Failure
from gateway.proxy.dialers import RoutedDialer
from gateway.proxy.routing import OtherHosts
from tests.lab.dialer import FakeDialer
from tests.lab.http_servers import echo, serve


async def test_hosts_go_by_their_route() -> None:
    overlay, direct = FakeDialer(), FakeDialer()
    dialer = RoutedDialer(overlay, direct)
    async with serve(echo) as place:
        overlay.services["a.overlay"] = direct.services["example.org"] = place
        for host in ("a.overlay", "example.org"):
            opened = await dialer.open_stream(host, 80, user="ann")
            opened.transport.abort()
            flow = await dialer.open_flow(host, 80, lambda _: None, lambda: None)
            flow.close()
    assert overlay.dialed == [("a.overlay", 80, "ann"), ("a.overlay", 80, None)]
    assert direct.dialed == [("example.org", 80, "ann"), ("example.org", 80, None)]


async def test_other_hosts_can_be_refused_from_one_request_to_the_next() -> None:
    direct = FakeDialer()
    dialer = RoutedDialer(FakeDialer(), direct)
    dialer.other_hosts = OtherHosts.REFUSE
    with pytest.raises(DialError, match=r"example\.org is not under \.overlay") as caught:
        await dialer.open_stream("example.org", 80)
    assert caught.value.failure is Failure.POLICY
    with pytest.raises(DialError):
        await dialer.open_flow("example.org", 80, lambda _: None, lambda: None)
    assert direct.dialed == []
