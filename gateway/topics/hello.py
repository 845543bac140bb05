"""What two endpoints say to each other to find out which topics they share, and nothing of the others. Sans-IO.

On a stream of kind TOPICS, after its header, each message behind its length in two bytes, in msgpack::

    who asks  → Question    a nonce, and a proof for each of its topics, filled up with chance to always as many
    who is asked → Answer   for each of these that it is in, too: a proof of its own, and its manifest
    who asks  → Farewell    its own manifests of the shared ones

A proof is a hash of the nonce and both ids, keyed by what only those have who know the topic's name
(`resolver.topics`): whoever is in a topic recognises its own, learns nothing of the others, and can pass none on, because
the tunnel has proved both ids. The proof of who is asked is another one, so that nobody answers by an echo.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from gateway.errors import GatewayError
from gateway.limits import TOPICS
from gateway.topics.limits import TOPIC_HELLO_BYTES
from gateway.topics.manifest import Manifest
from resolver.errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tunnels.identity import EndpointId

NONCE_BYTES: Final = 16
_PROOF_BYTES: Final = 16
_PERSON: Final = b"overlay topic h"
_LENGTH_BYTES: Final = 2

Keys = dict[bytes, bytes]
"""The key of each topic that we are in, by its id."""

_Proof = Annotated[bytes, Meta(min_length=_PROOF_BYTES, max_length=_PROOF_BYTES)]
_Message = TypeVar("_Message", bound="Question | Answer | Farewell")


class HelloError(GatewayError):
    """What the peer says of topics cannot be read."""


class Question(msgspec.Struct, frozen=True, array_like=True):
    """Which of my topics are you in?"""

    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    proofs: Annotated[tuple[_Proof, ...], Meta(max_length=TOPICS)]


class Shared(msgspec.Struct, frozen=True, array_like=True):
    """One topic that both are in."""

    proof: _Proof
    manifest: Manifest | None


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """I am in these."""

    shared: Annotated[tuple[Shared, ...], Meta(max_length=TOPICS)]


class Farewell(msgspec.Struct, frozen=True, array_like=True):
    """And this is what I say of them."""

    shared: Annotated[tuple[Shared, ...], Meta(max_length=TOPICS)]


Found = dict[bytes, Manifest | None]
"""Topics that both are in, with what the peer says of each."""


class Asking:
    """The side that asks, for one peer."""

    def __init__(
        self,
        keys: Mapping[bytes, bytes],
        manifests: Mapping[bytes, Manifest],
        own: EndpointId,
        peer: EndpointId,
        chance: Callable[[int], bytes],
    ) -> None:
        """`chance` gives so many bytes of it."""
        self._manifests = manifests
        nonce = chance(NONCE_BYTES)
        self._proofs = {topic: _proof(b"?", key, nonce, own, peer) for topic, key in keys.items()}
        self._expected = {_proof(b"!", key, nonce, own, peer): topic for topic, key in keys.items()}
        filling = [chance(_PROOF_BYTES) for _ in range(TOPICS - len(self._proofs))]
        # Sorted, so that not even their order tells which are real.
        self.question = encode(Question(nonce, tuple(sorted((*self._proofs.values(), *filling))[:TOPICS])))

    def answered(self, answer: Answer) -> tuple[Found, bytes]:
        """Topics that the peer proved to be in, and the farewell; HelloError if it proves what was not asked."""
        found: Found = {}
        for shared in answer.shared:
            topic = self._expected.get(shared.proof)
            if topic is None:
                raise HelloError("the peer proves to be in a topic that it was not asked for")
            found[topic] = shared.manifest
        told = tuple(Shared(self._proofs[topic], self._manifests.get(topic)) for topic in found)
        return found, encode(Farewell(told))


class Asked:
    """The side that is asked."""

    def __init__(
        self,
        question: Question,
        keys: Mapping[bytes, bytes],
        manifests: Mapping[bytes, Manifest],
        own: EndpointId,
        peer: EndpointId,
    ) -> None:
        said = frozenset(question.proofs)
        self._topics = {
            proof: topic
            for topic, key in keys.items()
            if (proof := _proof(b"?", key, question.nonce, peer, own)) in said
        }
        self.shared = frozenset(self._topics.values())
        """What the peer proved to be in, too."""
        self.answer = encode(
            Answer(
                tuple(
                    Shared(_proof(b"!", keys[topic], question.nonce, peer, own), manifests.get(topic))
                    for topic in self._topics.values()
                )
            )
        )

    def told(self, farewell: Farewell) -> Found:
        """What the peer says of them; of what it did not prove, nothing is taken."""
        found: Found = dict.fromkeys(self._topics.values())
        for shared in farewell.shared:
            topic = self._topics.get(shared.proof)
            if topic is not None:
                found[topic] = shared.manifest
        return found


class MessageReader:
    """One message after another, however they are cut."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """What came; HelloError as soon as a message would be too long."""
        self._buffer += data
        self._check()
        if len(self._buffer) > 2 * (_LENGTH_BYTES + TOPIC_HELLO_BYTES):
            raise HelloError("the peer says more of topics than it was asked for")

    def next(self, kind: type[_Message]) -> _Message | None:
        """The next message, once it is whole; HelloError if it is none of that kind."""
        size = self._check()
        if size is None or len(self._buffer) < _LENGTH_BYTES + size:
            return None
        body = self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + size]
        self._buffer = self._buffer[_LENGTH_BYTES + size :]
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (ValueError, InvalidName, RecursionError) as error:  # msgspec's are ValueErrors
            raise HelloError(f"what the peer says of topics cannot be read: {error}") from None

    def _check(self) -> int | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        size = int.from_bytes(self._buffer[:_LENGTH_BYTES])
        if size > TOPIC_HELLO_BYTES:
            raise HelloError(
                f"what the peer says of topics has {size} bytes; {TOPIC_HELLO_BYTES} are the most"
            )
        return size


def encode(message: Question | Answer | Farewell) -> bytes:
    """A message as it goes on the stream."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES) + body


def _proof(role: bytes, key: bytes, nonce: bytes, asker: EndpointId, asked: EndpointId) -> bytes:
    return blake2b(
        role + nonce + asker.key + asked.key, key=key, digest_size=_PROOF_BYTES, person=_PERSON
    ).digest()
