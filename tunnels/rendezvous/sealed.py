"""Messages that only one endpoint can read, and only one can have written, whoever carries them. Sans-IO.

A beacon sees who sends to whom, when, and which of three sizes. It can keep a message to itself; what it delays is
refused as late, what it repeats as known, what it passes off as somebody else's or hands to somebody else cannot be read.

::

    version (1) | nonce (24) | XChaCha20-Poly1305 of:
        session (16) | sequence (8) | expiry, ms since 1970 (8) | length (2) | payload | zeros

The key is BLAKE2b of the NaCl box key of both identities (X25519 of the converted Ed25519 keys), of sender and of
receiver, in this order: a message is good for one direction. A session is one run of the sender; its sequence numbers
grow. The receiver remembers what it has opened until it would be late anyway, so that a replay is never taken; its
own restart forgets that, which is why a message must do no harm when it comes twice within a minute or so.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from nacl import exceptions
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_box_beforenm,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
)

from tunnels import limits
from tunnels.errors import ProtocolViolation

if TYPE_CHECKING:
    from tunnels.identity import EndpointId, SecretKey

SESSION_BYTES: Final = 16
NONCE_BYTES: Final = 24
SIZES: Final = (512, 1024, limits.RELAY_MESSAGE)
"""Bytes of a sealed message; it has the smallest of these that it fits."""

_VERSION: Final = b"\x01"
_PERSON: Final = b"overlay sealed 1"
_HEAD: Final = struct.Struct(f">{SESSION_BYTES}sQQH")
_TAG_BYTES: Final = 16
_OVERHEAD: Final = len(_VERSION) + NONCE_BYTES + _HEAD.size + _TAG_BYTES

MAX_PAYLOAD: Final = SIZES[-1] - _OVERHEAD
"""Bytes of the largest payload."""


class _Keys:
    """The key of each direction between us and others; a bounded number is kept, because making one takes 0.1 ms."""

    def __init__(self, secret_key: SecretKey) -> None:
        self._own = secret_key.endpoint_id
        self._secret = crypto_sign_ed25519_sk_to_curve25519(secret_key.seed + self._own.key)
        self._kept: OrderedDict[EndpointId, bytes] = OrderedDict()

    def to(self, peer: EndpointId) -> bytes:
        return self._directed(peer, self._own.key + peer.key)

    def of(self, peer: EndpointId) -> bytes:
        return self._directed(peer, peer.key + self._own.key)

    def _directed(self, peer: EndpointId, direction: bytes) -> bytes:
        return blake2b(direction, key=self._shared(peer), digest_size=32, person=_PERSON).digest()

    def _shared(self, peer: EndpointId) -> bytes:
        shared = self._kept.get(peer)
        if shared is None:
            try:
                public = crypto_sign_ed25519_pk_to_curve25519(peer.key)
                shared = crypto_box_beforenm(public, self._secret)
            except exceptions.CryptoError:
                raise ProtocolViolation(
                    f"nothing can be sealed to or from {peer.short}: it is no key"
                ) from None
            self._kept[peer] = shared
            if len(self._kept) > limits.SEALED_PEERS:
                self._kept.popitem(last=False)
        return shared


class Sealer:
    """Writes messages; `session` is 16 bytes of chance, new for each run."""

    def __init__(self, secret_key: SecretKey, session: bytes) -> None:
        self._keys = _Keys(secret_key)
        self._session = session
        self._sequence = 0

    def seal(self, recipient: EndpointId, payload: bytes, *, now: float, nonce: bytes) -> bytes:
        """A message of one of `SIZES`; `now` in seconds since 1970, `nonce` 24 bytes of chance.

        ValueError for a payload of more than `MAX_PAYLOAD` bytes, ProtocolViolation for a recipient that is no key.
        """
        needed = _OVERHEAD + len(payload)
        size = next((fixed for fixed in SIZES if fixed >= needed), None)
        if size is None:
            raise ValueError(f"a sealed message carries {MAX_PAYLOAD} bytes, not {len(payload)}")
        self._sequence += 1
        expires = int((now + limits.SEALED_LIFETIME) * 1000)
        plain = _HEAD.pack(self._session, self._sequence, expires, len(payload)) + payload
        padded = plain.ljust(size - len(_VERSION) - NONCE_BYTES - _TAG_BYTES, b"\0")
        key = self._keys.to(recipient)
        return _VERSION + nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(padded, _VERSION, nonce, key)


@dataclass(slots=True)
class _Opened:
    """What was opened of one run of one sender."""

    newest: int = 0
    older: int = 0
    """Bit n is set if the message `newest - n` was opened."""
    until: float = 0.0
    """When the last of them is late, and all of this may be forgotten."""

    def take(self, sequence: int) -> bool:
        """Whether it is new; messages overtaken by `limits.SEALED_WINDOW` others count as known."""
        if sequence > self.newest:
            self.older = (self.older << (sequence - self.newest) if sequence - self.newest < 256 else 0) | 1
            self.older &= (1 << limits.SEALED_WINDOW) - 1
            self.newest = sequence
            return True
        bit = 1 << (self.newest - sequence) if self.newest - sequence < limits.SEALED_WINDOW else 0
        if not bit or self.older & bit:
            return False
        self.older |= bit
        return True


class Opener:
    """Reads messages, each once."""

    def __init__(self, secret_key: SecretKey) -> None:
        self._keys = _Keys(secret_key)
        self._opened: OrderedDict[tuple[EndpointId, bytes], _Opened] = OrderedDict()

    def open_sealed(self, sender: EndpointId, message: bytes, *, now: float) -> bytes:
        """The payload that `sender` sealed for us; `now` in seconds since 1970.

        ProtocolViolation says what is wrong: forged or meant for another, late or from the future, known, or more runs of
        more senders than are kept in mind. Whether the sender may write to us at all is for the caller to ask first.
        """
        if len(message) not in SIZES or message[:1] != _VERSION:
            raise ProtocolViolation("not a sealed message of this version")
        nonce, sealed = message[1 : 1 + NONCE_BYTES], message[1 + NONCE_BYTES :]
        try:
            plain = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, _VERSION, nonce, self._keys.of(sender))
        except exceptions.CryptoError:
            raise ProtocolViolation(f"not sealed by {sender.short} for us") from None
        session, sequence, expires_ms, length = _HEAD.unpack_from(plain)
        payload = plain[_HEAD.size : _HEAD.size + length]
        if len(payload) != length:
            raise ProtocolViolation("a sealed message that is shorter than it says")
        self._check_time(expires_ms / 1000, now)
        self._check_new((sender, session), sequence, expires_ms / 1000, now)
        return payload

    def _check_time(self, expires: float, now: float) -> None:
        if expires + limits.SEALED_CLOCK_ERROR <= now:
            raise ProtocolViolation("a sealed message that comes too late, or our clocks differ")
        if expires - limits.SEALED_CLOCK_ERROR > now + limits.SEALED_LIFETIME:
            raise ProtocolViolation("a sealed message from the future: our clocks differ")

    def _check_new(self, run: tuple[EndpointId, bytes], sequence: int, expires: float, now: float) -> None:
        opened = self._opened.get(run)
        if opened is None:
            self._forget(now)
            if len(self._opened) >= limits.SEALED_RUNS:
                raise ProtocolViolation("more senders than can be kept in mind")
            opened = self._opened[run] = _Opened()
        if not opened.take(sequence):
            raise ProtocolViolation("a sealed message that was opened before")
        opened.until = max(opened.until, expires + limits.SEALED_CLOCK_ERROR)
        self._opened.move_to_end(run)

    def _forget(self, now: float) -> None:
        for run in [run for run, opened in self._opened.items() if opened.until <= now]:
            del self._opened[run]
