"""Facts about dialling back: to whom, how often, and with what."""

from __future__ import annotations

import pytest

from gateway.beacon.dialing_back import BackDialler
from gateway.beacon.limits import DIAL_BACK_BURST, DIAL_BACKS_BURST, DIAL_BACKS_PER_SECOND
from tunnels.addresses import Address
from tunnels.nat.dialback import NONCE_BYTES, knock

NONCE = bytes(range(NONCE_BYTES))
HERE = "203.0.113.7:55555"


class World:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.dialler = BackDialler(self.send)

    def send(self, datagram: bytes, address: Address) -> bool:
        self.sent.append((datagram, address))
        return True

    def ask(
        self, observed: str = HERE, port: int = 41641, client: str | None = "203.0.113.7", now: float = 0.0
    ) -> bool:
        return self.dialler.dial_back(observed, client, port, NONCE, now)


def test_one_small_datagram_goes_to_the_port_at_the_ip_that_the_connection_comes_from():
    world = World()
    assert world.ask()
    assert world.sent == [(knock(NONCE), Address.parse("203.0.113.7:41641"))]
    assert len(world.sent[0][0]) == 20
    assert world.dialler.sent == 1


@pytest.mark.parametrize(
    "observed",
    ["192.168.1.7:5", "10.0.0.1:5", "127.0.0.1:5", "[::1]:5", "[fe80::1]:5", "169.254.169.254:5", "", "x"],
)
def test_nothing_goes_to_networks_of_the_beacons_own(observed):
    world = World()
    assert not world.ask(observed)
    assert not world.sent


@pytest.mark.parametrize("port", [53, 123, 161, 1900, 11211])
def test_nothing_goes_to_ports_of_services_that_answer_whatever_comes(port):
    world = World()
    assert not world.ask(port=port)
    assert not world.sent


def test_one_client_gets_so_many_and_leaves_others_theirs():
    world = World()
    assert sum(world.ask() for _ in range(1000)) == DIAL_BACK_BURST
    assert world.ask("203.0.113.8:5", client="203.0.113.8")
    assert not world.ask(now=0.9 / DIAL_BACKS_PER_SECOND)
    assert world.ask(now=1.1 / DIAL_BACKS_PER_SECOND)


def test_all_clients_together_get_so_many():
    world = World()
    many = range(2 * DIAL_BACKS_BURST)
    granted = sum(world.ask(f"198.18.{n // 250}.{n % 250 + 1}:5", client=f"client {n}") for n in many)
    assert granted == DIAL_BACKS_BURST == len(world.sent)
