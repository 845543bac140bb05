"""What an endpoint says of the app by which it is in a topic: a small file of TOML or JSON, shown to peers.

::

    name = "Chat"                              # required
    version = "1.2"
    description = "Talk to whoever is there."
    service = "chat"                           # which of the services that it exposes serves the app
    home_page = "https://chat.example/"
"""

from __future__ import annotations

import tomllib
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.errors import UsageError
from gateway.topics.limits import MANIFEST_FILE_BYTES
from resolver.errors import InvalidName
from resolver.names import check_service_name

_WEB: Final = ("http", "https")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One app, as its user's endpoint tells of it; nothing in it is proved, and all of it fits on a terminal."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(max_length=32)] = ""
    description: Annotated[str, Meta(max_length=200)] = ""
    service: Annotated[str, Meta(max_length=62)] = ""
    home_page: Annotated[str, Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        for key in ("name", "version", "description", "service", "home_page"):
            text = getattr(self, key)
            if not text.isprintable() or text != text.strip():
                raise ValueError(f"{key} is one line of printable text without spaces around it")
        if self.service and check_service_name(self.service) != self.service:
            raise ValueError(f"service {self.service!r} is not in lower case")
        if self.home_page:
            _check_web(self.home_page)


def _check_web(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in _WEB and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        is_web = False
    if not is_web or not url.isascii() or " " in url:
        raise ValueError("home_page is a URL that a browser opens: https://example.org/")


def read_manifest(data: bytes, file: str) -> Manifest:
    """The manifest in a file of that name, TOML unless it ends in `.json`; UsageError of one line says what is wrong."""
    if len(data) > MANIFEST_FILE_BYTES:
        raise UsageError(f"{file}: a manifest has at most {MANIFEST_FILE_BYTES} bytes, and this has more")
    try:
        text = data.decode()
        table = msgspec.json.decode(text) if file.lower().endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # msgspec's, tomllib's and Unicode's are ValueErrors
        raise UsageError(f"{file}: this is not {_kind(file)}: {_line(error)}") from None
    if not isinstance(table, dict):
        raise UsageError(f"{file}: a manifest is a table of keys and values")
    unknown = sorted(str(key) for key in table if key not in Manifest.__struct_fields__)
    if unknown:
        raise UsageError(
            f"{file}: {unknown[0]!r} is no key of a manifest; these are: {', '.join(Manifest.__struct_fields__)}"
        )
    try:
        return msgspec.convert(table, Manifest)
    except (msgspec.ValidationError, InvalidName) as error:
        raise UsageError(f"{file}: {_line(error)}") from None


def _kind(file: str) -> str:
    return "JSON" if file.lower().endswith(".json") else "TOML"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
