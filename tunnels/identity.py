"""Who an endpoint is: an Ed25519 key and its text form.

An endpoint id is a public key and nothing else; its text form is z-base-32 of the 32 bytes, 52 characters,
the form pkarr uses. The file the secret rests in is next door, in `keyfile`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ID_CHARACTERS: Final = 52  # ceil(256 / 5)

_ALPHABET: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"  # z-base-32, philzimm.com/z-base-32
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}


def zbase32_encode(data: bytes) -> str:
    """Write `data` in z-base-32, most significant bit first, the last character padded with zero bits."""
    bits = len(data) * 8
    padding = -bits % 5
    number = int.from_bytes(data) << padding
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(bits + padding - 5, -1, -5))


def zbase32_decode(text: str) -> bytes:
    """Read z-base-32, upper or lower case; ValueError for a foreign character, a wrong length or padding."""
    if not text.isascii():  # lower() below makes ASCII letters of some others
        raise ValueError("z-base-32 is written in ASCII letters and digits")
    number = 0
    for character in text.lower():
        try:
            number = number << 5 | _VALUES[character]
        except KeyError:
            raise ValueError(f"{character!r} is not a z-base-32 character") from None
    bits = len(text) * 5
    padding = bits % 8
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("the text is cut short or has a wrong last character")
    return (number >> padding).to_bytes(bits // 8)


@dataclass(frozen=True, slots=True, order=True)
class EndpointId:
    """The Ed25519 public key of an endpoint; equal, ordered and hashed by its 32 bytes."""

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"an endpoint id has {KEY_BYTES} bytes, not {len(self.key)}")

    @classmethod
    def parse(cls, text: str) -> EndpointId:
        """Read the 52-character text form, in any case; ValueError says what is wrong with it."""
        return cls(_key_of(text))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) over `message` was made with this endpoint's secret key."""
        try:
            VerifyKey(self.key).verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True

    @property
    def short(self) -> str:
        """The first eight characters, for people and logs; never for decisions."""
        return str(self)[:8]

    def __str__(self) -> str:
        return _text_of(self.key)

    def __repr__(self) -> str:
        return f"EndpointId({self.short}…)"


# Every connection names its endpoint a few times; checking a point on the curve takes longer than all else about it.


@lru_cache(maxsize=1024)
def _key_of(text: str) -> bytes:
    if len(text) != ID_CHARACTERS:
        raise ValueError(f"an endpoint id has {ID_CHARACTERS} characters, not {len(text)}")
    key = zbase32_decode(text)
    if not crypto_core_ed25519_is_valid_point(key):
        raise ValueError("not an endpoint id: these characters are no Ed25519 public key")
    return key


@lru_cache(maxsize=1024)
def _text_of(key: bytes) -> str:
    return zbase32_encode(key)


class SecretKey:
    """An endpoint's Ed25519 secret; its repr and str never show it."""

    __slots__ = ("_signing_key", "endpoint_id")

    def __init__(self, seed: bytes) -> None:
        self._signing_key = SigningKey(seed)
        self.endpoint_id = EndpointId(bytes(self._signing_key.verify_key))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the key file and the certificate only."""
        return bytes(self._signing_key)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature over `message`."""
        return self._signing_key.sign(message).signature

    def __repr__(self) -> str:
        return f"SecretKey(of {self.endpoint_id.short}…)"
