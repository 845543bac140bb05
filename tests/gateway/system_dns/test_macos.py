from __future__ import annotations

from gateway.system_dns import installing
from gateway.system_dns.macos import MacOs
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts


def test_it_is_a_file_in_etc_resolver():
    seen = facts(platform="darwin")
    assert MacOs().find(seen, FakeMachine()).is_asked
    planned = MacOs().plan(seen, FakeMachine(), TARGET)
    assert planned.files[0].path == "/etc/resolver/overlay"
    assert planned.files[0].text.splitlines()[1:] == ["nameserver 127.0.0.1", "port 5399"]
    assert not planned.shown_only


def test_where_there_is_no_var_lib_the_note_has_a_place_all_the_same():
    machine = FakeMachine(("/", "/etc"))
    planned = MacOs().plan(facts(platform="darwin"), machine, TARGET)
    installing.install(machine, planned, lambda: "")
    assert "/etc/resolver/overlay" in machine.files
    installing.remove(machine)
    assert machine.files == {}


def test_elsewhere_it_is_only_shown():
    assert MacOs().find(facts(), FakeMachine()) is None
    assert "macOS" in MacOs().plan(facts(), FakeMachine(), TARGET).shown_only
