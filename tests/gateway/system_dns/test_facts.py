from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.system_dns.facts import (
    Listener,
    Process,
    gather,
    is_loopback,
    listeners_in,
    name_sources_in,
    nameservers_in,
)
from gateway.system_dns.machine import RealMachine
from tests.lab.system_facts import facts

UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   990        0 4711 2 0000000000000000 0
  101: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 4712 2 0000000000000000 0
  102: 0100007F:1234 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 0
"""
TCP6 = """  sl  local_address rem_address st
   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 99 1
   1: 00000000000000000000000001000000:0035 00000000000000000000000001000000:9999 01 00000000:00000000 00:00000000 00000000 0 0 98 1
"""


def test_resolv_conf():
    text = "# nameserver 192.0.2.9\nsearch lan\nnameserver 127.0.0.53\n nameserver  fe80::1%eth0 # router\nnameserver\n"
    assert nameservers_in(text) == ("127.0.0.53", "fe80::1%eth0")
    assert is_loopback("127.0.0.53")
    assert is_loopback("::1")
    assert not is_loopback("fe80::1%eth0")
    assert not is_loopback("nonsense")


def test_nsswitch():
    text = (
        "passwd: files\nhosts:  files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns # mine\n"
    )
    assert name_sources_in(text) == ("files", "mdns4_minimal", "resolve", "dns")
    assert name_sources_in("") == ("files", "dns")


def test_who_listens():
    assert list(listeners_in(UDP, "udp", {4711: 12})) == [
        Listener("udp", "127.0.0.53", 53, 12),
        Listener("udp", "0.0.0.0", 5353, None),
        Listener("udp", "127.0.0.1", 0x1234, None),
    ]
    assert list(listeners_in(UDP, "tcp", {})) == []
    assert list(listeners_in(TCP6, "tcp", {})) == [Listener("tcp", "::1", 53, None)]


@given(st.text(max_size=200), st.sampled_from(["udp", "tcp"]))
def test_whatever_stands_in_these_files_breaks_nothing(text, protocol):
    nameservers_in(text)
    name_sources_in(text)
    list(listeners_in(text, protocol, {}))
    list(listeners_in(f"head\n0: {text} x 0A x x x x x 1 x x", protocol, {}))


def test_no_more_sockets_are_read_than_the_bound(monkeypatch):
    monkeypatch.setattr("gateway.system_dns.facts.SYSTEM_SOCKETS", 3)
    assert len(list(listeners_in(UDP.splitlines()[1] + "\n" + UDP, "udp", {}))) == 2


def test_whose_ports_are_those_of_dns():
    listeners = (Listener("udp", "0.0.0.0", 53), Listener("tcp", "0.0.0.0", 80), Listener("udp", "::", 5353))
    assert facts(listeners=listeners).dns_listeners == (listeners[0], listeners[2])


def test_who_answers_programs_here():
    process = Process(1, "dnsmasq")
    for listeners, answer in [
        ((Listener("udp", "127.0.0.1", 53, 1),), True),
        ((Listener("udp", "0.0.0.0", 53, 1),), True),
        ((Listener("udp", "192.168.122.1", 53, 1),), False),
        ((Listener("udp", "127.0.0.1", 53, 2),), False),
        ((Listener("udp", "127.0.0.1", 53, None),), None),
        ((), False),
    ]:
        assert facts(listeners=listeners).answers(process) is answer


@pytest.mark.parametrize(
    ("known", "command"),
    [
        ({}, ("/usr/bin/systemctl", "restart", "unbound.service")),
        (
            {"has_systemd": False, "tools": {"service": "/usr/sbin/service"}},
            ("/usr/sbin/service", "unbound", "restart"),
        ),
        (
            {"has_systemd": False, "tools": {"rc-service": "/sbin/rc-service"}},
            ("/sbin/rc-service", "unbound", "restart"),
        ),
        ({"has_systemd": False}, None),
        ({"tools": {}}, None),
    ],
)
def test_what_restarts_a_service(known, command):
    assert facts(**known).restart("unbound") == command


def test_this_machine_is_seen():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        seen = gather(RealMachine())
    assert seen.is_root == (os.geteuid() == 0)
    assert any(process.pid == os.getpid() for process in seen.processes)
    assert {each.pid for each in seen.listeners if each.port == port} == {os.getpid()}
    assert gather(RealMachine(), platform="darwin").processes == ()
