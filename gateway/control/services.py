"""What is asked and told of services: ours, and where others' are offered on this machine."""

from __future__ import annotations

from typing import Literal

from gateway.config.settings import ServiceSettings
from gateway.control.base import NameText, Report, Request, TransportProtocol


class OfferReport(Report, frozen=True, kw_only=True):
    """One port of one service, as it is offered on this machine."""

    service: str
    protocol: TransportProtocol
    port: int
    """The service's own port."""
    offered: int
    """The port on the loopback address; differs from `port` when that one could not be bound."""


class LoopbackReport(Report, frozen=True, kw_only=True):
    """The loopback address that stands for a name here."""

    name: str
    """Such as `web.alice.overlay`."""
    ip: str
    offers: tuple[OfferReport, ...] = ()


class ServiceReport(Report, frozen=True, kw_only=True):
    """One service this gateway exposes."""

    name: str
    settings: ServiceSettings
    """As typed."""
    port: str
    """The port or range others use, such as `80` or `5000-5100`."""
    host: str
    """The name others use, with this endpoint's id in it: `web.<id>.overlay`."""
    nickname_host: str = ""
    """The same with our nickname, which is what a joining contact will call us unless it chooses otherwise."""
    url: str = ""
    """What somebody who joined opens, such as `http://web.alice.overlay/`; empty when the port says nothing of a scheme."""
    join: str = ""
    """The command for the other side that makes the name work there, complete with a ticket."""
    use: str = ""
    """A command for the other side that uses the service through its proxy."""
    undo: str = ""
    """The command that takes the service away again."""
    origin: Literal["configuration", "command", "program"] = "command"
    """Where it was asked for: a section of gateway.toml, `overlay expose`, or a program that is the service itself."""
    warnings: tuple[str, ...] = ()
    """Such as that nobody may use it yet, with the remedy."""
    invited: tuple[str, ...] = ()
    """Who may use it by an invite now: petnames, or the beginnings of ids."""


class ExposeRequest(Request, frozen=True, kw_only=True):
    """Expose a service; one of the same name that a command asked for is replaced."""

    name: NameText
    settings: ServiceSettings
