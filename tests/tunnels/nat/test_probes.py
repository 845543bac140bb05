"""Facts about the burst of probes: what it finds out of each kind of NAT, in what time, at what cost, and with liars."""

from __future__ import annotations

import itertools
from collections import Counter
from ipaddress import ip_address
from random import Random

import pytest

from tests.lab.nats import IPS, OUTSIDE, SITES, Ports, VirtualNat, VirtualWorld, measured, new_burst
from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.behavior import AllocationKind, Behavior, Filtering, Mapping, behavior_of
from tunnels.nat.probes import Burst
from tunnels.nat.reflector import Outcome, Reflector, Site, Sites
from tunnels.nat.stun import Class, Extra, Method

MAPPINGS = Mapping.ENDPOINT_INDEPENDENT, Mapping.ADDRESS_DEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT
FILTERINGS = Filtering.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT
KINDS = {
    Ports.PRESERVING: AllocationKind.PRESERVING,
    Ports.SEQUENTIAL: AllocationKind.DELTA,
    Ports.BLOCK: AllocationKind.BLOCK,
    Ports.RANDOM: AllocationKind.RANDOM,
}
PLAIN = tuple(Address.parse(f"198.51.{number}.1:3478") for number in (100, 101, 102))


def told(nat: VirtualNat | None, **options: float) -> Behavior:
    return behavior_of(measured(nat, **options).evidence())


@pytest.mark.parametrize("delay", [0.001, 0.02, 0.15])
@pytest.mark.parametrize("ports", [Ports.SEQUENTIAL, Ports.BLOCK, Ports.RANDOM])
@pytest.mark.parametrize(("mapping", "filtering"), [*itertools.product(MAPPINGS, FILTERINGS)])
def test_every_kind_is_recognized(mapping, filtering, ports, delay):
    behavior = told(VirtualNat(mapping, filtering, ports), delay=delay)
    assert behavior.mapping is mapping
    assert behavior.filtering is filtering
    assert behavior.allocation.kind is KINDS[ports]
    assert behavior.translated is True
    assert behavior.external_ips == (OUTSIDE,)
    if ports is Ports.SEQUENTIAL:
        assert behavior.allocation.delta == 1
        assert behavior.noise == 0
    if ports is Ports.BLOCK:
        low, high = behavior.allocation.span
        assert low >= 20480
        assert high <= 21503


@pytest.mark.parametrize("filtering", FILTERINGS)
def test_kept_ports_are_recognized(filtering):
    behavior = told(VirtualNat(filtering=filtering))
    assert behavior.mapping is Mapping.ENDPOINT_INDEPENDENT
    assert behavior.filtering is filtering
    assert behavior.allocation.kind is AllocationKind.PRESERVING


@pytest.mark.parametrize("delta", [1, 2, 5, -1])
@pytest.mark.parametrize("noise", [0.0, 10.0, 35.0])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_steps_and_noise_are_told(mapping, noise, delta):
    behavior = told(VirtualNat(mapping, ports=Ports.SEQUENTIAL, delta=delta, noise=noise))
    assert behavior.allocation.kind is AllocationKind.DELTA
    assert behavior.allocation.delta == delta
    assert behavior.noise == pytest.approx(noise, abs=6)


@pytest.mark.parametrize("keeps_parity", [True, False])
def test_parity_is_told(keeps_parity):
    nat = VirtualNat(MAPPINGS[2], ports=Ports.RANDOM, keeps_parity=keeps_parity)
    assert told(nat).allocation.keeps_parity is keeps_parity


@pytest.mark.parametrize("hairpins", [True, False])
def test_hairpinning_is_told(hairpins):
    assert told(VirtualNat(hairpins=hairpins)).hairpin is hairpins


def test_hairpinning_is_unknown_where_our_outside_address_is_not_one():
    assert told(VirtualNat(MAPPINGS[2], ports=Ports.RANDOM, hairpins=True)).hairpin is None
    assert told(None).hairpin is None


@pytest.mark.parametrize("is_poisoned", [True, False])
def test_a_mapping_that_inbound_datagrams_move_is_told(is_poisoned):
    assert told(VirtualNat(is_poisoned=is_poisoned)).inbound_first_poisons is is_poisoned


