"""Packets are translated as routers do it, one by one, and the process before a home says what it saw."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

import pytest

from tests.lab.sockets import tcp_connects, tcp_echo
from tests.lab.translation import Ports, Rules
from tests.lab.tun_nat import Nat, Packet, Place
from tunnels.nat.behavior import Filtering, Mapping

INSIDE, OUTSIDE, SERVER = bytes([192, 168, 1, 10]), bytes([203, 0, 113, 9]), bytes([198, 51, 100, 1])
HOME = INSIDE[:3]


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packet(source: Place, to: Place, data: bytes = b"hello", *, ttl: int = 64, sums: bool = True) -> bytes:
    """One of UDP over IPv4, with the checksums that belong to it."""
    length = 8 + len(data)
    udp = struct.pack("!HHHH", source.port, to.port, length, 0) + data
    if sums:
        pseudo = source.ip + to.ip + struct.pack("!BBH", 0, 17, length)
        udp = udp[:6] + struct.pack("!H", (0xFFFF - checksum(pseudo + udp)) or 0xFFFF) + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0x4000, ttl, 17, 0) + source.ip + to.ip
    return head[:10] + struct.pack("!H", 0xFFFF - checksum(head)) + head[12:] + udp


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1400])
def test_a_translated_packet_is_as_if_it_had_been_sent_so(size, sums):
    for number in range(50):
        data = os.urandom(size)
        source, to = Place(INSIDE, 1024 + number * 999), Place(SERVER, 65535 - number)
        seen = Place(OUTSIDE, 60000 - number * 777)
        passed = Packet(packet(source, to, data, sums=sums)).translated(seen, to)
        assert passed == packet(seen, to, data, ttl=65, sums=sums)


def test_the_router_counts_as_one_hop():
    source, to = Place(INSIDE, 40000), Place(SERVER, 3478)
    assert [Packet(packet(source, to, ttl=ttl)).translated(source, to)[8] for ttl in (1, 254, 255)] == [
        2,
        255,
        255,
    ]


def nat(**rules: object) -> Nat:
    return Nat(Rules(**rules), HOME)


def test_it_goes_out_from_the_outside_address_and_the_answer_comes_in():
    home, source, server = nat(), Place(INSIDE, 40000), Place(SERVER, 3478)
    outside = Place(OUTSIDE, 40000)
    assert home.pass_on(packet(source, server), OUTSIDE, 0.0) == packet(outside, server, ttl=65)
    assert home.pass_on(packet(server, outside), OUTSIDE, 0.1) == packet(server, source, ttl=65)
    assert home.pass_on(packet(Place(SERVER, 1), outside), OUTSIDE, 0.1) is None
    assert home.pass_on(packet(server, Place(OUTSIDE, 1)), OUTSIDE, 0.1) is None


def test_what_is_no_whole_udp_datagram_is_dropped():
    whole = packet(Place(INSIDE, 40000), Place(SERVER, 3478))
    fragment = whole[:6] + b"\x20\x00" + whole[8:]
    icmp = whole[:9] + b"\x01" + whole[10:]
    ipv6 = b"\x60" + bytes(60)
    for data in (fragment, icmp, ipv6, whole[:27], b""):
        assert nat().pass_on(data, OUTSIDE, 0.0) is None


@pytest.mark.parametrize("hairpins", [True, False])
def test_machines_inside_reach_each_other_by_the_outside_address_or_not(hairpins):
    home = nat(filtering=Filtering.ENDPOINT_INDEPENDENT, hairpins=hairpins)
    one, other = Place(INSIDE, 40000), Place(HOME + b"\x0b", 40001)
    home.pass_on(packet(other, Place(SERVER, 3478)), OUTSIDE, 0.0)
    passed = home.pass_on(packet(one, Place(OUTSIDE, 40001)), OUTSIDE, 0.0)
    assert passed == (packet(Place(OUTSIDE, 40000), other, ttl=65) if hairpins else None)


def test_it_answers_lines():
    home = nat()
    home.pass_on(packet(Place(INSIDE, 40000), Place(SERVER, 3478)), OUTSIDE, 0.0)
    assert json.loads(home.answer("counters"))["mappings"] == 1
    assert json.loads(home.answer("forget"))["mappings"] == 0


# Between real machines

real = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun")


@real
def test_a_burst_that_the_kernel_holds_as_one_packet_arrives_as_datagrams(internet, udp):
    server, pc = udp(internet.server("server")), udp(internet.home("home", Rules()).host("pc"))
    sent = [bytes([number]) * 1400 for number in range(40)]

    def send(here, to) -> None:
        segment = (socket.IPPROTO_UDP, 103, (1400).to_bytes(2, sys.byteorder))  # UDP_SEGMENT
        here.socket.sendmsg([b"".join(sent)], [segment], 0, to)

    send(pc, server.place)
    heard = [server.hear() for _ in sent]
    assert [data for data, _ in heard] == sent
    send(server, heard[0][1])
    assert [pc.hear()[0] for _ in sent] == sent
    assert pc.machine.network.counters().outbound == 40


@real
def test_a_nat_can_map_by_address_and_filter_by_nothing(internet, udp):
    rules = Rules(Mapping.ADDRESS_DEPENDENT, Filtering.ENDPOINT_INDEPENDENT, Ports.SEQUENTIAL, delta=-2)
    pc = udp(internet.home("home", rules).host("pc"))
    first, second = (internet.server(name) for name in ("first", "second"))
    servers = [udp(first, 7000), udp(first, 7001), udp(second)]
    for server in servers:
        pc.send(b"hello", server.place)
    seen = [server.hear()[1] for server in servers]
    assert [port for _, port in seen] == [rules.first, rules.first, rules.first - 2]
    servers[2].send(b"from elsewhere", seen[0])
    assert pc.hear() == (b"from elsewhere", servers[2].place)


@real
def test_tcp_goes_through_the_kernel_and_udp_is_counted(internet, udp):
    server, pc = udp(internet.server("server")), udp(internet.home("home", Rules()).host("pc"))
    with tcp_echo(server.machine, 443):
        assert tcp_connects(pc.machine, (server.machine.address, 443))
    assert pc.machine.network.counters().outbound == 0
    pc.send(b"hello", server.place)
    server.hear()
    server.send(b"to another port", (pc.machine.public_address, 9))
    assert pc.hears_nothing()
    counters = pc.machine.network.counters()
    assert (counters.outbound, counters.mappings, counters.inbound, counters.unsolicited) == (1, 1, 1, 1)


@real
def test_what_was_let_in_is_not_when_all_is_forgotten(internet, udp):
    server, pc = udp(internet.server("server")), udp(internet.home("home", Rules()).host("pc"))
    with tcp_echo(server.machine, 443), pc.machine.socket(socket.SOCK_STREAM) as tcp:
        tcp.connect((server.machine.address, 443))
        pc.send(b"hello", server.place)
        seen = server.hear()[1]
        pc.machine.network.forget()
        server.send(b"too late", seen)
        assert pc.hears_nothing()
        tcp.sendall(b"still open")
        assert tcp.recv(100) == b"still open"


@real
def test_the_router_can_have_another_address(internet, udp):
    home, server = internet.home("home", Rules()), udp(internet.server("server"))
    pc = udp(home.host("pc"))
    for _ in range(2):
        pc.send(b"hello", server.place)
        assert server.hear()[1] == pc.place
        server.send(b"welcome", pc.place)
        assert pc.hear()[0] == b"welcome"
        internet.change_address(home.router)


@real
def test_a_short_lived_datagram_gets_as_far_as_behind_linux(internet, udp):
    server = udp(internet.server("server"))
    for name, rules in (("simulated", Rules()), ("linux", "port-restricted")):
        pc = udp(internet.home(name, rules).host("pc"))
        for ttl in (1, 2, 3, 4):
            pc.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            pc.send(bytes([ttl]), server.place)
        reached = [data[0] for data, _ in server.hears_all()]
        assert reached == [3, 4], name
