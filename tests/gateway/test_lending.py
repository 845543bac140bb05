"""The relay that a gateway lends: who may use it, for how long, and that its owner is there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.beacon.server import wall_clock
from gateway.config.settings import LendSettings
from gateway.errors import ConfigurationError
from gateway.lending import Lending, public_url
from gateway.limits import LEND_NAMES
from gateway.supervision import Supervisor
from tests.lab.redis import free_port
from tests.lab.relay_clients import RelayClient, connected
from tests.lab.resolver_keys import key
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.nat import attested, stun
from tunnels.nat.stun import Class, Method
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind
from tunnels.transports.relayed import RelayTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tunnels.identity import EndpointId

OWNER = key(0)
ALICE, BOB = 1, 2
"""The numbers of their keys."""


def id_of(number: int) -> EndpointId:
    return key(number).endpoint_id


class Friends:
    """A lending gateway's address book, and those who come to its relay."""

    def __init__(self, stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession) -> None:
        self._stack = stack
        self.http = http
        self.contacts = {id_of(ALICE), id_of(BOB)}
        self.kept: list[RelayClient] = []  # whatever nobody holds is closed

    async def lend(self, **settings: Any) -> Lending:
        lending = Lending(
            LendSettings(**{"enabled": True, "host": "127.0.0.1", "port": 0} | settings),
            OWNER,
            is_contact=lambda endpoint_id: endpoint_id in self.contacts,
        )
        await lending.start()
        self._stack.push_async_callback(lending.close)
        return lending

    async def come(self, lending: Lending, number: int) -> RelayClient:
        client = await connected(self.http, lending.url, number)
        self.kept.append(client)
        return client

    async def try_to_come(self, lending: Lending, number: int) -> frames.FromBeacon:
        """What is said to somebody who does not get in."""
        client = await RelayClient.open(self.http, lending.url, number)
        self.kept.append(client)
        with pytest.raises(AssertionError) as refused:
            await client.login()
        return refused.value.args[0]

    def transport(self, number: int) -> tuple[RelayTransport, asyncio.Queue[Any]]:
        """A gateway's own way to relays, and the datagrams it gets."""
        got: asyncio.Queue[Any] = asyncio.Queue()
        supervisor = Supervisor()
        made = RelayTransport(
            key(number),
            on_datagrams=lambda datagrams, address, _: got.put_nowait((datagrams, address)),
            on_message=lambda *_: None,
            on_absent=lambda address: got.put_nowait(("absent", address)),
            on_state=lambda *_: None,
            spawn=lambda coroutine, name: supervisor.spawn(coroutine, name=name),
        )
        self._stack.push_async_callback(supervisor.close)
        self._stack.push_async_callback(made.close)
        return made, got


@pytest.fixture
async def friends() -> AsyncIterator[Friends]:
    async with contextlib.AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0, ssl=False)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        made = Friends(stack, http)
        yield made
        for client in made.kept:
            await client.socket.close()
        await http.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for it; the test's own time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - it waits for things that have no event
        await asyncio.sleep(0.005)


async def test_contacts_reach_each_other_by_it_and_strangers_are_told_why_not(friends: Friends) -> None:
    lending = await friends.lend()
    assert lending.url.beacon_id == OWNER.endpoint_id
    alice, bob = await friends.come(lending, ALICE), await friends.come(lending, BOB)
    await alice.send(FrameKind.DATA, bob.endpoint_id, b"hello")
    assert await bob.receive() == (FrameKind.DATA, alice.endpoint_id, b"hello")
    refused = await friends.try_to_come(lending, 3)
    assert isinstance(refused, frames.Refused)
    assert refused.code == "access"


async def test_whoever_is_no_contact_any_more_is_disconnected_at_once(friends: Friends) -> None:
    lending = await friends.lend()
    alice, bob = await friends.come(lending, ALICE), await friends.come(lending, BOB)
    friends.contacts.remove(bob.endpoint_id)
    lending.recheck()
    await bob.closed()
    await until(lambda: lending.report(str).endpoints == (str(alice.endpoint_id),))
    await alice.send(FrameKind.DATA, bob.endpoint_id, b"hello")
    assert (await alice.receive())[:2] == (FrameKind.ABSENT, bob.endpoint_id)


async def test_lent_to_all_it_takes_strangers(friends: Friends) -> None:
    lending = await friends.lend(to="all")
    await friends.come(lending, 3)
    lending.recheck()
    assert lending.report(str).connected == 1


async def test_no_more_come_than_are_allowed_and_the_owner_always_has_a_place(friends: Friends) -> None:
    lending = await friends.lend(to="all", connections=2)
    owner = await friends.come(lending, 0)
    guests = [await friends.come(lending, number) for number in (ALICE, BOB)]
    refused = await friends.try_to_come(lending, 3)
    assert isinstance(refused, frames.Refused)
    assert refused.code == "busy"
    report = lending.report(lambda endpoint_id: endpoint_id.short)
    assert (report.connected, report.most) == (2, 2)
    assert owner.endpoint_id.short not in report.endpoints
    assert guests[0].endpoint_id.short in report.endpoints


async def test_many_guests_are_counted_and_some_of_them_named(friends: Friends) -> None:
    lending = await friends.lend(to="all")
    guests = [await friends.come(lending, number) for number in range(1, LEND_NAMES + 3)]
    report = lending.report(str)
    assert report.connected == len(guests)
    assert len(report.endpoints) == LEND_NAMES


