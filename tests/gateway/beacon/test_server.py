"""The web server around it all: what it is called, who may see what, how it leaves, what half-open strangers cost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.beacon import door
from gateway.beacon import server as server_module
from gateway.beacon.settings import MetricSettings, RelaySettings
from gateway.beacon.tls import self_signed
from gateway.errors import ConfigurationError
from gateway.supervision import Supervisor
from tests.lab.relay_clients import RelayClient
from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl, RelayAddress
from tunnels.relay.frames import CONNECT_PATH, OBSERVED_PATH, FrameKind, Leaving
from tunnels.transports.relayed import RelayState, RelayTransport

REQUEST = (
    f"GET {CONNECT_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


async def get(world, server, path: str) -> tuple[int, str]:
    async with world.http.get(server.url.origin + path) as answer:
        return answer.status, await answer.text()


async def test_its_url_has_the_place_and_the_id(world) -> None:
    server = await world.beacon()
    host, port = server.addresses[0]
    assert server.url == BeaconUrl("http", host, port, key(900).endpoint_id)


async def test_a_configured_url_is_told_and_pinned_where_nothing_else_proves_it(world) -> None:
    urls = (BeaconUrl.parse("https://b.example"), BeaconUrl.parse("https://c.example"))
    server = await world.beacon(beacon={"urls": urls})
    assert str(server.url) == f"https://b.example#{key(900).endpoint_id}"
    server = await world.beacon(beacon={"urls": urls}, options={"pinned": False})
    assert str(server.url) == "https://b.example"


async def test_it_tells_the_address_that_a_request_comes_from(world) -> None:
    server = await world.beacon()
    status, text = await get(world, server, OBSERVED_PATH)
    assert status == 200
    assert text.startswith('{"address": "127.0.0.1:')


async def test_it_is_healthy_and_ready_and_says_what_it_is(world) -> None:
    server = await world.beacon(beacon={"policy": "be kind"})
    assert await get(world, server, "/healthz") == (200, "ok\n")
    assert await get(world, server, "/readyz") == (200, "ready\n")
    assert "be kind" in (await get(world, server, "/"))[1]


async def test_a_port_that_is_taken_is_told_in_one_line(world) -> None:
    server = await world.beacon()
    with pytest.raises(ConfigurationError, match="another program uses this port; choose another") as caught:
        await world.beacon(beacon={"port": server.addresses[0][1]})
    assert "\n" not in str(caught.value)


async def test_both_families_get_the_same_port(world) -> None:
    server = await world.beacon(beacon={"bind": ("127.0.0.1", "127.0.0.2")})
    assert len({port for _, port in server.addresses}) == 1


async def test_metrics_are_for_those_who_may(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    await a.send(FrameKind.DATA, a.endpoint_id, bytes(67))
    await a.receive()
    status, text = await get(world, server, "/metrics")
    assert status == 200
    assert "overlay_beacon_relayed_bytes_total 100.0" in text
    server = await world.beacon(metrics=MetricSettings(allow=("192.0.2.0/24",)))
    assert (await get(world, server, "/metrics"))[0] == 403
    server = await world.beacon(metrics=MetricSettings(enabled=False))
    assert (await get(world, server, "/metrics"))[0] == 400  # no id either


async def test_leaving_is_told_and_then_everybody_is_sent_away(world) -> None:
    server = await world.beacon(beacon={"drain": 0.3})
    a = await world.client(server, 1)
    leaving = asyncio.get_running_loop().create_task(server.leave())
    assert await a.hear() == Leaving(seconds=0.3)
    assert await get(world, server, "/readyz") == (503, "leaving\n")
    await a.send(FrameKind.DATA, a.endpoint_id, b"still served")
    assert (await a.receive())[2] == b"still served"
    await leaving
    await server.close()
    assert await a.closed() == 1001
    await server.close()


async def test_nobody_is_waited_for_when_nobody_is_here(world) -> None:
    server = await world.beacon(beacon={"drain": 100.0})
    async with asyncio.timeout(2):
        await server.leave()


async def test_over_tls_the_certificates_key_is_the_id_in_the_url(world) -> None:
    context = await asyncio.to_thread(self_signed, key(900))
    server = await world.beacon(options={"tls": context})
    assert server.url.scheme == "https"
    a, b = await world.client(server, 1), await world.client(server, 2)
    await a.send(FrameKind.DATA, b.endpoint_id, bytes(30_000))
    assert await b.receive() == (FrameKind.DATA, a.endpoint_id, bytes(30_000))
    from cryptography import x509

    shown = a.socket.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert x509.load_der_x509_certificate(shown).public_key().public_bytes_raw() == server.url.beacon_id.key


# --- strangers ------------------------------------------------------------------------------------------------


async def _raw(server, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    if data:
        writer.write(data)
    return reader, writer


async def test_whoever_says_nothing_is_sent_away_in_time(world, monkeypatch) -> None:
    monkeypatch.setattr(door, "BEACON_LOGIN_SECONDS", 0.1)
    server = await world.beacon()
    for words in (b"", b"GET / HT", REQUEST[:-2]):
        reader, writer = await _raw(server, words)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    assert len(server.door) == 0


async def test_asking_once_is_no_leave_to_hold_a_connection(world, monkeypatch) -> None:
    monkeypatch.setattr(door, "BEACON_LOGIN_SECONDS", 0.1)
    monkeypatch.setattr(door, "BEACON_KEEPALIVE_SECONDS", 0.1)
    server = await world.beacon()
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await _raw(server, whole + b"PUT /y HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_websocket_without_a_login_is_ended_in_time(world, monkeypatch) -> None:
    monkeypatch.setattr("gateway.beacon.sessions.BEACON_LOGIN_SECONDS", 0.1)
    server = await world.beacon()
    client = await world.open(server, 1)
    await client.hear()
    assert await client.closed() == 1008
    assert server.sessions.failed["timeout"] == 1


async def test_half_open_websockets_fill_their_places_and_gateways_that_are_here_are_served(
    world, monkeypatch
) -> None:
    monkeypatch.setattr(door, "BEACON_ANONYMOUS", 100)
    monkeypatch.setattr(door, "BEACON_COUNT_EVERY", 0.0)
    server = await world.beacon()
    a = await world.client(server, 1)
    held = [await _raw(server, REQUEST) for _ in range(150)]
    answers = [await reader.readline() for reader, _ in held]
    assert sum(b"101" in line for line in answers) == 100
    assert sum(b"503" in line for line in answers) == 50
    assert server.door.turned_away == 50
    await a.send(FrameKind.DATA, a.endpoint_id, b"x")
    assert (await a.receive())[2] == b"x"
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    b = await world.client(server, 2)
    assert b.welcome is not None, "places that were given up are free again"


async def test_requests_of_one_address_do_not_take_all_places(world, monkeypatch) -> None:
    monkeypatch.setattr(door, "BEACON_ANONYMOUS_PER_ADDRESS", 3)
    monkeypatch.setattr(door, "client_of", lambda peer: peer[0])  # 127.0.0.1 and 127.0.0.2 are two
    server = await world.beacon(beacon={"bind": ("0.0.0.0",)})
    port = server.addresses[0][1]
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    assert b"503" in await held[3][0].readline()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in await reader.readline()
    for _, one in [*held, (reader, writer)]:
        one.close()


async def test_logged_in_gateways_take_no_strangers_place(world, monkeypatch) -> None:
    monkeypatch.setattr(door, "BEACON_ANONYMOUS", 2)
    server = await world.beacon()
    for number in range(1, 11):
        await world.client(server, number)
    assert (len(server.hub), len(server.door)) == (10, 0)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 5000, b"GET " + b"a" * 100_000, b"PRI * HTTP/2.0\r\n\r\n"],
)
async def test_what_is_no_http_is_no_trouble(world, data: bytes) -> None:
    server = await world.beacon()
    reader, writer = await _raw(server, data)
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    assert (await get(world, server, "/healthz"))[0] == 200


async def test_a_slow_tls_handshake_is_given_up(world, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "BEACON_LOGIN_SECONDS", 0.2)
    context = await asyncio.to_thread(self_signed, key(900))
    server = await world.beacon(options={"tls": context})
    reader, writer = await _raw(server, b"\x16\x03\x01")
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()


async def test_many_gateways_at_once_are_all_let_in(world) -> None:
    server = await world.beacon(relay=RelaySettings(sessions=300))
    clients = await asyncio.gather(*(world.client(server, n) for n in range(1, 201)))
    assert len(server.hub) == 200
    assert all(isinstance(client, RelayClient) for client in clients)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "pinned TLS"])
async def test_a_gateways_own_transport_and_a_beacon_understand_each_other(world, tls: bool) -> None:
    context = await asyncio.to_thread(self_signed, key(900)) if tls else None
    server = await world.beacon(options={"tls": context})
    supervisor = Supervisor()
    world.finally_(supervisor.close)
    got: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    homes: asyncio.Queue[RelayState] = asyncio.Queue()

    def transport(number: int) -> RelayTransport:
        made = RelayTransport(
            key(number),
            on_datagrams=lambda datagrams, address, urgent: got.put_nowait((datagrams, address, urgent)),
            on_message=lambda sender, body, _: got.put_nowait((sender, body)),
            on_absent=lambda address: got.put_nowait(("absent", address)),
            on_state=lambda _, state: homes.put_nowait(state),
            spawn=lambda coroutine, name: supervisor.spawn(coroutine, name=name),
        )
        world.finally_(made.close)
        made.set_beacons((server.url,))
        return made

    async with asyncio.timeout(10):
        a, _ = transport(1), transport(2)
        connected = 0
        while connected < 2:
            connected += await homes.get() is RelayState.CONNECTED
        to, back = (RelayAddress(server.url, key(n).endpoint_id) for n in (2, 1))
        assert a.send([bytes(1200)] * 3, to, urgent=False)
        assert await got.get() == ([bytes(1200)] * 3, back, False)
        assert a.send([b"check"], to, urgent=True)
        assert await got.get() == ([b"check"], back, True)
        assert a.send_message(key(2).endpoint_id, b"sealed", server.url)
        assert await got.get() == (key(1).endpoint_id, b"sealed")
        nowhere = RelayAddress(server.url, key(3).endpoint_id)
        assert a.send([b"x"], nowhere, urgent=False)
        assert await got.get() == ("absent", nowhere)
