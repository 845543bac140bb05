"""Local ports for services: all or none, TCP and UDP, and gone with who wanted them."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.errors import UsageError
from gateway.programs.forwards import Forwards
from gateway.programs.messages import ForwardRule
from gateway.supervision import Supervisor
from tests.lab.dialer import FakeDialer


@pytest.fixture
async def forwards():
    supervisor = Supervisor()
    found = Forwards(
        FakeDialer(), lambda coroutine, name: supervisor.spawn(coroutine, name=name), lambda host, why: None
    )
    yield found
    found.close()
    await supervisor.close()


def rule(port: int, protocol="tcp", listen="127.0.0.1") -> ForwardRule:
    return ForwardRule(listen=listen, listen_port=port, host="web.alice.overlay", port=80, protocol=protocol)


async def test_a_port_that_is_taken_is_told_and_no_other_is_open(forwards, unused_tcp_port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"127.0.0.1:{port} cannot be had: another program listens there"
        ):
            await forwards.start((rule(unused_tcp_port), rule(port)))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", unused_tcp_port)


async def test_an_address_that_is_none_is_told(forwards):
    with pytest.raises(UsageError, match="no address"):
        await forwards.start((rule(0, listen="nowhere"),))


async def test_ports_of_both_kinds_are_told_and_close(forwards):
    places = await forwards.start((rule(0), rule(0, "udp"), rule(0, listen="::1")))
    assert places[0].startswith("127.0.0.1:")
    assert places[2].startswith("[::1]:")
    forwards.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(places[0].rpartition(":")[2]))
