"""Time-limited credentials for a TURN server that shares a secret with the beacon, as coturn's `use-auth-secret` wants.

The TURN server needs to be told of no user: the name says until when it is good, the password is a MAC over the name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from tunnels.relay.frames import TurnServer

if TYPE_CHECKING:
    from tunnels.addresses import Address
    from tunnels.identity import EndpointId

_ALIAS_BYTES: Final = 10


class TurnCredentials:
    """Gives each endpoint credentials of its own for one TURN server."""

    def __init__(self, server: Address, secret: str, seconds: int) -> None:
        """`secret`: the server's static-auth-secret; `seconds`: how long credentials are good for."""
        self._server = server
        self._secret = secret.encode()
        self._seconds = seconds

    def for_endpoint(self, endpoint_id: EndpointId, now: float) -> TurnServer:
        """What the endpoint is to say to the server; `now` in seconds since 1970."""
        username = f"{int(now) + self._seconds}:{self._alias(endpoint_id)}"
        # HMAC-SHA1 is what coturn computes; nothing depends on its collisions.
        mac = hmac.digest(self._secret, username.encode(), "sha1")
        return TurnServer(
            address=str(self._server),
            username=username,
            password=base64.b64encode(mac).decode(),
            seconds=self._seconds,
        )

    def _alias(self, endpoint_id: EndpointId) -> str:
        """A name that is always the endpoint's, for the server's quotas, and from which its logs do not tell the id."""
        alias = hashlib.blake2b(endpoint_id.key, key=self._secret[:64], digest_size=_ALIAS_BYTES).digest()
        return base64.b32encode(alias).decode().lower()
