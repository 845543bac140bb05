"""What every client of a beacon shares: the proxy on the way, no third parties, and what went wrong in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiohttp

from tunnels.errors import TunnelError, Unreachable, WrongIdentity
from tunnels.transports.http_errors import why_not

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from tunnels.addresses import BeaconUrl


class Proxy:
    """An HTTP proxy that is asked to CONNECT; its repr shows no password."""

    __slots__ = ("headers", "url")

    def __init__(self, text: str) -> None:
        """Read `http://[user:password@]host:port`; ValueError says what is expected."""
        expected = "a proxy is written http://[USER:PASSWORD@]HOST:PORT"
        try:
            parts = urlsplit(text)
            port = parts.port or 80
        except ValueError as error:
            raise ValueError(f"{error}: {expected}") from None
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(expected)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.url = f"http://{host}:{port}"
        self.headers: dict[str, str] = {}
        if parts.username is not None:
            login = unquote(parts.username), unquote(parts.password or "")
            self.headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(*login)

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


async def refuse_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A client middleware: whoever answers at a beacon's URL is the beacon, and sends us to no third party."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise Unreachable(f"there is no beacon: HTTP {response.status} points elsewhere")
    return response


def explained(error: aiohttp.ClientError, url: BeaconUrl) -> TunnelError:
    """The same error as one of ours: WrongIdentity for a certificate that is not the beacon's, Unreachable else."""
    match error:
        case aiohttp.WSServerHandshakeError():
            return Unreachable(f"there is no beacon: HTTP {error.status} where a WebSocket was asked for")
        case aiohttp.ClientConnectorCertificateError():
            return WrongIdentity(why_not(error, url))
        case _:
            return Unreachable(why_not(error, url))
