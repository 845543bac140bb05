"""Bytes as text for mail, chat, paper and QR codes: what tickets and invites share.

`overlay:`, a letter for the kind, a digit for the version of its form, and then, in z-base-32::

    2 bytes    length of what is carried, big-endian
    n bytes    what is carried
    4 bytes    BLAKE2b of all before, personalised with kind and version

The whole is one case, so that a QR code may hold it in upper case (alphanumeric mode). The length tells a text cut
short from one with a wrong character.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from resolver.errors import ForeignVersion
from tunnels.identity import zbase32_decode, zbase32_encode

SCHEME: Final = "overlay:"
_LENGTH: Final = struct.Struct(">H")
_CHECKSUM_BYTES: Final = 4
_LENGTH_CHARACTERS: Final = 4
"""The characters that hold the length: 20 bits, of which it has the first 16."""
_AROUND: Final = str.maketrans("", "", "<>\"'`")
"""What mail programs, shells and chats put around and in front of lines."""
_CHARACTERS: Final = frozenset("ybndrfg8ejkmcpqxot1uwisza345h769")


@dataclass(frozen=True, slots=True)
class TextForm:
    """One kind of text, and what its reader raises."""

    kind: str
    """A letter."""
    noun: str
    """What people call it: `ticket`."""
    most_bytes: int
    """That one carries."""
    most_characters: int
    """What is read at all; more than it needs, for what mail puts around it."""
    not_one: type[Exception]
    """The text is something else."""
    truncated: type[Exception]
    """The end of the text is missing."""
    damaged: type[Exception]
    """A character is wrong, or there is one too many."""
    newer: type[Exception] = ForeignVersion
    """A later version of the program made it."""
    version: str = "1"

    @property
    def head(self) -> str:
        """What every such text begins with."""
        return SCHEME + self.kind + self.version

    def write(self, data: bytes) -> str:
        """One line of lower-case text."""
        data = _LENGTH.pack(len(data)) + data
        return self.head + zbase32_encode(data + self._checksum(data))

    def claims(self, text: str) -> bool:
        """Whether a text says of itself that it is of this kind, whatever else is wrong with it."""
        return cleaned(text[: len(SCHEME) * 8]).removeprefix(SCHEME).startswith(self.kind + self.version)

    def read(self, text: str) -> bytes:
        """What a text carries, in any case, with spaces and line breaks anywhere; raises what the form says."""
        if len(text) > self.most_characters:
            raise self.not_one(
                f"this is {len(text)} characters of text; {self._article} has at most {self.most_characters}"
            )
        return self._decode(self._body(cleaned(text)))

    @property
    def _article(self) -> str:
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    def _body(self, text: str) -> str:
        """What follows the head of a cleaned text."""
        if not text:
            raise self.not_one(f"there is no text; paste the whole line that begins with {self.head}")
        rest = text.removeprefix(SCHEME)
        if rest.startswith(self.kind + self.version):
            return rest.removeprefix(self.kind + self.version)
        if text.startswith(SCHEME):
            if rest[:1] == self.kind and rest[1:2].isdecimal():
                raise self.newer(f"this {self.noun} was made by a newer overlay (form {rest[:2]}); upgrade")
            raise self.not_one(f"{SCHEME}{rest[:8]}… is no {self.noun}; one begins with {self.head}")
        raise self.not_one(f"this is not {self._article}; one begins with {self.head}")

    def _decode(self, body: str) -> bytes:
        for character in body:
            if character not in _CHARACTERS:
                raise self.damaged(
                    f"{character!r} is in no {self.noun}; copy it again, or ask for it once more"
                )
        if len(body) < _LENGTH_CHARACTERS:
            raise self.truncated(f"the {self.noun} ends after its first characters; copy all of it")
        (length,) = _LENGTH.unpack(_bits(body[:_LENGTH_CHARACTERS], _LENGTH.size))
        if length > self.most_bytes:
            raise self.damaged(f"a character near the beginning of the {self.noun} is wrong; copy it again")
        expected = -(-(_LENGTH.size + length + _CHECKSUM_BYTES) * 8 // 5)
        if len(body) < expected:
            raise self.truncated(
                f"the {self.noun} is cut short: it has {len(body)} of {expected} characters; copy all of it, "
                "or ask for it in a form that does not break lines"
            )
        if len(body) > expected:
            raise self.damaged(
                f"the {self.noun} has {len(body) - expected} characters too many; copy only the {self.noun}"
            )
        try:
            data = zbase32_decode(body)
        except ValueError:
            raise self.damaged(f"the last character of the {self.noun} is wrong; copy it again") from None
        if self._checksum(data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]:
            raise self.damaged(
                f"a character of the {self.noun} is wrong; copy it again, or ask for it once more"
            )
        return data[_LENGTH.size : -_CHECKSUM_BYTES]

    def _checksum(self, data: bytes) -> bytes:
        person = f"overlay {self.noun}{self.version}".encode()
        return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, person=person).digest()


def cleaned(text: str) -> str:
    """The text in lower case, without what mail and chats put into and around it."""
    return "".join(text.translate(_AROUND).split()).lower()


def _bits(text: str, size: int) -> bytes:
    """The first `size` bytes of z-base-32 text that goes on afterwards."""
    zeros = -len(text) % 8  # whole groups of 8 characters are whole bytes
    return zbase32_decode(text + "y" * zeros)[:size]
