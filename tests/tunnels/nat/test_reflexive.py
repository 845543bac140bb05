"""Facts about our addresses as STUN servers see them: a machine, and servers on a virtual clock."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.reflector import PROOF_BYTES
from tunnels.nat.reflexive import ReflexiveAddresses
from tunnels.nat.stun import Class, Method

ONE, TWO, THREE = (Address.parse(f"198.51.100.{number}:3478") for number in (1, 2, 3))
SEEN, OTHER = Address.parse("203.0.113.9:41641"), Address.parse("203.0.113.9:41642")


class Machine(ReflexiveAddresses):
    """One whose chance is reproducible."""

    def __init__(self) -> None:
        super().__init__(Random(1).randbytes)


def answer(request: bytes, seen: Address | None, **attributes) -> bytes:
    """What a server says; without `seen` an error."""
    message = stun.decode(request)
    if seen is None:
        return stun.encode(Method.BINDING, Class.ERROR, message.transaction_id, {"ERROR-CODE": (500, "")})
    attributes = {"XOR-MAPPED-ADDRESS": seen, **attributes}
    return stun.encode(Method.BINDING, Class.RESPONSE, message.transaction_id, attributes)


def exchange(machine: Machine, now: float, **seen_by: Address | None) -> None:
    """Let the servers that are named here answer what is due."""
    servers = {"one": ONE, "two": TWO, "three": THREE}
    seen = {servers[name]: address for name, address in seen_by.items()}
    for request, server in machine.datagrams_to_send(now):
        if server in seen:
            assert machine.receive(answer(request, seen[server]), server, now + 0.02)


def run(machine: Machine, now: float, until: float) -> list[tuple[float, Address]]:
    """Let time pass with nobody answering; what was sent when."""
    sent = []
    while (at := machine.get_timer()) is not None and at <= until:
        now = max(now, at)
        sent += [(now, server) for _, server in machine.datagrams_to_send(now)]
    return sent


def test_every_server_is_asked_at_once_and_tells_where_it_sees_us():
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    assert machine.get_timer() == 0.0
    exchange(machine, 0.0, one=SEEN, two=SEEN)
    assert machine.addresses == (SEEN,)
    assert machine.servers == (ONE, TWO)
    assert machine.sightings() == {ONE: SEEN, TWO: SEEN}
    assert machine.varies(4) is False
    assert machine.varies(6) is None
    assert machine.take_changed()
    assert not machine.take_changed()
    assert machine.get_timer() is None
    assert repr(machine) == "<ReflexiveAddresses 2 of 2 servers answered>"


def test_a_silent_server_is_asked_three_times_a_tenth_of_a_second_apart_and_again_after_a_pause_that_doubles():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    times = [at for at, _ in run(machine, 0.0, 1000.0)]
    rounds = [times[start : start + limits.STUN_SENDS] for start in range(0, len(times), limits.STUN_SENDS)]
    assert all(
        one_round == pytest.approx([one_round[0] + 0.1 * number for number in range(3)])
        for one_round in rounds
    )
    starts = [one_round[0] for one_round in rounds]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps == pytest.approx([limits.STUN_GIVE_UP + 2**number for number in range(limits.STUN_RETRIES)])
    assert machine.get_timer() is None


def test_the_second_request_of_a_round_is_the_same_and_its_answer_counts():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    [(first, _)] = machine.datagrams_to_send(0.0)
    [(second, _)] = machine.datagrams_to_send(0.1)
    assert first == second
    assert machine.receive(answer(first, SEEN), ONE, 0.15)
    assert machine.datagrams_to_send(10.0) == []


def test_while_active_it_is_asked_again_within_22_to_26_seconds_and_otherwise_not():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    machine.set_active(True, 0.0)
    now, gaps = 0.0, []
    for _ in range(200):
        exchange(machine, now, one=SEEN)
        at = machine.get_timer()
        gaps.append(at - now - 0.02)
        now = at
    assert min(gaps) >= limits.STUN_EVERY - 0.01
    assert max(gaps) <= limits.STUN_EVERY + limits.STUN_JITTER + 0.01
    assert max(gaps) - min(gaps) > 3
    exchange(machine, now, one=SEEN)
    machine.set_active(False, now)
    assert machine.get_timer() is None


def test_becoming_active_asks_at_once_what_may_be_stale_and_not_what_is_fresh():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    exchange(machine, 0.0, one=SEEN)
    for now in (1.0, 2.0, 3.0):
        machine.set_active(True, now)
        assert machine.get_timer() == limits.STUN_EVERY
        machine.set_active(False, now)
    machine.set_active(True, 500.0)
    assert machine.get_timer() == 500.0


def test_another_network_is_asked_anew_and_what_was_seen_is_forgotten():
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    [(request, _), _] = machine.datagrams_to_send(0.0)
    machine.network_changed(0.01)
    assert not machine.receive(answer(request, SEEN), ONE, 0.02), "an answer of the old network"
    exchange(machine, 0.02, one=OTHER, two=OTHER)
    assert machine.addresses == (OTHER,)
    machine.take_changed()
    machine.network_changed(5.0)
    assert machine.addresses == ()
    assert machine.take_changed()


def test_refresh_asks_all_but_those_being_asked():
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    exchange(machine, 0.0, one=SEEN)
    machine.refresh(0.05)
    assert [server for _, server in machine.datagrams_to_send(0.05)] == [ONE]


def test_a_lone_answer_that_differs_from_what_others_agree_on_is_not_told():
    machine = Machine()
    machine.set_servers([ONE, TWO, THREE], 0.0)
    exchange(machine, 0.0, one=Address.parse("192.0.2.66:1"), two=SEEN, three=SEEN)
    assert machine.addresses == (SEEN,)
    assert machine.varies(4)


def test_where_the_mapping_varies_each_answer_is_told_within_a_bound():
    servers = [Address.of("198.51.100.1", 1000 + number) for number in range(20)]
    machine = Machine()
    machine.set_servers(servers, 0.0)
    requests = machine.datagrams_to_send(0.0)
    assert len(requests) == limits.STUN_SERVERS
    for number, (request, server) in enumerate(requests):
        machine.receive(answer(request, Address.of("203.0.113.9", 2000 + number)), server, 0.1)
    assert len(machine.addresses) == limits.STUN_ADDRESSES
    assert machine.varies(4)


def test_families_are_counted_apart():
    sixth = Address.parse("[2001:db8::9]:7777")
    machine = Machine()
    machine.set_servers([ONE, TWO, THREE], 0.0)
    exchange(machine, 0.0, one=SEEN, two=SEEN, three=sixth)
    assert machine.addresses == (SEEN, sixth)


@pytest.mark.parametrize("how", ["source", "transaction", "junk", "request", "method", "again"])
def test_only_the_server_that_was_asked_answers_and_once(how):
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    (request, _), _ = machine.datagrams_to_send(0.0)
    response = answer(request, SEEN)
    source = ONE
    match how:
        case "source":
            source = Address.of(str(ONE.ip), ONE.port + 1)
        case "transaction":
            response = stun.encode(Method.BINDING, Class.RESPONSE, bytes(12), {"XOR-MAPPED-ADDRESS": SEEN})
        case "junk":
            response = response[:-1]
        case "request":
            response = request
        case "method":
            txid = stun.decode(request).transaction_id
            response = stun.encode(Method.ALLOCATE, Class.RESPONSE, txid, {"XOR-MAPPED-ADDRESS": SEEN})
        case "again":
            assert machine.receive(response, ONE, 0.1)
            response = answer(request, OTHER)
    assert not machine.receive(response, source, 0.1)
    assert OTHER not in machine.addresses
    assert len(machine.addresses) == (how == "again")


def test_a_server_of_which_another_server_knows_the_transaction_is_not_answered_for():
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    (first, _), _ = machine.datagrams_to_send(0.0)
    assert not machine.receive(answer(first, SEEN), TWO, 0.1)


@pytest.mark.parametrize("lie", ["127.0.0.1:80", "224.0.0.1:80", "0.0.0.0:80", "[::1]:80", None])
def test_what_cannot_be_or_an_error_counts_as_silence(lie):
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    exchange(machine, 0.0, one=lie and Address.parse(lie))
    assert machine.addresses == ()
    assert machine.get_timer() == pytest.approx(0.02 + limits.STUN_RETRY)


def test_an_address_survives_one_silent_round_and_not_two():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    exchange(machine, 0.0, one=SEEN)
    machine.take_changed()
    machine.refresh(10.0)
    run(machine, 10.0, 13.5)
    assert machine.addresses == (SEEN,)
    run(machine, 13.5, 30.0)
    assert machine.addresses == ()
    assert machine.take_changed()


def test_a_server_that_is_not_to_be_asked_any_more_takes_its_answer_along():
    machine = Machine()
    machine.set_servers([ONE, TWO], 0.0)
    exchange(machine, 0.0, one=SEEN, two=OTHER)
    machine.take_changed()
    machine.set_servers([TWO, THREE], 1.0)
    assert machine.take_changed()
    assert machine.addresses == (OTHER,)
    assert [server for _, server in machine.datagrams_to_send(1.0)] == [THREE]


def test_nobody_is_asked_at_an_address_that_is_no_servers():
    machine = Machine()
    machine.set_servers([Address.parse("224.0.0.1:3478"), Address.parse("0.0.0.0:3478")], 0.0)
    assert machine.datagrams_to_send(0.0) == []


def test_a_proof_of_the_server_is_echoed_in_the_next_round():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    [(request, _)] = machine.datagrams_to_send(0.0)
    assert stun.decode(request).attributes["ROUTABLE"] == bytes(PROOF_BYTES)
    machine.receive(answer(request, SEEN, ROUTABLE=b"p" * PROOF_BYTES), ONE, 0.1)
    machine.refresh(1.0)
    [(request, _)] = machine.datagrams_to_send(1.0)
    assert stun.decode(request).attributes["ROUTABLE"] == b"p" * PROOF_BYTES
    machine.receive(answer(request, SEEN, ROUTABLE=b"far too long" * 100), ONE, 1.1)
    machine.refresh(2.0)
    [(request, _)] = machine.datagrams_to_send(2.0)
    assert stun.decode(request).attributes["ROUTABLE"] == bytes(PROOF_BYTES)


def test_a_server_of_the_old_attribute_counts_too():
    machine = Machine()
    machine.set_servers([ONE], 0.0)
    [(request, _)] = machine.datagrams_to_send(0.0)
    txid = stun.decode(request).transaction_id
    machine.receive(stun.encode(Method.BINDING, Class.RESPONSE, txid, {"MAPPED-ADDRESS": SEEN}), ONE, 0.1)
    assert machine.addresses == (SEEN,)
