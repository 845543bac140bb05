"""What both QUIC engines must do, each alone and across."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from tests.lab.quic import ALICE, BOB, EnginePair
from tests.lab.wire import Wire
from tunnels import limits
from tunnels.quic.engine import ENGINE_NAMES
from tunnels.quic.engines import make_factory

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def pair(request) -> EnginePair:
    pair = EnginePair(*request.param)
    pair.handshake()
    return pair


def test_the_client_sees_the_servers_key(pair):
    assert pair.client.peer_key() == BOB.endpoint_id.key


def test_both_ends_have_the_same_channel_binding_and_no_other_connection_has_it(pair):
    assert pair.client.channel_binding() == pair.server.channel_binding()
    other = EnginePair(pair.client_name, pair.server_name)
    other.handshake()
    assert other.client.channel_binding() != pair.client.channel_binding()


@pytest.mark.parametrize("opener", ["client", "server"])
def test_a_stream_carries_bytes_and_ends_both_ways(pair, opener):
    ours, theirs = (pair.client, pair.server) if opener == "client" else (pair.server, pair.client)
    at_us, at_them = (
        (pair.at_client, pair.at_server) if opener == "client" else (pair.at_server, pair.at_client)
    )
    stream_id = ours.open_stream()
    ours.send_stream_data(stream_id, b"request " * 5000, end_stream=True)
    pair.wire.run(2)
    assert at_them.data(stream_id) == b"request " * 5000
    assert at_them.named("stream_data")[-1][3] is True
    theirs.send_stream_data(stream_id, b"reply", end_stream=True)
    pair.wire.run(2)
    assert at_us.data(stream_id) == b"reply"
    assert at_us.named("stream_data")[-1][3] is True


def test_an_empty_write_takes_the_stream_id(pair):
    first = pair.client.open_stream()
    pair.client.send_stream_data(first, b"")
    assert pair.client.open_stream() == first + 4


def test_a_reset_arrives_with_its_code(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"half a ")
    pair.wire.run(1)
    pair.client.reset_stream(stream_id, 0x106)
    pair.wire.run(1)
    assert ("stream_reset", stream_id, 0x106) in pair.at_server.events


def test_stop_sending_arrives_with_its_code_and_later_writes_are_ignored(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"unwanted")
    pair.wire.run(1)
    pair.server.stop_stream(stream_id, 0x106)
    pair.wire.run(1)
    assert ("stop_sending", stream_id, 0x106) in pair.at_client.events
    pair.client.send_stream_data(stream_id, b"more")
    pair.client.send_stream_data(stream_id, b"", end_stream=True)
    pair.client.reset_stream(stream_id, 1)
    pair.wire.run(1)
    assert pair.at_server.data(stream_id) == b"unwanted"


def test_operations_on_a_finished_stream_are_ignored(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"x", end_stream=True)
    pair.wire.run(1)
    pair.server.send_stream_data(stream_id, b"y", end_stream=True)
    pair.wire.run(1)
    for engine in (pair.client, pair.server):
        engine.send_stream_data(stream_id, b"late")
        engine.reset_stream(stream_id, 1)
        engine.stop_stream(stream_id, 1)
    pair.wire.run(1)
    assert not pair.at_client.named("terminated")
    assert not pair.at_server.named("terminated")


def test_datagrams_of_the_largest_allowed_size_go_both_ways(pair):
    largest = b"d" * limits.MAX_DATAGRAM_FRAME
    pair.client.send_datagram_frame(largest)
    pair.server.send_datagram_frame(b"tiny")
    pair.wire.run(1)
    assert ("datagram", largest) in pair.at_server.events
    assert ("datagram", b"tiny") in pair.at_client.events


def test_a_ping_is_acknowledged_by_its_number(pair):
    pair.client.send_ping(77)
    pair.wire.run(1)
    assert ("ping_acknowledged", 77) in pair.at_client.events


def test_the_client_changes_keys_again_and_again_and_bytes_pass_both_ways(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"!")
    pair.wire.run(1)
    pair.at_server.events.clear()
    pair.wire.loss = 0.05
    for number in range(1, 6):
        assert pair.client.update_keys()
        for engine in (pair.client, pair.server):
            engine.send_stream_data(stream_id, b"x" * 20_000)
        pair.wire.run(20, lambda: len(pair.at_server.data(stream_id)) == number * 20_000)  # noqa: B023
        pair.wire.run(3)
        assert len(pair.at_server.data(stream_id)) == len(pair.at_client.data(stream_id)) == number * 20_000
    assert not pair.at_client.named("terminated")


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_keys_are_not_changed_before_there_are_any(name):
    client = make_factory(name).client(make_certificate_once(), 60.0)
    client.connect(1.0)
    assert not client.update_keys()


def test_the_round_trip_time_is_measured(pair):
    pair.client.send_ping(1)
    pair.wire.run(1)
    assert pair.client.rtt() == pytest.approx(2 * pair.wire.delay, abs=0.03)


def test_a_close_arrives_with_code_and_reason(pair):
    pair.client.close(0x103, "too many guests")
    pair.wire.run(5)
    assert pair.at_server.named("terminated") == [("terminated", 0x103, "too many guests")]


def test_calls_after_close_are_ignored(pair):
    pair.client.close(0x100, "")
    pair.client.send_stream_data(4, b"x")
    pair.client.reset_stream(4, 1)
    pair.client.stop_stream(4, 1)
    pair.client.send_datagram_frame(b"x")
    pair.client.send_ping(3)
    pair.client.close(0x100, "again")
    pair.wire.run(5)
    assert len(pair.at_server.named("terminated")) == 1


@pytest.mark.parametrize("names", PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_silence_ends_the_connection_with_a_code_below_256(names):
    pair = EnginePair(*names, idle_timeout=5.0)
    pair.handshake()
    pair.wire.is_down = True
    pair.client.send_ping(1)
    pair.wire.run(30)
    for recorder in (pair.at_client, pair.at_server):
        (terminated,) = recorder.named("terminated")
        assert terminated[1] < 256


def test_more_streams_than_an_engines_default_run_at_once(pair):
    ids = []
    for _ in range(1500):
        stream_id = pair.client.open_stream()
        assert stream_id is not None
        pair.client.send_stream_data(stream_id, b"hi")
        ids.append(stream_id)
    pair.wire.run(10)
    assert {event[1] for event in pair.at_server.named("stream_data")} == set(ids)


def test_the_limit_of_streams_is_told_and_moves_when_streams_end(pair):
    for _ in range(limits.MAX_STREAMS):
        stream_id = pair.client.open_stream()
        assert stream_id is not None
        pair.client.send_stream_data(stream_id, b"hi", end_stream=True)
    assert pair.client.open_stream() is None
    pair.wire.run(10)
    for stream_id in range(0, 4 * limits.MAX_STREAMS, 4):
        pair.server.send_stream_data(stream_id, b"", end_stream=True)
    pair.wire.run(10)
    assert pair.client.open_stream() is not None


def test_a_megabyte_arrives_whole_through_loss(pair):
    pair.wire.loss = 0.03
    data = Random(7).randbytes(1_000_000)
    stream_id = pair.server.open_stream()
    pair.server.send_stream_data(stream_id, data, end_stream=True)
    pair.wire.run(120, lambda: len(pair.at_client.data(stream_id)) == len(data))
    assert pair.at_client.data(stream_id) == data


@pytest.mark.parametrize("names", PAIRS, ids=["-".join(pair) for pair in PAIRS])
@pytest.mark.parametrize("seed", range(3))
def test_a_handshake_gets_through_a_fifth_of_loss(names, seed):
    pair = EnginePair(*names, wire=Wire(loss=0.2, seed=seed))
    pair.handshake(30)


def test_after_a_long_blackout_a_poke_brings_the_connection_back_at_once(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"before")
    pair.wire.run(1)
    pair.wire.is_down = True
    pair.client.send_stream_data(stream_id, b" after")
    pair.wire.run(20)
    assert pair.client.probe_timeouts() >= limits.SUSPECT_PROBES
    pair.wire.is_down = False
    pair.client.poke()
    pair.wire.run(0.5)
    assert pair.at_server.data(stream_id) == b"before after"
    assert pair.client.probe_timeouts() == 0


def test_unsent_bytes_are_told_where_the_engine_can(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"x" * 1_000_000)
    if pair.client_name == "qh3":
        assert pair.client.unsent_bytes() == 1_000_000
    pair.wire.run(5)
    assert pair.client.unsent_bytes() == 0


def test_congestion_is_told_while_datagrams_wait(pair):
    assert not pair.client.is_congested()
    for _ in range(500):
        pair.client.send_datagram_frame(b"x" * 1000)
    pair.wire.transmit()
    assert pair.client.is_congested()
    pair.wire.run(5)
    assert not pair.client.is_congested()
    assert len(pair.at_server.named("datagram")) == 500


def test_junk_and_mutated_datagrams_change_nothing(pair):
    random = Random(3)
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"ping")
    samples = pair.client.datagrams_to_send(pair.wire.now)
    for _ in range(3000):
        sample = bytearray(random.choice(samples))
        kind = random.randrange(4)
        if kind == 0:
            sample = bytearray(random.randbytes(random.randrange(1, 1500)))
        elif kind == 1:
            del sample[random.randrange(1, len(sample)) :]
        else:
            sample[random.randrange(len(sample))] ^= 1 << random.randrange(8)
        pair.server.receive_datagrams([bytes(sample)], pair.wire.now)
        pair.server.drain_events(pair.at_server)
    pair.wire.run(3)
    assert pair.at_server.data(stream_id) == b"ping"


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_a_server_engine_survives_junk_as_its_first_datagram(name):
    random = Random(5)
    for _ in range(200):
        engine = make_factory(name).server(
            make_certificate_once(),
            60.0,
            original_destination_connection_id=random.randbytes(8),
            retry_source_connection_id=None,
        )
        engine.receive_datagrams([b"\xc0\x00\x00\x00\x01" + random.randbytes(1195)], 1.0)
        assert engine.datagrams_to_send(1.0) == []


def make_certificate_once(cache=[]):  # noqa: B006 - one certificate is enough for all of them
    from tunnels.quic.certificates import make_certificate

    if not cache:
        cache.append(make_certificate(ALICE))
    return cache[0]


# --- the size of packets ------------------------------------------------------------------------------------------


def sizes(pair: EnginePair, count: int) -> list[int]:
    """The sizes of the datagrams in which the client sends so many bytes on a stream."""
    seen: list[int] = []
    send = pair.client.datagrams_to_send
    draining = pair.wire._ends[0]
    draining.datagrams_to_send = lambda now: seen.extend(map(len, sent := send(now))) or sent
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, bytes(count))
    pair.wire.run(20, lambda: len(pair.at_server.data(stream_id)) == count)
    assert len(pair.at_server.data(stream_id)) == count
    return seen


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
@pytest.mark.parametrize(
    ("delay", "largest"), [(0.001, limits.SHORT_PATH_PACKET), (0.02, limits.LONG_PATH_PACKET)]
)
def test_handshake_packets_fit_every_path_and_later_ones_are_as_large_as_the_path_is_short(
    names, delay, largest
):
    pair = EnginePair(*names, wire=Wire(delay=delay))
    first: list[int] = []
    draining = pair.wire._ends[0]
    send = pair.client.datagrams_to_send
    draining.datagrams_to_send = lambda now: first.extend(map(len, sent := send(now))) or sent
    pair.handshake()
    assert max(first) <= 1280
    assert largest - 100 <= max(sizes(pair, 300_000)) <= largest


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
@pytest.mark.parametrize("lost", [1, 2, 5])
@pytest.mark.parametrize("only_data", [False, True])
def test_when_the_end_of_a_handshake_is_late_or_lost_packets_become_as_large_all_the_same(
    names, lost, only_data
):
    """As on a busy machine."""
    pair = EnginePair(*names, wire=Wire(delay=0.001))
    draining = pair.wire._ends[0]
    send, receive = draining.datagrams_to_send, draining.receive_datagrams
    flights = itertools.count()

    def losing(now: float) -> list[bytes]:
        datagrams = send(now)
        if datagrams and pair.at_client.named("handshake_completed") and next(flights) < lost:
            return [datagram for datagram in datagrams if only_data and datagram[0] & 0x80]
        return datagrams

    def receiving(datagrams: list[bytes], now: float) -> None:
        completed = pair.at_client.named("handshake_completed")
        receive(datagrams, now)
        if not completed and pair.at_client.named("handshake_completed"):
            pair.client.send_stream_data(pair.client.open_stream(), b"at once")

    draining.datagrams_to_send, draining.receive_datagrams = losing, receiving
    pair.handshake()
    pair.wire.run(1, lambda: pair.at_server.data(0) == b"at once")
    assert pair.at_server.data(0) == b"at once"
    draining.datagrams_to_send = send
    assert max(sizes(pair, 300_000)) > limits.SHORT_PATH_PACKET - 100


def test_a_lost_handshake_is_repeated_in_packets_that_fit_every_path(pair):
    lossy = EnginePair(pair.client_name, pair.server_name, wire=Wire(loss=0.3, seed=5))
    lossy.handshake(30)
    stream_id = lossy.client.open_stream()
    lossy.client.send_stream_data(stream_id, b"through")
    lossy.wire.run(30, lambda: lossy.at_server.data(stream_id) == b"through")
    assert lossy.at_server.data(stream_id) == b"through"


def test_bytes_in_flight_are_told(pair):
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, bytes(5000))
    pair.client.datagrams_to_send(pair.wire.now)
    assert pair.client.bytes_in_flight() >= 5000
