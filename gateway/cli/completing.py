"""What a shell may complete beside commands and options: contacts, services, groups, topics, invites of the gateway that runs.

A shell waits for it while somebody types, so it asks for a moment only, and whatever goes wrong is no completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from click.shell_completion import CompletionItem

from gateway.cli.app import Session
from gateway.errors import GatewayError
from resolver.well_known import WELL_KNOWN_PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from gateway.control.client import ControlClient

    Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_SECONDS: Final = 1.0
"""For the gateway to answer: who pressed Tab has forgotten why after that."""
_MOST: Final = 500
"""Completions that are given: a shell asks before it shows so many."""


def _asking(find: Callable[[ControlClient], Iterable[str | tuple[str, str]]]) -> Completer:
    """Completes what `find` makes of the gateway's answers: words, or words with what is said about them."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from gateway.control.client import ControlClient

        session = context.find_object(Session) or Session()
        try:
            found = list(find(ControlClient(session.home, timeout=_SECONDS)))
        except (GatewayError, OSError):
            return []
        return matching(found, incomplete)

    return complete


def matching(found: Iterable[str | tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Those that begin so, each once, in order."""
    pairs = dict((one, "") if isinstance(one, str) else one for one in found)
    return [
        CompletionItem(word, help=about or None)
        for word, about in sorted(pairs.items())
        if word.startswith(incomplete.lower()) and word.isprintable() and " " not in word
    ][:_MOST]


def _contacts(client: ControlClient) -> Iterable[tuple[str, str]]:
    return ((contact.petname, f"{contact.endpoint_id[:8]}…") for contact in client.contacts())


def _names(client: ControlClient) -> Iterable[str | tuple[str, str]]:
    for contact in client.contacts():
        yield contact.petname, f"{contact.endpoint_id[:8]}…"
        yield from (f"{service}.{contact.petname}.overlay" for service in contact.services)


def _services(client: ControlClient) -> Iterable[tuple[str, str]]:
    return ((service.name, service.settings.target) for service in client.services())


def _allowed(client: ControlClient) -> Iterable[str | tuple[str, str]]:
    yield from (("contacts", "all of them"), *_contacts(client))
    yield from (f"group:{group.group}" for group in client.groups())
    yield from (f"contacts-of:{contact.petname}" for contact in client.contacts())


contacts: Final = _asking(_contacts)
"""Petnames."""
names: Final = _asking(_names)
"""Petnames, and the services that are known of each."""
services: Final = _asking(_services)
"""Our services."""
allowed: Final = _asking(_allowed)
"""Whom `--allow` takes."""
groups: Final = _asking(lambda client: (group.group for group in client.groups()))
topics: Final = _asking(lambda client: (topic.name for topic in client.topics()))
serials: Final = _asking(
    lambda client: (
        (issued.invite.serial[:8], ", ".join(issued.invite.services)) for issued in client.invites().issued
    )
)
"""Invites that we made."""


def well_known(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of services that say which port they have."""
    return matching(((name, f"port {port}") for name, port in WELL_KNOWN_PORTS.items()), incomplete)
