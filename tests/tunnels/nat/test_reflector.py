"""Facts about a STUN server's answers: to whom, from where, how large, how many."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.reflector import PROOF_BYTES, Change, Outcome, Reflector, Site, Sites
from tunnels.nat.reflexive import ReflexiveAddresses
from tunnels.nat.stun import Class, Extra, Method

TXID = bytes(range(12))
IPS = (ip_address("198.51.100.1"), ip_address("198.51.100.2"))
PORTS = (3478, 3479)
CLIENT = Address.parse("203.0.113.9:41641")
CLIENT6 = Address.parse("[2001:db8::9]:41641")
HERE = Site(0, 0)
BOTH = Change.IP | Change.PORT
ROOM = {"PADDING": bytes(100)}
ASK = {Extra.ROUTABLE.label: bytes(PROOF_BYTES)}


@pytest.fixture
def reflector() -> Reflector:
    return Reflector(Sites(IPS, PORTS), b"s" * 32)


def request(**attributes) -> bytes:
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    return stun.encode(Method.BINDING, Class.REQUEST, TXID, named)


def ask(
    reflector: Reflector, datagram: bytes, source: Address = CLIENT, site: Site = HERE, now: float = 100.0
):
    """The message that answers, and the site it comes from."""
    answer = reflector.receive(datagram, source, site, now)
    assert answer is not None
    message = stun.decode(answer.datagram)
    assert message.transaction_id == TXID
    return message, answer.site


def proof_for(reflector: Reflector, source: Address = CLIENT, now: float = 100.0) -> bytes:
    return ask(reflector, request(**ROOM, **ASK), source, now=now)[0].attributes["ROUTABLE"]


def test_a_plain_client_learns_its_address_and_the_answer_is_the_smallest_there_is(reflector):
    for source, size in ((CLIENT, 32), (CLIENT6, 44)):
        answer = reflector.receive(request(), source, HERE, 1.0)
        assert len(answer.datagram) == size
        message = stun.decode(answer.datagram)
        assert message.kind is Class.RESPONSE
        assert message.attributes == {"XOR-MAPPED-ADDRESS": (str(source.ip), source.port)}
        assert answer.site == HERE
    assert reflector.counts == {Outcome.ANSWERED: 2}


def test_a_client_that_makes_room_learns_the_rest(reflector):
    for site in (HERE, Site(1, 0)):
        message, origin = ask(reflector, request(**ROOM), site=site)
        assert message.address("MAPPED-ADDRESS") == CLIENT
        assert message.address("RESPONSE-ORIGIN") == Address(IPS[site.ip], PORTS[site.port])
        assert message.address("OTHER-ADDRESS") == Address(IPS[1 - site.ip], PORTS[1 - site.port])
        assert origin == site


@pytest.mark.parametrize("change", [Change.PORT, Change.IP, BOTH])
def test_who_proved_to_receive_is_answered_from_elsewhere(reflector, change):
    proof = proof_for(reflector)
    message, origin = ask(reflector, request(CHANGE_REQUEST=int(change), ROUTABLE=proof, **ROOM))
    assert message.kind is Class.RESPONSE
    assert origin == HERE.changed(change)
    assert message.address("RESPONSE-ORIGIN") == reflector.sites.address(origin)


@pytest.mark.parametrize(
    "how", ["none", "zeros", "short", "altered", "source", "port", "late", "future", "secret"]
)
def test_without_a_good_proof_nothing_is_sent_from_elsewhere(reflector, how):
    proof: bytes | None = proof_for(reflector)
    source, now = CLIENT, 100.0
    match how:
        case "none":
            proof = None
        case "zeros":
            proof = bytes(PROOF_BYTES)
        case "short":
            proof = proof[:-1]
        case "altered":
            proof = proof[:-1] + bytes([proof[-1] ^ 1])
        case "source":
            source = Address.of("192.0.2.66", CLIENT.port)
        case "port":
            source = Address.of(str(CLIENT.ip), CLIENT.port + 1)
        case "late":
            now += limits.REFLECTOR_ROUTABLE + 1
        case "future":
            now -= 1
        case "secret":
            proof = proof_for(Reflector(Sites(IPS, PORTS), b"t" * 32))
    attributes = {} if proof is None else {"ROUTABLE": proof}
    message, origin = ask(reflector, request(CHANGE_REQUEST=int(BOTH), **attributes), source, now=now)
    assert (message.kind, message.error_code) == (Class.ERROR, 403)
    assert origin == HERE


def test_a_proof_is_good_for_half_a_minute(reflector):
    proof = proof_for(reflector)
    datagram = request(CHANGE_REQUEST=int(BOTH), ROUTABLE=proof)
    assert ask(reflector, datagram, now=100.0 + limits.REFLECTOR_ROUTABLE)[1] == Site(1, 1)


@pytest.mark.parametrize(
    ("sites", "possible"),
    [
        (Sites(IPS[:1], PORTS[:1]), set()),
        (Sites(IPS[:1], PORTS), {Change.PORT}),
        (Sites(IPS, PORTS[:1]), {Change.IP}),
    ],
)
def test_a_server_with_fewer_addresses_says_what_it_cannot_do_and_names_no_other(sites, possible):
    reflector = Reflector(sites, b"s" * 32)
    proof = proof_for(reflector)
    assert "OTHER-ADDRESS" not in ask(reflector, request(**ROOM))[0].attributes
    for change in (Change.PORT, Change.IP, BOTH):
        message, origin = ask(reflector, request(CHANGE_REQUEST=int(change), ROUTABLE=proof, **ROOM))
        if change in possible:
            assert origin == HERE.changed(change)
        else:
            assert message.error_code == 420
            assert message.attributes["UNKNOWN-ATTRIBUTES"] == b"\x00\x03"


def test_what_it_does_not_understand_and_answers_to_other_ports_are_refused(reflector):
    message, _ = ask(reflector, request(RESPONSE_PORT=b"\x00\x35\x00\x00", **ROOM))
    assert message.error_code == 420
    assert message.attributes["UNKNOWN-ATTRIBUTES"] == b"\x00\x27"
    unknown = bytes.fromhex("000100082112a442") + TXID + bytes.fromhex("7ffe0000 fffe0000")
    assert ask(reflector, unknown)[0].error_code == 420
    assert reflector.counts == {Outcome.REFUSED: 2}


attribute = st.sampled_from(
    ["PADDING", "ROUTABLE", "CHANGE-REQUEST", "RESPONSE-PORT", "SOFTWARE", "LIFETIME"]
)


@given(
    st.dictionaries(attribute, st.binary(max_size=150), max_size=4),
    st.integers(0, 7),
    st.sampled_from([CLIENT, CLIENT6]),
)
def test_no_answer_is_larger_than_its_request_or_the_smallest_there_is(found, change, source):
    reflector = Reflector(Sites(IPS, PORTS), b"s" * 32)
    attributes = {}
    for name, value in found.items():
        match name:
            case "CHANGE-REQUEST" | "LIFETIME":
                attributes[name] = change
            case "SOFTWARE":
                attributes[name] = value.hex()
            case _:
                attributes[name] = value
    datagram = stun.encode(Method.BINDING, Class.REQUEST, TXID, attributes)
    answer = reflector.receive(datagram, source, HERE, 1.0)
    assert len(answer.datagram) <= max(len(datagram), 32 if source is CLIENT else 44)


@given(st.binary(max_size=120), st.binary(max_size=60))
def test_junk_is_answered_with_at_most_an_error(junk, attributes):
    reflector = Reflector(Sites(IPS, PORTS), b"s" * 32)
    header = b"\x00\x01" + len(attributes).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + TXID
    reflector.receive(junk, CLIENT, HERE, 1.0)
    reflector.receive(header + attributes, CLIENT, HERE, 1.0)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x40" * 1200,
        stun.encode(Method.BINDING, Class.RESPONSE, TXID, {"XOR-MAPPED-ADDRESS": CLIENT}),
        stun.encode(Method.BINDING, Class.ERROR, TXID, {"ERROR-CODE": (420, "")}),
        stun.encode(Method.BINDING, Class.INDICATION, TXID),
        stun.encode(Method.ALLOCATE, Class.REQUEST, TXID),
    ],
)
def test_two_servers_that_answer_each_other_cannot_begin(reflector, datagram):
    assert reflector.receive(datagram, CLIENT, HERE, 1.0) is None
    assert reflector.counts == {Outcome.JUNK: 1}


def flood(reflector: Reflector, sources, now: float, datagram: bytes = b"") -> int:
    datagram = datagram or request()
    return sum(reflector.receive(datagram, source, HERE, now) is not None for source in sources)


def test_one_address_gets_a_burst_and_then_ten_a_second_whatever_its_ports(reflector):
    ports = [Address.of("203.0.113.9", port) for port in range(1, 1000)]
    assert flood(reflector, ports, 1.0) == limits.REFLECTOR_BURST
    assert flood(reflector, ports, 2.0) == limits.REFLECTOR_PER_SECOND
    assert flood(reflector, ports, 100.0) == limits.REFLECTOR_BURST
    assert flood(reflector, [Address.parse("203.0.113.10:1")], 100.0) == 1


def test_of_ipv6_it_is_a_56(reflector):
    same = [Address.of(f"2001:db8:0:{number:x}::1", 1) for number in range(256)]
    assert flood(reflector, same, 1.0) == limits.REFLECTOR_BURST
    assert flood(reflector, [Address.of("2001:db8:0:100::1", 1)], 1.0) == 1


def test_all_together_are_bounded_and_forged_ones_do_not_use_up_what_proved_ones_need(reflector):
    proof = proof_for(reflector, now=1.0)
    forged = (Address(ip_address(0x0A000000 + number), 1) for number in range(20_000))
    assert flood(reflector, forged, 1.0) == limits.REFLECTOR_ALL_BURST - 1
    assert flood(reflector, [Address.parse("192.0.2.1:1")], 1.0) == 0
    assert flood(reflector, [CLIENT], 1.0, request(ROUTABLE=proof)) == 1
    forged = (Address(ip_address(0x0B000000 + number), 1) for number in range(20_000))
    assert flood(reflector, forged, 2.0) == limits.REFLECTOR_ALL_PER_SECOND


def test_a_bounded_number_of_sources_is_remembered(reflector):
    assert flood(reflector, [CLIENT] * 100, 1.0) == limits.REFLECTOR_BURST
    others = [Address(ip_address(0x0A000000 + number), 1) for number in range(limits.REFLECTOR_SOURCES)]
    flood(reflector, others[:-1], 1.0)
    assert flood(reflector, [CLIENT], 1.0) == 0
    flood(reflector, others, 1.0, b"junk")
    flood(reflector, [Address.parse("192.0.2.1:1")], 1.0)
    assert len(reflector._sources._buckets) == limits.REFLECTOR_SOURCES
    assert flood(reflector, [CLIENT], 100.0) == 1


def test_our_own_client_gets_all_there_is_and_proves_itself_the_second_time(reflector):
    client = ReflexiveAddresses(Random(1).randbytes)
    server = reflector.sites.address(HERE)
    client.set_servers([server], 0.0)
    for now in (0.0, 25.0):
        client.refresh(now)
        [(datagram, _)] = client.datagrams_to_send(now)
        answer = reflector.receive(datagram, CLIENT, HERE, now)
        names = {"XOR-MAPPED-ADDRESS", "ROUTABLE", "OTHER-ADDRESS", "RESPONSE-ORIGIN", "MAPPED-ADDRESS"}
        assert set(stun.decode(answer.datagram).attributes) == names
        assert client.receive(answer.datagram, server, now)
    assert client.addresses == (CLIENT,)
    client.refresh(26.0)
    [(datagram, _)] = client.datagrams_to_send(26.0)
    assert reflector._is_proved(stun.decode(datagram).attributes["ROUTABLE"], CLIENT, 26.0)


def test_the_first_two_addresses_differ_in_all_they_can():
    assert Sites(IPS, PORTS).addresses[:2] == (Address(IPS[0], 3478), Address(IPS[1], 3479))
    assert len(set(Sites(IPS, PORTS).addresses)) == 4
    assert Sites(IPS[:1], PORTS).addresses == (Address(IPS[0], 3478), Address(IPS[0], 3479))
    assert Sites(IPS[:1], PORTS[:1]).addresses == (Address(IPS[0], 3478),)


@pytest.mark.parametrize(
    ("ips", "ports"), [((), PORTS), (IPS, ()), (IPS * 2, PORTS), (IPS, (1, 1)), (IPS, (1, 2, 3))]
)
def test_more_than_two_of_either_or_twice_the_same_is_refused(ips, ports):
    with pytest.raises(ValueError, match="one ip or two"):
        Sites(ips, ports)


def order(reflector: Reflector, seconds: int, source: Address = CLIENT, now: float = 100.0, **more) -> bool:
    """Ask for an echo, with proof; whether it was promised."""
    proof = proof_for(reflector, source, now)
    attributes = {**ROOM, "ROUTABLE": proof, "ECHO-AFTER": seconds.to_bytes(2), **more}
    return "ECHO-AFTER" in ask(reflector, request(**attributes), source, now=now)[0].attributes


def test_who_proves_its_address_is_sent_something_later_once(reflector):
    assert reflector.get_timer() is None
    assert order(reflector, 25)
    assert reflector.get_timer() == 125.0
    assert reflector.echoes_to_send(124.9) == []
    (echo,) = reflector.echoes_to_send(125.0)
    assert echo.to == CLIENT
    assert echo.site == HERE
    message = stun.decode(echo.datagram)
    assert message.kind is Class.INDICATION
    assert message.transaction_id == TXID
    assert len(echo.datagram) == stun.HEADER_BYTES
    assert reflector.echoes_to_send(1000.0) == []
    assert reflector.get_timer() is None
    assert reflector.counts[Outcome.ECHOED] == 1


def test_nothing_is_sent_later_without_a_proof_or_to_anybody_else(reflector):
    proof = proof_for(reflector)
    for source, shown in ((CLIENT, bytes(PROOF_BYTES)), (Address(CLIENT.ip, 5), proof), (CLIENT6, proof)):
        asked = request(**ROOM, ROUTABLE=shown, ECHO_AFTER=b"\0\x19")
        message, _ = ask(reflector, asked, source)
        assert "ECHO-AFTER" not in message.attributes
    assert reflector.get_timer() is None


def test_a_time_that_is_none_or_too_long_is_not_promised(reflector):
    assert not order(reflector, 0)
    assert not order(reflector, limits.REFLECTOR_ECHO_MOST + 1)
    assert not order(reflector, 25, **{"ECHO-AFTER": b"\x19"})
    assert order(reflector, limits.REFLECTOR_ECHO_MOST)


def test_the_answer_and_what_is_sent_later_are_no_larger_than_the_request(reflector):
    proof = proof_for(reflector)
    asked = request(SOFTWARE="." * 64, ROUTABLE=proof, ECHO_AFTER=b"\0\x19")
    answer = reflector.receive(asked, CLIENT, HERE, 100.0)
    assert answer is not None
    (echo,) = reflector.echoes_to_send(200.0)
    assert len(answer.datagram) + len(echo.datagram) <= len(asked)


def test_one_address_has_one_and_asking_again_does_not_make_it_two(reflector):
    assert order(reflector, 25)
    assert order(reflector, 25, now=101.0), "its answer was lost"
    other = stun.encode(
        Method.BINDING,
        Class.REQUEST,
        bytes(12),
        {**ROOM, "ROUTABLE": proof_for(reflector), "ECHO-AFTER": b"\0\x19"},
    )
    answer = reflector.receive(other, CLIENT, HERE, 102.0)
    assert answer is not None
    assert "ECHO-AFTER" not in stun.decode(answer.datagram).attributes
    assert len(reflector.echoes_to_send(1000.0)) == 1
    assert order(reflector, 25, now=1001.0)


def test_a_household_and_all_together_have_so_many(reflector, monkeypatch):
    of_source = limits.REFLECTOR_ECHOES_OF_SOURCE
    granted = [order(reflector, 25, Address(CLIENT.ip, 1000 + n), 100.0 + n) for n in range(of_source + 2)]
    assert granted == [True] * of_source + [False] * 2
    monkeypatch.setattr(limits, "REFLECTOR_ECHOES", of_source + 3)
    ips = [ip_address(f"192.0.2.{n}") for n in range(1, 6)]
    assert [order(reflector, 25, Address(ip, 1000), 110.0) for ip in ips] == [True] * 3 + [False] * 2
    assert len(reflector.echoes_to_send(1000.0)) == of_source + 3
    assert order(reflector, 25, Address(CLIENT.ip, 2000), 1001.0), "there is room again"
    assert len(reflector._echoes._of_source) == 1