async def test_bytes_a_second_are_limited_and_what_was_relayed_is_counted(friends: Friends) -> None:
    lending = await friends.lend(bytes_per_second=1000)
    alice, bob = await friends.come(lending, ALICE), await friends.come(lending, BOB)
    assert alice.welcome is not None
    assert alice.welcome.limits.bytes_per_second == 1000
    for _ in range(100):
        await alice.send(FrameKind.DATA, bob.endpoint_id, bytes(16_000))
    refused = await alice.hear()
    assert isinstance(refused, frames.Refused)
    assert refused.code == "rate"
    assert 16_000 < lending.report(str).relayed_bytes < 1_000_000


async def test_its_owner_is_there_and_reached_under_the_url_that_others_know(friends: Friends) -> None:
    lending = await friends.lend(public_url="https://friend.example:7443")  # a name that leads nowhere here
    owner, got = friends.transport(0)
    owner.set_own(lending.url, lending.local_origin)
    await until(lambda: owner.home == lending.url)
    client = await RelayClient.open(friends.http, BeaconUrl.parse(lending.local_origin), ALICE)
    friends.kept.append(client)
    client.url = lending.url
    await client.login()
    await client.send(FrameKind.DATA, id_of(0), b"\0\x05hello")
    datagrams, address = await got.get()
    assert address == RelayAddress(lending.url, id_of(ALICE))
    assert datagrams
    assert owner.send([b"back"], address, urgent=False)
    assert (await client.receive())[1] == id_of(0)


async def test_guests_are_told_of_stun_on_the_same_port(friends: Friends) -> None:
    lending = await friends.lend()
    alice = await friends.come(lending, ALICE)
    assert alice.welcome is not None
    assert alice.welcome.stun == (f"127.0.0.1:{lending.url.port}",)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        asker.bind(("127.0.0.1", 0))
        question = stun.encode(Method.BINDING, Class.REQUEST, bytes(range(12)))
        await loop.sock_sendto(asker, question, ("127.0.0.1", lending.url.port))
        reply = stun.decode(await asyncio.wait_for(loop.sock_recv(asker, 2048), 10))
        assert reply.address("XOR-MAPPED-ADDRESS") == Address.of(*asker.getsockname())


async def test_it_attests_where_guests_are_with_the_key_by_which_they_know_it(friends: Friends) -> None:
    lending = await friends.lend()
    alice, _ = friends.transport(ALICE)
    assert alice.home_id is None
    alice.set_beacons([lending.url])
    await until(lambda: alice.home is not None)
    assert alice.home_id == OWNER.endpoint_id
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        asker.bind(("127.0.0.7", 0))
        asked = attested.request(bytes(16), bytes(range(12)))
        await loop.sock_sendto(asker, asked, ("127.0.0.1", lending.url.port))
        reply = attested.reply(await asyncio.wait_for(loop.sock_recv(asker, 2048), 10), bytes(range(12)))
    assert reply is not None
    assert reply.attestation is not None
    for ip, is_there in (("127.0.0.7", True), ("127.0.0.8", False)):
        proven = attested.proven_ip(reply.attestation, ip_address(ip), bytes(16), alice.home_id, wall_clock())
        assert proven is is_there


async def test_it_keeps_no_records(friends: Friends) -> None:
    lending = await friends.lend(to="all")
    async with friends.http.get(f"{lending.url.origin}/{id_of(ALICE)}") as reply:
        assert reply.status == 404


async def test_metrics_are_those_of_a_beacon(friends: Friends) -> None:
    lending = await friends.lend()
    await friends.come(lending, ALICE)
    async with friends.http.get(f"{lending.local_origin}/metrics") as reply:
        assert "overlay_beacon_sessions 1.0" in await reply.text()


async def test_at_the_end_guests_are_told_to_go_elsewhere_and_the_port_is_free(friends: Friends) -> None:
    lending = await friends.lend()
    alice = await friends.come(lending, ALICE)
    closing = asyncio.create_task(lending.close())  # noqa: TID251 - the test waits for it
    assert isinstance(await alice.hear(), frames.Leaving)
    await alice.closed()
    await closing
    await lending.close()
    with socket.create_server(("127.0.0.1", lending.url.port)):
        pass


async def test_a_port_that_is_taken_is_told_with_the_key_to_change(friends: Friends) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ConfigurationError, match=r"another program .* \[lend\] port"):
            await friends.lend(port=taken.getsockname()[1])


async def test_without_the_udp_port_it_goes_on_and_says_so(
    friends: Friends, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        lending = await friends.lend(port=port)
        alice = await friends.come(lending, ALICE)
    assert alice.welcome is not None
    assert alice.welcome.stun == ()
    assert "answers no STUN" in caplog.text


@pytest.mark.parametrize(
    ("settings", "addresses", "url"),
    [
        ({"public_url": "https://friend.example:8443"}, ["203.0.113.9:1"], "https://friend.example:8443"),
        ({"host": "192.0.2.7"}, ["203.0.113.9:1"], "https://192.0.2.7:7443"),
        ({}, ["203.0.113.9:1", "203.0.113.8:1"], "https://203.0.113.9:7443"),
        ({"host": "::"}, ["[2001:db8::1]:1"], "https://[2001:db8::1]:7443"),
        ({}, [], "https://198.51.100.4:7443"),
    ],
)
def test_others_know_it_by_what_is_configured_or_by_an_address_of_ours(
    settings: dict[str, str], addresses: list[str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.lending.reachable_ips", lambda *_: (ip_address("198.51.100.4"),))
    found = public_url(
        LendSettings(**settings), 7443, OWNER.endpoint_id, [Address.parse(text) for text in addresses]
    )
    assert str(found) == f"{url}#{OWNER.endpoint_id}"


def test_a_machine_that_nobody_reaches_is_told_what_to_configure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lending.reachable_ips", lambda *_: ())
    with pytest.raises(ConfigurationError, match="public_url"):
        public_url(LendSettings(), 7443, OWNER.endpoint_id, ())
