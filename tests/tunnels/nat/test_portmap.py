"""Facts about keeping a port mapped, with routers of every temper and a clock that only moves when told."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.mapping_messages import Protocol
from tunnels.nat.portmap import Errand, Mapping, PortMap, Spoken, Support

ME, PORT = IPv4Address("192.168.1.10"), 41641
OUTSIDE = IPv4Address("11.22.33.1")
AT = Address(OUTSIDE, PORT)


class World:
    """A router that speaks what it is told to, a millisecond away."""

    def __init__(self, *spoken: str, has_upnp: bool = False) -> None:
        self.spoken = spoken
        self.now = 1000.0
        self.began = 0.0
        self.outside = OUTSIDE
        self.lifetime = 7200
        self.code = 0
        self.port: int | None = None
        self.older = False
        """It answers what is too new for it with NAT-PMP's "unsupported version"."""
        self.asked: list[tuple[str, int]] = []
        """Protocol and lifetime of each request for a mapping."""
        self.errands: list[Errand] = []
        self.map = PortMap(ME, PORT, lambda size: bytes(range(1, size + 1)), self.now, has_upnp=has_upnp)
        self.run(0)

    def answer(self, request: bytes) -> bytes | None:
        epoch = int(self.now - self.began)
        if request[0] == 2:
            _, _, _, lifetime, _ = struct.unpack_from(">BBHI16s", request)
            internal, wanted = struct.unpack_from(">HH", request, 40)
            self.asked.append(("PCP", lifetime))
            if "PCP" not in self.spoken:
                return struct.pack(">BBHI", 0, 0x81, 1, epoch) if self.older else None
            head = struct.pack(">BBBBII12x", 2, 0x81, 0, self.code, min(lifetime, self.lifetime), epoch)
            port = self.port or wanted
            ip = bytes(10) + b"\xff\xff" + self.outside.packed
            return head + request[24:36] + struct.pack(">B3xHH16s", 17, internal, port, ip)
        if len(request) == 2:
            if "NAT-PMP" not in self.spoken:
                return None
            return struct.pack(">BBHI4s", 0, 0x80, self.code, epoch, self.outside.packed)
        _, _, _, internal, wanted, lifetime = struct.unpack(">BBHHHI", request)
        self.asked.append(("NAT-PMP", lifetime))
        if "NAT-PMP" not in self.spoken:
            return None
        granted = min(lifetime, self.lifetime)
        return struct.pack(">BBHIHHI", 0, 0x81, self.code, epoch, internal, self.port or wanted, granted)

    def run(self, seconds: float) -> None:
        """Let so much time pass, with everything that happens in it."""
        until = self.now + seconds
        for _ in range(100_000):
            answers = [self.answer(request) for request in self.map.datagrams_to_send(self.now)]
            for answer in answers:
                if answer is not None:
                    self.map.receive(answer, self.now)
            while (errand := self.map.take_errand()) is not None:
                self.errands.append(errand)
            due = self.map.get_timer()
            if due is None or due > until:
                break
            self.now = max(due, self.now)
        else:
            pytest.fail("it does not come to rest")
        self.now = until

    @property
    def protocols(self) -> list[str]:
        return [protocol for protocol, lifetime in self.asked if lifetime]


def test_pcp_grants_and_nobody_else_is_asked():
    world = World("PCP", "NAT-PMP", has_upnp=True)
    assert world.map.mapping == Mapping(Protocol.PCP, AT)
    assert world.map.take_changed()
    world.run(60)
    assert world.protocols == ["PCP"]
    assert not world.errands
    assert not world.map.take_changed()


def test_a_router_of_nat_pmp_alone_is_asked_at_once_where_it_says_so_and_else_soon():
    silent = World("NAT-PMP")
    assert silent.map.mapping is None
    silent.run(limits.PORTMAP_NEXT)
    assert silent.map.mapping == Mapping(Protocol.NAT_PMP, AT)

    class Older(World):
        def answer(self, request: bytes) -> bytes | None:
            self.older = True
            return super().answer(request)

    assert Older("NAT-PMP").map.mapping == Mapping(Protocol.NAT_PMP, AT)