def test_a_machine_with_a_public_address_is_told_from_one_behind_a_nat():
    behavior = told(None)
    assert behavior.translated is False
    assert behavior.mapping is Mapping.ENDPOINT_INDEPENDENT
    assert behavior.filtering is Filtering.ENDPOINT_INDEPENDENT


@pytest.mark.parametrize("delay", [0.001, 0.02, 0.08])
@pytest.mark.parametrize(("mapping", "filtering"), [*itertools.product(MAPPINGS, FILTERINGS)])
def test_it_is_over_within_a_second_and_stays_within_what_a_reflector_allows(mapping, filtering, delay):
    world = VirtualWorld(VirtualNat(mapping, filtering, Ports.RANDOM), delay=delay)
    reflector = world.add_reflector(*IPS)
    burst = new_burst(world)
    assert world.run(burst) < 1.0
    assert burst.sent <= 23
    assert burst.flows <= 16
    assert reflector.counts[Outcome.LIMITED] == 0
    assert reflector.counts[Outcome.JUNK] == 0
    assert burst.answered == SITES


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_losses_never_make_it_tell_of_another_mapping(mapping, seed):
    world = VirtualWorld(VirtualNat(mapping, ports=Ports.RANDOM), loss=0.05, seed=seed)
    world.add_reflector(*IPS)
    burst = new_burst(world, seed=seed)
    assert world.run(burst) < 3
    behavior = behavior_of(burst.evidence())
    assert behavior.mapping is mapping
    assert behavior.filtering in (Filtering.ADDRESS_AND_PORT_DEPENDENT, Filtering.UNKNOWN)
    assert behavior.allocation.kind is AllocationKind.RANDOM


@pytest.mark.parametrize("seed", range(20))
def test_losses_hardly_hide_ports_in_order(seed):
    world = VirtualWorld(VirtualNat(MAPPINGS[2], ports=Ports.SEQUENTIAL), loss=0.02, seed=seed)
    world.add_reflector(*IPS)
    burst = new_burst(world, seed=seed)
    world.run(burst)
    assert behavior_of(burst.evidence()).allocation.kind is AllocationKind.DELTA


@pytest.mark.parametrize("filtering", FILTERINGS)
@pytest.mark.parametrize("delay", [0.02, 0.08, 0.15])
def test_a_busy_machine_never_takes_an_answer_for_one_from_a_place_it_never_sent_to(filtering, delay):
    for seed in range(20):
        nat = VirtualNat(filtering=filtering)
        assert told(nat, delay=delay, lateness=0.02, seed=seed).filtering is filtering, seed


@pytest.mark.parametrize("ips", [IPS, ("2001:db8:1::1", "2001:db8:2::1")])
def test_a_question_has_room_for_all_that_the_answer_tells(ips):
    sites = Sites(tuple(map(ip_address, ips)), (3478, 3479))
    burst = Burst([Address(sites.ips[0], 3478)], local_ips=(), chance=Random(1).randbytes)
    burst.start(0.0)
    [question, _] = burst.datagrams_to_send(0.0)
    source = Address(sites.ips[1], 41641)
    answer = Reflector(sites, bytes(32)).receive(question.datagram, source, Site(0, 0), 0.0)
    assert {"XOR-MAPPED-ADDRESS", "ROUTABLE", "OTHER-ADDRESS"} <= set(stun.decode(answer.datagram).attributes)


# --- with less than a beacon of two addresses ------------------------------------------------------------------


def test_plain_servers_show_mapping_and_allocation_and_leave_the_rest_unknown():
    world = VirtualWorld(VirtualNat(MAPPINGS[2], ports=Ports.SEQUENTIAL))
    for server in PLAIN:
        world.add_reflector(str(server.ip), ports=(3478,))
    burst = new_burst(world, PLAIN)
    assert world.run(burst) < 1.0
    behavior = behavior_of(burst.evidence())
    assert not burst.has_two_addresses
    assert behavior.mapping is Mapping.DEPENDENT
    assert behavior.filtering is Filtering.UNKNOWN
    assert behavior.allocation.kind is AllocationKind.DELTA


