"""UDP services: through a loopback listener and through SOCKS5 UDP ASSOCIATE, small datagrams and large ones."""

from __future__ import annotations

import os
import socket
import subprocess
from ipaddress import IPv4Address

import pytest


@pytest.fixture
def exposed_udp(world, udp_echo_server):
    world.alice.run(
        "expose", "echo", f"127.0.0.1:{udp_echo_server}", "--udp", "--port", "9001", "--allow", "bob"
    )
    yield
    world.alice.run("unexpose", "echo")


def ask(client: socket.socket, data: bytes, place, tries: int = 5) -> bytes:
    """UDP may lose a datagram: ask a few times."""
    client.settimeout(3)
    for _ in range(tries):
        client.sendto(data, place)
        try:
            while True:
                answer, _ = client.recvfrom(65536)
                if len(answer) == len(data) or answer.endswith(data[::-1]):
                    return answer
        except TimeoutError:
            continue
    raise AssertionError("no answer")


SIZES = (1, 200, 1100, 1400, 9000, 60_000)


@pytest.mark.parametrize("size", SIZES)
def test_datagrams_come_back_through_the_loopback_listener(world, exposed_udp, size):
    resolved = world.bob.resolved("echo.alice")
    (offer,) = resolved["offers"]
    data = os.urandom(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        assert ask(client, data, (resolved["ip"], offer["offered"])) == data[::-1]


@pytest.mark.parametrize("size", SIZES[:-1])
def test_datagrams_come_back_through_socks(world, exposed_udp, size):
    host, _, port = world.bob.listens("proxy").rpartition(":")
    name = b"echo.alice.overlay"
    header = b"\0\0\0\3" + bytes([len(name)]) + name + (9001).to_bytes(2)
    data = os.urandom(size)
    with (
        socket.create_connection((host, int(port)), timeout=10) as control,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        control.sendall(b"\5\1\0" + b"\5\3\0\1\0\0\0\0\0\0")
        reply = control.recv(2) + control.recv(10)
        assert reply[:6] == b"\5\0\5\0\0\1"
        relay = (str(IPv4Address(reply[6:10])), int.from_bytes(reply[10:12]))
        answer = ask(client, header + data, relay)
        assert answer.endswith(data[::-1])


def test_many_clients_each_get_their_own_answers(world, exposed_udp):
    resolved = world.bob.resolved("echo.alice")
    place = (resolved["ip"], resolved["offers"][0]["offered"])
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
    try:
        for number, client in enumerate(clients):
            assert ask(client, b"client %03d" % number, place) == (b"client %03d" % number)[::-1]
    finally:
        for client in clients:
            client.close()


@pytest.mark.needs("dnsmasq", "dig")
def test_a_real_dns_server_behind_alice_answers_over_udp_and_tcp(world, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces",
        "--listen-address=127.0.0.1", f"--port={port}", "--address=/behind.alice/192.0.2.7", f"--pid-file={tmp_path}/pid",
        "--user=root" if os.geteuid() == 0 else "--user=",
    ]  # fmt: skip
    process = subprocess.Popen([part for part in command if part != "--user="], stderr=subprocess.DEVNULL)
    try:
        world.alice.run("expose", "dns", f"127.0.0.1:{port}/tcp+udp", "--allow", "bob")
        resolved = world.bob.resolved("dns.alice")
        offers = {offer["protocol"]: offer["offered"] for offer in resolved["offers"]}
        assert set(offers) == {"tcp", "udp"}
        for protocol, flag in (("udp", "+notcp"), ("tcp", "+tcp")):
            dig = ["dig", f"@{resolved['ip']}", "-p", str(offers[protocol]), flag, "+short", "behind.alice"]
            done = subprocess.run(dig, capture_output=True, text=True, timeout=20, check=False)
            assert done.stdout == "192.0.2.7\n", done
    finally:
        process.terminate()
        process.wait(10)
        world.alice.run("unexpose", "dns")
