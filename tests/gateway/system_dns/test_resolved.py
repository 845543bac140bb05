from __future__ import annotations

import pytest

from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.machine import Ran
from gateway.system_dns.resolved import Resolved
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, TOOLS, facts

RESOLVED = "/usr/lib/systemd/systemd-resolved"
RESOLVECTL = ("/usr/bin/resolvectl", "--version")


def machine_with(version: int = 252, **files: str) -> FakeMachine:
    machine = FakeMachine()
    machine.answers[RESOLVECTL] = Ran(0, f"systemd {version} ({version}.38-1)\n+PAM +AUDIT\n")
    for name, text in files.items():
        machine.put(f"/etc/systemd/{name.replace('_', '.')}", text)
    return machine


def found(machine: FakeMachine | None = None, **known):
    usual = {"ip": "127.0.0.53", "tools": TOOLS | {"resolvectl": RESOLVECTL[0]}}
    return Resolved().find(facts(RESOLVED, **usual | known), machine or machine_with())


def plan(machine: FakeMachine):
    return Resolved().plan(
        facts(RESOLVED, ip="127.0.0.53", tools=TOOLS | {"resolvectl": RESOLVECTL[0]}), machine, TARGET
    )


def test_it_is_asked_by_its_stub_or_by_nsswitch():
    assert found().is_asked
    assert found(nameservers=("192.0.2.1",), name_sources=("files", "resolve", "dns")).is_asked
    around = found(nameservers=("192.0.2.1",), resolv_conf_leads_to="/run/systemd/resolve/resolv.conf")
    assert not around.is_asked
    assert "libnss-resolve" in around.why
    assert not found(nameservers=("192.0.2.1",)).is_asked


def test_where_it_does_not_run_it_is_not_found():
    assert Resolved().find(facts("/usr/sbin/dnsmasq"), machine_with()) is None


def test_before_258_a_server_of_the_global_scope():
    planned = plan(machine_with())
    texts = {file.path: file.text for file in planned.files}
    assert texts["/etc/systemd/resolved.conf.d/overlay.conf"].splitlines()[1:] == [
        "[Resolve]",
        "DNS=127.0.0.1:5399",
        "Domains=~overlay",
    ]
    assert planned.reloads == (("/usr/bin/systemctl", "restart", "systemd-resolved.service"),)


def test_from_258_a_delegate():
    planned = plan(machine_with(258, resolved_conf="[Resolve]\nDNS=192.0.2.1\n"))
    assert planned.files[0].path == "/etc/systemd/dns-delegate.d/overlay.dns-delegate"
    assert planned.files[0].text.endswith("[Delegate]\nDNS=127.0.0.1:5399\nDomains=overlay\n")


def test_what_resolved_knew_to_be_unsigned_stays_so():
    lines = plan(machine_with()).files[1].text.splitlines()
    assert lines[0].startswith(";")
    assert lines[1] == "overlay"
    assert {"168.192.in-addr.arpa", "home.arpa", "ipv4only.arpa", "31.172.in-addr.arpa", "lan"} <= set(lines)


def test_where_an_administrator_says_what_is_unsigned_that_counts():
    machine = machine_with()
    machine.put("/etc/dnssec-trust-anchors.d/corp.negative", "corp\n")
    assert plan(machine).files[1].text.splitlines()[1:] == ["overlay"]


@pytest.mark.parametrize(
    ("text", "obstacle"),
    [
        ("[Resolve]\nDNS=1.1.1.1\n", "names servers for everything"),
        ("[Resolve]\nDNSOverTLS=yes\n", "demands TLS"),
        ("[Resolve]\nDNSOverTLS=opportunistic\nDNSSEC=yes\n", ""),
        ("", ""),
    ],
)
def test_what_stands_in_the_way(text, obstacle):
    said = found(machine_with(resolved_conf=text)).obstacle
    assert obstacle in said
    assert bool(obstacle) == bool(said)
    assert found(machine_with(258, resolved_conf=text)).obstacle == ""


def test_without_systemd_nothing_can_restart_it():
    assert "restart" in found(has_systemd=False).obstacle
    with pytest.raises(SystemDnsError, match="restart"):
        Resolved().plan(facts(RESOLVED, has_systemd=False), machine_with(), TARGET)
