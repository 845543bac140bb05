"""The redacted report: one JSON file with what was found, what was looked at, and the end of the log, fit to be posted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config.showing import as_values
from gateway.doctor.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.doctor.facts import Facts
    from gateway.doctor.findings import Finding

_OTHERS_HOMES = re.compile(r"/(home|Users)/[^/\s\"]+")
"""Of whoever else has one here."""


def bundle(
    facts: Facts,
    findings: Sequence[Finding],
    log: Iterable[str],
    *,
    hostname: str = "",
    user: str = "",
    user_home: str = "",
    names: Iterable[str] = (),
    system: str = "",
) -> bytes:
    """The report as JSON. `names` are more names to be replaced than those that the facts have; `system` says what runs here."""
    words = (
        (facts.home.path, "HOME"),
        (user_home if len(user_home) > 1 else "", "~"),
        (hostname, "this-host"),
        (hostname.partition(".")[0], "this-host"),
        (user, "user"),
    )
    redactor = Redactor({*names, *_names(facts)}, _ids(facts), words=words)
    status = facts.status
    report: dict[str, Any] = {
        "version": facts.version,
        "system": system,
        "now": facts.now,
        "findings": _plain(findings),
        "home": _plain(facts.home),
        "machine": _plain(facts.machine) | {"proxies": sorted(facts.machine.proxies)},
        "channels": _plain(facts.proofs),
        "system_dns": _plain(facts.system_dns),
        "beacons": _plain(facts.beacons),
        "control": facts.control_error,
        "configuration": _configuration(facts),
        "status": None if status is None else _plain(status),
        "netcheck": facts.netcheck_error if facts.netcheck is None else _plain(facts.netcheck),
        "log": list(log),
    }
    text = msgspec.json.format(msgspec.json.encode(redactor.value(report)), indent=1)
    return _OTHERS_HOMES.sub(r"/\1/user", text.decode()).encode() + b"\n"


def _plain(value: object) -> Any:  # noqa: ANN401 - what JSON holds
    return msgspec.to_builtins(value, enc_hook=str)


def _configuration(facts: Facts) -> object:
    """What is in force; of contacts and services as a list, because their names are keys."""
    if facts.config is None:
        return facts.config_error
    values: dict[str, Any] = dict(as_values(facts.config))
    for section in ("contacts", "services"):
        values[section] = [{"name": name} | dict(entry) for name, entry in values[section].items()]
    return values


def _names(facts: Facts) -> set[str]:
    """Whatever the owner or others chose as names, as far as we know of it."""
    found: set[str] = set()
    if facts.config is not None:
        found |= {facts.config.gateway.nickname, *facts.config.contacts, *facts.config.services}
        found |= {group for contact in facts.config.contacts.values() for group in contact.groups}
    status = facts.status
    if status is not None:
        found.add(status.nickname)
        for contact in status.contacts:
            found |= {
                contact.petname,
                contact.nickname,
                contact.nickname_before,
                *contact.groups,
                *contact.services,
            }
        found |= {service.name for service in status.services}
        found |= {tunnel.petname for tunnel in status.tunnels}
        found |= set(status.lending.endpoints if status.lending is not None else ())
        for entry in status.loopback:
            found |= set(entry.name.removesuffix(".overlay").split("."))
    return {name for name in found if name}


def _ids(facts: Facts) -> set[str]:
    status = facts.status
    if status is None:
        return set()
    return {
        status.endpoint_id,
        *(contact.endpoint_id for contact in status.contacts),
        *(tunnel.endpoint_id for tunnel in status.tunnels),
    }