def test_a_silent_router_is_asked_five_times_by_each_and_again_ten_minutes_later():
    world = World(has_upnp=True)
    world.run(limits.UPNP_AFTER)
    assert world.errands == [Errand(PORT, limits.PORTMAP_LIFETIME)]
    world.map.refused("it does not answer", world.now)
    world.run(30)
    assert world.protocols.count("PCP") == world.protocols.count("NAT-PMP") == limits.PORTMAP_SENDS
    assert world.map.problem == "PCP and NAT-PMP and UPnP: it does not answer"
    world.spoken = ("PCP",)
    world.run(limits.PORTMAP_RETRY)
    assert world.map.mapping == Mapping(Protocol.PCP, AT)
    assert world.map.problem == ""


def test_without_its_library_upnp_is_not_tried_and_the_problem_says_how_to_get_it():
    world = World()
    world.run(60)
    assert not world.errands
    assert "pip install 'overlay-gateway[upnp]'" in world.map.problem


def test_a_mapping_is_renewed_at_half_its_life():
    world = World("PCP")
    world.run(limits.PORTMAP_LIFETIME / 2 - 1)
    assert len(world.asked) == 1
    world.run(2)
    assert len(world.asked) == 2
    world.lifetime = 600
    world.run(limits.PORTMAP_LIFETIME / 2 + 1)
    assert len(world.asked) == 3
    world.run(301)
    assert len(world.asked) == 4, "the router gave less"
    assert not (world.map.take_changed() and world.map.take_changed())


def test_a_router_that_falls_silent_is_asked_again_and_again_until_the_life_is_over():
    world = World("PCP")
    world.map.take_changed()
    world.spoken = ()
    world.run(limits.PORTMAP_LIFETIME - 1)
    assert world.map.mapping is not None, "it may well still be there"
    rounds = (len(world.asked) - 1) / limits.PORTMAP_SENDS
    assert 4 <= rounds <= 9
    world.run(2)
    assert world.map.mapping is None
    assert world.map.take_changed()


def test_a_router_that_lost_its_mappings_is_asked_again_when_its_clock_says_so():
    world = World("PCP")
    world.run(100)
    world.began = world.now  # it restarted
    asked = len(world.asked)
    world.map.receive(world.answer(bytes.fromhex("0201" + "00" * 6) + bytes(16) + bytes(range(1, 13))
                                   + struct.pack(">B3xHH16s", 17, PORT, PORT, bytes(16))), world.now)  # fmt: skip
    world.run(1)
    assert len(world.asked) == asked + 2, "the one of this test, and a new one"
    assert world.map.mapping == Mapping(Protocol.PCP, AT)


def test_a_broken_path_makes_it_ask_but_not_more_than_so_often():
    world = World("PCP")
    for _ in range(100):
        world.run(1)
        world.map.check(world.now)
    assert len(world.asked) <= 2 + 100 / limits.PORTMAP_CHECK


def test_another_address_outside_is_news():
    world = World("NAT-PMP")
    world.run(1)
    world.map.take_changed()
    world.outside = IPv4Address("11.22.33.2")
    world.run(limits.PORTMAP_LIFETIME / 2)
    assert world.map.take_changed()
    assert world.map.mapping == Mapping(Protocol.NAT_PMP, Address(world.outside, PORT))


def test_on_closing_the_mapping_is_given_back_and_nothing_follows():
    world = World("PCP")
    world.map.close()
    world.run(10_000)
    assert world.asked[1:] == [("PCP", 0)]
    assert world.map.mapping is None
    assert world.map.get_timer() is None


def test_what_is_granted_after_closing_is_given_back_too():
    world = World(has_upnp=True)
    world.run(1)
    world.map.close()
    world.map.granted(AT, 7200, world.now)
    world.run(1)
    assert world.errands == [Errand(PORT, 7200), Errand(PORT, 0)]
    assert ("PCP", 0) in world.asked, "the answer may have been lost"


def test_a_second_mapping_is_given_back_unless_it_is_the_same_port():
    for port, after in ((PORT, []), (40000, [Errand(40000, 0)])):
        world = World(has_upnp=True)
        world.run(1)
        world.spoken = ("PCP",)
        world.run(1)
        assert world.map.mapping == Mapping(Protocol.PCP, AT)
        world.map.granted(Address(OUTSIDE, port), 7200, world.now)
        world.run(1)
        assert world.map.mapping == Mapping(Protocol.PCP, AT)
        assert world.errands[1:] == after


