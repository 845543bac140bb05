"""What the HTTP proxy does with a request: CONNECT opens a tunnel, an absolute http:// target is sent on.

The plan for one request at a time, without I/O; `gateway.http.exchange` carries it out.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from gateway.http.authority import Authority, parse_authority, split_absolute
from gateway.http.plans import Forward, Place, Tunnel
from gateway.http.problems import HttpError, Problem, bad_request
from gateway.http.rewriting import KEEP
from gateway.proxy.requests import NotAdmitted

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead
    from gateway.proxy.requests import Credentials

NOT_A_SITE: Final = Problem(
    400,
    "This is a proxy, not a web site",
    "The overlay gateway speaks SOCKS4, SOCKS4a, SOCKS5 and HTTP here, on one port, for programs that are set up to use it.",
    "Enter this address as SOCKS5 or HTTP proxy in your browser, or try `curl --proxy socks5h://ADDRESS http://web.NAME.overlay/`.",
)
NO_TLS: Final = Problem(
    400,
    "This proxy does not speak TLS",
    "The connection began with a TLS handshake.",
    "Write the proxy's address with http:// or socks5h://, not https://; pages with https:// go through it all the same.",
)
JUNK: Final = Problem(
    400,
    "Not understood",
    "What was sent is none of SOCKS4, SOCKS4a, SOCKS5 and HTTP, which the overlay proxy speaks.",
)
_NEEDS_PASSWORD: Final = Problem(
    407,
    "This proxy asks for a password",
    "The gateway on this computer is set up to let in only those who know its user name and password.",
    "They are in gateway.toml under `[proxy]`.",
    (("Proxy-Authenticate", 'Basic realm="overlay", charset="UTF-8"'),),
)

_UNKNOWN_USER: Final = Problem(
    407,
    "This proxy knows no such user",
    "The user name that your program gives chooses a profile of the gateway, and there is none of this name with this password.",
    "Profiles are in gateway.toml under `[profiles.NAME]`; without a user name none is chosen.",
    _NEEDS_PASSWORD.fields,
)


def plan_request(head: RequestHead, credentials: Credentials | None) -> Forward | Tunnel:
    """Where the request goes; HttpError with the answer for one that cannot be served."""
    user = _authenticate(head, credentials)
    if head.method == b"CONNECT":
        place = _authority(head.target, None)
        return Tunnel(Place(place.host, place.port, user))
    parts = split_absolute(head.target)
    if parts is None:
        raise HttpError(NOT_A_SITE)
    scheme, raw_authority, path = parts
    if scheme not in (b"http", b"ws"):  # some clients write ws:// for the request that opens a WebSocket
        raise bad_request(
            f"Targets of the kind {scheme.decode('ascii')}:// are not fetched here; a client opens https:// with CONNECT.",
            status=501,
        )
    authority = _authority(raw_authority, 80)
    if head.method == b"OPTIONS" and path == b"/" and not head.target.endswith(b"/"):
        path = b"*"  # RFC 9112 §3.2.4
    return Forward(Place(authority.host, authority.port, user), path, KEEP, host=authority.text)


def _authority(raw: bytes, default_port: int | None) -> Authority:
    try:
        return parse_authority(raw, default_port)
    except ValueError as error:
        shown = raw[:80].decode("ascii", "replace")
        raise bad_request(f"The host {shown!r} of the request cannot be used: {error}.") from None


def _authenticate(head: RequestHead, credentials: Credentials | None) -> str | None:
    """The user of the request, None when nobody is asked; HttpError 407 without the right password (RFC 7617)."""
    if credentials is None:
        return None
    is_named = False
    for value in head.values(b"proxy-authorization"):
        scheme, _, encoded = value.partition(b" ")
        if scheme.lower() != b"basic":
            continue
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            continue
        if colon:
            try:
                return credentials.admit(user, password)
            except NotAdmitted:
                is_named = True
    if credentials.user:
        raise HttpError(_NEEDS_PASSWORD)
    if is_named:
        raise HttpError(_UNKNOWN_USER)
    return None
