"""Records at pkarr relays: what they answer, and what they might."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from resolver.discovery.beacons import BeaconHttp, BeaconSource, HomesSource
from resolver.errors import BadSignature, DiscoveryError, MalformedRecord
from resolver.signed_packets import LARGEST
from tests.lab.pkarr_relay import PkarrRelay
from tests.lab.proxies import ConnectProxy
from tests.lab.resolver_keys import NOW, key, packet
from tunnels.addresses import BeaconUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALICE = key(1).endpoint_id
OLD, NEW = packet(signed_at=NOW), packet(signed_at=NOW + 1)
NOBODY = BeaconUrl("http", "127.0.0.1", 1)


@pytest.fixture
async def http() -> AsyncIterator[BeaconHttp]:
    http = BeaconHttp()
    yield http
    await http.close()


@pytest.fixture
async def relay() -> AsyncIterator[PkarrRelay]:
    async with PkarrRelay() as relay:
        yield relay


async def test_what_is_published_is_found_and_what_is_not_is_none(
    http: BeaconHttp, relay: PkarrRelay
) -> None:
    source = BeaconSource(relay.url, http)
    assert await source.find(ALICE) is None
    await source.publish(OLD)
    assert await source.find(ALICE) == OLD
    assert relay.log == [("GET", str(ALICE)), ("PUT", str(ALICE)), ("GET", str(ALICE))]
    assert source.name == relay.url.origin


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (packet(2).to_payload(), BadSignature),
        (OLD.to_payload()[:-1] + b"\xff", BadSignature),
        (OLD.to_payload()[:50], MalformedRecord),
        (b"", MalformedRecord),
        (OLD.to_payload() + bytes(LARGEST), MalformedRecord),
    ],
    ids=["another's", "forged", "cut", "empty", "large"],
)
async def test_what_its_owner_did_not_sign_is_refused(
    http: BeaconHttp, relay: PkarrRelay, payload: bytes, error: type[Exception]
) -> None:
    relay.payloads[str(ALICE)] = payload
    with pytest.raises(error):
        await http.find(relay.url, ALICE)


async def test_an_answer_without_end_is_not_read_to_its_end(http: BeaconHttp, relay: PkarrRelay) -> None:
    class Endless(web.Response):
        sent = 0

        async def prepare(self, request: web.BaseRequest) -> None:
            stream = web.StreamResponse()
            await stream.prepare(request)
            while self.sent < 100 << 20:
                await stream.write(bytes(65536))
                Endless.sent += 65536

    relay.reply = Endless()
    with pytest.raises(MalformedRecord, match="it is refused"):
        await http.find(relay.url, ALICE)
    assert Endless.sent < 50 << 20


async def test_compressed_answers_are_not_inflated(http: BeaconHttp, relay: PkarrRelay) -> None:
    relay.reply = web.Response(body=bytes(104), headers={"Content-Encoding": "gzip"})
    with pytest.raises(BadSignature):
        await http.find(relay.url, ALICE)


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (409, "", "it answers 409: it has a newer record of us; does another gateway"),
        (429, "later", r"it answers 429: it asks us to wait \(later\)"),
        (
            418,
            "\x1b[31m tea\n pot",
            r"it answers 418: it does not do what a pkarr relay does \(\[31m tea pot\)",
        ),
        (500, "x" * 5000, r"it answers 500: .* \(x{200}\)$"),
        (301, "", "it answers 301"),
    ],
)
async def test_a_refusal_is_told_in_one_line(
    http: BeaconHttp, relay: PkarrRelay, status: int, text: str, says: str
) -> None:
    for ask in (http.publish(relay.url, OLD), http.find(relay.url, ALICE)):
        relay.reply = web.Response(status=status, text=text, headers={"Location": "/elsewhere"})
        with pytest.raises(DiscoveryError, match=says) as caught:
            await ask
        assert str(caught.value).isprintable()
    assert [name for _, name in relay.log] == [str(ALICE)] * 2


async def test_nobody_there_is_a_discovery_error(http: BeaconHttp) -> None:
    with pytest.raises(DiscoveryError, match=r"^127\.0\.0\.1:1: .*onnect"):
        await http.find(NOBODY, ALICE)


async def test_a_pinned_beacon_is_asked_through_a_proxy_with_a_login() -> None:
    async with PkarrRelay(key(7)) as relay, ConnectProxy(login="me:secret") as proxy:
        http = BeaconHttp(proxy=proxy.url)
        await http.publish(relay.url, OLD)
        assert await http.find(relay.url, ALICE) == OLD
        assert set(proxy.targets) == {f"127.0.0.1:{relay.url.port}"}
        with pytest.raises(DiscoveryError, match="does not have the key"):
            await http.find(BeaconUrl("https", "127.0.0.1", relay.url.port, key(8).endpoint_id), ALICE)
        await http.close()


# --- the beacons a record names ---------------------------------------------------------------------------------


def homes(http: BeaconHttp, *beacons: BeaconUrl, ours: tuple[BeaconUrl, ...] = ()) -> HomesSource:
    return HomesSource(lambda endpoint_id: beacons, lambda: ours, http)


async def test_the_newest_record_of_an_endpoints_own_beacons_counts(
    http: BeaconHttp, relay: PkarrRelay
) -> None:
    async with PkarrRelay() as other:
        relay.payloads[str(ALICE)], other.payloads[str(ALICE)] = NEW.to_payload(), OLD.to_payload()
        assert await homes(http, NOBODY, other.url, relay.url).find(ALICE) == NEW
        assert await homes(http, other.url, relay.url, ours=(relay.url,)).find(ALICE) == OLD


async def test_an_endpoint_without_beacons_has_no_record_there_and_dead_ones_are_told(
    http: BeaconHttp,
) -> None:
    assert await homes(http).find(ALICE) is None
    with pytest.raises(DiscoveryError):
        await homes(http, NOBODY).find(ALICE)


async def test_no_more_of_them_are_asked_than_a_record_may_name(http: BeaconHttp, relay: PkarrRelay) -> None:
    many = [BeaconUrl("http", f"127.0.0.{number}", relay.url.port) for number in range(2, 6)]
    relay.payloads[str(ALICE)] = OLD.to_payload()
    with pytest.raises(DiscoveryError):
        await homes(http, *many, relay.url).find(ALICE)
    assert relay.log == []


async def test_a_search_that_is_given_up_ends_its_requests(http: BeaconHttp, relay: PkarrRelay) -> None:
    relay.silent = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await homes(http, relay.url).find(ALICE)
