"""Facts about trying a mapping: what proves it, what does not, and what follows."""

from __future__ import annotations

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.dialback import NONCE_BYTES, DialBack, Verdict, knock

AT, ELSEWHERE = Address.parse("11.22.33.1:41641"), Address.parse("11.22.33.1:20000")


class World:
    def __init__(self) -> None:
        self.numbers = iter(range(1, 255))
        self.dial = DialBack(lambda size: bytes([next(self.numbers)]) * size)
        self.now = 0.0
        self.asked: list[tuple[int, bytes]] = []

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.dial.get_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            asked = self.dial.to_ask(self.now)
            if asked is not None:
                self.asked.append(asked)
        self.now = until

    def begin(self) -> None:
        self.dial.set_target(AT, self.now, can_ask=True)
        self.run(0.1)


def test_the_datagram_with_our_nonce_verifies_it_and_it_is_tried_again_later():
    world = World()
    world.begin()
    ((port, nonce),) = world.asked
    assert (port, len(nonce), world.dial.verdict) == (AT.port, NONCE_BYTES, Verdict.TRYING)
    assert world.dial.receive(knock(nonce), world.now)
    assert world.dial.verdict is Verdict.VERIFIED
    world.run(limits.DIAL_BACK_AGAIN + 0.5)
    assert len(world.asked) == 2
    assert world.asked[1][1] != nonce
    assert world.dial.verdict is Verdict.VERIFIED, "until it is known to be dead"


def test_the_datagram_is_as_small_as_stun_can_be():
    assert len(knock(bytes(12))) == 20


def test_nothing_else_verifies_it():
    world = World()
    assert not world.dial.receive(knock(bytes(NONCE_BYTES)), 0.0), "nothing was asked"
    world.begin()
    (_, nonce) = world.asked[0]
    for datagram in (
        b"",
        knock(bytes(12)),
        knock(nonce)[:-1],
        knock(nonce) + b"\0",
        b"\x01" + knock(nonce)[1:],
        nonce,
    ):
        assert not world.dial.receive(datagram, world.now)
    assert world.dial.receive(knock(nonce), world.now)
    assert not world.dial.receive(knock(nonce), world.now), "a replay proves nothing"


def test_after_three_in_vain_it_is_dead_and_is_replaced_twice_at_most():
    world = World()
    world.begin()
    world.run(20)
    assert len(world.asked) == limits.DIAL_BACK_TRIES
    assert world.dial.verdict is Verdict.DEAD
    replaced = 0
    for _ in range(10):
        world.run(limits.DIAL_BACK_AGAIN)
        if world.dial.take_changed() and world.dial.should_replace():
            replaced += 1
    assert replaced == limits.DIAL_BACK_REPLACE
    world.dial.network_changed()
    world.begin()
    world.run(20)
    assert world.dial.should_replace(), "another network is another router"


def test_a_beacon_that_refuses_leaves_it_unknown():
    world = World()
    world.begin()
    world.dial.refused(world.now)
    assert world.dial.verdict is Verdict.UNKNOWN
    world.run(60)
    assert len(world.asked) == 1


def test_without_a_beacon_it_is_unknown_and_a_verified_one_stays_verified():
    world = World()
    world.dial.set_target(AT, 0.0, can_ask=False)
    assert world.dial.verdict is Verdict.UNKNOWN
    assert world.dial.get_timer() is None
    world.begin()
    world.dial.receive(knock(world.asked[0][1]), world.now)
    world.dial.set_target(AT, world.now, can_ask=False)
    assert world.dial.verdict is Verdict.VERIFIED, "the beacon went away, the mapping did not"
    world.dial.set_target(ELSEWHERE, world.now, can_ask=False)
    assert world.dial.verdict is Verdict.UNKNOWN


def test_another_mapping_is_tried_anew():
    world = World()
    world.begin()
    world.dial.receive(knock(world.asked[0][1]), world.now)
    world.dial.set_target(ELSEWHERE, world.now, can_ask=True)
    assert world.dial.verdict is Verdict.TRYING
    world.run(0.1)
    assert world.asked[-1][0] == ELSEWHERE.port
