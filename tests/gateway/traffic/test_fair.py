"""Those that wait share by their weights, whatever they want and whenever they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.traffic.account import Account
from gateway.traffic.fair import FairQueue, Flow, Leaf, Share
from gateway.traffic.limits import SHARE_LEAD, SHARE_QUANTUM, SMALL_FIRST, SMALL_OCTETS
from gateway.traffic.terms import Terms

RATE = 10_000_000
NOW = 1000.0


class World:
    """A queue with a rate, and those who always want more."""

    def __init__(self, rate: int | None = RATE) -> None:
        self.queue = FairQueue()
        self.whole = Account()
        if rate is not None:
            self.whole.apply(Terms(rate=rate), NOW)
            self.queue.root.lane = self.whole.sent
        self.moved: dict[Flow, int] = {}
        self.greedy: set[Flow] = set()
        self.now = NOW

    def contact(self, **options) -> Share:
        return Share(self.queue.root, **options)

    def flow(self, contact: Share, *, leaf: Leaf | None = None, greedy: bool = True, **options) -> Flow:
        flow = Flow()
        flow.move(leaf or Leaf(contact, **options))
        self.moved[flow] = 0
        if greedy:
            self.greedy.add(flow)
        return flow

    def run(self, seconds: float, step: float = 0.001) -> None:
        for _ in range(round(seconds / step)):
            for flow in self.greedy:
                if not flow.wants:
                    self.queue.ask(flow, SHARE_QUANTUM, self.now)
            for flow, octets in self.queue.pump(self.now):
                self.moved[flow] += octets
                if flow in self.greedy:
                    self.queue.ask(flow, octets, self.now)
            self.now += step


@pytest.mark.parametrize(
    ("weights", "streams"), [((1, 1), (1, 1)), ((4, 1), (1, 1)), ((1, 1), (1, 9)), ((4, 1), (3, 7))]
)
def test_contacts_share_by_weight_however_many_streams_they_have(weights, streams):
    world = World()
    contacts = [world.contact(weight=weight) for weight in weights]
    flows = [
        [world.flow(contact) for _ in range(number)]
        for contact, number in zip(contacts, streams, strict=True)
    ]
    world.run(3)
    first, second = (sum(world.moved[flow] for flow in each) for each in flows)
    assert first / second == pytest.approx(weights[0] / weights[1], rel=0.05)
    assert first + second == pytest.approx(3 * RATE, rel=0.05)


def test_services_share_what_their_contact_gets():
    world = World()
    bob, carol = world.contact(), world.contact()
    web, ssh = world.flow(bob, weight=3), world.flow(bob)
    hers = world.flow(carol)
    world.run(3)
    assert world.moved[hers] == pytest.approx(world.moved[web] + world.moved[ssh], rel=0.05)
    assert world.moved[web] / world.moved[ssh] == pytest.approx(3, rel=0.05)


def test_what_one_does_not_want_the_others_get():
    world = World()
    bob, carol = world.flow(world.contact(weight=9)), world.flow(world.contact())
    world.run(1)
    world.greedy.discard(bob)
    world.run(0.2)
    before = world.moved[carol]
    world.run(1)
    assert world.moved[carol] - before == pytest.approx(RATE, rel=0.05)


def test_who_was_away_has_saved_nothing_up():
    world = World()
    bob, carol = world.flow(world.contact()), world.flow(world.contact(), greedy=False)
    world.run(2)
    world.greedy.add(carol)
    before = world.moved[bob]
    world.run(1)
    assert world.moved[carol] == pytest.approx(RATE / 2, rel=0.05)
    assert world.moved[bob] - before == pytest.approx(RATE / 2, rel=0.05)


def test_a_contact_with_a_limit_of_its_own_leaves_the_rest_to_others():
    world = World()
    slow = Account()
    slow.apply(Terms(rate=RATE // 10), NOW)
    bob, carol = world.flow(world.contact(lane=slow.sent)), world.flow(world.contact())
    world.run(3)
    assert world.moved[bob] == pytest.approx(0.3 * RATE, rel=0.06)
    assert world.moved[carol] == pytest.approx(2.7 * RATE, rel=0.05)


def test_a_service_and_a_contact_limit_both_hold():
    world = World(None)
    service, contact = Account(), Account()
    service.apply(Terms(rate=1_000_000), NOW)
    contact.apply(Terms(rate=200_000), NOW)
    limited = world.contact(lane=contact.sent)
    bob = world.flow(limited, lane=service.sent)
    carol = world.flow(world.contact(), lane=service.sent)
    world.run(5)
    assert world.moved[bob] == pytest.approx(1_000_000, rel=0.05)
    assert world.moved[bob] + world.moved[carol] == pytest.approx(5_000_000, rel=0.05)


def test_those_that_are_last_get_what_is_left():
    world = World()
    near = world.flow(world.contact(is_last=True))
    far = world.flow(world.contact())
    world.run(1)
    assert world.moved[near] < 0.1 * RATE  # the moments in which the other has just had all it asked for
    world.greedy.discard(far)
    world.run(1)
    assert world.moved[near] == pytest.approx(RATE, rel=0.1)


def test_small_streams_go_before_bulk_and_do_not_stop_it():
    world = World()
    bob = world.contact()
    leaf = Leaf(bob)
    bulk = world.flow(bob, leaf=leaf)
    world.run(1)
    small = [world.flow(bob, leaf=leaf, greedy=False) for _ in range(3 * SMALL_FIRST)]
    for flow in small:
        world.queue.ask(flow, 500, world.now)
    order = []
    for _ in range(100):
        world.now += 0.001
        order += [flow for flow, _ in world.queue.pump(world.now)]
    assert order.index(small[-1]) <= 3 * SMALL_FIRST + 5
    assert order[: SMALL_FIRST + 2].count(bulk) >= 1
    many = world.flow(bob, leaf=leaf, greedy=False)
    many.moved(SMALL_OCTETS, world.now)
    assert not many.is_small(world.now)
    assert many.is_small(world.now + 10)


def test_datagrams_pass_beside_bulk_and_stop_at_their_share():
    world = World()
    bulk = world.flow(world.contact())
    call = world.flow(world.contact(), greedy=False)
    world.run(0.5)
    before = world.moved[bulk]
    sent = dropped = 0
    for _ in range(1000):
        world.run(0.001)
        for _ in range(20):  # 20 MB/s, twice what there is
            if world.queue.datagram(call, 1000, world.now):
                sent += 1000
            else:
                dropped += 1
    assert sent == pytest.approx(RATE / 2, rel=0.1)
    assert dropped
    assert world.moved[bulk] - before == pytest.approx(RATE / 2, rel=0.1)


def test_a_call_that_needs_less_than_its_share_loses_nothing():
    world = World()
    bulk = world.flow(world.contact())
    call = world.flow(world.contact(), greedy=False)
    world.run(0.5)
    before = world.moved[bulk]
    for _ in range(1000):
        world.run(0.001)
        assert world.queue.datagram(call, 1000, world.now)  # 1 MB/s
    assert world.moved[bulk] - before == pytest.approx(RATE * 0.9, rel=0.05)
    assert SHARE_LEAD


def test_what_was_given_up_takes_no_turn_and_no_time():
    world = World()
    gone, here = world.flow(world.contact(), greedy=False), world.flow(world.contact())
    world.queue.ask(gone, 10**9, NOW)
    gone.wants = 0
    world.run(1)
    assert world.moved[gone] == 0
    assert world.moved[here] == pytest.approx(RATE, rel=0.15)
    world.greedy.clear()
    here.wants = 0
    assert world.queue.next_at(world.now) is None


def test_it_says_when_to_look_again():
    world = World()
    bob = world.flow(world.contact(), greedy=False)
    assert world.queue.next_at(NOW) is None
    world.queue.ask(bob, 10 * RATE, NOW)
    world.queue.pump(NOW)
    at = world.queue.next_at(NOW)
    assert at is not None
    assert NOW < at < NOW + 0.1
    assert world.queue.pump(at)


def test_a_used_up_quota_is_nothing_to_wait_for():
    world = World(None)
    account = Account()
    account.apply(Terms(quota=1000), NOW)
    bob = world.flow(world.contact(lane=account.sent), greedy=False)
    world.queue.ask(bob, 5000, NOW)
    assert world.queue.pump(NOW) == [(bob, 1000)]
    assert world.queue.next_at(NOW) is None


@settings(deadline=None, max_examples=40)
@given(
    weights=st.lists(st.integers(1, 20), min_size=2, max_size=6),
    streams=st.lists(st.integers(1, 4), min_size=6, max_size=6),
)
def test_shares_are_by_weight_for_any_weights(weights, streams):
    world = World()
    flows = []
    for weight, number in zip(weights, streams, strict=False):
        contact = world.contact(weight=weight)
        flows.append([world.flow(contact) for _ in range(number)])
    world.run(2, step=0.005)
    total = sum(world.moved.values())
    assert total == pytest.approx(2 * RATE, rel=0.06)
    for weight, each in zip(weights, flows, strict=False):
        got = sum(world.moved[flow] for flow in each)
        # Two quanta per contact are what fair queueing can be off by.
        assert abs(got - total * weight / sum(weights)) <= 2 * SHARE_QUANTUM * (1 + weight)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "drop", "datagram", "wait"]), st.integers(0, 5), st.integers(1, 10**6)
        ),
        max_size=60,
    )
)
def test_no_more_goes_than_was_asked_for_nor_than_the_rate(acts):
    world = World()
    flows = [world.flow(world.contact(weight=number % 3 + 1), greedy=False) for number in range(6)]
    asked = dict.fromkeys(flows, 0)
    free = 0
    for act, index, size in acts:
        flow = flows[index]
        if act == "ask":
            world.queue.ask(flow, size, world.now)
            asked[flow] += size
        elif act == "drop":
            flow.wants = 0
        elif act == "datagram":
            free += size * world.queue.datagram(flow, size, world.now)
        world.run(size / 10**6 * 0.05, step=0.01)
    assert all(world.moved[flow] <= asked[flow] for flow in flows)
    most = (world.now - NOW) * RATE + RATE // 10 + 2 * SHARE_QUANTUM + 10**6
    assert sum(world.moved.values()) + free <= most
