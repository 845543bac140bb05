"""A reload knows what changed and what of it must wait."""

from __future__ import annotations

from gateway.config import Config, changes, needs_restart, parse
from gateway.config.changes import APPLIED_LIVE
from gateway.config.showing import as_values


def config(text: str) -> Config:
    return parse(text.encode(), source="f")


def test_equal_configurations_have_no_changes() -> None:
    assert changes(config("[proxy]\nport = 1080"), Config()) == frozenset()


def test_changed_keys_are_named_with_their_section() -> None:
    new = config(
        "[proxy]\nport = 1\n[dns]\nttl = 5\n[services.web]\ntarget = '1'\n[services.ssh]\ntarget = '22'"
    )
    old = config("[services.web]\ntarget = '2'\n[services.gone]\ntarget = '3'")
    assert changes(old, new) == {"proxy.port", "dns.ttl", "services.web", "services.ssh", "services.gone"}


def test_services_and_contacts_never_need_a_restart() -> None:
    assert not needs_restart("services.web")
    assert not needs_restart("contacts.alice")
    assert needs_restart("dns.ttl")
    assert needs_restart("proxy.port")


def test_the_table_names_only_keys_that_exist() -> None:
    keys = {f"{section}.{key}" for section, table in as_values(Config()).items() for key in table}
    assert keys >= APPLIED_LIVE
