"""Queries and answers of DNS over HTTPS as bytes and header values (RFC 8484 §4, §5). Without I/O."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final

from dnslib import QTYPE, SOA, DNSRecord
from dnslib.dns import DNSError

from gateway.errors import GatewayError
from resolver.limits import QUERY_BYTES
from resolver.messages import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/dns-message"
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


class DohError(GatewayError):
    """What was sent is no query that is answered; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def query_of_parameter(text: str | None) -> bytes:
    """The query in the `dns` parameter of a GET request, base64url without padding (RFC 4648 §5); raises DohError."""
    if not text:
        raise DohError(400, "the parameter dns is missing; it holds the query in base64url")
    if len(text) > (QUERY_BYTES * 4 + 2) // 3:
        raise DohError(414, f"a query has at most {QUERY_BYTES} bytes")
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise DohError(400, "the parameter dns is not base64url without padding")
    return check_query(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def check_query(data: bytes) -> bytes:
    """The query, if it has the length of one; raises DohError."""
    if len(data) > QUERY_BYTES:
        raise DohError(413, f"a query has at most {QUERY_BYTES} bytes")
    if len(data) < HEADER_BYTES:
        raise DohError(400, "that is no DNS message")
    return data


def refuse_pages(fields: Mapping[str, str]) -> None:
    """DohError for a request that a page's script, image or form made: programs and browsers' own resolvers say neither."""
    if "Origin" in fields or fields.get("Sec-Fetch-Site", "none") != "none":
        raise DohError(403, "pages may not ask here; this is for resolvers")


def lifetime(reply: bytes) -> int:
    """Seconds that a reply may be kept: its smallest TTL, that of its SOA if it denies (RFC 8484 §5.1, RFC 2308 §5)."""
    try:
        message = DNSRecord.parse(reply)
    except (DNSError, ValueError, IndexError, TypeError):  # what an outside server sent is anybody's
        return 0
    if message.rr:
        return max(0, min(int(record.ttl) for record in message.rr))
    for record in message.auth:
        if record.rtype == QTYPE.SOA and isinstance(record.rdata, SOA):
            return max(0, min(int(record.ttl), int(record.rdata.times[4])))
    return 0
