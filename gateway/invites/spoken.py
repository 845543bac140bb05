"""An invite by a short code that is said over the telephone: `7-guitar-elbow`. Both ends of the exchange. Sans-IO.

The number finds the other side at a beacon; the words are known to the two who speak and to nobody else. SPAKE2 (RFC 9382's
idea; the library's own encoding) makes a key of them that whoever does not know the words cannot find out but by guessing
once, in front of us::

    taker → giver   1, SPAKE2 message of side A
    giver → taker   2, SPAKE2 message of side B
    taker → giver   3, confirmation: the taker has the key
    giver → taker   4, confirmation: the giver has it, and the invite in a SecretBox under it
    either          5, it is over

The giver never confirms first, so that a wrong guess is noticed by who must know of it; then the code is dead. Both ids and
the token of the nameplate are part of the key: a beacon that puts itself in between, or lies about an id, fails as
a wrong guess does. The library does not compute in constant time; what one exchange lets be measured is worth nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from gateway.errors import UsageError
from gateway.invites.errors import CodeWrong
from tunnels.limits import NAMEPLATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tunnels.identity import EndpointId

WORDS: Final = 2
"""22 bits: somebody who guesses once in front of us is right once in four million times."""
_MESSAGE_BYTES: Final = 33
_CONFIRMATION_BYTES: Final = 32


class _Step(Enum):
    TAKER = b"\x01"
    GIVER = b"\x02"
    TAKER_CONFIRMS = b"\x03"
    INVITE = b"\x04"
    OVER = b"\x05"


OVER: Final = _Step.OVER.value
"""What tells the other side that it is over."""


@cache
def word_list() -> Sequence[str]:
    """2048 English words of which no two begin with the same four letters (BIP 39)."""
    from mnemonic import Mnemonic

    words: list[str] = Mnemonic("english").wordlist
    return words


@dataclass(frozen=True, slots=True)
class Code:
    """A number and words."""

    number: int
    words: tuple[str, ...]

    @classmethod
    def make(cls, number: int, entropy: Callable[[int], bytes]) -> Code:
        """With words by chance; `entropy` gives so many bytes of it."""
        words = word_list()
        chosen = tuple(words[int.from_bytes(entropy(4)) % len(words)] for _ in range(WORDS))
        return cls(number, chosen)

    @classmethod
    def parse(cls, text: str) -> Code:
        """Read what somebody heard: any case, spaces for hyphens, four letters of a word; UsageError names what is wrong."""
        parts = text.strip().lower().replace("-", " ").split()
        if len(parts) != WORDS + 1 or not parts[0].isascii() or not parts[0].isdigit() or len(parts[0]) > 4:
            raise UsageError(
                f"join: {text.strip()[:40]!r} is no code; one is a number and {WORDS} words: 7-guitar-elbow"
            )
        number = int(parts[0])
        if not 1 <= number <= NAMEPLATES:
            raise UsageError(f"join: codes have numbers from 1 to {NAMEPLATES}; ask for the code again")
        return cls(number, tuple(map(_word, parts[1:])))

    def __str__(self) -> str:
        return "-".join((str(self.number), *self.words))


def _word(heard: str) -> str:
    """The word of the list that is meant; UsageError, and no guess is spent, if there is none."""
    import difflib

    words = word_list()
    if heard in words:
        return heard
    found = [word for word in words if word.startswith(heard)] if len(heard) >= 4 else []
    if len(found) == 1:
        return found[0]
    near = difflib.get_close_matches(heard, words, n=1)
    hint = f"did you hear {near[0]}?" if near else "ask for it again"
    raise UsageError(f"join: {heard[:20]!r} is in no code; {hint}")


class _Keys:
    """What both sides make of the key they agreed on."""

    def __init__(self, key: bytes) -> None:
        self.taker_confirms = _derived(key, b"overlay code 1 A")
        self.giver_confirms = _derived(key, b"overlay code 1 B")
        self.box = SecretBox(_derived(key, b"overlay code box"))


def _derived(key: bytes, person: bytes) -> bytes:
    return hashlib.blake2b(key=key, digest_size=32, person=person).digest()


class Taker:
    """The side that was told the code; `entropy` gives so many bytes of chance."""

    def __init__(
        self,
        code: Code,
        own_id: EndpointId,
        giver: EndpointId,
        token: bytes,
        entropy: Callable[[int], bytes],
    ) -> None:
        from spake2 import SPAKE2_A

        self._exchange = SPAKE2_A(
            str(code).encode(), idA=own_id.key, idB=giver.key + token, entropy_f=entropy
        )
        self._keys: _Keys | None = None
        self.invite: bytes | None = None
        """What the giver sent, once it did."""

    def begin(self) -> bytes:
        """What to say first; once."""
        return _Step.TAKER.value + bytes(self._exchange.start())

    def receive(self, said: bytes) -> bytes | None:
        """What to answer, if anything is to be; CodeWrong when the two sides have not the same words."""
        step, body = said[:1], said[1:]
        if step == _Step.GIVER.value and self._keys is None:
            key = _finish(self._exchange, body)
            if key is None:
                raise CodeWrong(_GARBLED)
            self._keys = _Keys(key)
            return _Step.TAKER_CONFIRMS.value + self._keys.taker_confirms
        if step == _Step.INVITE.value and self._keys is not None and self.invite is None:
            confirmation, box = body[:_CONFIRMATION_BYTES], body[_CONFIRMATION_BYTES:]
            if not hmac.compare_digest(confirmation, self._keys.giver_confirms):
                raise CodeWrong(_NOT_THE_SAME)
            try:
                self.invite = self._keys.box.decrypt(box)
            except (CryptoError, ValueError):
                raise CodeWrong(_GARBLED) from None
            return None
        if step == _Step.OVER.value:
            raise CodeWrong(_NOT_THE_SAME)
        return None  # what comes twice, or too late, says nothing


class GiverState(Enum):
    """How far the giver is."""

    WAITING = "waiting"
    """Nobody has said anything yet."""
    TALKING = "talking"
    """Somebody tries: whatever comes of it, the code is good for nobody else."""
    CONFIRMED = "confirmed"
    """The taker knows the words."""
    GUESSED = "guessed"
    """The taker does not: the code is dead."""


class Giver:
    """The side that made the code; good for one exchange."""

    def __init__(self, code: Code, own_id: EndpointId, token: bytes, entropy: Callable[[int], bytes]) -> None:
        self._code = code
        self._own_id = own_id
        self._token = token
        self._entropy = entropy
        self._keys: _Keys | None = None
        self.taker: EndpointId | None = None
        """Who tries, or has tried."""
        self.state = GiverState.WAITING

    def receive(self, sender: EndpointId, said: bytes) -> bytes | None:
        """What to answer, if anything is to be; `state` tells what it meant."""
        step, body = said[:1], said[1:]
        if self.state is GiverState.WAITING and step == _Step.TAKER.value:
            return self._begin(sender, body)
        if self.state is not GiverState.TALKING or sender != self.taker or self._keys is None:
            return None
        if step == _Step.TAKER_CONFIRMS.value and hmac.compare_digest(body, self._keys.taker_confirms):
            self.state = GiverState.CONFIRMED
            return None
        if step in (_Step.TAKER_CONFIRMS.value, _Step.OVER.value):
            self.state = GiverState.GUESSED
            return OVER
        return None

    def give(self, invite: bytes) -> bytes:
        """What carries the invite to who confirmed."""
        if self.state is not GiverState.CONFIRMED or self._keys is None:
            raise ValueError("nobody has shown to know the code")
        return _Step.INVITE.value + self._keys.giver_confirms + bytes(self._keys.box.encrypt(invite))

    def _begin(self, sender: EndpointId, body: bytes) -> bytes:
        from spake2 import SPAKE2_B

        self.taker = sender
        exchange = SPAKE2_B(
            str(self._code).encode(),
            idA=sender.key,
            idB=self._own_id.key + self._token,
            entropy_f=self._entropy,
        )
        mine = bytes(exchange.start())
        key = _finish(exchange, body)
        if key is None:
            self.state = GiverState.GUESSED
            return OVER
        self._keys = _Keys(key)
        self.state = GiverState.TALKING
        return _Step.GIVER.value + mine


def _finish(exchange: object, message: bytes) -> bytes | None:
    """The key, or None for a message that is no point of the curve, or the wrong side's."""
    from spake2.spake2 import SPAKEError

    if len(message) != _MESSAGE_BYTES or not crypto_core_ed25519_is_valid_point(message[1:]):
        return None  # the library's own check is an assertion in places
    try:
        return bytes(exchange.finish(message))  # type: ignore[attr-defined]
    except (SPAKEError, ValueError):
        return None


_NOT_THE_SAME: Final = "the two sides do not have the same words; this code is used up: ask for a new one, and let it be said again slowly"
_GARBLED: Final = "the other side did not keep to the exchange; this code is used up: ask for a new one"