def test_a_server_of_one_address_shows_neither_mapping_nor_filtering():
    world = VirtualWorld(VirtualNat(ports=Ports.RANDOM))
    world.add_reflector(IPS[0])
    burst = new_burst(world, (SITES[0], SITES[2]))
    world.run(burst)
    behavior = behavior_of(burst.evidence())
    assert behavior.mapping is Mapping.UNKNOWN
    assert behavior.filtering is Filtering.UNKNOWN
    assert behavior.external_ips == (OUTSIDE,)


def test_a_silent_first_server_leaves_the_others():
    world = VirtualWorld(VirtualNat())
    for server in PLAIN[1:]:
        world.add_reflector(str(server.ip), ports=(3478,))
    burst = new_burst(world, PLAIN)
    assert world.run(burst) < 1.5
    assert burst.answered == PLAIN[1:]
    assert behavior_of(burst.evidence()).mapping is Mapping.ENDPOINT_INDEPENDENT


def test_nothing_is_known_where_no_udp_gets_out():
    world = VirtualWorld(VirtualNat(), blocked=True)
    burst = new_burst(world)
    assert world.run(burst) == pytest.approx(limits.PROBE_GIVE_UP)
    assert burst.answered == ()
    assert behavior_of(burst.evidence()) == Behavior()
    assert burst.sent == limits.PROBE_SENDS * (1 + len(SITES))


def test_without_servers_there_is_nothing_to_do():
    burst = new_burst(VirtualWorld(None), ())
    burst.start(0.0)
    assert burst.is_over
    assert burst.datagrams_to_send(0.0) == []
    assert burst.get_timer() is None


def test_a_machine_without_the_network_gives_up():
    burst = new_burst(VirtualWorld(None))
    burst.start(0.0)
    burst.give_up()
    assert burst.is_over
    assert burst.datagrams_to_send(0.0) == []


def test_a_server_that_stops_answering_is_not_taken_for_a_filter():
    world = VirtualWorld(VirtualNat(filtering=Filtering.ENDPOINT_INDEPENDENT))
    reflector = world.add_reflector(*IPS)
    answer = dict(world._servers)
    counts: Counter[Address] = Counter()

    def limited(datagram: bytes, source: Address):
        counts[source] += 1
        return answer[SITES[0]](datagram, source) if counts[source] == 1 else None

    world.add_server(SITES[0], limited)
    burst = new_burst(world)
    world.run(burst)
    assert reflector.counts[Outcome.ANSWERED] > 5
    assert behavior_of(burst.evidence()).filtering is Filtering.UNKNOWN


# --- liars -----------------------------------------------------------------------------------------------------


def lie(seen: Address | None, **more):
    """What a server answers that says one thing to all."""

    def answer(datagram: bytes, source: Address):
        request = stun.decode(datagram)
        attributes = {"XOR-MAPPED-ADDRESS": seen or source, **more}
        return stun.encode(Method.BINDING, Class.RESPONSE, request.transaction_id, attributes), None

    return answer


def lying_world(nat: VirtualNat | None, liars, *, seen: Address | None = None, **more) -> VirtualWorld:
    world = VirtualWorld(nat)
    world.add_reflector(*IPS)
    for server in liars:
        answer = lie(seen, **more)
        world.add_server(
            server, lambda data, source, server=server, answer=answer: (answer(data, source)[0], server)
        )
    return world


VICTIM = Address.parse("192.0.2.66:53")


@pytest.mark.parametrize("liars", [SITES[:1], SITES])
def test_lies_about_our_address_and_theirs_send_nothing_to_third_parties(liars):
    world = lying_world(
        VirtualNat(), liars, seen=VICTIM, **{"OTHER-ADDRESS": VICTIM, Extra.ROUTABLE.label: b"x" * 20}
    )
    burst = new_burst(world)
    assert world.run(burst) < 4
    assert set(world.received) <= set(SITES)
    assert burst.sent <= limits.PROBE_DATAGRAMS


