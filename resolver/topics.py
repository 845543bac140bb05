"""What a topic is: a name that a program's users share, and two numbers made of it.

The id is told to beacons, the DHT and the local network, so anybody may learn it; the key never leaves this machine, and
only who knows the name has it. So a name that cannot be guessed makes a topic that nobody else gets into, and a name that
everybody knows, such as a program's, makes one that everybody of that program meets in.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from resolver.errors import InvalidName
from resolver.limits import TOPIC_NAME_CHARACTERS
from tunnels.identity import zbase32_decode, zbase32_encode
from tunnels.limits import TOPIC_BYTES

LEND_TOPIC: Final = "overlay.lend"
"""The topic of gateways that lend a relay to everybody."""

_RESERVED: Final = "overlay."
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ID_PERSON: Final = b"overlay topic 1"
_KEY_PERSON: Final = b"overlay topic k"


def check_topic_name(text: str) -> str:
    """The name of a topic that a person joins, in lower case; InvalidName says why not and what to write."""
    name = text.lower() if text.isascii() else text
    if not name or len(name) > TOPIC_NAME_CHARACTERS:
        raise InvalidName(f"the name of a topic has 1 to {TOPIC_NAME_CHARACTERS} characters, not {len(name)}")
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{text!r} is no name of a topic; it begins with a letter or digit, and has only letters a-z, digits, '.', '_' and '-'"
        )
    if name.startswith(_RESERVED):
        raise InvalidName(
            f"{text!r} begins with {_RESERVED}, which is for topics of gateways themselves; choose another name"
        )
    return name


def topic_id(name: str) -> bytes:
    """The 20 bytes that stand for a topic: the first of BLAKE2b (RFC 7693) of its name, personalised."""
    return blake2b(name.encode(), person=_ID_PERSON).digest()[:TOPIC_BYTES]


def topic_key(name: str) -> bytes:
    """The 32 bytes by which those who know the name prove it to each other; no id tells them."""
    return blake2b(name.encode(), digest_size=32, person=_KEY_PERSON).digest()


def topic_text(topic: bytes) -> str:
    """An id as text: z-base-32, 32 characters."""
    return zbase32_encode(topic)


def read_topic(text: str) -> bytes:
    """The id that a text stands for; ValueError for anything else."""
    topic = zbase32_decode(text)
    if len(topic) != TOPIC_BYTES:
        raise ValueError(f"the id of a topic has {TOPIC_BYTES} bytes, not {len(topic)}")
    return topic
