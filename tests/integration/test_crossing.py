"""Crossing NATs where it is hard: flood guards, routers with little room, and gateways that are wrong about their own network."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from tests.lab.altered import SLOW_FIRST, altered
from tests.lab.internet import an_internet_of_links
from tests.lab.kinds import GUARD, KINDS, MORE_KINDS, ROOM
from tests.lab.matrix_results import DIRECT_WORDS
from tests.lab.matrix_tries import Terms, measure
from tests.lab.meetings import Meeting
from tests.lab.udp_users import Users
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.networks import Machine

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]
ALL_KINDS = KINDS | MORE_KINDS
DELAY = 0.02
SPRAY_AND_MORE = limits.SPRAY_SECONDS + 1
"""Seconds for which two gateways are used, so that they are direct by then, or have tried."""
SETTLED = 3.0
"""Seconds after which two gateways that are direct both ways have nothing of their attempt on the way."""
HELD = 50
"""Flows in a home with ours and others': what an attempt adds to those makes more."""
NOISE = 0.01
"""Of what others send: what a busy machine, or this or that router of the laboratory on it, may lose."""


class Hard(Meeting):
    """Alice and bob in homes of such kinds, and a beacon with two addresses for STUN."""

    def settle(self, alice: str, bob: str) -> None:
        beacon = self.internet.server("beacon")
        self.internet.plug(beacon, "eth1")
        stun = ", ".join(f'"{link.address}"' for link in beacon.links.values())
        self.add_beacon(beacon, f"[stun]\nbind = [{stun}]\n")
        self.at_alices = ALL_KINDS[alice].build(self.internet, "alice", self.place)
        self.at_bobs = ALL_KINDS[bob].build(self.internet, "bob", self.place)

    def begin(self, **options: object) -> None:
        self.start(self.at_alices, self.at_bobs, **options)
        for each in (self.alice, self.bob):
            each.run("netcheck", "--max-age", "600", check=False)

    def use_until_direct(self, seconds: float) -> float:
        """Bob asks for a page again and again, and always gets it; the seconds until both send directly."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            self.first_byte()
            next_at = time.monotonic() + 1.0
            while time.monotonic() < next_at:
                if {self.path("bob")[0], self.path("alice")[0]} <= set(DIRECT_WORDS):
                    return time.monotonic() - begun
                time.sleep(0.02)
        raise AssertionError(f"not direct after {seconds} s: {self.explained()}")

    def use(self, seconds: float) -> None:
        """Bob asks for a page again and again, and always gets it, until nothing is tried any more."""
        begun = time.monotonic()
        direct_since = None
        while time.monotonic() - begun < seconds:
            self.first_byte()
            time.sleep(0.5)
            if not {self.path("bob")[0], self.path("alice")[0]} <= set(DIRECT_WORDS):
                direct_since = None
                continue
            direct_since = direct_since or time.monotonic()
            if time.monotonic() - direct_since > SETTLED:
                return

    def counted(self, machine: Machine) -> dict[str, int]:
        counters = machine.network.counters()
        assert counters is not None
        return asdict(counters)


@contextlib.contextmanager
def between(place: Path, alice: str, bob: str) -> Iterator[Hard]:
    with contextlib.ExitStack() as stack:
        meeting = Hard(stack.enter_context(an_internet_of_links(DELAY)), place, stack)
        meeting.settle(alice, bob)
        yield meeting


# --- flood guards -------------------------------------------------------------------------------------------


def test_random_ports_and_a_strict_home_meet_by_pacing_and_no_guard_minds(tmp_path, figure):
    """As after the fast spray was in vain between them, or they met before: nobody is blocked by either router."""
    kinds = "port-restricted-guarded", "symmetric-random-guarded"
    with between(tmp_path, *kinds) as meeting:
        meeting.begin(program=altered(SLOW_FIRST, "bob"))
        figure(meeting.use_until_direct(70), aim=15.0, what="direct both ways")
        for machine in (meeting.at_alices, meeting.at_bobs):
            counted = meeting.counted(machine)
            assert counted["blocked"] == 0, counted
            assert counted["held_off"] == 0
        assert meeting.counted(meeting.at_alices)["unsolicited"] < 5 * GUARD  # not an opener of hundreds
        assert "slow spray of knocks worked" in meeting.explained()


def test_a_guard_leaves_cones_untouched(tmp_path):
    (tried,) = measure(tmp_path, ("port-restricted-guarded",) * 2, Terms(tries=1, give_up=15.0))
    assert tried.direct is not None, tried
    for side in (tried.dialling, tried.answering):
        assert side.router is not None
        assert side.router["blocked"] == 0
        assert side.router["unsolicited"] <= GUARD // 2


# --- what is expensive, only where it is needed -------------------------------------------------------------


def test_nobody_sprays_at_a_home_that_lets_anybody_in(tmp_path):
    (tried,) = measure(tmp_path, ("full-cone", "symmetric-random"), Terms(tries=1, give_up=15.0))
    assert tried.direct is not None, tried
    for side in (tried.dialling, tried.answering):
        assert side.router is not None
        assert side.router["mappings"] <= 4
        assert side.router["unsolicited"] <= GUARD
        assert not [each for each in side.decisions if "spray" in each or "block" in each]


# --- routers with little room -------------------------------------------------------------------------------


@pytest.mark.parametrize("does", ["", "-evicting"], ids=["refusing", "evicting"])
@pytest.mark.parametrize(
    ("peer", "kind", "strategy"),
    [
        ("port-restricted", "symmetric-random-small", "spray of knocks"),
        ("port-restricted", "symmetric-sequential-small", "port prediction"),
        ("symmetric-sequential", "symmetric-sequential-small", "port prediction at both ends"),
        ("symmetric-block", "symmetric-sequential-small", "predicted ports and a block"),
    ],
)
def test_a_router_with_room_for_a_hundred_goes_on_working(tmp_path, figure, peer, kind, strategy, does):
    """Others there have a third of the room: nothing of theirs is refused, forgotten or lost that is not elsewhere, too."""
    with between(tmp_path, peer, kind + does) as meeting:
        elsewhere = ALL_KINDS[kind].build(meeting.internet, "carol", tmp_path)
        neighbour, server = meeting.at_bobs.network.host("tv"), meeting.internet.server("game")
        with Users(neighbour, server) as users, Users(elsewhere, server) as control:
            meeting.begin()
            meeting.use(SPRAY_AND_MORE)
        counted = meeting.counted(meeting.at_bobs)
        assert HELD < counted["most_flows"] <= ROOM, counted  # it did try, and others had their part
        assert (counted["refused"], counted["evicted"]) == (0, 0), counted
        figure(users.longest_wait, aim=1.0, what="longest wait of a new flow")
        assert f"trying {strategy}" in meeting.explained()
        assert users.moved == 0, users
        assert users.lost <= control.lost + NOISE * users.sent, (users, control)
        assert users.longest_wait <= control.longest_wait + 1.0, (users, control)


@pytest.mark.parametrize("does", ["", "-evicting"], ids=["refusing", "evicting"])
@pytest.mark.parametrize(
    ("lie", "strategy"),
    [
        (NetworkClass.SEQUENTIAL, "port prediction at both ends"),
        (NetworkClass.BLOCK, "predicted ports and a block"),
    ],
)
def test_flows_of_others_go_on_where_ports_in_order_are_told_in_vain(tmp_path, lie, strategy, does):
    """The peer is at random ports, whatever it says, so that nothing works, and is tried again."""
    with between(tmp_path, "symmetric-random", f"symmetric-sequential-small{does}") as meeting:
        elsewhere = ALL_KINDS["symmetric-sequential-small"].build(meeting.internet, "carol", tmp_path)
        neighbour, server = meeting.at_bobs.network.host("tv"), meeting.internet.server("game")
        with Users(neighbour, server) as users, Users(elsewhere, server) as control:
            meeting.begin(program=altered(lie, "alice"))
            meeting.use(SPRAY_AND_MORE)
        assert f"trying {strategy}" in meeting.explained()
        assert users.moved == 0, users
        assert users.lost <= control.lost + NOISE * users.sent, (users, control)


@pytest.mark.parametrize("kind", ["port-restricted-small", "port-restricted-small-evicting"])
def test_flows_of_others_go_on_in_a_router_that_is_filled_by_knocks(tmp_path, kind):
    """It counts each place that is knocked at, which nobody can know before it is full."""
    with between(tmp_path, "symmetric-random", kind) as meeting:
        elsewhere = ALL_KINDS[kind].build(meeting.internet, "carol", tmp_path)
        neighbour, server = meeting.at_bobs.network.host("tv"), meeting.internet.server("game")
        with Users(neighbour, server) as users, Users(elsewhere, server) as control:
            meeting.begin()
            meeting.use(5)
        assert "trying spray of knocks" in meeting.explained()
        assert users.moved == 0, users
        assert users.lost <= control.lost + NOISE * users.sent, (users, control)


# --- wrong about themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alice", "bob", "lie"),
    [
        ("port-restricted", "symmetric-sequential", NetworkClass.PORT_RESTRICTED),
        ("port-restricted", "symmetric-block", NetworkClass.BLOCKED),
    ],
)
def test_a_gateway_that_is_wrong_about_its_network_loses_time_and_never_the_connection(
    tmp_path, figure, alice, bob, lie
):
    with between(tmp_path, alice, bob) as meeting:
        meeting.begin(program=altered(lie, "bob"))
        figure(meeting.use_until_direct(70), aim=15.0, what=f"direct, though {bob} calls itself {lie}")
