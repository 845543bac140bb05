"""Reading the heads of HTTP/1.1 messages (RFC 9112 §2-5), strictly where two readers could disagree.

h11 is not used here: as an intermediary we must keep field names as they were sent, say 431 and 501 where they are
due and cost little. It is the yardstick in the tests: what we accept, it accepts with the same meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.http.problems import bad_gateway, bad_request
from gateway.limits import HTTP_FIELDS, HTTP_HEAD_BYTES

Field = tuple[bytes, bytes, bytes]
"""A header field: its name as sent, its name in lower case, its value without surrounding blanks."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (.*))?")
_END: Final = re.compile(
    rb"\n\r?\n"
)  # a bare LF may end a line (RFC 9112 §2.2); what we send always has CRLF
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request line and header fields of one request."""

    method: bytes
    target: bytes
    minor: int
    """0 or 1: the version is HTTP/1.x."""
    fields: list[Field]

    def values(self, name: bytes) -> list[bytes]:
        """The values of every field of this lower-case name, in order."""
        return [value for _, lower, value in self.fields if lower == name]


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status line and header fields of one response."""

    status: int
    reason: bytes
    minor: int
    fields: list[Field]

    def values(self, name: bytes) -> list[bytes]:
        """The values of every field of this lower-case name, in order."""
        return [value for _, lower, value in self.fields if lower == name]


def find_end(data: bytes, start: int = 0) -> int:
    """Where the head at the start of `data` ends (after its empty line), or -1; `start` skips what was searched."""
    match = _END.search(data, max(0, start - 3))
    return match.end() if match else -1


def too_long() -> Exception:
    """The error for a head beyond the limit."""
    return bad_request(f"The head of the request is longer than {HTTP_HEAD_BYTES // 1024} KiB.", status=431)


def parse_request(head: bytes) -> RequestHead:
    """Read a request head with its empty line; HttpError with 400, 431 or 505 says what is wrong."""
    lines = _lines(head)
    if lines is None:
        raise bad_request("The head of the request holds a control character.")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        if re.search(rb" HTTP/[0-9.]+\Z", lines[0]) and not re.search(rb" HTTP/1\.[01]\Z", lines[0]):
            raise bad_request("Only HTTP/1.0 and HTTP/1.1 are spoken here.", status=505)
        raise bad_request("The request line is not of the form `METHOD target HTTP/1.1`.")
    if len(lines) > HTTP_FIELDS + 1:
        raise bad_request(f"The request has more than {HTTP_FIELDS} header fields.", status=431)
    fields = parse_fields(lines[1:])
    if fields is None:
        raise bad_request("A header line is not of the form `Name: value`.")
    return RequestHead(match[1], match[2], int(match[3]), fields)


def parse_response(head: bytes) -> ResponseHead:
    """Read a response head with its empty line; HttpError with 502 says what is wrong."""
    lines = _lines(head)
    match = _STATUS_LINE.fullmatch(lines[0]) if lines else None
    fields = parse_fields(lines[1:]) if lines and match and len(lines) <= HTTP_FIELDS + 1 else None
    if match is None or fields is None:
        raise bad_gateway("What the service sent is not an HTTP response.")
    return ResponseHead(int(match[2]), match[3] or b"", int(match[1]), fields)


def parse_fields(lines: list[bytes]) -> list[Field] | None:
    """Read header or trailer lines; None when one is malformed (folded lines and blanks before the colon are)."""
    fields: list[Field] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            return None
        fields.append((name, name.lower(), value.strip(b" \t")))
    return fields


def members(values: list[bytes]) -> list[bytes]:
    """The members of a comma-separated list field (RFC 9110 §5.6.1), lower-cased."""
    if not values:
        return []
    return [
        member for value in values for part in value.split(b",") if (member := part.strip(b" \t").lower())
    ]


def _lines(head: bytes) -> list[bytes] | None:
    """The lines without the empty one; None when a control character or a bare CR is among them."""
    if _FORBIDDEN.search(head):
        return None
    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines
