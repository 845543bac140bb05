from __future__ import annotations

import shutil
import subprocess

import pytest

from gateway.system_dns.dnsmasq import Dnsmasq, NetworkManager
from gateway.system_dns.errors import SystemDnsError
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts

DEBIAN = "/usr/sbin/dnsmasq -x /run/dnsmasq/dnsmasq.pid -u dnsmasq -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new"
MANAGED = "/usr/sbin/dnsmasq --conf-file=/dev/null --conf-dir=/etc/NetworkManager/dnsmasq.d"
LIBVIRT = "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/default.conf"


def test_that_of_the_machine_is_found():
    found = Dnsmasq().find(facts(LIBVIRT, DEBIAN), FakeMachine())
    assert (found.manager, found.is_asked, found.obstacle) == ("dnsmasq", True, "")
    assert Dnsmasq().find(facts(LIBVIRT, MANAGED), FakeMachine()) is None
    assert not Dnsmasq().find(facts(DEBIAN, nameservers=("192.0.2.1",)), FakeMachine()).is_asked


def test_where_the_system_does_not_tell_who_listens_it_may_be_it():
    seen = facts(DEBIAN)
    hidden = tuple(type(each)(each.protocol, each.ip, each.port) for each in seen.listeners)
    assert Dnsmasq().find(facts(DEBIAN, listeners=hidden), FakeMachine()).is_asked


def test_that_of_network_manager_is_found():
    found = NetworkManager().find(facts(MANAGED), FakeMachine())
    assert (found.manager, found.is_asked, found.obstacle) == ("network-manager", True, "")
    assert NetworkManager().find(facts(DEBIAN), FakeMachine()) is None
    planned = NetworkManager().plan(facts(MANAGED), FakeMachine(), TARGET)
    assert planned.files[0].path == "/etc/NetworkManager/dnsmasq.d/overlay.conf"
    assert planned.reloads == (("/usr/bin/nmcli", "general", "reload", "dns-full"),)


def test_without_nmcli_nothing_makes_it_read_its_files():
    bare = facts(MANAGED, tools={})
    assert "nmcli" in NetworkManager().find(bare, FakeMachine()).obstacle
    with pytest.raises(SystemDnsError, match="nmcli"):
        NetworkManager().plan(bare, FakeMachine(), TARGET)


@pytest.mark.needs("dnsmasq")
def test_the_plan_is_what_dnsmasq_reads(tmp_path):
    planned = Dnsmasq().plan(facts(DEBIAN), FakeMachine(), TARGET)
    (file,) = planned.files
    assert file.path == "/etc/dnsmasq.d/overlay.conf"
    assert file.text.splitlines()[1:] == ["server=/overlay/127.0.0.1#5399", "rebind-domain-ok=/overlay/"]
    assert planned.checks == (("/usr/sbin/dnsmasq", "--test", f"--conf-file={file.path}"),)
    (tmp_path / "overlay.conf").write_text(file.text)
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    subprocess.run([program, "--test", f"--conf-file={tmp_path}/overlay.conf"], check=True, timeout=20)


def test_the_directory_is_the_one_that_it_reads():
    machine = FakeMachine()
    machine.put("/etc/dnsmasq.conf", "conf-dir=/etc/dnsmasq.local,*.conf\n")
    planned = Dnsmasq().plan(facts("/usr/sbin/dnsmasq -k"), machine, TARGET)
    assert planned.files[0].path == "/etc/dnsmasq.local/overlay.conf"


@pytest.mark.parametrize(
    ("line", "known", "why"), [("dnsmasq -k", {}, "conf-dir"), (DEBIAN, {"tools": {}}, "restart")]
)
def test_what_stands_in_the_way(line, known, why):
    assert why in Dnsmasq().find(facts(line, **known), FakeMachine()).obstacle
    with pytest.raises(SystemDnsError, match=why):
        Dnsmasq().plan(facts(line, **known), FakeMachine(), TARGET)
