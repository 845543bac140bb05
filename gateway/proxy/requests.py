"""What a client of the proxy asks for: the events of the SOCKS machines, and who the client says it is."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

_MAX_HOST: Final = 255


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user and password that the proxy asks for, when it is set up to ask."""

    user: str
    password: str

    def match(self, user: bytes, password: bytes) -> bool:
        """Whether these are the right ones; how long it takes does not tell how much of them is right."""
        right_user = hmac.compare_digest(self.user.encode(), user)
        return hmac.compare_digest(self.password.encode(), password) & right_user

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Open a TCP stream to `host:port`."""

    host: str
    """A name, or an IPv4 or IPv6 literal without brackets."""
    port: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """Open a UDP relay (RFC 1928 §7); the address is the one the client says it will send from, and often empty."""

    host: str
    port: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The client cannot be served: send `answer`, then close."""

    answer: bytes
    reason: str


SocksEvent = ConnectRequest | AssociateRequest | Rejected


def host_text(raw: bytes) -> str:
    """A host name as text; ValueError when it is empty, too long, or holds blanks or control characters."""
    if not 0 < len(raw) <= _MAX_HOST:
        raise ValueError("a host name has 1 to 255 bytes")
    text = raw.decode("utf-8")
    if not text.isprintable() or " " in text:
        raise ValueError("a host name has no blanks and no control characters")
    return text
