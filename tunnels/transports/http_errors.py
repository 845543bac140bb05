"""Why a beacon could not be reached over HTTP, in words for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from tunnels.addresses import BeaconUrl


def why_not(error: aiohttp.ClientError | OSError, beacon: BeaconUrl) -> str:
    """Why a connection to this beacon failed, in one line for people, with the remedy where there is one."""
    match error:
        case aiohttp.ClientConnectorCertificateError() if beacon.beacon_id is not None:
            return (
                "it does not have the key that its URL names; is something in between, or was it set up anew?"
            )
        case aiohttp.ClientConnectorCertificateError():
            reason = _reason(error.certificate_error)
            return f"its certificate cannot be verified ({reason}); if it is one of your own, write its URL with #ID"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused with {error.status} {error.message[:100]}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known; is this machine online?"
        case aiohttp.ClientConnectorError():
            return _reason(error.os_error)
        case TimeoutError():
            return "no answer in time"
        case _:
            return _reason(error)


def _reason(error: BaseException) -> str:
    text = getattr(error, "verify_message", None)
    if text is None and isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        text = os.strerror(error.errno)  # asyncio's own words for it hold an address
    text = text or getattr(error, "strerror", None) or str(error)
    line = " ".join(str(text or type(error).__name__).split())[:200]
    return "".join(character if character.isprintable() else "?" for character in line)
