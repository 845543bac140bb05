"""Signed records over HTTP, as every pkarr relay takes and gives them: `PUT /<id>` and `GET /<id>` (pkarr.org/relays)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.beacon.limits import BEACON_BUCKETS, BEACON_STORE_SECONDS
from gateway.beacon.places import client_of
from gateway.beacon.rates import Rates
from gateway.beacon.stores import StoreUnavailable
from resolver.errors import ResolverError
from resolver.signed_packets import LARGEST, SignedPacket
from tunnels.identity import KEY_BYTES, EndpointId

if TYPE_CHECKING:
    from gateway.beacon.settings import RecordSettings
    from gateway.beacon.stores import RecordStore

CONTENT_TYPE: Final = "application/pkarr.org/relays#payload"
_LARGEST: Final = LARGEST - KEY_BYTES
"""Bytes of the largest payload."""
_MAX_AGE: Final = 60
"""Seconds a cache between us and a gateway may keep an answer."""
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "*",
}
"""A page may ask for records, as at other relays: they are public."""


class RecordRoutes:
    """Answers requests for records, and takes new ones."""

    def __init__(self, store: RecordStore, settings: RecordSettings) -> None:
        self._store = store
        self._puts = Rates(settings.puts_per_minute / 60, settings.puts_per_minute, bound=BEACON_BUCKETS)
        self._gets = Rates(settings.gets_per_minute / 60, settings.gets_per_minute, bound=BEACON_BUCKETS)
        self.counts = {"put": 0, "refused": 0, "get": 0, "missing": 0}
        """Requests by what became of them, for the metrics."""

    def routes(self) -> list[web.RouteDef]:
        """To be added after all others: they take every path of one part."""
        return [
            web.get("/{id}", self._get),
            web.put("/{id}", self._put),
            web.options("/{id}", self._options),
        ]

    async def _options(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=204, headers=_CORS)

    async def _get(self, request: web.Request) -> web.Response:
        self._limit(request, self._gets)
        endpoint_id = _id_of(request)
        packet = await self._stored(endpoint_id)
        if packet is None:
            self.counts["missing"] += 1
            return _answer(404, "no record of this endpoint is here")
        self.counts["get"] += 1
        headers = {
            **_CORS,
            "Content-Type": CONTENT_TYPE,
            "Cache-Control": f"public, max-age={_MAX_AGE}",
            "Last-Modified": _date(packet),
        }
        since = request.if_modified_since
        if since is not None and _seconds(packet) <= since.timestamp():
            return web.Response(status=304, headers=headers)
        return web.Response(body=packet.to_payload(), headers=headers)

    async def _put(self, request: web.Request) -> web.Response:
        self._limit(request, self._puts)
        endpoint_id = _id_of(request)
        payload = await request.read()  # bounded by the application: 413
        if len(payload) > _LARGEST:
            return self._refuse(413, f"a record has at most {_LARGEST} bytes")
        try:
            packet = SignedPacket.parse_payload(endpoint_id, payload)
        except ResolverError as error:
            return self._refuse(400, str(error))
        unmodified = request.if_unmodified_since
        if unmodified is not None:
            known = await self._stored(endpoint_id)
            if known is not None and _seconds(known) > unmodified.timestamp():
                return self._refuse(412, "a newer record is here than the one you know")
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                kept = await self._store.put(packet)
        except (StoreUnavailable, TimeoutError):
            return self._refuse(503, "records cannot be kept now; try again later")
        if not kept:
            return self._refuse(409, "a newer record is here")
        self.counts["put"] += 1
        return web.Response(status=204, headers=_CORS)

    async def _stored(self, endpoint_id: EndpointId) -> SignedPacket | None:
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                return await self._store.get(endpoint_id)
        except (StoreUnavailable, TimeoutError):
            raise web.HTTPServiceUnavailable(
                text="records cannot be read now; try again later\n", headers=_CORS
            ) from None

    def _limit(self, request: web.Request, rates: Rates) -> None:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        client = client_of(peer)
        now = asyncio.get_running_loop().time()
        if client is not None and not rates.take(client, 1, now):
            self.counts["refused"] += 1
            wait = str(int(rates.wait(client, 1, now)) + 1)
            raise web.HTTPTooManyRequests(
                text="too many requests from your address\n", headers={**_CORS, "Retry-After": wait}
            )

    def _refuse(self, status: int, reason: str) -> web.Response:
        self.counts["refused"] += 1
        return _answer(status, reason)


def _answer(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=f"{reason}\n", headers=_CORS)


def _id_of(request: web.Request) -> EndpointId:
    try:
        return EndpointId.parse(request.match_info["id"])
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n", headers=_CORS) from None


def _seconds(packet: SignedPacket) -> int:
    """When it was signed, in whole seconds, as HTTP dates are."""
    return packet.timestamp // 1_000_000


def _date(packet: SignedPacket) -> str:
    last = datetime(9999, 1, 1, tzinfo=UTC).timestamp()  # a timestamp is whatever its owner signed
    return format_datetime(datetime.fromtimestamp(min(_seconds(packet), last), UTC), usegmt=True)
