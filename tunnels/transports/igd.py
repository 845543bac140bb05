"""UPnP with our router: finding its description, mapping a port, unmapping it. ⚡

async-upnp-client reads the description and speaks SOAP; it is loaded when it is first needed, and is an extra. The search
is ours, and so is the HTTP below: nothing but the router itself is ever asked, whatever a machine on this network says that
a router is, nothing is followed elsewhere, and no answer is larger than it can be.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import random
from datetime import timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import aiohttp

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import Unreachable
from tunnels.nat import limits as nat_limits

if TYPE_CHECKING:
    from async_upnp_client.const import HttpRequest, HttpResponse
    from async_upnp_client.profiles.igd import IgdDevice

_MULTICAST: Final = "239.255.255.250"
_PORT: Final = 1900
_DEVICES: Final = tuple(f"urn:schemas-upnp-org:device:InternetGatewayDevice:{version}" for version in (1, 2))
_ANYBODY: Final = IPv4Address(0)
_PERMANENT_ONLY: Final = frozenset({402, 725})
"""Errors on a lease that ends: InvalidArgs, and OnlyPermanentLeasesSupported (WANIPConnection:1 §2.4.16)."""
_TAKEN: Final = frozenset({718, 727, 729})
"""The port outside is somebody else's, or cannot be chosen so."""
_PORTS_TRIED: Final = 4


_INSTALLED: Final = importlib.util.find_spec("async_upnp_client") is not None


def is_installed() -> bool:
    """Whether the library is there."""
    return _INSTALLED


def _load() -> None:
    """Importing it reads files, for which the event loop has no time."""
    importlib.import_module("async_upnp_client.client_factory")
    importlib.import_module("async_upnp_client.profiles.igd")


class Igd:
    """One router, as UPnP knows it; found when it is first needed."""

    def __init__(self, router: IPv4Address, own_ip: IPv4Address) -> None:
        self._router, self._own_ip = router, own_ip
        self._device: IgdDevice | None = None
        self.is_there = False
        """Whether the router described itself as UPnP has it, when it was asked last."""

    def __repr__(self) -> str:
        return f"<Igd at {self._router}, {'found' if self._device else 'not found yet'}>"

    async def add(self, external_port: int, port: int, seconds: int) -> tuple[Address, int]:
        """Map a port; what it is outside, and for how many seconds, 0 for ever. Unreachable says why not."""
        await asyncio.to_thread(_load)
        from async_upnp_client.exceptions import UpnpActionError, UpnpError

        self.is_there = False
        try:
            device = await self._found()
            self.is_there = True
            ip = _outside(await device.async_get_external_ip_address())
            for _ in range(_PORTS_TRIED):
                try:
                    granted = await self._map(device, external_port, port, seconds)
                except UpnpActionError as error:
                    if error.error_code not in _TAKEN:
                        raise
                    above = random.randrange(nat_limits.PORTMAP_RANDOM)  # noqa: S311 - not secret
                    external_port = nat_limits.PORTMAP_FIRST_RANDOM + above
                else:
                    return Address(ip, external_port), granted
        except UpnpActionError as error:
            self._device = None
            why = error.error_desc or "no reason given"
            raise Unreachable(f"it refuses: {_line(why)} (error {error.error_code})") from error
        except (UpnpError, TimeoutError, OSError, aiohttp.ClientError) as error:
            self._device = None
            raise Unreachable(
                f"it does not do as UPnP says: {_line(str(error) or type(error).__name__)}"
            ) from error
        raise Unreachable("every port that was asked for is taken")

    async def remove(self, external_port: int) -> None:
        """Unmap it; whatever is in the way is no matter, since a lease ends by itself."""
        await asyncio.to_thread(_load)
        from async_upnp_client.exceptions import UpnpError

        try:
            device = await self._found()
            await device.async_delete_port_mapping(_ANYBODY, external_port, "UDP")
        except (UpnpError, Unreachable, TimeoutError, OSError, aiohttp.ClientError):
            self._device = None

    async def _map(self, device: IgdDevice, external_port: int, port: int, seconds: int) -> int:
        from async_upnp_client.exceptions import UpnpActionError

        async def call(lease: int) -> int:
            await device.async_add_port_mapping(
                _ANYBODY,
                external_port,
                "UDP",
                port,
                self._own_ip,
                enabled=True,
                description="overlay",
                lease_duration=timedelta(seconds=lease),
            )
            return lease

        try:
            return await call(seconds)
        except UpnpActionError as error:
            if error.error_code not in _PERMANENT_ONLY:
                raise
            return await call(0)

    async def _found(self) -> IgdDevice:
        from async_upnp_client.client_factory import UpnpFactory
        from async_upnp_client.profiles.igd import IgdDevice

        if self._device is None:
            location = await _search(self._router, self._own_ip)
            factory = UpnpFactory(cast("Any", _Requester(self._router)), non_strict=True)
            self._device = IgdDevice(await factory.async_create_device(location), None)
        return self._device


