"""What changes in a message's head on its way through us: hop-by-hop fields go, and what the caller asks for is added.

Connection, framing and Host are always written anew from what was understood, so that the next reader cannot
understand something else (RFC 9110 §7.6.1, RFC 9112 §3.2.2, §6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.http.heads import Field, RequestHead, ResponseHead, members

if TYPE_CHECKING:
    from gateway.http.bodies import Body

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NEVER_NOMINATED: Final = frozenset({b"host", b"cache-control", b"authorization", b"cookie", b"expect"})
"""Fields that Connection cannot remove: the request would mean something else without them."""


@dataclass(frozen=True, slots=True)
class HeaderRewrite:
    """What to change in each request of a connection, beyond what every intermediary must."""

    host: bytes | None = None
    """The Host to send; None keeps what the client said."""
    drop: frozenset[bytes] = frozenset()
    """Fields to remove, in lower case with hyphens; `X_Overlay_Endpoint` is removed with `x-overlay-endpoint`,
    because many backends cannot tell the two apart."""
    add: tuple[tuple[bytes, bytes], ...] = ()
    """Fields to add."""


KEEP: Final = HeaderRewrite()
ENDPOINT_FIELD: Final = b"X-Overlay-Endpoint"


def tell_endpoint(endpoint_id: str, host: str | None = None) -> HeaderRewrite:
    """The server adapter's rewrite: the caller's id, which the caller cannot forge, and a fixed Host if given."""
    return HeaderRewrite(
        host=host.encode("ascii") if host is not None else None,
        drop=frozenset({ENDPOINT_FIELD.lower()}),
        add=((ENDPOINT_FIELD, endpoint_id.encode("ascii")),),
    )


def asked_upgrade(head: RequestHead) -> bytes | None:
    """The protocol that the request asks to change to, if it is one that we let pass.

    HTTP/2 in clear text is not: requests inside it would pass unread, with forged fields.
    """
    values = head.values(b"upgrade")
    if len(values) != 1 or head.minor == 0 or b"upgrade" not in members(head.values(b"connection")):
        return None
    name = values[0].lower()
    if not name or b"," in name or name.startswith((b"h2", b"http", b"tls")):
        return None
    return values[0]


def request_bytes(
    head: RequestHead, target: bytes, body: Body, rewrite: HeaderRewrite, *, host: bytes | None, close: bool
) -> bytes:
    """The head to send on; `host` replaces the client's Host unless the rewrite has its own."""
    nominated = members(head.values(b"connection"))
    host = rewrite.host if rewrite.host is not None else host
    parts = [head.method, b" ", target, b" HTTP/1.%d\r\n" % head.minor]
    if host is not None:
        parts += (b"Host: ", host, b"\r\n")
    for name, lower, value in head.fields:
        if lower in _HOP_BY_HOP or (lower == b"host" and host is not None):
            continue
        if nominated and lower in nominated and lower not in _NEVER_NOMINATED:
            continue
        if rewrite.drop and lower.replace(b"_", b"-") in rewrite.drop:
            continue
        parts += (name, b": ", value, b"\r\n")
    for name, value in rewrite.add:
        parts += (name, b": ", value, b"\r\n")
    if body.field is not None:
        parts += (body.field[0], b": ", body.field[1], b"\r\n")
    upgrade = asked_upgrade(head)
    if upgrade is not None:
        parts += (b"Connection: Upgrade\r\nUpgrade: ", upgrade, b"\r\n")
    elif close:
        parts.append(b"Connection: close\r\n")
    elif head.minor == 0:
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def response_bytes(head: ResponseHead, body: Body, *, minor: int, close: bool) -> bytes:
    """The head to send back to a client of HTTP/1.`minor`; `close` announces that its connection ends after this."""
    nominated = members(head.values(b"connection"))
    parts = [b"HTTP/1.1 %d " % head.status, head.reason, b"\r\n"]
    for name, lower, value in head.fields:
        if lower in _HOP_BY_HOP and not (head.status == 426 and lower == b"upgrade"):
            continue
        if nominated and lower in nominated and lower not in _NEVER_NOMINATED:
            continue
        parts += (name, b": ", value, b"\r\n")
    if body.field is not None:
        parts += (body.field[0], b": ", body.field[1], b"\r\n")
    if head.status == 101:
        upgrade = b", ".join(_values(head.fields, b"upgrade"))
        parts += (b"Connection: Upgrade\r\nUpgrade: ", upgrade, b"\r\n")
    elif head.status >= 200 and close:
        parts.append(b"Connection: close\r\n")
    elif head.status >= 200 and minor == 0:
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def persists(head: RequestHead | ResponseHead) -> bool:
    """Whether the sender of this head keeps its connection open afterwards (RFC 9112 §9.3)."""
    options = members([*head.values(b"connection"), *head.values(b"proxy-connection")])
    return b"close" not in options if head.minor else b"keep-alive" in options


def _values(fields: list[Field], name: bytes) -> list[bytes]:
    return [value for _, lower, value in fields if lower == name]