def test_a_upnp_mapping_is_renewed_by_errands_at_its_own_port_even_if_it_is_for_ever():
    world = World(has_upnp=True)
    world.run(1)
    world.map.granted(Address(OUTSIDE, 40000), 0, world.now)
    assert world.map.mapping == Mapping(Protocol.UPNP, Address(OUTSIDE, 40000))
    world.run(limits.PORTMAP_LIFETIME)
    assert world.errands[1] == Errand(40000, limits.PORTMAP_LIFETIME)
    world.map.refused("it refuses", world.now)
    assert world.map.mapping is not None, "nobody said that it is gone"


def test_a_dead_mapping_is_replaced_by_one_at_another_port():
    world = World("PCP")
    world.map.replace(world.now)
    world.run(1)
    assert world.asked == [("PCP", 7200), ("PCP", 0), ("PCP", 7200)]
    external = world.map.mapping.external
    assert external.port != PORT
    assert limits.PORTMAP_FIRST_RANDOM <= external.port < limits.PORTMAP_FIRST_RANDOM + limits.PORTMAP_RANDOM


@pytest.mark.parametrize(
    ("outside", "port", "words"),
    [
        ("100.64.3.4", PORT, "another NAT stands before it"),
        ("192.168.7.1", PORT, "another NAT stands before it"),
        ("127.0.0.1", PORT, "it says that its address is"),
        ("0.0.0.0", PORT, "it says that its address is"),
        ("224.0.0.1", PORT, "it says that its address is"),
        ("11.22.33.1", 53, "port 53"),
    ],
)
def test_an_address_that_nobody_reaches_is_no_mapping(outside, port, words):
    world = World()
    world.outside, world.port, world.spoken = IPv4Address(outside), port, ("PCP", "NAT-PMP")
    world.run(60)
    assert world.map.mapping is None
    assert words in world.map.problem


def test_an_answer_to_giving_back_grants_nothing():
    world = World()
    world.lifetime, world.spoken = 0, ("PCP", "NAT-PMP")
    world.run(limits.PORTMAP_RETRY / 2)
    assert world.map.mapping is None
    assert len(world.asked) < 4 * limits.PORTMAP_SENDS


def test_a_life_of_a_second_does_not_make_us_ask_each_second():
    world = World()
    world.lifetime, world.spoken = 1, ("PCP",)
    world.run(100)
    assert len(world.asked) < 250


def test_a_refusal_is_told_in_words_and_believed_for_an_hour_at_most():
    world = World()
    world.code, world.lifetime, world.spoken = 2, 1 << 32 - 1, ("PCP",)
    world.run(9)
    assert "PCP: it allows no port mappings by PCP" in world.map.problem
    world.code, world.lifetime = 0, 7200
    world.run(limits.PORTMAP_RETRY_MOST)
    assert world.map.mapping == Mapping(Protocol.PCP, AT)


@given(st.lists(st.binary(max_size=70), max_size=20))
def test_no_answers_break_it_or_keep_it_busy(datagrams):
    world = World()
    for datagram in datagrams:
        world.map.receive(datagram, world.now)
    world.run(60)
    assert len(world.asked) <= 2 * limits.PORTMAP_SENDS + 2 * len(datagrams)


def test_what_the_router_does_with_each_protocol_is_told():
    world = World("PCP", has_upnp=True)
    assert [one.support for one in world.map.spoken] == [
        Support.GRANTS,
        Support.NOT_ASKED,
        Support.NOT_ASKED,
    ]
    assert world.map.outside == OUTSIDE

    silent = World()
    assert silent.map.spoken[0].support is Support.ASKED
    silent.run(30)
    assert silent.map.spoken == (
        Spoken(Protocol.PCP, Support.ABSENT, "it does not answer"),
        Spoken(Protocol.NAT_PMP, Support.ABSENT, "it does not answer"),
        Spoken(Protocol.UPNP, Support.NOT_ASKED, limits.UPNP_ABSENT),
    )
    assert silent.map.outside is None


def test_a_protocol_that_is_spoken_and_gives_nothing_is_refused():
    class Refusing(World):
        def answer(self, request: bytes) -> bytes | None:
            self.code, self.outside = 8, IPv4Address("10.0.0.7")
            return super().answer(request)

    world = Refusing("PCP", has_upnp=True)
    world.run(30)
    assert world.map.spoken[0].support is Support.REFUSES
    assert world.map.spoken[1].support is Support.ABSENT
    assert world.map.outside == IPv4Address("10.0.0.7"), "it says why in this way"
    world.map.refused("not allowed", world.now, is_spoken=True)
    assert world.map.spoken[2] == Spoken(Protocol.UPNP, Support.REFUSES, "not allowed")
    world.map.refused("it does not answer", world.now)
    assert world.map.spoken[2].support is Support.ABSENT


def test_an_address_outside_that_is_no_good_is_told_all_the_same():
    class Behind(World):
        def answer(self, request: bytes) -> bytes | None:
            self.outside = IPv4Address("192.168.178.20")
            return super().answer(request)

    world = Behind("NAT-PMP")
    world.run(30)
    assert world.map.mapping is None
    assert world.map.spoken[1].support is Support.REFUSES
    assert world.map.outside == IPv4Address("192.168.178.20")


ME6 = IPv6Address("2001:db8:1::10")


def pinhole_answer(request: bytes, *, ip: IPv6Address = ME6, code: int = 0) -> bytes:
    """What a firewall says to a request for a pinhole, which is to be as RFC 6887 has it."""
    version, operation, _, lifetime, client = struct.unpack_from(">BBHI16s", request)
    assert (version, operation, client) == (2, 1, ME6.packed)
    head = struct.pack(">BBBBII12x", 2, 0x81, 0, code, lifetime, 9)
    return head + request[24:36] + struct.pack(">B3xHH16s", 17, PORT, PORT, ip.packed)


def new_pinhole() -> PortMap:
    return PortMap(ME6, PORT, lambda size: bytes(range(1, size + 1)), 0.0, has_upnp=True)


def test_a_pinhole_is_asked_for_by_pcp_alone_renewed_and_closed():
    pinhole = new_pinhole()
    (request,) = pinhole.datagrams_to_send(0.0)
    assert struct.unpack_from(">HH16s", request, 40) == (PORT, PORT, bytes(16))
    pinhole.receive(pinhole_answer(request), 0.1)
    assert pinhole.mapping == Mapping(Protocol.PCP, Address(ME6, PORT))
    assert [one.support for one in pinhole.spoken] == [Support.GRANTS]
    (again,) = pinhole.datagrams_to_send(limits.PORTMAP_LIFETIME / 2 + 1)
    assert struct.unpack_from(">HH16s", again, 40) == (PORT, PORT, ME6.packed)
    pinhole.close()
    (last,) = pinhole.datagrams_to_send(limits.PORTMAP_LIFETIME / 2 + 2)
    assert struct.unpack_from(">I", last, 4) == (0,)
    assert pinhole.take_errand() is None


def test_a_pinhole_that_lets_nothing_in_is_asked_for_again_at_our_own_port():
    pinhole = new_pinhole()
    pinhole.receive(pinhole_answer(pinhole.datagrams_to_send(0.0)[0]), 0.1)
    pinhole.replace(1.0)
    closing, opening = pinhole.datagrams_to_send(1.0)
    assert struct.unpack_from(">I", closing, 4) == (0,)
    assert struct.unpack_from(">HH", opening, 40) == (PORT, PORT)


def test_a_firewall_that_refuses_or_is_silent_is_told_of():
    pinhole = new_pinhole()
    pinhole.receive(pinhole_answer(pinhole.datagrams_to_send(0.0)[0], code=2), 0.1)
    assert pinhole.mapping is None
    assert "PCP: it allows no port mappings" in pinhole.problem
    silent, now = new_pinhole(), 0.0
    for _ in range(20):
        silent.datagrams_to_send(now)
        now = min(silent.get_timer() or now, 60.0)
    assert silent.problem == "PCP: it does not answer"


@pytest.mark.parametrize("told", ["fd00::1", "fe80::1", "::", "::ffff:11.22.33.1"])
def test_a_pinhole_to_nowhere_in_the_internet_is_none(told):
    pinhole = new_pinhole()
    pinhole.receive(pinhole_answer(pinhole.datagrams_to_send(0.0)[0], ip=IPv6Address(told)), 0.1)
    assert pinhole.mapping is None
