"""Both ends of a connection go up the ladder in step, whatever is lost, and send no more than they may."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from math import inf
from random import Random

import pytest

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget
from tunnels.crossing.course import Attest, Course, Cramped, Do, Doubt, Flags, Release, Tell, View
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.strategies import tcp_open
from tunnels.crossing.strategies.passive import Passive
from tunnels.crossing.strategy import OWN, Ask, Attempt, Cost, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import Behavior, Filtering, Mapping
from tunnels.paths.checks import Cross

PEER, VICTIM = Address.parse("203.0.113.7:41641"), Address.parse("198.51.100.66:5000")
SERVER = Address.parse("192.0.2.1:3478")
HOME = Description(
    Behavior(
        mapping=Mapping.ENDPOINT_INDEPENDENT,
        filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
        external_ips=(IPv4Address("203.0.113.8"),),
    ),
    network=b"home",
    challenge=bytes(16),
    attester=SERVER,
)
PAIR = Pair(HOME, replace(HOME, network=b"away", behavior=replace(HOME.behavior, external_ips=(PEER.ip,))))
VIEW = View(PAIR, targets=(PEER,), servers=(SERVER,), round_trip=0.1)


class Knocking(Attempt):
    """Ready after so many seconds; then it sends so many knocks to one place."""

    def __init__(self, setting, strategy) -> None:
        super().__init__(setting)
        self.strategy = strategy
        self.heard: list[bytes] = []
        strategy.attempts.append(self)

    def begin(self, now):
        self.due = now + self.strategy.prepares

    def handle_timer(self, now):
        self.due = inf
        self.ready = b"ready" if self.ready is None else self.ready

    def peer_ready(self, payload, now):
        self.heard.append(payload)
        self.do(*(Shot(OWN, self.strategy.to) for _ in range(self.strategy.knocks)))


@dataclass
class Fake:
    """A strategy of which everything can be said."""

    name: str = "fake"
    code: int = 200
    summary: str = "for tests"
    chance: float = 0.9
    prepares: float = 0.05
    knocks: int = 5
    to: Address = PEER
    spends: Cost = field(default_factory=lambda: Cost(datagrams=200, sockets=4, mappings=10, seconds=3))
    attempts: list = field(default_factory=list)

    def suits(self, pair):
        return True

    def success(self, pair):
        return self.chance

    def cost(self, pair):
        return self.spends

    def attempt(self, setting):
        return Knocking(setting, self)


NOTHING = Passive(
    code=19, name="relay", summary="", fits=lambda _: True, chance=lambda _: 1.0, is_direct=False
)


class End:
    """One end: its course, and what it did."""

    def __init__(self, pair, *, is_client, strategies, attests=True) -> None:
        self.notes: list[str] = []
        self.shots: list[Shot] = []
        self.asked: list[Ask] = []
        self.attested: list[Attest] = []
        self.released: list[int] = []
        self.cramped = 0
        self.doubts: list[float] = []
        self.history = History()
        self.budget = Budget()
        self.attests = attests
        self.course = Course(
            is_client=is_client,
            budget=self.budget,
            history=self.history,
            random=Random(1),
            prove=lambda attestation, ip: attestation == b"attested " + ip.packed,
            note=lambda _now, what, _why: self.notes.append(what),
            strategies=strategies,
        )
        self.view = replace(VIEW, pair=pair)


class Wire:
    """Two ends, and messages between them that take a while, and may be lost."""

    def __init__(self, *strategies, loss=0.0, delay=0.05, seed=1, attests=True) -> None:
        self.now = 100.0
        self._random = Random(seed)
        self._loss, self._delay = loss, delay
        self._events: list = []
        self._order = itertools.count()
        rows = (*strategies, NOTHING)
        self.client = End(PAIR, is_client=True, strategies=rows, attests=attests)
        self.server = End(PAIR.swapped, is_client=False, strategies=rows, attests=attests)
        self.told: list[Cross] = []

    def start(self):
        for end in (self.client, self.server):
            end.course.look(end.view, self.now)
            self._do(end)

    def look(self, **changes):
        for end in (self.client, self.server):
            end.view = replace(end.view, **changes)
        self.start()

    def run(self, seconds):
        until = self.now + seconds
        while True:
            at = min(
                self.client.course.due, self.server.course.due, self._events[0][0] if self._events else inf
            )
            if at > until:
                self.now = until
                return
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for end in (self.client, self.server):
                if end.course.due <= self.now:
                    end.course.handle_timer(self.now)
                    self._do(end)

    def _do(self, end):
        for deed in end.course.take():
            match deed:
                case Tell():
                    self.told.append(deed.cross)
                    if self._random.random() >= self._loss:
                        self._later(lambda deed=deed: self._deliver(end, deed.cross))
                case Do(action=Shot() as shot):
                    end.shots.append(shot)
                case Do(action=Ask() as ask):
                    end.asked.append(ask)
                case Attest():
                    end.attested.append(deed)
                    if end.attests:
                        self._later(lambda: self._attested(end))
                case Release():
                    end.released.append(deed.attempt)
                case Cramped():
                    end.cramped += 1
                case Doubt():
                    end.doubts.append(self.now)

    def _later(self, event):
        heapq.heappush(self._events, (self.now + self._delay, next(self._order), event))

    def _deliver(self, sender, cross):
        end = self.server if sender is self.client else self.client
        end.course.told(cross, self.now)
        self._do(end)

    def _attested(self, end):
        end.course.attested(b"attested " + PEER.ip.packed, self.now)
        self._do(end)


def test_both_ends_prepare_and_then_execute_once_they_heard_of_each_other():
    strategy = Fake()
    wire = Wire(strategy)
    wire.start()
    wire.run(1.0)
    client, server = strategy.attempts
    assert client.heard == server.heard == [b"ready"]
    assert len(wire.client.shots) == len(wire.server.shots) == 5
    assert wire.client.course.trying == wire.server.course.trying == "fake"


def test_once_both_know_all_of_it_nothing_is_told_any_more():
    wire = Wire(Fake())
    wire.start()
    wire.run(1.0)
    told = len(wire.told)
    wire.run(1.5)
    assert len(wire.told) == told < 12


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_which_messages_are_lost(seed):
    strategy = Fake(spends=Cost(datagrams=200, seconds=6))
    wire = Wire(strategy, loss=0.4, seed=seed)
    wire.start()
    wire.run(6.0)
    assert [each.heard for each in strategy.attempts[:2]] == [[b"ready"], [b"ready"]]


def test_what_a_side_says_later_is_heard_as_well():
    strategy = Fake(knocks=0)
    wire = Wire(strategy)
    wire.start()
    wire.run(1.0)
    client, server = strategy.attempts
    for version in (b"second", b"third"):
        client.ready = version
        client.due = wire.now
        client.handle_timer = lambda _now: setattr(client, "due", inf)
        wire.client.course._plan()
        wire.run(0.5)
    assert server.heard == [b"ready", b"second", b"third"]


def test_a_direct_path_ends_the_attempt_at_both_ends_and_is_remembered():
    strategy = Fake()
    wire = Wire(strategy)
    wire.start()
    wire.run(1.0)
    wire.look(is_direct=True)
    wire.run(1.0)
    assert wire.client.released == wire.server.released == [1]
    assert wire.client.course.due == wire.server.course.due == inf
    assert wire.client.history.worked(b"home", b"away") == (200,)
    assert wire.client.course.trying == ""


def test_when_time_is_up_the_next_one_is_tried_and_then_all_again_ever_more_rarely():
    first, second = Fake("first", 201, chance=0.9), Fake("second", 202, chance=0.5)
    wire = Wire(first, second)
    wire.start()
    wire.run(120.0)
    tried = [note.removeprefix("trying ") for note in wire.client.notes if note.startswith("trying")]
    assert tried[:2] == ["first", "second"]
    assert wire.client.history.failures(b"home", b"away", 201) > 1
    early = len(tried)
    wire.run(120.0)
    tried = [note for note in wire.client.notes if note.startswith("trying")]
    assert len(tried) - early < early / 2


def test_a_changed_network_begins_anew():
    strategy = Fake()
    wire = Wire(strategy)
    wire.start()
    wire.run(300.0)
    count = len(strategy.attempts)
    wire.client.course.network_changed(wire.now)
    wire._do(wire.client)
    wire.run(1.0)
    assert len(strategy.attempts) >= count + 2


def test_a_path_over_tcp_is_kept_and_a_better_one_is_sought_all_the_same():
    spray, tcp = Fake(chance=0.5), Fake(code=tcp_open.STRATEGY.code, name="tcp")
    wire = Wire(spray, tcp)
    wire.start()
    wire.run(12)
    assert wire.client.notes[:3] == ["trying fake", "fake did not work", "trying tcp"]
    wire.look(is_by_tcp=True)
    assert wire.client.notes[3] == "tcp worked"
    assert not wire.server.course.trying
    wire.run(30)
    assert {note for note in wire.client.notes[4:] if note.startswith("trying")} == {"trying fake"}
    wire.look(is_by_tcp=False, is_direct=True)
    assert wire.client.course.due == inf


def test_a_router_without_room_is_told_of_once():
    class Filling(Knocking):
        def peer_ready(self, payload, now):
            super().peer_ready(payload, now)
            self.is_cramped = True

    class Large(Fake):
        def attempt(self, setting):
            return Filling(setting, self)

    wire = Wire(Large())
    wire.start()
    wire.run(2)
    assert (wire.client.cramped, wire.server.cramped) == (1, 1)
    assert "our router has no room for more" in wire.client.notes


def test_while_no_direct_path_is_found_both_ends_doubt_what_they_know_of_their_networks():
    wire = Wire(Fake(spends=Cost(datagrams=20, seconds=1)))
    wire.start()
    start = wire.now
    wire.run(2000)
    at = list(itertools.accumulate((*limits.CROSS_DOUBTS, limits.CROSS_DOUBTS[-1])))[:4]
    for end in (wire.client, wire.server):  # not while something is tried
        assert [doubt - start for doubt in end.doubts] == pytest.approx(at, abs=30)
    wire.look(is_direct=True)
    wire.run(2000)
    assert len(wire.client.doubts) == 4


def test_an_idle_connection_doubts_nothing():
    wire = Wire(Fake())
    wire.look(is_active=False)
    wire.run(2000)
    assert wire.client.doubts == wire.server.doubts == []
    wire.look(is_active=True)
    wire.run(900)
    assert len(wire.client.doubts) >= 1


def test_where_nobody_attests_an_attempt_is_not_told_of_for_ever():
    wire = Wire(Fake(spends=Cost(datagrams=20, seconds=30)), attests=False)
    wire.start()
    wire.run(3)
    before = len(wire.told)
    wire.run(20)
    assert len(wire.told) == before
    assert len(wire.client.attested) == limits.SAMPLING_SENDS


def test_the_newest_try_knows_how_often_it_was_tried():
    fake = Fake(spends=Cost(seconds=0.5))
    wire = Wire(fake)
    wire.start()
    wire.run(30)
    of_client = [attempt.setting.times for attempt in fake.attempts if attempt.setting.is_client]
    assert of_client == list(range(len(of_client)))
    assert len(of_client) > 2


def test_a_peer_that_is_busy_for_a_moment_is_waited_for():
    other = Fake(name="other", code=201, chance=0.1)
    wire = Wire(Fake(), other)
    for _ in range(limits.CROSSING_ATTEMPTS):
        assert wire.server.budget.begin(Cost(seconds=0), wire.now) is not None
    wire.now += limits.CROSSING_GRACE - 0.5
    wire.start()
    wire.run(2)
    assert wire.client.notes == ["trying fake", "the peer refuses fake", "trying fake"]


def test_an_idle_connection_waits_and_begins_when_data_flows():
    strategy = Fake()
    wire = Wire(strategy)
    wire.look(is_active=False)
    wire.run(60.0)
    assert not strategy.attempts
    wire.look(is_active=True)
    wire.run(0.3)
    assert len(strategy.attempts) == 2


def test_pings_get_their_time_before_anything_else_is_tried():
    punching = Passive(code=8, name="punching", summary="", fits=lambda _: True, chance=lambda _: 0.8)
    strategy = Fake()
    wire = Wire(strategy, punching)
    wire.start()
    wire.run(limits.CROSS_PATIENCE)
    assert not strategy.attempts
    wire.run(1.0)
    assert strategy.attempts


def test_the_peer_gets_its_time_to_say_what_its_network_is():
    """An attempt on a guess would keep the right one waiting."""
    strategy = Fake()
    wire = Wire(strategy)
    known = wire.client.view
    wire.client.view = replace(known, pair=Pair(HOME, Description()))
    wire.start()
    wire.run(limits.CROSS_PATIENCE)
    assert not strategy.attempts
    wire.client.view = known
    wire.look()
    wire.run(0.1)
    assert strategy.attempts


def test_where_nothing_crosses_that_is_told_and_nothing_is_tried():
    wire = Wire()
    wire.start()
    wire.run(60.0)
    assert wire.client.notes == ["no direct path is tried"]
    assert not wire.told


# --- what is sent, and where to -----------------------------------------------------------------------------


def test_to_an_ip_that_nobody_attests_go_a_few_datagrams_only():
    strategy = Fake(knocks=150)
    wire = Wire(strategy, attests=False)
    wire.start()
    wire.run(2.0)
    assert len(wire.client.shots) == len(wire.server.shots) == limits.CROSS_UNPROVEN


def test_to_an_attested_ip_goes_what_the_strategy_costs_and_no_more():
    strategy = Fake(knocks=150, spends=Cost(datagrams=60, seconds=3))
    wire = Wire(strategy)
    wire.start()
    wire.run(2.0)
    assert len(wire.client.shots) == 60


@pytest.mark.parametrize(("attests", "shots"), [(True, 200), (False, limits.CROSS_UNPROVEN)])
def test_who_guesses_is_told_that_the_peer_is_ready_when_it_is_attested_or_will_not_be(attests, shots):
    """What it sends before that is lost, or it may be refused."""
    strategy = Fake(
        prepares=0.0, knocks=300, spends=Cost(datagrams=200, mappings=10, seconds=3, guesses=True)
    )
    wire = Wire(strategy, attests=attests)
    wire.start()
    wire.run(2.0)
    for end in (wire.client, wire.server):
        assert len(end.shots) == shots


def test_an_attestation_of_another_ip_is_none_for_this_one():
    strategy = Fake(knocks=150, to=VICTIM)
    wire = Wire(strategy)
    wire.start()
    wire.run(2.0)
    assert wire.client.attested
    assert len(wire.client.shots) == limits.CROSS_UNPROVEN


@pytest.mark.parametrize(
    "to", ["127.0.0.1:4000", "224.0.0.1:4000", "203.0.113.7:53", "240.0.0.1:9", "0.0.0.1:99"]
)
def test_nothing_goes_to_where_nobody_may_be_asked(to):
    strategy = Fake(to=Address.parse(to))
    wire = Wire(strategy)
    wire.start()
    wire.run(2.0)
    assert strategy.attempts[0].heard
    assert not wire.client.shots


def test_only_known_servers_are_asked_and_only_sockets_that_were_granted_are_used():
    class Asking(Knocking):
        def begin(self, now):
            super().begin(now)
            self.do(Ask(1, SERVER), Ask(1, VICTIM), *(Shot(number, PEER) for number in range(1, 9)))

    class Strategy(Fake):
        def attempt(self, setting):
            return Asking(setting, self)

    wire = Wire(Strategy())
    wire.start()
    wire.run(0.1)
    assert wire.client.asked == [Ask(1, SERVER)]
    assert {shot.socket for shot in wire.client.shots} == {1, 2, 3, 4}


# --- a peer that refuses, lies, or makes no sense -----------------------------------------------------------


def test_a_peer_that_is_busy_is_asked_again_when_it_says():
    strategy = Fake(spends=Cost(datagrams=10, seconds=3, guesses=True))
    wire = Wire(strategy)
    assert wire.server.budget.begin(strategy.spends, wire.now) is not None  # another one guesses there
    wire.start()
    wire.run(5.0)
    assert len(strategy.attempts) == 1
    assert any("refuses" in note for note in wire.client.notes)
    wire.run(60.0)
    assert len(strategy.attempts) > 2


def test_a_strategy_that_the_peer_does_not_know_is_passed_over():
    known, unknown = Fake("known", 201, chance=0.5), Fake("unknown", 202, chance=0.9)
    wire = Wire(known, unknown)
    wire.server.course._strategies = (known, NOTHING)
    wire.start()
    wire.run(1.0)
    assert len(unknown.attempts) == 1
    assert len(known.attempts) == 2


def test_a_server_begins_nothing_by_itself_and_an_old_attempt_is_not_followed():
    strategy = Fake()
    wire = Wire(strategy)
    wire.server.course.look(wire.server.view, wire.now)
    assert wire.server.course.due == inf or not strategy.attempts
    wire.start()
    wire.run(1.0)
    count = len(strategy.attempts)
    wire.server.course.told(Cross(1, 200, Flags.ASKS), wire.now)
    assert len(strategy.attempts) == count


@pytest.mark.parametrize("payload", [b"\xff", b"\x91\xc0", bytes(500), b"\x95" + b"\xcd\xff\xff" * 5])
def test_what_makes_no_sense_is_told_and_changes_nothing(payload):
    wire = Wire(Fake())
    wire.start()
    wire.run(0.5)
    trying = wire.client.course.trying
    with pytest.raises(ProtocolViolation):
        wire.client.course.told(Cross(1, 200, Flags(0), payload), wire.now)
    assert wire.client.course.trying == trying


def test_a_peer_that_begins_attempts_all_the_time_gets_no_more_than_the_budget():
    strategy = Fake(spends=Cost(datagrams=50, sockets=100, mappings=400, seconds=3))
    wire = Wire(strategy)
    wire.server.course.look(wire.server.view, wire.now)
    for number in range(1, 200):
        wire.server.course.told(Cross(number, 200, Flags.ASKS), wire.now + number / 100)
        wire._do(wire.server)
    assert len(wire.server.shots) <= limits.CROSSING_BURST + 2 * limits.CROSSING_PER_SECOND
    assert len(strategy.attempts) <= 200


def test_what_is_unknown_of_a_network_does_not_keep_the_two_ends_from_agreeing():
    strategy = Fake()
    wire = Wire(strategy)
    unknown = Pair(Description(), HOME)
    assert unknown.classes[0] is NetworkClass.UNKNOWN
    wire.client.view = replace(wire.client.view, pair=unknown)
    wire.server.view = replace(wire.server.view, pair=unknown.swapped)
    wire.start()
    wire.run(2.0)
    assert [each.heard for each in strategy.attempts[:2]] == [[b"ready"], [b"ready"]]


# --- attestations grow old --------------------------------------------------------------------------------------


def attested_attempt(wire: Wire) -> int:
    """One attempt in which both have all of it; how often the server knocks."""
    before = len(wire.server.shots)
    wire.run(3.0)
    return len(wire.server.shots) - before


def test_our_attestation_is_renewed_before_the_peer_believes_it_no_more():
    wire = Wire(Fake())
    wire.start()
    wire.run(1.0)
    assert len(wire.server.attested) == 1
    wire.look(is_direct=True)
    wire.run(nat_limits.ATTESTED_SECONDS / 2 + 1)
    wire.look(is_direct=False)
    wire.run(1.0)
    assert len(wire.server.attested) == len(wire.client.attested) == 2


def test_what_was_attested_long_ago_proves_nothing_any_more():
    strategy = Fake(knocks=100)
    wire = Wire(strategy)
    wire.start()
    assert attested_attempt(wire) > limits.CROSS_UNPROVEN
    wire.look(is_direct=True)
    wire.server.course._peer_proof._proves = lambda *_: False  # by the clock that it goes by
    wire.server.course._peer_proof._may_prove._left = 0
    wire.run(1.0)
    wire.look(is_direct=False)
    assert 0 < attested_attempt(wire) <= limits.CROSS_UNPROVEN


def test_another_beacon_of_the_peers_attests_our_ip_anew():
    wire = Wire(Fake())
    wire.start()
    wire.run(1.0)
    theirs = replace(PAIR.theirs, attester=Address.parse("192.0.2.2:3478"))
    wire.client.view = replace(wire.client.view, pair=replace(PAIR, theirs=theirs))
    wire.start()
    assert [attest.server for attest in wire.client.attested] == [SERVER, theirs.attester]


def test_attempts_begin_no_faster_than_the_bound_whoever_leads():
    """A strategy that is over at once, as where a socket cannot be had."""

    class Over(Knocking):
        def begin(self, now):
            self.is_over = True

    strategy = Fake()
    strategy.attempt = lambda setting: Over(setting, strategy)  # type: ignore[method-assign]
    wire = Wire(strategy)
    wire.start()
    for _ in range(600):
        wire.client.course.network_changed(wire.now)
        wire.run(0.1)
    assert 0 < len(strategy.attempts) <= 2 * (limits.CROSS_ATTEMPTS + 60 / limits.CROSS_ATTEMPT_EVERY + 1)
