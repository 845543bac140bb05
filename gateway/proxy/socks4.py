"""A SOCKS4 and SOCKS4a server's half of the handshake, without I/O.

::

    VN=4 CD DSTPORT DSTIP USERID 0            SOCKS4a: DSTIP is 0.0.0.x with x not 0, and NAME 0 follows
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address
from typing import Final

from gateway.proxy.requests import ConnectRequest, Credentials, NotAdmitted, Rejected, SocksEvent, host_text

VERSION: Final = 4
_CONNECT: Final = 1
_FIXED: Final = 8  # bytes before USERID
_MAX_TEXT: Final = 255  # of user id and of name, without the ending zero


class Reply(Enum):
    """CD of the reply."""

    GRANTED = 90
    FAILED = 91
    WRONG_USER = 93


def reply(code: Reply) -> bytes:
    """The reply to a request."""
    return bytes((0, code.value, 0, 0, 0, 0, 0, 0))


class Socks4:
    """One client. Feed `receive_data`, act on the event; after it the machine is done."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """With `credentials` who needs a password does not get in: SOCKS4 knows none."""
        self.done = False
        self._credentials = credentials
        self._buffer = b""

    @property
    def trailing(self) -> bytes:
        """What the client sent behind its request: the first bytes of the stream."""
        return self._buffer if self.done else b""

    def data_to_send(self) -> bytes:
        """Nothing is sent before the reply."""
        return b""

    def receive_data(self, data: bytes) -> list[SocksEvent]:
        """Take bytes; at most one event comes out over the life of the machine."""
        self._buffer += data
        if self.done:
            return []
        event = self._read()
        if event is None:
            return []
        self.done = True
        return [event]

    def _read(self) -> SocksEvent | None:
        data = self._buffer
        if data and data[0] != VERSION:
            return Rejected(b"", "not SOCKS4")
        if len(data) <= _FIXED:
            return None
        user, end = _text(data, _FIXED)
        if end < 0:
            return _too_long() if len(data) - _FIXED > _MAX_TEXT else None
        ip = data[4:8]
        host = str(IPv4Address(ip))
        if ip[:3] == b"\0\0\0" and ip[3]:  # SOCKS4a
            name, name_end = _text(data, end)
            if name_end < 0:
                return _too_long() if len(data) - end > _MAX_TEXT else None
            try:
                host = host_text(name)
            except ValueError as error:
                return Rejected(reply(Reply.FAILED), str(error))
            end = name_end
        self._buffer = data[end:]
        port = int.from_bytes(data[2:4])
        who = user.decode("utf-8", "replace") or None
        if self._credentials is not None:
            try:
                who = self._credentials.admit(user, None)
            except NotAdmitted:
                return Rejected(reply(Reply.WRONG_USER), "SOCKS4 has no passwords; use SOCKS5 or HTTP")
        if data[1] != _CONNECT or not port:
            return Rejected(reply(Reply.FAILED), f"command {data[1]} to port {port} is not supported")
        return ConnectRequest(host, port, who)


def _text(data: bytes, start: int) -> tuple[bytes, int]:
    """The zero-ended text at `start` and where it ends; (b"", -1) when its end has not come."""
    zero = data.find(b"\0", start, start + _MAX_TEXT + 1)
    return (data[start:zero], zero + 1) if zero >= 0 else (b"", -1)


def _too_long() -> Rejected:
    return Rejected(reply(Reply.FAILED), f"a text of more than {_MAX_TEXT} bytes")
