from __future__ import annotations

import pytest

from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.unbound import Unbound
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts

UNBOUND = "/usr/sbin/unbound -d -p"


def a_machine() -> FakeMachine:
    machine = FakeMachine()
    machine.put("/etc/unbound/unbound.conf", 'include-toplevel: "/etc/unbound/unbound.conf.d/*.conf"\n')
    return machine


def test_it_is_found():
    found = Unbound().find(facts(UNBOUND), a_machine())
    assert (found.manager, found.is_asked, found.obstacle) == ("unbound", True, "")
    assert Unbound().find(facts("/usr/sbin/dnsmasq"), a_machine()) is None
    assert not Unbound().find(facts(UNBOUND, nameservers=("127.0.0.53",)), a_machine()).is_asked


def test_the_plan():
    planned = Unbound().plan(facts(UNBOUND), a_machine(), TARGET)
    (file,) = planned.files
    assert file.path == "/etc/unbound/unbound.conf.d/overlay.conf"
    for line in (
        "do-not-query-localhost: no",
        'domain-insecure: "overlay"',
        'private-domain: "overlay"',
        "stub-addr: 127.0.0.1@5399",
    ):
        assert f"    {line}\n" in file.text
    assert planned.checks == (("/usr/sbin/unbound-checkconf",),)
    assert planned.reloads == (("/usr/bin/systemctl", "restart", "unbound.service"),)


@pytest.mark.parametrize(
    ("machine", "known", "why"), [(FakeMachine(), {}, "include"), (a_machine(), {"tools": {}}, "restart")]
)
def test_what_stands_in_the_way(machine, known, why):
    assert why in Unbound().find(facts(UNBOUND, **known), machine).obstacle
    with pytest.raises(SystemDnsError, match=why):
        Unbound().plan(facts(UNBOUND, **known), machine, TARGET)
