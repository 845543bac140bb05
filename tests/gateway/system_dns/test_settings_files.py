from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.system_dns.settings_files import (
    dnsmasq_directories,
    drop_ins,
    ini_values,
    unbound_directories,
)
from tests.lab.fake_machine import FakeMachine


def test_lists_are_joined_and_emptied_as_systemd_does():
    texts = [
        "[Resolve]\n#DNS=1.1.1.1\nDNS=192.0.2.1\n[Other]\nDNS=192.0.2.9\n",
        "[Resolve]\nDNS = 192.0.2.2 \n",
    ]
    assert ini_values(texts, "Resolve")["DNS"] == "192.0.2.1 192.0.2.2"
    assert ini_values([*texts, "[Resolve]\nDNS=\n"], "Resolve")["DNS"] == ""


def test_drop_ins_are_read_by_name_and_those_in_etc_count():
    machine = FakeMachine()
    machine.put("/etc/systemd/resolved.conf", "[Resolve]\nDNS=1.1.1.1\n")
    machine.put("/usr/lib/systemd/resolved.conf.d/20-a.conf", "vendor's")
    machine.put("/etc/systemd/resolved.conf.d/20-a.conf", "administrator's")
    machine.put("/run/systemd/resolved.conf.d/10-b.conf", "first")
    machine.put("/etc/systemd/resolved.conf.d/overlay.conf", "ours")
    machine.put("/etc/systemd/resolved.conf.d/readme", "no drop-in")
    found = drop_ins(machine, "resolved.conf", without="/etc/systemd/resolved.conf.d/overlay.conf")
    assert found == ["[Resolve]\nDNS=1.1.1.1\n", "first", "administrator's"]


def test_where_dnsmasq_looks():
    assert dnsmasq_directories(["dnsmasq", "-7", "/etc/dnsmasq.d,.dpkg-dist"], "") == ["/etc/dnsmasq.d"]
    assert dnsmasq_directories(["dnsmasq", "-7/a", "--conf-dir=/b/,*.conf"], "") == ["/a", "/b"]
    assert dnsmasq_directories(["dnsmasq"], "#conf-dir=/x\nconf-dir = /c # mine\nserver=1.1.1.1\n") == ["/c"]
    assert dnsmasq_directories(["dnsmasq", "--conf-dir"], "") == []


def test_where_unbound_looks():
    text = '# include: "/no/*.conf"\ninclude-toplevel: "/etc/unbound/unbound.conf.d/*.conf"\nserver:\n  include: /etc/other.conf\n'
    assert unbound_directories(text) == ["/etc/unbound/unbound.conf.d"]


@given(st.text(max_size=200))
def test_whatever_administrators_wrote_breaks_nothing(text):
    ini_values([text], "Resolve")
    dnsmasq_directories(text.split(" "), text)
    unbound_directories(text)
