"""Bencoding, as BitTorrent's messages have it (BEP 3): integers, byte strings, lists and dictionaries.

What is read comes from strangers: it is bounded in size and depth. Dictionaries need not be sorted, because many
programs do not sort them and nothing here is hashed as it came.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from resolver.limits import DHT_DEPTH, DHT_MESSAGE_BYTES

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

_INTEGER: Final = re.compile(rb"i(0|-?[1-9][0-9]{0,19})e")
_LENGTH: Final = re.compile(rb"(0|[1-9][0-9]{0,4}):")


class MalformedMessage(ValueError):
    """The bytes are not what the format asks for, or more than is read."""


def encode(value: Value) -> bytes:
    """The one way to write `value`."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case list():
            return b"l%be" % b"".join(map(encode, value))
        case dict():
            return b"d%be" % b"".join(encode(key) + encode(value[key]) for key in sorted(value))


def decode(data: bytes) -> Value:
    """The value that `data` is, and nothing behind it; MalformedMessage if it is none."""
    if len(data) > DHT_MESSAGE_BYTES:
        raise MalformedMessage(f"{len(data)} bytes are more than a message of the DHT has")
    value, end = _decode(data, 0, DHT_DEPTH)
    if end != len(data):
        raise MalformedMessage(f"{len(data) - end} bytes follow the end")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The value that begins at `at`, and where it ends."""
    if found := _LENGTH.match(data, at):
        end = found.end() + int(found[1])
        if end > len(data):
            raise MalformedMessage("a string is cut short")
        return data[found.end() : end], end
    if found := _INTEGER.match(data, at):
        return int(found[1]), found.end()
    kind = data[at : at + 1]
    if kind not in (b"l", b"d") or not depth:
        raise MalformedMessage(f"no value at byte {at}" if depth else "too many values in each other")
    at += 1
    items: list[Value] = []
    while data[at : at + 1] != b"e":
        item, at = _decode(data, at, depth - 1)
        items.append(item)
    if kind == b"l":
        return items, at + 1
    keys = items[::2]
    if len(items) % 2 or not all(isinstance(key, bytes) for key in keys):
        raise MalformedMessage("a dictionary has a key that is no string, or one without a value")
    return {
        key: value for key, value in zip(keys, items[1::2], strict=True) if isinstance(key, bytes)
    }, at + 1
