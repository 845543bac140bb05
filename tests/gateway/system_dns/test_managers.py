from __future__ import annotations

import pytest

from gateway.cli.dns import _MANAGERS
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.managers import MANAGERS, NAMES, choose, find_all, named
from gateway.system_dns.plan import is_ours
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts

DNSMASQ = "/usr/sbin/dnsmasq -7 /etc/dnsmasq.d"
RESOLVED = "/usr/lib/systemd/systemd-resolved"


def machine() -> FakeMachine:
    made = FakeMachine()
    made.put("/etc/unbound/unbound.conf", 'include: "/etc/unbound/unbound.conf.d/*.conf"\n')
    return made


def chosen(seen):
    return choose(seen, find_all(seen, machine())).name


def test_the_command_line_knows_them_all():
    assert _MANAGERS == NAMES
    assert [named(name).name for name in NAMES] == list(NAMES)


def test_whom_programs_ask_is_told():
    assert chosen(facts(DNSMASQ, RESOLVED)) == "dnsmasq"
    assert chosen(facts(DNSMASQ, RESOLVED, nameservers=("127.0.0.53",))) == "systemd-resolved"


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (facts(nameservers=("192.0.2.1",)), "directly"),
        (facts(nameservers=()), "nobody directly"),
        (facts("/usr/bin/AdGuardHome"), "none that we know"),
        (facts(DNSMASQ, nameservers=("192.0.2.1",)), "resolv.conf does not name it"),
        (facts(DNSMASQ, tools={}), "restart"),
    ],
)
def test_with_nobody_to_tell_the_reason_and_what_else_works_are_told(seen, why):
    with pytest.raises(SystemDnsError, match=why) as caught:
        chosen(seen)
    assert "overlay status" in str(caught.value)


def test_each_file_of_a_plan_is_ours_and_found_without_a_note():
    seen = facts(DNSMASQ, "/usr/sbin/unbound", RESOLVED)
    for manager in MANAGERS:
        for file in manager.plan(seen, machine(), TARGET).files:
            assert is_ours(file.text.encode())
            assert file.path in manager.places()
