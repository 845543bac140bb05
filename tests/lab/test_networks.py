"""The kernel's NATs and firewalls that other tests stand on let through what they should, and nothing else."""

from __future__ import annotations

import socket

import pytest

from tests.lab.networks import PROXY_PORT
from tests.lab.sockets import SILENCE_SECONDS, tcp_connects, tcp_echo

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun")


def test_homes_number_their_machines_alike_and_docker_does_so_everywhere(internet):
    alice, bob = internet.home("alice").host("laptop"), internet.home("bob").host("laptop")
    assert alice.address == bob.address == "192.168.1.10"
    assert alice.public_address != bob.public_address
    for machine in (alice, bob):
        machine.add_docker()
        machine.container_comes(1)
        assert "172.17.0.1/16" in machine.run("ip", "addr").stdout
        machine.container_goes(1)


def test_the_nat_keeps_one_outside_port_for_every_destination(internet, udp):
    laptop = udp(internet.home("alice").host("laptop"))
    servers = [udp(internet.server(f"server{number}")) for number in range(3)]
    for server in servers:
        laptop.send(b"hello", server.place)
    assert [server.hear()[1] for server in servers] == [laptop.place] * 3


def test_the_symmetric_nat_has_another_outside_port_for_each_destination(internet, udp):
    laptop = udp(internet.home("alice", nat="symmetric").host("laptop"))
    servers = [udp(internet.server(f"server{number}")) for number in range(4)]
    for server in servers:
        laptop.send(b"hello", server.place)
    assert len({server.hear()[1] for server in servers}) > 1


def test_the_nat_lets_in_who_was_written_to_from_that_very_port_and_nobody_else(internet, udp):
    laptop = udp(internet.home("alice").host("laptop"))
    server, stranger = internet.server("server"), udp(internet.server("stranger"))
    asked, same_ip = udp(server, 7000), udp(server, 7001)
    laptop.send(b"hello", asked.place)
    asked.hear()
    stranger.send(b"let me in", laptop.place)
    same_ip.send(b"let me in", laptop.place)
    assert laptop.hears_nothing()
    asked.send(b"welcome", laptop.place)
    assert laptop.hear() == (b"welcome", asked.place)


def test_an_uninvited_datagram_does_not_spoil_the_mapping_that_is_asked_for_next(internet, udp):
    laptop, server = udp(internet.home("alice").host("laptop")), udp(internet.server("server"))
    server.send(b"too early", laptop.place)
    assert laptop.hears_nothing()
    laptop.send(b"hello", server.place)
    assert server.hear() == (b"hello", laptop.place)


def test_two_homes_can_punch_a_hole_to_each_other(internet, udp):
    alice, bob = (udp(internet.home(name).host("laptop")) for name in ("alice", "bob"))
    alice.send(b"opens alice's router", bob.place)
    assert bob.hears_nothing()
    bob.send(b"hello alice", alice.place)
    assert alice.hear() == (b"hello alice", bob.place)
    alice.send(b"hello bob", bob.place)
    assert bob.hear() == (b"hello bob", alice.place)


def test_nobody_punches_a_hole_to_a_symmetric_nat_from_a_port_restricted_one(internet, udp):
    alice = udp(internet.home("alice").host("laptop"))
    bob = udp(internet.home("bob", nat="symmetric").host("laptop"))
    for server in (udp(internet.server("first")), udp(internet.server("second"))):  # their flows take ports
        bob.send(b"hello", server.place)
        assert server.hear()[0] == b"hello"
    for _ in range(3):
        alice.send(b"to the port bob would have", bob.place)
        bob.send(b"from another port", alice.place)
    assert alice.hears_nothing()
    assert bob.hears_nothing()


def test_customers_of_one_provider_share_an_address_and_their_homes_are_behind_two_nats(internet, udp):
    provider = internet.provider("isp")
    laptops = [udp(internet.home(name, behind=provider).host("laptop")) for name in ("alice", "bob")]
    server = udp(internet.server("server"))
    seen = []
    for laptop in laptops:
        laptop.send(b"hello", server.place)
        seen.append(server.hear()[1])
    assert {ip for ip, _ in seen} == {provider.public_address}
    assert seen[0] != seen[1]
    laptops[0].send(b"hello", seen[1])  # no hairpinning
    assert laptops[1].hears_nothing()


def test_tcp_443_only_lets_out_tcp_443_and_nothing_else(internet, udp):
    home, server = internet.home("office"), internet.server("server")
    desk, listener = udp(home.host("desk")), udp(server, 443)
    desk.send(b"before", listener.place)
    assert listener.hear()[0] == b"before"
    home.tcp443_only()
    with tcp_echo(server, 443), tcp_echo(server, 8443):
        assert tcp_connects(desk.machine, (server.address, 443))
        assert not tcp_connects(desk.machine, (server.address, 8443))
        desk.send(b"after", listener.place)
        listener.send(b"after", desk.place)
        assert listener.hears_nothing()
        assert desk.hears_nothing()
        home.open_up()
        assert tcp_connects(desk.machine, (server.address, 8443))


@pytest.mark.needs("tinyproxy")
def test_behind_a_proxy_only_connect_to_443_gets_out(internet):
    home, server, proxy = internet.home("office"), internet.server("server"), internet.connect_proxy()
    desk = home.host("desk")
    home.proxy_only(proxy)

    def connect(port: int) -> bytes:
        with desk.socket(socket.SOCK_STREAM) as sock:
            sock.connect((proxy.address, PROXY_PORT))
            sock.sendall(b"CONNECT %b:%d HTTP/1.1\r\n\r\n" % (server.address.encode(), port))
            answer = sock.recv(1000)
            if b" 200 " in answer:
                sock.sendall(b"through")
                assert sock.recv(100) == b"through"
            return answer.split()[1]

    with tcp_echo(server, 443), tcp_echo(server, 8443):
        assert not tcp_connects(desk, (server.address, 443))
        assert connect(443) == b"200"
        assert connect(8443) == b"403"


def test_a_flushed_mapping_comes_back_with_another_port_and_tcp_continues(internet, udp):
    home, server = internet.home("home"), udp(internet.server("server"))
    laptop, other = udp(home.host("laptop")), udp(internet.server("other"))
    with tcp_echo(server.machine, 443), laptop.machine.socket(socket.SOCK_STREAM) as tcp:
        tcp.connect((server.machine.address, 443))
        seen = []
        for _ in range(3):
            laptop.send(b"hello", server.place)
            seen.append(server.hear()[1])
            home.flush_mapping()
            server.send(b"to the old port", seen[-1])
            assert laptop.hears_nothing()
        assert len(set(seen)) == 3
        laptop.send(b"hello", server.place)
        laptop.send(b"hello", other.place)
        assert server.hear()[1] == other.hear()[1], "one port for every destination, as before"
        tcp.sendall(b"still open")
        assert tcp.recv(100) == b"still open"


def test_a_router_that_starts_anew_forgets_tcp_too(internet):
    home, server = internet.home("home"), internet.server("server")
    laptop = home.host("laptop")
    with tcp_echo(server, 443), laptop.socket(socket.SOCK_STREAM) as tcp:
        tcp.connect((server.address, 443))
        home.flush_mapping(tcp=True)
        tcp.sendall(b"is anybody there")
        tcp.settimeout(SILENCE_SECONDS)
        with pytest.raises((ConnectionError, TimeoutError)):
            tcp.recv(100)
        assert tcp_connects(laptop, (server.address, 443))
