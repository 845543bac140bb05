"""One value of TOML, of a variable or of a flag as the type of its key; and values in the words of an error message."""

from __future__ import annotations

import difflib
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args, get_origin

import msgspec

from gateway.config.settings import DnsServer
from tunnels.addresses import Address, BeaconUrl
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable


def _read_network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"expected a network such as 127.64.0.0/10: {error}") from None


_PARSERS: Final[dict[object, Callable[[str], object]]] = {
    Address: Address.parse,
    BeaconUrl: BeaconUrl.parse,
    DnsServer: DnsServer.parse,
    EndpointId: EndpointId.parse,
    IPv4Network: _read_network,
}

_WORDS: Final = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a section",
    "Expected": "expected",
    " - at `$[": " (item ",
    "]`": ")",
}
"""msgspec's words, and ours."""


def convert(value: object, hint: object, *, strict: bool) -> object:
    """A value as the type `hint`; texts that are numbers are taken when not `strict`; ValueError tells what is wrong."""
    base, metadata = _unwrap(hint)
    element = get_args(base)[0] if get_origin(base) is tuple else base
    read = _PARSERS.get(element)
    if read is None:
        converted: object = msgspec.convert(value, hint, strict=strict)
        if converted != converted:  # nan, which TOML knows, and which passes every bound
            raise ValueError("expected a number")
        return converted
    if element is base:
        return read(msgspec.convert(value, str))
    texts: tuple[str, ...] = msgspec.convert(
        value, Annotated[(tuple[str, ...], *metadata)] if metadata else tuple[str, ...]
    )
    return tuple(read(text) for text in texts)


def from_text(text: str, hint: object) -> object:
    """A variable's text as the value a file would hold: lists are separated by commas."""
    if get_origin(_unwrap(hint)[0]) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def shown(value: object) -> str:
    """A value about as TOML writes it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    text = one_line(f'"{value}"' if isinstance(value, str) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def one_line(text: str) -> str:
    """Text cut to a readable length, with nothing in it that could move a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:400])


def reason_of(error: str, value: object, hint: object) -> str:
    """Why a value was refused, in our words; a word that is not one of a choice gets the nearest one."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.6)
        return f"expected one of {', '.join(choices)}" + (f"; did you mean `{near[0]}`?" if near else "")
    for theirs, ours in _WORDS.items():
        error = error.replace(theirs, ours)
    return one_line(error)


def _unwrap(hint: object) -> tuple[object, tuple[object, ...]]:
    """A type and its constraints."""
    if get_origin(hint) is Annotated:
        base, *metadata = get_args(hint)
        return base, tuple(metadata)
    return hint, ()
