"""What a client of the proxy speaks, told from its first byte."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Speech(Enum):
    """A protocol a client may begin with."""

    SOCKS4 = "socks4"
    SOCKS5 = "socks5"
    HTTP = "http"
    """Plain HTTP/1.1 or CONNECT: a method begins with a letter."""
    TLS = "tls"
    """A TLS handshake: the client was told that this is an HTTPS server or proxy."""
    JUNK = "junk"


_TLS_HANDSHAKE: Final = 0x16  # ContentType, RFC 8446 §5.1
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def detect(first: int) -> Speech:
    """The protocol that a first byte of this value begins."""
    if first == 5:
        return Speech.SOCKS5
    if first == 4:
        return Speech.SOCKS4
    if first in _LETTERS:
        return Speech.HTTP
    return Speech.TLS if first == _TLS_HANDSHAKE else Speech.JUNK
