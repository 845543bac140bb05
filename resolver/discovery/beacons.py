"""Records at beacons and other pkarr relays: `GET` and `PUT https://relay/<endpoint id>` (pkarr.org, relays).

Nobody here is trusted: what comes is small, or dropped, and carries its owner's signature. Redirections are not
followed, because a beacon's key is checked for the one host that its URL names.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from resolver.discovery.base import Scope
from resolver.errors import DiscoveryError, RecordError
from resolver.limits import BEACON_CONNECT_SECONDS, BEACON_CONNECTIONS, BEACON_REASON_BYTES, RECORD_RELAYS
from resolver.signed_packets import LARGEST, SignedPacket, newer_of
from tunnels.transports.http_errors import why_not
from tunnels.transports.pinned_tls import client_ssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId

PAYLOAD_TYPE: Final = "application/pkarr.org/relays#payload"

_REFUSALS: Final = {
    400: "it finds our record wrong",
    409: "it has a newer record of us; does another gateway use this identity, or is the clock wrong?",
    412: "another record of us came at the same time",
    413: "our record is too large for it",
    428: "another record of us came at the same time",
    429: "it asks us to wait",
    503: "it is busy",
}


class BeaconHttp:
    """The HTTP client for beacons and pkarr relays, one for all of them. `close` it once."""

    def __init__(self, *, proxy: str = "", user_agent: str = "overlay") -> None:
        """`proxy` is the URL of an HTTP proxy, with a login in it if it asks for one; empty is none."""
        self._proxy = proxy or None
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def find(self, beacon: BeaconUrl, endpoint_id: EndpointId) -> SignedPacket | None:
        """The endpoint's packet there, verified; DiscoveryError or RecordError says why there is none to use."""
        status, body = await self._ask("GET", beacon, endpoint_id, LARGEST)
        if status == 404:
            return None
        if status != 200:
            raise DiscoveryError(f"{beacon.authority}: {_refusal(status, body)}")
        return SignedPacket.parse_payload(endpoint_id, body)

    async def publish(self, beacon: BeaconUrl, packet: SignedPacket) -> None:
        """Put the packet there; DiscoveryError says why it was not taken."""
        status, body = await self._ask(
            "PUT", beacon, packet.endpoint_id, BEACON_REASON_BYTES, packet.to_payload()
        )
        if not 200 <= status < 300:
            raise DiscoveryError(f"{beacon.authority}: {_refusal(status, body)}")

    async def close(self) -> None:
        """End all connections; idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self, method: str, beacon: BeaconUrl, endpoint_id: EndpointId, limit: int, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body, of which at most one byte more than `limit` is read."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=BEACON_CONNECTIONS, limit_per_host=4),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=BEACON_CONNECT_SECONDS),
                auto_decompress=False,
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            )
        tls = True if beacon.scheme == "http" else await asyncio.to_thread(client_ssl, beacon)
        try:
            async with self._session.request(
                method,
                f"{beacon.origin}/{endpoint_id}",
                data=body,
                headers=None if body is None else {"Content-Type": PAYLOAD_TYPE},
                ssl=tls,
                proxy=self._proxy,
                allow_redirects=False,
            ) as reply:
                read = b""
                while len(read) <= limit and (more := await reply.content.read(limit + 1 - len(read))):
                    read += more
                return reply.status, read
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one of these
            raise DiscoveryError(f"{beacon.authority}: {why_not(error, beacon)}") from None


class BeaconSource:
    """One beacon or pkarr relay as a RecordSource."""

    scope = Scope.PUBLIC

    def __init__(self, beacon: BeaconUrl, http: BeaconHttp) -> None:
        self.beacon = beacon
        self.name = beacon.origin
        self._http = http

    def __repr__(self) -> str:
        return f"<BeaconSource {self.name}>"

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """What it has of the endpoint."""
        return await self._http.find(self.beacon, endpoint_id)

    async def publish(self, packet: SignedPacket) -> None:
        """Put our record there."""
        await self._http.publish(self.beacon, packet)


class HomesSource:
    """The beacons that an endpoint's last known record names: where it is likely to have put its next one."""

    name = "its own beacons"
    scope = Scope.PUBLIC

    def __init__(
        self,
        relays_of: Callable[[EndpointId], tuple[BeaconUrl, ...]],
        asked_anyway: Callable[[], tuple[BeaconUrl, ...]],
        http: BeaconHttp,
    ) -> None:
        """`relays_of` tells them; those `asked_anyway` are left to their own sources."""
        self._relays_of = relays_of
        self._asked_anyway = asked_anyway
        self._http = http

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest that any of them has; DiscoveryError if none of them answers."""
        ours = {(beacon.host, beacon.port) for beacon in self._asked_anyway()}
        theirs = [beacon for beacon in self._relays_of(endpoint_id) if (beacon.host, beacon.port) not in ours]
        found: SignedPacket | None = None
        errors: list[DiscoveryError | RecordError] = []

        async def ask(beacon: BeaconUrl) -> None:
            nonlocal found
            try:
                packet = await self._http.find(beacon, endpoint_id)
            except (DiscoveryError, RecordError) as error:
                errors.append(error)
            else:
                if packet is not None:
                    found = packet if found is None else newer_of(found, packet)

        async with asyncio.TaskGroup() as group:
            for beacon in theirs[:RECORD_RELAYS]:
                group.create_task(ask(beacon), name=f"record at {beacon.authority}")
        if found is None and errors and len(errors) == len(theirs[:RECORD_RELAYS]):
            raise errors[0]
        return found

    async def publish(self, packet: SignedPacket) -> None:
        """Nothing to do: our record goes to our own beacons."""


def _refusal(status: int, body: bytes) -> str:
    """Why a beacon refused, in its words where it has some, else in ours."""
    words = " ".join(body[:BEACON_REASON_BYTES].decode("utf-8", "replace").split())
    words = "".join(character for character in words if character.isprintable())
    ours = _REFUSALS.get(status, "it does not do what a pkarr relay does")
    return f"it answers {status}: {ours}" + (f" ({words})" if words else "")
