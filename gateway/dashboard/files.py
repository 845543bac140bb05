"""What the page consists of: the files in `static/`, read once, each with its type and a tag of its content."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One of them."""

    body: bytes
    content_type: str
    tag: str
    """For `ETag`: a browser that has this one is told so instead."""


def read_files() -> dict[str, StaticFile]:
    """By path below `static/`, with slashes. It reads the disk."""
    return dict(_below(resources.files("gateway.dashboard") / "static", ""))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found: list[tuple[str, StaticFile]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{prefix}{entry.name}/")
            continue
        kind = _TYPES.get(entry.name[entry.name.rfind(".") :])
        if kind is not None:
            body = entry.read_bytes()
            found.append(
                (f"{prefix}{entry.name}", StaticFile(body, kind, f'"{sha256(body).hexdigest()[:16]}"'))
            )
    return found
