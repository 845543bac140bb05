"""Our own services, opened on this machine without a tunnel."""

from __future__ import annotations

import pytest

from gateway.config import ServiceSettings
from gateway.dialing import DialError, Failure
from gateway.expose.services import Service, ServiceBook
from gateway.own_services import OwnServices
from gateway.proxy.direct import DirectDialer
from tests.lab.resolver_keys import key

ME = key(1).endpoint_id


def own(*services: tuple[str, str]) -> OwnServices:
    book = ServiceBook()
    for name, target in services:
        book.add(Service.of(name, ServiceSettings(target=target)))
    return OwnServices(lambda: book, DirectDialer(), ME)


def test_they_are_listed_as_others_would_be_told():
    assert [service.name for service in own(("web", "8000"), ("game", "9000/udp")).listed()] == [
        "game",
        "web",
    ]


async def test_a_service_that_is_not_exposed_is_told_with_where_to_look():
    with pytest.raises(DialError, match="overlay services") as refusal:
        await own().open_stream("web", 80, "web.me.overlay:80")
    assert refusal.value.failure is Failure.NO_SERVICE


async def test_a_target_that_is_down_is_told_so(unused_tcp_port):
    with pytest.raises(DialError) as refusal:
        await own(("web", str(unused_tcp_port))).open_stream("web", 80, "web.me.overlay:80")
    assert refusal.value.failure is Failure.TARGET_REFUSED