class _Requester:
    """The HTTP of the library: to the router and nowhere else, with bounds."""

    def __init__(self, router: IPv4Address) -> None:
        self._router = str(router)

    async def async_http_request(self, request: HttpRequest) -> HttpResponse:
        from async_upnp_client.const import HttpResponse
        from async_upnp_client.exceptions import UpnpCommunicationError

        if not is_at(request.url, self._router):
            raise UpnpCommunicationError(message=f"it names another machine than itself: {request.url[:100]}")
        timeout = aiohttp.ClientTimeout(total=limits.UPNP_REQUEST)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(
                request.method, request.url, headers=request.headers, data=request.body, allow_redirects=False
            ) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_chunked(16384):
                body += chunk
                if len(body) > limits.UPNP_BODY:
                    raise UpnpCommunicationError(message="its answer is too large")
            return HttpResponse(response.status, response.headers, body.decode("utf-8", "replace"))


def is_at(url: str, router: str) -> bool:
    """Whether the URL is plain HTTP at the router's own address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname == router and parts.username is None and port != 0


def location_of(answer: bytes) -> str:
    """Where an answer to a search says that the description is; empty if it says nothing of the kind."""
    head, *lines = answer[:4096].split(b"\n")
    if not head.startswith(b"HTTP/1.") or b" 200" not in head:
        return ""
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"location":
            return value.strip().decode("ascii", "replace")
    return ""


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, router: IPv4Address) -> None:
        self._router = str(router)
        self._left = limits.UPNP_ANSWERS
        self.found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        location = location_of(data)
        if addr[0] == self._router and self._left and not self.found.done() and is_at(location, self._router):
            self.found.set_result(location)
        self._left -= addr[0] == self._router and self._left > 0

    def error_received(self, exc: Exception) -> None:
        del exc  # the router has no such port


async def _search(router: IPv4Address, own_ip: IPv4Address) -> str:
    """The URL of the router's description; Unreachable if it does not answer."""
    loop = asyncio.get_running_loop()
    transport, answers = await loop.create_datagram_endpoint(
        lambda: _Answers(router), local_addr=(str(own_ip), 0)
    )
    try:
        # The router first: a firewall of ours lets its answer in, where one to a multicast would be unasked for.
        for place in (str(router), _MULTICAST):
            for device in _DEVICES:
                transport.sendto(
                    f'M-SEARCH * HTTP/1.1\r\nHOST: {_MULTICAST}:{_PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {device}\r\n\r\n'.encode(),
                    (place, _PORT),
                )
        async with asyncio.timeout(limits.UPNP_SEARCH):
            return await answers.found
    except TimeoutError:
        raise Unreachable("it does not answer") from None
    finally:
        transport.close()


def _outside(told: str | None) -> IPv4Address:
    try:
        return IPv4Address(told or "")
    except ValueError:
        raise Unreachable("it has no public address") from None


def _line(words: str) -> str:
    return "".join(character if character.isprintable() else " " for character in words)[:200]
