"""What is in the way of a beacon is told in one line, whatever it is."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from tests.lab.pkarr_relay import PkarrRelay
from tests.lab.proxies import ConnectProxy
from tunnels.addresses import BeaconUrl
from tunnels.identity import SecretKey
from tunnels.transports.http_errors import why_not
from tunnels.transports.pinned_tls import client_ssl

KEY, OTHER = SecretKey(bytes(31) + b"\x01"), SecretKey(bytes(31) + b"\x02")


async def failure(beacon: BeaconUrl, proxy: str | None = None) -> str:
    """What is told of a request that fails."""
    tls = await asyncio.to_thread(client_ssl, beacon)
    async with aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientError, OSError)) as caught:
            await session.get(f"{beacon.origin}/x", ssl=tls, proxy=proxy)
    return why_not(caught.value, beacon)


async def test_another_key_than_the_url_names_and_a_certificate_no_authority_knows() -> None:
    async with PkarrRelay(KEY) as relay:
        imposter = BeaconUrl("https", "127.0.0.1", relay.url.port, OTHER.endpoint_id)
        assert "does not have the key that its URL names" in await failure(imposter)
        unpinned = BeaconUrl("https", "127.0.0.1", relay.url.port)
        told = await failure(unpinned)
        assert told.startswith("its certificate cannot be verified (")
        assert told.endswith("write its URL with #ID")
        assert relay.log == []


async def test_a_proxy_that_refuses_and_one_that_is_not_there() -> None:
    async with PkarrRelay(KEY) as relay, ConnectProxy(login="me:secret") as proxy:
        wrong = proxy.url.replace("secret", "wrong")
        assert (await failure(relay.url, wrong)).startswith("the proxy refused with 407")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
            assert (await failure(relay.url, nobody)).startswith("the proxy cannot be reached: ")


async def test_nobody_there_no_such_name_and_silence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = BeaconUrl("https", "127.0.0.1", taken.getsockname()[1])
        assert "onnect" in await failure(nobody)
    assert await failure(BeaconUrl("https", "no.such.host.invalid", 443)) == (
        "its name is not known; is this machine online?"
    )
    assert why_not(TimeoutError(), nobody) == "no answer in time"


def test_what_others_say_cannot_move_a_cursor() -> None:
    error = aiohttp.ClientPayloadError("a\x1b[31m\nb")
    assert why_not(error, BeaconUrl("http", "x", 80)) == "a?[31m b"
