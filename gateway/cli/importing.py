"""Files of contacts on the command line: read and taken in portions, told; and the address book as a hosts file."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from gateway.cli import output, progress
from gateway.control.contacts import ImportedContact, ImportRequest
from gateway.errors import UsageError
from gateway.limits import IMPORT_CONTACTS
from resolver.contact_files import read_contacts
from resolver.errors import InvalidContacts
from resolver.limits import CONTACT_FILE_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cli.app import Session
    from gateway.control.client import ControlClient
    from gateway.control.contacts import ImportedReport
    from gateway.control.status import StatusReport

_SIGNS: Final = {"added": "+", "changed": "~", "replaced": "!", "conflict": "?", "same": " "}


def run(client: ControlClient, file: TextIO, *, replace: bool, preview: bool) -> tuple[ImportedReport, ...]:
    """Take the contacts of a file; UsageError if it holds none."""
    try:
        listed = read_contacts(file.read(CONTACT_FILE_CHARACTERS + 1))
    except UnicodeDecodeError:
        raise UsageError("contacts import: this file is no text in UTF-8") from None
    except InvalidContacts as error:
        raise UsageError(f"contacts import: {error}") from None
    contacts = [
        ImportedContact(
            petname=one.petname, id=one.id, addresses=one.addresses, path=one.path, groups=one.groups
        )
        for one in listed
    ]
    taken: list[ImportedReport] = []
    with progress.counting("contacts", len(contacts)) as done:
        for at in range(0, len(contacts), IMPORT_CONTACTS):
            portion = tuple(contacts[at : at + IMPORT_CONTACTS])
            taken += client.import_contacts(
                ImportRequest(contacts=portion, replace=replace, preview=preview)
            ).contacts
            done(len(portion))
    return tuple(taken)


def tell(session: Session, taken: tuple[ImportedReport, ...], *, preview: bool) -> None:
    """Say what became of each contact that did not stay as it was, and how all of it is undone."""
    for one in taken:
        if one.outcome != "same":
            output.say(f"{_SIGNS[one.outcome]} {one.petname}{f': {one.detail}' if one.detail else ''}")
    counts = Counter(one.outcome for one in taken)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing in it"
    output.say(f"{'It would be' if preview else 'Done'}: {told}.")
    if counts["conflict"]:
        output.aside(
            "Conflicts were left as they are: rename the one here (overlay contacts rename), or give --replace."
        )
    if not preview and any(one.undo for one in taken):
        output.say(f"undo: {' && '.join(f'{session.command} {shlex.join(words)}' for words in _undo(taken))}")


def _undo(taken: tuple[ImportedReport, ...]) -> Iterator[tuple[str, ...]]:
    """The commands that undo all of it, the last first; what was only added goes at once."""
    added = [one.petname for one in taken if one.outcome == "added"]
    if added:
        yield ("contacts", "rm", *added)
    for one in reversed(taken):
        if one.outcome != "added":
            yield from one.undo


def hosts_of(status: StatusReport) -> dict[str, list[str]]:
    """The names of contacts at each loopback address."""
    owners = {f".{contact.petname}.overlay" for contact in status.contacts}
    names: dict[str, list[str]] = {}
    for place in status.loopback:
        if any(f".{place.name}".endswith(owner) for owner in owners):
            names.setdefault(place.ip, []).append(place.name)
    return names


def hosts_lines(status: StatusReport) -> Iterator[str]:
    """The names of contacts that have a loopback address, as lines of a hosts file (hosts(5))."""
    yield "# names of overlay contacts on this machine; printed by: overlay contacts hosts"
    owners = {f".{contact.petname}.overlay" for contact in status.contacts}
    names = hosts_of(status)
    moved: dict[str, list[str]] = {}
    for place in status.loopback:
        if any(f".{place.name}".endswith(owner) for owner in owners):
            moved.setdefault(place.ip, []).extend(
                f"{offer.port} is at {offer.offered}" for offer in place.offers if offer.offered != offer.port
            )
    for ip, there in names.items():
        note = f"  # port {', '.join(moved[ip])}" if moved[ip] else ""
        yield f"{ip}  {' '.join(there)}{note}"
    for contact in status.contacts:
        if not any(f".{place.name}".endswith(f".{contact.petname}.overlay") for place in status.loopback):
            yield f"# {contact.petname}.overlay has no address yet: nothing is known of its services"
