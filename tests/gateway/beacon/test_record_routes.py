"""Records over HTTP, as pkarr's relays take and give them."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from gateway.beacon import record_routes
from gateway.beacon.record_routes import CONTENT_TYPE
from gateway.beacon.settings import RecordSettings
from gateway.beacon.stores import Stores, StoreUnavailable
from resolver.signed_packets import SignedPacket
from tests.lab.resolver_keys import NOW, NPM_PKARR, key, packet


async def put(world, server, packet: SignedPacket, payload: bytes | None = None, **headers: str) -> int:
    url = f"{server.url.origin}/{packet.endpoint_id}"
    data = packet.to_payload() if payload is None else payload
    async with world.http.put(url, data=data, headers=headers) as answer:
        assert answer.headers.get("Access-Control-Allow-Origin") == "*" or answer.status == 413
        return answer.status


async def test_what_was_put_is_what_one_gets(world) -> None:
    server = await world.beacon()
    record = packet(1)
    assert await put(world, server, record) == 204
    async with world.http.get(f"{server.url.origin}/{record.endpoint_id}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() == NOW
        got = SignedPacket.parse_payload(record.endpoint_id, await answer.read())
    assert got == record


async def test_a_packet_of_the_original_implementation_is_taken(world) -> None:
    server = await world.beacon()
    assert await put(world, server, SignedPacket.parse(NPM_PKARR)) == 204


async def test_the_newest_wins_whatever_comes_first(world) -> None:
    server = await world.beacon()
    old, new = packet(1, signed_at=NOW), packet(1, signed_at=NOW + 1)
    assert await put(world, server, new) == 204
    assert await put(world, server, old) == 409, "a replayed older record"
    assert await put(world, server, new) == 204, "the same again is kept for longer"
    async with world.http.get(f"{server.url.origin}/{new.endpoint_id}") as answer:
        assert await answer.read() == new.to_payload()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        packet(1).to_payload()[:50],
        packet(1).to_payload()[:-1],
        packet(2).to_payload(),
        packet(1).to_payload() + b"\0",
        bytes([packet(1).to_payload()[0] ^ 1]) + packet(1).to_payload()[1:],
    ],
    ids=["nothing", "cut", "one byte less", "somebody else's", "one byte more", "a wrong bit"],
)
async def test_a_forged_or_broken_record_is_refused_and_not_given_to_anybody(world, payload: bytes) -> None:
    server = await world.beacon()
    assert await put(world, server, packet(1), payload) == 400
    async with world.http.get(f"{server.url.origin}/{packet(1).endpoint_id}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("size", [1073, 4096, 100_000])
async def test_a_record_that_is_too_large_is_refused(world, size: int) -> None:
    server = await world.beacon()
    assert await put(world, server, packet(1), bytes(size)) == 413


@pytest.mark.parametrize("name", ["x", "1" * 52, "y" * 51, "y" * 53, "%00"])
async def test_what_is_no_id_is_refused(world, name: str) -> None:
    server = await world.beacon()
    for method in ("GET", "PUT"):
        async with world.http.request(method, f"{server.url.origin}/{name}", data=b"x") as answer:
            assert answer.status == 400


async def test_who_has_the_newest_already_is_told_so(world) -> None:
    server = await world.beacon()
    record = packet(1)
    await put(world, server, record)
    url = f"{server.url.origin}/{record.endpoint_id}"
    async with world.http.get(url) as answer:
        modified = answer.headers["Last-Modified"]
    async with world.http.get(url, headers={"If-Modified-Since": modified}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    await put(world, server, packet(1, signed_at=NOW + 5))
    async with world.http.get(url, headers={"If-Modified-Since": modified}) as answer:
        assert answer.status == 200


async def test_who_does_not_know_the_newest_may_not_replace_it_unknowingly(world) -> None:
    server = await world.beacon()
    await put(world, server, packet(1, signed_at=NOW))
    newer = packet(1, signed_at=NOW + 5)
    assert await put(world, server, newer, **{"If-Unmodified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}) == 412
    assert await put(world, server, newer, **{"If-Unmodified-Since": "Fri, 01 Jan 2027 00:00:00 GMT"}) == 204


async def test_a_page_may_ask(world) -> None:
    server = await world.beacon()
    async with world.http.options(f"{server.url.origin}/{packet(1).endpoint_id}") as answer:
        assert answer.status == 204
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]


async def test_a_timestamp_beyond_all_calendars_does_no_harm(world) -> None:
    server = await world.beacon()
    far = SignedPacket.sign(key(1), (1 << 63) - 1, packet(1).packet)
    assert await put(world, server, far) == 204
    async with world.http.get(f"{server.url.origin}/{far.endpoint_id}") as answer:
        assert answer.status == 200


async def test_each_address_has_a_rate(world, monkeypatch) -> None:
    monkeypatch.setattr(record_routes, "client_of", lambda _: "192.0.2.1")
    server = await world.beacon(records=RecordSettings(puts_per_minute=2, gets_per_minute=3))
    assert [await put(world, server, packet(n)) for n in (1, 2, 3)] == [204, 204, 429]
    statuses = []
    for _ in range(4):
        async with world.http.get(f"{server.url.origin}/{packet(1).endpoint_id}") as answer:
            statuses.append(answer.status)
    assert statuses == [200, 200, 200, 429]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_while_the_database_is_away_requests_are_refused_and_frames_are_not(world) -> None:
    server = await world.beacon(broken_stores())
    assert await put(world, server, packet(1)) == 503
    async with world.http.get(f"{server.url.origin}/{packet(1).endpoint_id}") as answer:
        assert answer.status == 503
    async with world.http.get(f"{server.url.origin}/readyz") as answer:
        assert answer.status == 503
    async with world.http.get(f"{server.url.origin}/healthz") as answer:
        assert answer.status == 200
    client = await world.client(server, 1)
    assert client.welcome is not None


async def test_a_beacon_without_records_has_none(world) -> None:
    server = await world.beacon(records=RecordSettings(enabled=False))
    async with world.http.get(f"{server.url.origin}/{packet(1).endpoint_id}") as answer:
        assert answer.status == 404


class _Broken:
    """A database that does not answer."""

    def __getattr__(self, name: str):
        async def fail(*_: object) -> None:
            raise StoreUnavailable("the database is away")

        return fail


def broken_stores() -> Stores:
    broken = _Broken()

    async def close() -> None:
        """Nothing is open."""

    return Stores(broken, broken, None, None, broken, ready=broken.check, close=close)
