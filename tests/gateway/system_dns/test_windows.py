from __future__ import annotations

from gateway.system_dns.plan import Target
from gateway.system_dns.windows import Windows
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts
from tunnels.addresses import Address


def test_it_is_found_on_windows():
    assert Windows().find(facts(platform="win32"), FakeMachine()).is_asked
    assert Windows().find(facts(), FakeMachine()) is None


def test_a_rule_has_no_port_so_that_another_address_is_proposed():
    planned = Windows().plan(facts(), FakeMachine(), TARGET)
    assert "-Namespace '.overlay' -NameServers '127.53.53.53'" in planned.reloads[0][0]
    assert 'host = "127.53.53.53"' in planned.notes[0]
    assert planned.shown_only
    assert "Remove-DnsClientNrptRule" in planned.undo[0][0]


def test_a_server_on_port_53_is_named_as_it_is():
    planned = Windows().plan(facts(), FakeMachine(), Target(Address.parse("127.9.9.9:53"), "C:\\home"))
    assert "-NameServers '127.9.9.9'" in planned.reloads[0][0]
    assert planned.notes == ()
    assert "`" not in planned.reloads[0][0]  # it would be PowerShell's escape
