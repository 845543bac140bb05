"""What `overlay dns status` tells: whether programs on this machine find names under `.overlay`, by whom, and what is in the way."""

from __future__ import annotations

from typing import Literal

import msgspec


class FoundResolver(msgspec.Struct, frozen=True, kw_only=True):
    """A resolver that we know how to tell of `.overlay`, and what speaks for it being the one that programs here ask."""

    manager: str
    """One of `managers.NAMES`."""
    is_asked: bool
    """Whether resolv.conf or the name service switch leads to it."""
    why: str
    """What was seen, for people."""
    obstacle: str = ""
    """Why it cannot be told of `.overlay`, with the remedy; empty when it can."""


class PortUser(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who listens on a port of DNS."""

    address: str
    """`ip:port`."""
    protocol: Literal["udp", "tcp"]
    program: str = ""
    """Empty when the system does not tell us, as it does not for the processes of others."""


class SystemDnsReport(msgspec.Struct, frozen=True, kw_only=True):
    """How this machine resolves names, and what of it is ours."""

    state: Literal["none", "installed", "incomplete", "changed"]
    """`incomplete`: something ended an install or a removal halfway; `changed`: a file of ours is not what we wrote."""
    manager: str = ""
    """Who was told, when something is installed."""
    server: str = ""
    """Our DNS server as it was told, `ip:port`."""
    home: str = ""
    """The home directory of the gateway that it is."""
    files: tuple[str, ...] = ()
    """What we wrote."""
    nameservers: tuple[str, ...] = ()
    """Whom resolv.conf names; it is read, and never written."""
    resolvers: tuple[FoundResolver, ...] = ()
    """Those that were found here, the one that is asked first."""
    listeners: tuple[PortUser, ...] = ()
    """Who listens on port 53, and on 5353."""
    verified: bool | None = None
    """Whether the system's resolver found a name that only our gateway knows; None when that was not tried."""
    problem: str = ""
    """Why it is not verified, or what else is wrong."""
    remedies: tuple[str, ...] = ()
    """What to do, most useful first: commands and sentences."""


class PlannedFileReport(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be written."""

    path: str
    text: str
    why: str


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an install does, and what takes it back."""

    manager: str
    server: str
    files: tuple[PlannedFileReport, ...]
    commands: tuple[str, ...]
    """Run after the files are written."""
    notes: tuple[str, ...]
    undo: tuple[str, ...]
    """Commands that take it back."""


class InstallReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an install did."""

    state: Literal["planned", "installed", "unchanged"]
    plan: PlanReport


class RemoveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a removal did."""

    files: tuple[str, ...]
    """Those that were removed; none if nothing was installed."""
    left: tuple[str, ...] = ()
    """What the person has to do."""
