"""Facts about our allocation: when there is one, when it is asked for again, and what becomes of it."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from random import Random

import pytest

from tests.lab.turn import PASSWORD, RELAYED, SERVER, USER, FakeTurn
from tunnels.addresses import Address, TurnAddress
from tunnels.nat import limits, stun
from tunnels.nat.allocation import Allocation, TurnPlace
from tunnels.nat.stun import Class, Method
from tunnels.relay.frames import TurnServer

ALICE = Address.parse("192.0.2.1:7777")
IPS = (ALICE.ip, ip_address("192.0.2.2"))
OTHER_SERVER = Address.parse("198.51.100.2:3478")


def offer(username: str = USER, password: str = PASSWORD, address: Address | str = SERVER) -> TurnServer:
    return TurnServer(address=str(address), username=username, password=password, seconds=600)


class Shell:
    """An allocation on the wire to some servers, with a clock that moves when told."""

    def __init__(self, *, offered: TurnServer | None = None) -> None:
        self.now = 1000.0
        self.servers = {SERVER: FakeTurn(), OTHER_SERVER: FakeTurn()}
        self.allocation = Allocation(Random(1).randbytes)
        self.allocation.set_server(offered or offer(), self.now)

    @property
    def server(self) -> FakeTurn:
        return self.servers[SERVER]

    def serve(self) -> None:
        while due := self.allocation.datagrams_to_send(self.now):
            for datagram, address in due:
                answer = self.servers[address].receive(datagram)
                if answer is not None and self.allocation.server == address:
                    assert self.allocation.receive(answer, self.now) is None

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        self.serve()
        while (at := self.allocation.get_timer()) is not None and at <= until:
            self.now = max(self.now, at)
            self.serve()
        self.now = until

    def want(self, ips=IPS) -> Shell:
        self.allocation.want(ips, self.now)
        self.run(0)
        return self

    def asked(self) -> int:
        return self.server.count(Method.ALLOCATE)

    def permitted(self) -> list:
        requests = [
            attributes for method, attributes in self.server.requests if method is Method.CREATE_PERMISSION
        ]
        return [attributes["XOR-PEER-ADDRESS"][0] for attributes in requests]


def test_nothing_is_asked_of_a_server_before_it_is_wanted():
    shell = Shell()
    shell.run(10_000)
    assert shell.asked() == 0
    assert shell.allocation.place is None
    assert not shell.allocation.take_changed()


def test_wanted_it_comes_and_lets_in_who_was_named():
    shell = Shell().want()
    assert shell.allocation.take_changed()
    assert not shell.allocation.take_changed()
    assert shell.allocation.place == TurnPlace(SERVER, RELAYED)
    assert shell.permitted() == [str(ip) for ip in IPS]
    shell.want()
    assert len(shell.permitted()) == 2, "they are named as before"
    later = ip_address("192.0.2.3")
    shell.want((*IPS, later))
    assert shell.permitted()[2:] == [str(later)]


def test_wanted_before_there_is_a_server_it_comes_with_the_server():
    shell = Shell()
    shell.allocation.set_server(None, shell.now)
    shell.want()
    assert shell.allocation.server is None
    shell.run(100)
    shell.allocation.set_server(offer(), shell.now)
    shell.run(0)
    assert shell.allocation.relayed == RELAYED


def test_datagrams_go_both_ways():
    shell = Shell().want()
    to = TurnAddress(SERVER, ALICE)
    assert shell.allocation.send(to, [b"hello"], shell.now) == []
    shell.run(0)
    assert shell.server.arrived == [(ALICE, b"hello")]
    [wrapped] = shell.allocation.send(to, [b"more"], shell.now)
    assert wrapped[4:] == b"more"
    said = {"XOR-PEER-ADDRESS": ALICE, "DATA": b"answer"}
    datagram = stun.encode(Method.DATA, Class.INDICATION, bytes(12), said)
    assert shell.allocation.receive(datagram, shell.now) == (b"answer", to)
    assert shell.allocation.send(TurnAddress(OTHER_SERVER, ALICE), [b"astray"], shell.now) == []


def test_a_server_that_refuses_is_asked_again_less_and_less_often():
    shell = Shell()
    shell.server.errors[Method.ALLOCATE] = 486
    shell.want()
    assert shell.allocation.failure == "the TURN server at 198.51.100.1:3478 gives us no more allocations"
    times = []
    for _ in range(10):
        before = shell.asked()
        while shell.asked() == before:
            shell.run(0.5)
        times.append(shell.now)
        shell.want()  # whoever wants it again does not make it sooner
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] - 1000 >= limits.TURN_RETRY
    assert all(limits.TURN_RETRY <= gap <= 2 * limits.TURN_RETRY_MAX + 1 for gap in gaps)
    assert min(gaps[-3:]) >= limits.TURN_RETRY_MAX
    del shell.server.errors[Method.ALLOCATE]
    shell.run(2 * limits.TURN_RETRY_MAX + 1)
    assert shell.allocation.relayed == RELAYED


def test_a_server_that_was_away_is_asked_again():
    shell = Shell()
    shell.server.silent = True
    shell.want().run(60)
    assert shell.allocation.relayed is None
    shell.server.silent = False
    shell.run(60)
    assert shell.allocation.relayed == RELAYED


def test_credentials_that_ran_out_are_replaced_by_newer_ones_as_soon_as_they_come():
    shell = Shell(offered=offer("old", "wrong"))
    shell.want().run(10 * limits.TURN_RETRY_MAX)
    assert shell.asked() == 0, "it never took them"
    shell.allocation.set_server(offer(), shell.now)
    shell.run(limits.TURN_RETRY)
    assert shell.allocation.relayed == RELAYED


def test_newer_credentials_every_moment_make_no_flood():
    shell = Shell()
    shell.server.errors[Method.ALLOCATE] = 403
    shell.want()
    for number in range(1000):
        shell.server.passwords[f"user{number}"] = PASSWORD
        shell.allocation.set_server(offer(f"user{number}"), shell.now)
        shell.run(0.1)
    assert shell.asked() <= 1 + 100 / limits.TURN_RETRY


def test_an_allocation_keeps_the_credentials_it_was_made_with_and_only_they_end_it():
    shell = Shell().want()
    shell.server.passwords["newer"] = PASSWORD
    shell.allocation.set_server(offer("newer"), shell.now)
    shell.run(3600)
    assert shell.allocation.relayed == RELAYED, "it was refreshed with the old ones"
    assert (shell.asked(), shell.server.owner) == (1, USER)
    shell.server.stale = True  # an allocation of ours stands in the way of a new one
    shell.allocation.network_changed(shell.now)
    shell.run(0)
    assert shell.allocation.relayed == RELAYED
    assert shell.server.owner == "newer"


def test_where_a_path_broke_the_server_is_asked_and_one_that_lost_us_gives_us_another_at_once():
    shell = Shell().want()
    shell.run(30)
    refreshed = shell.server.count(Method.REFRESH)
    shell.allocation.verify(shell.now)
    shell.allocation.verify(shell.now)
    shell.run(0)
    assert shell.server.count(Method.REFRESH) == refreshed + 1
    assert shell.allocation.relayed == RELAYED
    shell.server.forget()
    shell.server.relayed = elsewhere = Address.parse("198.51.100.1:50001")
    shell.allocation.take_changed()
    shell.allocation.verify(shell.now)
    shell.run(0)
    assert shell.allocation.relayed == elsewhere
    assert shell.allocation.take_changed()
    assert shell.permitted()[-2:] == [str(ip) for ip in IPS], "it lets in the same ones"


def test_one_that_is_lost_again_and_again_is_not_asked_for_without_end():
    shell = Shell().want()
    for _ in range(1000):
        shell.server.forget()
        shell.allocation.verify(shell.now)
        shell.run(0.1)
    assert shell.asked() <= 10


def test_released_it_is_kept_for_a_while_and_then_given_back():
    shell = Shell().want()
    shell.allocation.release(shell.now)
    shell.run(limits.TURN_LINGER / 2)
    shell.allocation.release(shell.now)
    shell.want()
    shell.run(limits.TURN_LINGER)
    assert shell.allocation.relayed == RELAYED, "somebody wanted it meanwhile"
    shell.allocation.take_changed()
    shell.allocation.release(shell.now)
    shell.run(limits.TURN_LINGER)
    assert not shell.server.allocated
    assert shell.allocation.relayed is None
    assert shell.allocation.take_changed()
    shell.run(10_000)
    assert shell.asked() == 1
    assert shell.want().allocation.relayed == RELAYED


def test_giving_back_is_said_again_until_it_is_heard():
    shell = Shell().want()
    shell.server.silent = True
    shell.allocation.close(shell.now)
    shell.run(1)
    assert shell.server.allocated
    shell.server.silent = False
    shell.run(10)
    assert not shell.server.allocated


def test_a_refused_one_that_nobody_wants_any_more_is_not_asked_for():
    shell = Shell()
    shell.server.errors[Method.ALLOCATE] = 486
    shell.want()
    shell.allocation.release(shell.now)
    shell.run(limits.TURN_LINGER)
    asked = shell.asked()
    shell.run(10_000)
    assert shell.asked() == asked


def test_another_server_takes_over_and_the_first_gets_its_own_back():
    shell = Shell().want()
    shell.run(limits.TURN_RETRY)
    shell.allocation.set_server(offer(address=OTHER_SERVER), shell.now)
    shell.run(limits.TURN_RETRY)
    assert not shell.server.allocated
    assert shell.allocation.place == TurnPlace(OTHER_SERVER, RELAYED)
    shell.allocation.set_server(None, shell.now)
    shell.run(0)
    assert not shell.servers[OTHER_SERVER].allocated
    assert shell.allocation.place is None


def test_servers_by_the_second_are_not_all_asked():
    shell = Shell().want()
    for _ in range(500):
        for address in (OTHER_SERVER, SERVER):
            shell.allocation.set_server(offer(address=address), shell.now)
            shell.run(0.1)
    asked = sum(server.count(Method.ALLOCATE) for server in shell.servers.values())
    assert asked <= 1 + 100 / limits.TURN_RETRY


@pytest.mark.parametrize("text", ["", "turn.example:3478", "224.0.0.1:3478", "0.0.0.0:3478", "1.2.3.4:99999"])
def test_what_can_be_no_server_is_none(text):
    shell = Shell().want()
    shell.allocation.set_server(offer(address=text), shell.now)
    shell.run(100)
    assert shell.allocation.server is None
    assert shell.allocation.send(TurnAddress(SERVER, ALICE), [b"hello"], shell.now) == []
    assert shell.allocation.receive(b"hello", shell.now) is None


def test_another_network_means_another_allocation_where_it_is_wanted():
    shell = Shell()
    shell.allocation.network_changed(shell.now)
    shell.run(100)
    assert shell.asked() == 0
    shell.want()
    shell.allocation.network_changed(shell.now)
    assert shell.allocation.relayed is None
    shell.run(0)
    assert shell.asked() == 2
    assert shell.allocation.relayed == RELAYED
    assert "wanted" in repr(shell.allocation)
