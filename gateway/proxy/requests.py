"""What a client of the proxy asks for: the events of the SOCKS machines, and who the client says it is."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HOST: Final = 255


class NotAdmitted(Exception):
    """Nobody of this name, or with this password, may use the proxy."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user and password that the proxy asks for, when it is set up to ask; and those of profiles."""

    user: str = ""
    """Empty: nobody is asked, and whoever gives no name is let in."""
    password: str = ""
    profiles: Mapping[str, str] = field(default_factory=dict)
    """The password of each profile, empty for any."""

    def admit(self, user: bytes, password: bytes | None) -> str | None:
        """Who a client is that gives these, None if it gives no name; NotAdmitted. SOCKS4 has no passwords: None."""
        if not user and not self.user:
            return None
        name = user.decode("utf-8", "replace")
        expected = self.profiles.get(name)
        if expected is not None:
            if not expected or (password is not None and hmac.compare_digest(expected.encode(), password)):
                return name
        elif self.user and password is not None and self.match(user, password):
            return self.user
        raise NotAdmitted(name)

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
