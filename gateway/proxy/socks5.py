"""A SOCKS5 server's half of the handshake (RFC 1928, RFC 1929), without I/O.

::

    METHODS ──no password──▶ REQUEST ──▶ DONE
       └──password──▶ PASSWORD ──▶ REQUEST
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.proxy.requests import (
    AssociateRequest,
    ConnectRequest,
    Credentials,
    NotAdmitted,
    Rejected,
    SocksEvent,
)
from gateway.proxy.socks_address import BadAddress, decode, encode

VERSION: Final = 5
_NO_AUTH: Final = 0
_PASSWORD: Final = 2
_NO_ACCEPTABLE: Final = 0xFF
_PASSWORD_VERSION: Final = 1


class Command(Enum):
    """CMD of RFC 1928 §4; BIND is answered with COMMAND_NOT_SUPPORTED."""

    CONNECT = 1
    BIND = 2
    ASSOCIATE = 3


class Reply(Enum):
    """REP of RFC 1928 §6."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class State(Enum):
    """What the machine waits for."""

    METHODS = "methods"
    """The version and the client's authentication methods."""
    PASSWORD = "password"  # noqa: S105 - the name of a state
    """User name and password."""
    REQUEST = "request"
    """The command and its address."""
    DONE = "done"
    """Nothing: what else arrives is `trailing`."""


def reply(code: Reply, host: str = "0.0.0.0", port: int = 0) -> bytes:  # noqa: S104 - "no address" in SOCKS
    """The reply to a request; host and port are the bound address, which only UDP associations have."""
    return bytes((VERSION, code.value, 0)) + encode(host, port)


def refusal() -> bytes:
    """The answer to a client that is turned away before it could ask: no method is acceptable."""
    return bytes((VERSION, _NO_ACCEPTABLE))


class Socks5:
    """One client. Feed `receive_data`, send `data_to_send`, act on the events; after an event it is done."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """With `credentials` only the right users get in, by password; without, everyone does.

        Without, a password is still listened to when it is all the client offers: such clients work, and there
        is nothing to protect.
        """
        self.state = State.METHODS
        self._credentials = credentials
        self._buffer = b""
        self._output = b""
        self._user: str | None = None

    @property
    def trailing(self) -> bytes:
        """What the client sent behind its request: the first bytes of the stream."""
        return self._buffer if self.state is State.DONE else b""

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        data, self._output = self._output, b""
        return data

    def receive_data(self, data: bytes) -> list[SocksEvent]:
        """Take bytes; at most one event comes out over the life of the machine."""
        self._buffer += data
        while self.state is not State.DONE:
            before = self.state
            match self.state:
                case State.METHODS:
                    event = self._read_methods()
                case State.PASSWORD:
                    event = self._read_password()
                case _:
                    event = self._read_request()
            if event is not None:
                self.state = State.DONE
                return [event]
            if self.state is before:
                break
        return []

    def _read_methods(self) -> SocksEvent | None:
        """VER NMETHODS METHODS (RFC 1928 §3)."""
        data = self._buffer
        if data and data[0] != VERSION:
            return Rejected(b"", "not SOCKS5")
        if len(data) < 2 or len(data) < 2 + data[1]:
            return None
        methods, self._buffer = data[2 : 2 + data[1]], data[2 + data[1] :]
        credentials = self._credentials
        may_be_anonymous = _NO_AUTH in methods and not (credentials and credentials.user)
        has_name = credentials is not None and bool(credentials.profiles) and _PASSWORD in methods
        if may_be_anonymous and not has_name:
            self._output += bytes((VERSION, _NO_AUTH))
            self.state = State.REQUEST
        elif _PASSWORD in methods:
            self._output += bytes((VERSION, _PASSWORD))
            self.state = State.PASSWORD
        else:
            return Rejected(refusal(), "the client offers no way to authenticate that is accepted here")
        return None

    def _read_password(self) -> SocksEvent | None:
        """VER ULEN UNAME PLEN PASSWD (RFC 1929 §2)."""
        data = self._buffer
        if data and data[0] != _PASSWORD_VERSION:
            return Rejected(bytes((_PASSWORD_VERSION, 1)), "not a user name and password")
        if len(data) < 2 or len(data) < 3 + data[1]:
            return None
        middle = 2 + data[1]
        end = middle + 1 + data[middle]
        if len(data) < end:
            return None
        user, password, self._buffer = data[2:middle], data[middle + 1 : end], data[end:]
        if self._credentials is None:
            self._user = user.decode("utf-8", "replace")
        else:
            try:
                self._user = self._credentials.admit(user, password)
            except NotAdmitted:
                return Rejected(bytes((_PASSWORD_VERSION, 1)), "wrong user name or password")
        self._output += bytes((_PASSWORD_VERSION, 0))
        self.state = State.REQUEST
        return None

    def _read_request(self) -> SocksEvent | None:
        """VER CMD RSV ATYP DST.ADDR DST.PORT (RFC 1928 §4)."""
        data = self._buffer
        if data and data[0] != VERSION:
            return Rejected(reply(Reply.GENERAL_FAILURE), "not a SOCKS5 request")
        if len(data) < 4:
            return None
        try:
            address = decode(data, 3)
        except BadAddress as error:
            return Rejected(reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED), str(error))
        if address is None:
            return None
        self._buffer = data[3 + address.size :]
        match data[1]:
            case Command.CONNECT.value if address.port:
                return ConnectRequest(address.host, address.port, self._user)
            case Command.CONNECT.value:
                return Rejected(reply(Reply.GENERAL_FAILURE), "port 0 is not a port")
            case Command.ASSOCIATE.value:
                return AssociateRequest(address.host, address.port, self._user)
            case _:
                return Rejected(reply(Reply.COMMAND_NOT_SUPPORTED), f"command {data[1]} is not supported")