def test_what_goes_to_the_outside_address_that_all_servers_tell_ends_within_the_provider():
    """All servers lie alike, as one beacon's may: what goes there does so four times, and not far."""
    world = lying_world(VirtualNat(), SITES, seen=VICTIM)
    burst = new_burst(world)
    burst.start(0.0)
    sent = []
    now = 0.0
    while not burst.is_over:
        for probe in burst.datagrams_to_send(now):
            sent.append(probe)
            if probe.to in SITES:
                answer, _ = lie(VICTIM)(probe.datagram, probe.to)
                burst.receive(probe.socket, answer, probe.to, now)
        now += 0.05
    elsewhere = [probe for probe in sent if probe.to not in SITES]
    assert {(probe.to, probe.ttl) for probe in elsewhere} <= {(VICTIM, limits.HAIRPIN_TTL)}
    assert len(elsewhere) <= 4


def test_one_liar_among_plain_servers_changes_nothing():
    world = VirtualWorld(VirtualNat())
    for server in PLAIN[1:]:
        world.add_reflector(str(server.ip), ports=(3478,))
    world.add_server(PLAIN[0], lambda data, source: (lie(VICTIM)(data, source)[0], PLAIN[0]))
    burst = new_burst(world, PLAIN)
    world.run(burst)
    assert burst.evidence().hairpin is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01\x01",
        bytes(200),
        stun.encode(Method.BINDING, Class.RESPONSE, bytes(12), {"XOR-MAPPED-ADDRESS": VICTIM}),
    ],
)
def test_junk_is_passed_over(answer):
    burst = new_burst(VirtualWorld(None))
    burst.start(0.0)
    burst.datagrams_to_send(0.0)
    assert not burst.receive(0, answer, SITES[0], 0.01)


def asked() -> tuple[Burst, bytes]:
    """A burst that just began, and what its quiet socket asked."""
    burst = new_burst(VirtualWorld(None))
    burst.start(0.0)
    return burst, burst.datagrams_to_send(0.0)[0].datagram


@pytest.mark.parametrize(
    ("socket", "source", "taken"),
    [(0, SITES[0], True), (1, SITES[0], False), (0, SITES[1], False), (0, VICTIM, False)],
)
def test_an_answer_counts_only_from_whom_was_asked_and_at_the_socket_that_asked(socket, source, taken):
    burst, request = asked()
    answer, _ = lie(Address(OUTSIDE, 1))(request, source)
    assert burst.receive(socket, answer, source, 0.01) is taken
    assert not burst.receive(socket, answer, source, 0.01)  # and once only


@pytest.mark.parametrize("seen", [Address.parse("127.0.0.1:5"), Address.parse("[2001:db8::1]:5")])
def test_absurd_addresses_are_not_believed(seen):
    burst, request = asked()
    answer, _ = lie(seen)(request, SITES[0])
    assert burst.receive(0, answer, SITES[0], 0.01)
    assert burst.answered == ()


def test_errors_are_answers_that_tell_nothing():
    burst, request = asked()
    error = stun.encode(
        Method.BINDING, Class.ERROR, stun.decode(request).transaction_id, {"ERROR-CODE": (500, "")}
    )
    assert burst.receive(0, error, SITES[0], 0.01)
    assert burst.answered == ()


def test_no_more_servers_are_asked_and_datagrams_sent_than_allowed():
    servers = [Address.parse(f"198.51.100.{number}:3478") for number in range(1, 200)]
    burst = Burst(servers, local_ips=(), chance=Random(1).randbytes)
    assert len(burst.servers) == limits.PROBE_SERVERS
    world = VirtualWorld(VirtualNat(MAPPINGS[2], ports=Ports.RANDOM), loss=0.6, seed=4)
    world.add_reflector(*IPS)
    most = 0
    for seed in range(40):
        burst = new_burst(world, seed=seed)
        world.run(burst)
        most = max(most, burst.sent)
        assert {question.socket for question in burst._questions.values()} <= set(range(limits.PROBE_SOCKETS))
    assert 23 < most <= limits.PROBE_DATAGRAMS
