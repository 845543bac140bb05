"""The values that pass between the forwarding machine and those around it: plans go in, commands come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.http.heads import RequestHead

if TYPE_CHECKING:
    from gateway.http.rewriting import HeaderRewrite


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes; requests to equal places share an upstream connection."""

    host: str
    port: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """The plan for a request that is sent on."""

    place: Place
    target: bytes
    """The request target to send, in origin-form."""
    rewrite: HeaderRewrite
    host: bytes | None = None
    """The Host to send; None keeps the client's."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The plan for a CONNECT request: open, say so, then splice."""

    place: Place


Plan = Callable[[RequestHead], Forward | Tunnel]
"""Decides what becomes of a request; raises HttpError with the answer for one that is refused."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Command: open `place`, then call `upstream_opened` or `upstream_failed`."""

    place: Place


@dataclass(frozen=True, slots=True)
class DropUpstream:
    """Command: give the upstream connection up; `reset` when it is in the middle of something."""

    reset: bool


@dataclass(frozen=True, slots=True)
class CloseClient:
    """Command: the client's connection ends once everything is written."""

    linger: bool
    """The client may still be sending: let it read our answer first."""


@dataclass(frozen=True, slots=True)
class ResetClient:
    """Command: the client must see that what it got is cut short."""


@dataclass(frozen=True, slots=True)
class Join:
    """Command: splice the two connections; nothing more is to be read as HTTP."""

    from_client: bytes
    from_upstream: bytes


Command = Dial | DropUpstream | CloseClient | ResetClient | Join
