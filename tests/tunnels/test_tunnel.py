"""Facts about a tunnel, told by two of them over a simulated wire."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from tests.lab.quic import ALICE, BOB, EVE, Recorder, TunnelPair
from tests.lab.wire import Wire
from tunnels import limits
from tunnels.control_stream import encode_credit, encode_proof, encode_welcome
from tunnels.errors import (
    ProtocolViolation,
    TooManyStreams,
    TunnelClosed,
    TunnelLost,
    WrongIdentity,
)
from tunnels.events import CloseCode, TunnelState
from tunnels.quic.engine import ENGINE_NAMES
from tunnels.tunnel import CONTROL_STREAM, MAX_DATAGRAM

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def pair(request) -> TunnelPair:
    pair = TunnelPair(*request.param)
    pair.open()
    return pair


def qh3_pair(**kwargs) -> TunnelPair:
    pair = TunnelPair(**kwargs)
    pair.open()
    return pair


def close_errors(recorder: Recorder) -> list[Exception]:
    return [event[1] for event in recorder.named("tunnel_closed")]


# --- identity -------------------------------------------------------------------------------------------------


def test_both_ends_know_who_the_other_is(pair):
    assert pair.client.remote_id == BOB.endpoint_id
    assert pair.server.remote_id == ALICE.endpoint_id
    assert (pair.client.incarnation, pair.server.incarnation) == (b"server 1", b"client 1")


def test_a_server_with_another_key_is_refused_and_learns_no_id():
    pair = TunnelPair(server_key=EVE)
    pair.run(3)
    (error,) = close_errors(pair.at_client)
    assert isinstance(error, WrongIdentity)
    assert not pair.at_client.named("tunnel_opened")
    assert not pair.at_server.named("tunnel_opened")
    assert pair.server.remote_id is None


def test_a_client_that_claims_anothers_id_is_refused():
    pair = qh3_pair(client_key=EVE)
    binding = pair.client._engine.channel_binding()
    honest = encode_proof(EVE, binding, BOB.endpoint_id, b"client 1")
    pair.server.state = TunnelState.HANDSHAKE
    with pytest.raises(ProtocolViolation, match="proof of identity is wrong"):
        pair.server.stream_data(
            CONTROL_STREAM, honest.replace(EVE.endpoint_id.key, ALICE.endpoint_id.key), False
        )


def test_a_proof_made_for_another_connection_or_server_is_refused():
    victim = qh3_pair()
    binding = victim.client._engine.channel_binding()
    for proof in (
        encode_proof(ALICE, b"\0" * 32, BOB.endpoint_id, b"client 1"),  # another connection
        encode_proof(ALICE, binding, EVE.endpoint_id, b"client 1"),  # another server
    ):
        victim.server.state = TunnelState.HANDSHAKE
        with pytest.raises(ProtocolViolation, match="proof of identity is wrong"):
            victim.server.stream_data(CONTROL_STREAM, proof, False)


def test_an_endpoint_does_not_connect_to_itself():
    pair = TunnelPair(client_key=BOB)
    pair.run(3)
    (error,) = close_errors(pair.at_server)
    assert isinstance(error, ProtocolViolation)


def test_a_client_that_never_proves_itself_is_dropped_after_the_deadline():
    pair = TunnelPair()
    pair.client.handshake_completed = lambda: None  # TLS is done, and then nothing
    pair.run(limits.HANDSHAKE_TIMEOUT + 2)
    assert pair.server.state is TunnelState.CLOSED
    assert not pair.at_server.named("tunnel_opened")


def test_streams_before_the_proof_are_held_and_delivered_after_it():
    pair = TunnelPair()
    proof = {}

    def hold_the_proof() -> None:
        engine = pair.client._engine
        binding = engine.channel_binding()
        proof["bytes"] = encode_proof(ALICE, binding, BOB.endpoint_id, b"client 1")
        engine.send_stream_data(CONTROL_STREAM, proof["bytes"][:10])
        engine.send_stream_data(4, b"early bird", end_stream=True)

    pair.client.handshake_completed = hold_the_proof
    pair.run(1)
    assert not pair.at_server.named("stream_opened", "stream_data")
    pair.client._engine.send_stream_data(CONTROL_STREAM, proof["bytes"][10:])
    pair.run(1)
    assert pair.at_server.data(4) == b"early bird"
    assert pair.at_server.named("stream_ended") == [("stream_ended", 4)]


def test_streams_given_up_before_the_proof_are_given_up_after_it():
    """Else they would stay open here for ever: their reset is not told twice."""
    pair = TunnelPair()
    proof = {}

    def hold_the_proof() -> None:
        engine = pair.client._engine
        binding = engine.channel_binding()
        proof["bytes"] = encode_proof(ALICE, binding, BOB.endpoint_id, b"client 1")
        engine.send_stream_data(CONTROL_STREAM, proof["bytes"][:10])
        engine.send_stream_data(4, b"early bird")

    pair.client.handshake_completed = hold_the_proof
    pair.run(1)
    pair.client._engine.stop_stream(4, 0x206)
    pair.client._engine.reset_stream(4, 0x206)
    pair.run(1)
    assert not pair.at_server.named("stream_opened", "stream_data", "stream_reset")
    pair.client._engine.send_stream_data(CONTROL_STREAM, proof["bytes"][10:])
    pair.run(1)
    assert pair.at_server.named("stream_reset") == [("stream_reset", 4, 0x206)]
    assert pair.server.stream_count == 0


def test_too_many_events_before_the_proof_end_the_connection():
    pair = TunnelPair()

    def flood() -> None:
        for stream_id in range(4, 4 * limits.MAX_STREAMS, 4):
            pair.client._engine.send_stream_data(stream_id, b"", end_stream=True)

    pair.client.handshake_completed = flood
    pair.run(5)
    (error,) = close_errors(pair.at_server)
    assert isinstance(error, ProtocolViolation)


def test_too_much_before_the_proof_ends_the_connection():
    pair = TunnelPair()

    def flood() -> None:
        pair.client._engine.send_stream_data(4, b"x" * (limits.EARLY_STREAM_BYTES + 1))

    pair.client.handshake_completed = flood
    pair.run(5)
    (error,) = close_errors(pair.at_server)
    assert isinstance(error, ProtocolViolation)
    assert pair.server._early == []


# --- streams --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opener", ["client", "server"])
def test_a_stream_carries_bytes_and_half_closes_both_ways(pair, opener):
    ours, theirs, at_us, at_them = (
        (pair.client, pair.server, pair.at_client, pair.at_server)
        if opener == "client"
        else (pair.server, pair.client, pair.at_server, pair.at_client)
    )
    stream_id = ours.open_stream()
    ours.write(stream_id, b"question")
    ours.write_eof(stream_id)
    pair.run()
    assert at_them.named("stream_opened") == [("stream_opened", stream_id)]
    assert at_them.data(stream_id) == b"question"
    assert at_them.named("stream_ended") == [("stream_ended", stream_id)]
    theirs.write(stream_id, b"answer")
    theirs.write_eof(stream_id)
    pair.run()
    assert at_us.data(stream_id) == b"answer"
    assert at_us.named("stream_ended") == [("stream_ended", stream_id)]
    assert ours.stream_count == theirs.stream_count == 0


def test_a_reset_ends_both_directions_for_the_other_side(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"x")
    pair.run()
    pair.client.reset(stream_id)
    pair.run()
    assert pair.at_server.named("stream_reset") == [("stream_reset", stream_id, CloseCode.STREAM_ABORTED)]
    assert pair.client.stream_count == pair.server.stream_count == 0
    pair.server.write(stream_id, b"late")
    pair.run()
    assert not pair.at_client.named("stream_data", "tunnel_closed")


def test_a_reader_that_stops_ends_one_direction_and_its_own_bytes_still_arrive(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, bytes(2_000_000))
    pair.run()
    pair.server.write(stream_id, b"enough, thanks" * 300)
    pair.server.write_eof(stream_id)
    pair.server.reset(stream_id)  # its end is written, so this is only a stop, and overtakes the bytes
    pair.run()
    assert pair.at_client.named("stream_stopped") == [("stream_stopped", stream_id)]
    assert pair.client.pending_bytes(stream_id) == 0
    pair.client.write(stream_id, b"unheard")
    pair.client.write_eof(stream_id)
    pair.run()
    assert pair.at_client.data(stream_id) == b"enough, thanks" * 300
    assert pair.at_client.named("stream_ended") == [("stream_ended", stream_id)]
    assert not pair.at_client.named("stream_reset")
    assert pair.client.stream_count == pair.server.stream_count == 0


def test_what_is_written_after_the_end_is_ignored(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"all")
    pair.client.write_eof(stream_id)
    pair.client.write(stream_id, b"more")
    pair.client.write_eof(stream_id)
    pair.run()
    assert pair.at_server.data(stream_id) == b"all"
    assert pair.client.bytes_sent == 3


def test_streams_opened_and_given_up_unseen_are_not_remembered(pair):
    for _ in range(50):
        pair.client.reset(pair.client.open_stream())
    last = pair.client.open_stream()
    pair.client.write(last, b"x")
    pair.run()
    assert pair.at_server.named("stream_opened") == [("stream_opened", last)]
    assert not pair.server._unseen


def test_a_writer_stops_at_the_credit_a_stalled_reader_granted(pair):
    stream_id = pair.client.open_stream()
    total = 4 * limits.STREAM_WINDOW
    pair.client.write(stream_id, bytes(total))
    pair.run(30)
    held = len(pair.at_server.data(stream_id))
    assert held == limits.MIN_STREAM_WINDOW
    assert pair.client.pending_bytes(stream_id) == total - held


def test_consuming_lets_the_writer_go_on_and_every_byte_arrives(pair):
    data = Random(1).randbytes(3_000_000)
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, data)
    pair.client.write_eof(stream_id)
    consumed = 0
    while not pair.at_server.named("stream_ended"):
        pair.run(0.05)
        arrived = sum(len(event[2]) for event in pair.at_server.named("stream_data"))
        assert arrived - consumed <= pair.server._streams[stream_id].incoming.window
        pair.server.consumed(stream_id, arrived - consumed)
        consumed = arrived
    assert pair.at_server.data(stream_id) == data
    assert ("stream_drained", stream_id) in pair.at_client.events


def test_keys_are_changed_before_they_are_worn_out(pair, monkeypatch):
    monkeypatch.setattr(limits, "KEY_UPDATE_PACKETS", 200)
    changes = []
    update = pair.client._engine.update_keys
    pair.client._engine.update_keys = lambda: changes.append(update()) or changes[-1]
    stream_id = pair.client.open_stream()
    data, consumed = Random(6).randbytes(2_000_000), 0
    pair.client.write(stream_id, data)
    for _ in range(400):
        pair.run(0.02)
        arrived = len(pair.at_server.data(stream_id))
        pair.server.consumed(stream_id, arrived - consumed)
        consumed = arrived
    assert pair.at_server.data(stream_id) == data
    assert changes.count(True) >= 3


def test_a_stalled_stream_does_not_hold_up_another():
    pair = qh3_pair()
    stalled = [pair.client.open_stream() for _ in range(20)]
    for stream_id in stalled:
        pair.client.write(stream_id, bytes(1_000_000))
    moving = pair.client.open_stream()
    data = Random(2).randbytes(2_000_000)
    pair.client.write(moving, data)
    seen = 0
    for _ in range(400):
        pair.run(0.02)
        arrived = len(pair.at_server.data(moving))
        pair.server.consumed(moving, arrived - seen)
        seen = arrived
    assert pair.at_server.data(moving) == data
    assert sum(len(pair.at_server.data(stream_id)) for stream_id in stalled) == 20 * limits.MIN_STREAM_WINDOW


def test_a_writer_that_exceeds_its_credit_is_closed():
    pair = qh3_pair()
    stream_id = pair.client.open_stream()
    pair.client._engine.send_stream_data(stream_id, bytes(limits.MIN_STREAM_WINDOW + 1))
    pair.run(3)
    (error,) = close_errors(pair.at_server)
    assert isinstance(error, ProtocolViolation)
    assert "credit" in str(error)
    assert "credit" in str(close_errors(pair.at_client)[0])  # the guilty side is told


def test_credit_for_unknown_streams_and_lower_limits_changes_nothing():
    pair = qh3_pair()
    stream_id = pair.client.open_stream()
    for message in (encode_credit(4000, 1 << 40), encode_credit(stream_id, 10)):
        pair.server._engine.send_stream_data(CONTROL_STREAM, message)
    pair.run()
    pair.client.write(stream_id, bytes(limits.MIN_STREAM_WINDOW))
    pair.run()
    assert len(pair.at_server.data(stream_id)) == limits.MIN_STREAM_WINDOW


def test_a_thousand_streams_at_once_and_each_gets_its_bytes(pair):
    ids = [pair.client.open_stream() for _ in range(1000)]
    for stream_id in ids:
        pair.client.write(stream_id, b"%d" % stream_id)
        pair.client.write_eof(stream_id)
    pair.run(10)
    assert all(pair.at_server.data(stream_id) == b"%d" % stream_id for stream_id in ids)
    assert pair.server.stream_count == 1000


def test_the_stream_beyond_the_peers_limit_is_refused_here_and_others_live_on():
    pair = qh3_pair()
    for _ in range(limits.MAX_STREAMS - 1):  # the control stream is one of them
        pair.client.open_stream()
    with pytest.raises(TooManyStreams):
        pair.client.open_stream()
    assert pair.client.state is TunnelState.OPEN


def test_a_peer_cannot_open_unidirectional_streams():
    pair = qh3_pair()
    pair.client._engine.send_stream_data(2, b"x")
    pair.run()
    (error,) = close_errors(pair.at_server)
    assert "unidirectional" in str(error)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (encode_welcome(b"12345678"), "welcome out of place"),
        (encode_proof(EVE, b"", BOB.endpoint_id, b"12345678"), "proof of identity out of place"),
        (b"\x03\x00\x01x", "16 bytes"),
        (b"\x01\xff\xff", "65535 bytes"),
        (b"\x02\x00\x01x", "welcome is cut short"),
        (b"\x01\x00\x02xx", "proof of identity is cut short"),
    ],
)
def test_nonsense_on_the_control_stream_ends_the_connection_with_the_reason(message, words):
    pair = qh3_pair()
    pair.client._engine.send_stream_data(CONTROL_STREAM, message)
    pair.run()
    assert words in str(close_errors(pair.at_server)[0])


def test_control_messages_of_a_later_version_are_skipped():
    pair = qh3_pair()
    pair.client._engine.send_stream_data(CONTROL_STREAM, b"\x7f\x00\x05later")
    pair.run()
    assert pair.server.state is TunnelState.OPEN


def test_ending_or_resetting_the_control_stream_ends_the_connection():
    for act in (
        lambda engine: engine.send_stream_data(CONTROL_STREAM, b"", end_stream=True),
        lambda engine: engine.reset_stream(CONTROL_STREAM, 0),
        lambda engine: engine.stop_stream(CONTROL_STREAM, 0),
    ):
        pair = qh3_pair()
        act(pair.client._engine)
        pair.run()
        assert isinstance(close_errors(pair.at_server)[0], ProtocolViolation)


# --- datagrams ------------------------------------------------------------------------------------------------


def test_datagrams_belong_to_a_stream_and_those_of_no_stream_are_dropped(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"header")
    pair.run()
    assert pair.client.send_datagram(stream_id, b"d" * MAX_DATAGRAM)
    assert pair.client.send_datagram(stream_id + 400, b"nobody's")
    pair.run()
    assert pair.at_server.named("datagram") == [("datagram", stream_id, b"d" * MAX_DATAGRAM)]


def test_a_datagram_that_fits_no_frame_is_refused_and_later_ones_pass(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"header")
    pair.run()
    assert not pair.client.send_datagram(stream_id, b"d" * (MAX_DATAGRAM + 1))
    assert pair.client.send_datagram(stream_id, b"fits")
    pair.run()
    assert pair.at_server.named("datagram") == [("datagram", stream_id, b"fits")]


def test_datagrams_in_a_jam_are_dropped_beyond_the_backlog(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"header")
    pair.run()
    pair.wire.is_down = True
    for _ in range(2000):
        assert pair.client.send_datagram(stream_id, bytes(1000))
        pair.wire.transmit()
    pair.wire.is_down = False
    pair.client.ping(1)
    pair.run(20)
    assert len(pair.at_server.named("datagram")) * 1004 < 2 * limits.DATAGRAM_BACKLOG


# --- time and the end -----------------------------------------------------------------------------------------


def test_a_quiet_connection_is_kept_alive(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"x")
    before = pair.wire.carried
    pair.run(300)
    assert pair.client.state is pair.server.state is TunnelState.OPEN
    assert pair.wire.carried - before < 300


def test_a_connection_nobody_uses_is_closed_after_a_while():
    pair = qh3_pair()
    pair.run(limits.UNUSED_TIMEOUT + 60)
    assert pair.client.state is TunnelState.CLOSED
    assert type(pair.server.error) is TunnelClosed


def test_silence_makes_a_tunnel_suspect_and_then_loses_it(pair):
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, b"x")
    pair.run()
    assert not pair.client.is_suspect(pair.wire.now)
    pair.wire.is_down = True
    pair.client.write(stream_id, b"y")
    pair.run(8)
    assert pair.client.is_suspect(pair.wire.now)
    pair.run(120)
    assert isinstance(pair.client.error, TunnelLost)


def test_a_close_reaches_the_peer_with_its_reason_and_is_told_once(pair):
    pair.client.close(CloseCode.BUSY, TunnelClosed("made room"))
    pair.client.close(CloseCode.BUSY, TunnelClosed("again"))
    pair.run(3)
    assert len(close_errors(pair.at_client)) == 1
    (error,) = close_errors(pair.at_server)
    assert "made room" in str(error)
    with pytest.raises(TunnelClosed):
        pair.server.open_stream()


def test_a_connection_replaced_because_it_fell_silent_counts_as_lost_at_both_ends(pair):
    pair.server.close(CloseCode.SILENT, TunnelLost("it fell silent"))
    pair.run(3)
    for recorder in (pair.at_client, pair.at_server):
        (error,) = close_errors(recorder)
        assert isinstance(error, TunnelLost)
        assert "fell silent" in str(error)


def test_a_peer_that_missed_the_close_is_told_again_but_not_without_end(pair):
    pair.client.close(CloseCode.BUSY, TunnelClosed("made room"))
    (farewell,) = pair.client.datagrams_to_send(pair.wire.now)  # lost
    assert pair.client.datagrams_to_send(pair.wire.now) == []
    for number in range(100):
        pair.client.receive_datagrams([b"\x40 anything"] * 3, pair.wire.now)
        assert pair.client.datagrams_to_send(pair.wire.now) == (
            [farewell] if number < limits.FAREWELLS else []
        )
        assert pair.client.datagrams_to_send(pair.wire.now) == []
    assert pair.client.get_timer() is None
    pair.server.receive_datagrams([farewell], pair.wire.now)
    pair.run(3)
    assert "made room" in str(close_errors(pair.at_server)[0])


@pytest.mark.parametrize("call", ["receive_datagrams", "datagrams_to_send", "handle_timer"])
def test_an_engine_that_breaks_ends_its_tunnel_and_is_not_asked_again(call):
    def broken(*_):
        raise TunnelLost("QUIC broke: for a test")

    pair = qh3_pair()
    stream_id = pair.client.open_stream()
    pair.client.ping(1)
    setattr(pair.client._engine, call, broken)
    now = pair.wire.now + 30
    pair.client.receive_datagrams([b"\x40 anything"], now)
    pair.client.datagrams_to_send(now)
    pair.client.handle_timer(now + 60)
    (error,) = close_errors(pair.at_client)
    assert isinstance(error, TunnelLost)
    for name in ("receive_datagrams", "datagrams_to_send", "handle_timer", "get_timer"):
        setattr(pair.client._engine, name, None)
    pair.client.receive_datagrams([b"\x40 anything"], now)
    pair.client.handle_timer(now)
    pair.client.write(stream_id, b"x")
    pair.client.close(CloseCode.DONE, TunnelClosed("too late"))
    assert pair.client.datagrams_to_send(now) == []
    assert pair.client.get_timer() is None
    assert len(close_errors(pair.at_client)) == 1


def test_junk_is_no_sign_of_life_once_probes_go_unanswered(pair):
    pair.wire.is_down = True
    pair.client.ping(1)
    junk = b"\x40" + bytes(40)
    for _ in range(100):
        pair.run(0.1)
        pair.client.receive_datagrams([junk], pair.wire.now)
    assert pair.client.is_suspect(pair.wire.now)


def test_everything_arrives_through_loss_in_both_directions(pair):
    pair = TunnelPair(wire=Wire(loss=0.02, seed=11))
    pair.open()
    data = {side: Random(side).randbytes(300_000) for side in ("client", "server")}
    stream_id = pair.client.open_stream()
    pair.client.write(stream_id, data["client"])
    seen = {"client": 0, "server": 0}
    pair.run(1)
    pair.server.write(stream_id, data["server"])
    for _ in range(600):
        pair.run(0.1)
        for name, tunnel, recorder in (
            ("server", pair.server, pair.at_server),
            ("client", pair.client, pair.at_client),
        ):
            arrived = len(recorder.data(stream_id))
            tunnel.consumed(stream_id, arrived - seen[name])
            seen[name] = arrived
        if seen == {"client": 300_000, "server": 300_000}:
            break
    assert pair.at_server.data(stream_id) == data["client"]
    assert pair.at_client.data(stream_id) == data["server"]


def test_its_repr_shows_no_secret_and_says_who(pair):
    assert BOB.endpoint_id.short in repr(pair.client)
    assert BOB.seed.hex() not in repr(pair.client)


@pytest.mark.parametrize("names", PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_hundreds_of_short_streams_get_through_loss_both_ways(names):
    pair = TunnelPair(*names, wire=Wire(delay=0.005, loss=0.02, seed=4))
    pair.open()
    answered: set[int] = set()
    for number in range(300):
        if number < 200:
            stream_id = pair.client.open_stream()
            pair.client.write(stream_id, bytes(600))
            pair.client.write_eof(stream_id)
        pair.run(0.002 if number < 200 else 0.5)
        for _, stream_id in pair.at_server.named("stream_ended"):
            if stream_id not in answered:
                answered.add(stream_id)
                pair.server.write(stream_id, bytes(600))
                pair.server.write_eof(stream_id)
        if len(pair.at_client.named("stream_ended")) == 200:
            break
    assert len(pair.at_client.named("stream_ended")) == 200


# --- sharing a connection ---------------------------------------------------------------------------------------


def consume_everything(pair: TunnelPair) -> None:
    """Let Bob read whatever comes, as a fast reader does."""
    record = pair.at_server.events.append

    class Reader:
        def __getattr__(self, name):
            def told(*arguments):
                record((name, *arguments))
                if name == "stream_data":
                    pair.server.consumed(arguments[0], len(arguments[1]))

            return told

    pair.server._events = Reader()


def flights(pair: TunnelPair) -> list[int]:
    """Bytes in flight after each time Alice's tunnel sent something."""
    seen: list[int] = []
    send = pair.client.datagrams_to_send

    def sending(now: float) -> list[bytes]:
        datagrams = send(now)
        seen.append(pair.client._engine.bytes_in_flight())
        return datagrams

    pair.client.datagrams_to_send = sending
    return seen


def test_bulk_fills_the_path_alone_and_keeps_queues_short_beside_an_interactive_stream():
    pair = TunnelPair(wire=Wire(delay=0.0004))
    pair.open()
    consume_everything(pair)
    seen = flights(pair)
    bulk, keys = pair.client.open_stream(), pair.client.open_stream()
    pair.client.write(bulk, bytes(40_000_000))
    pair.run(0.1)
    short = limits.SHARED_FLIGHT + limits.SHORT_PATH_PACKET
    assert max(seen) > 2 * short
    pair.client.write(keys, b"k")
    pair.run(0.001)
    del seen[:]
    for _ in range(20):
        pair.client.write(keys, b"k")
        pair.run(0.005)
    assert max(seen) <= 2 * short  # the round trip is a little longer than a millisecond
    assert sum(len(event[2]) for event in pair.at_server.named("stream_data") if event[1] == keys) == 21
    pair.run(limits.INTERACTIVE_SECONDS)
    del seen[:]
    pair.client.write(bulk, bytes(40_000_000))
    pair.run(0.1)
    assert max(seen) > 2 * short  # nobody types any more


def test_a_stream_that_waits_is_bulk_and_its_small_writes_are_not_interactive():
    pair = qh3_pair()
    bulk = pair.client.open_stream()
    pair.client.write(bulk, bytes(2_000_000))
    pair.run(0.1)
    pair.client._is_interactive = False
    pair.client.write(bulk, b"the last line")
    assert not pair.client._is_interactive
    other = pair.client.open_stream()
    pair.client.write(other, b"GET /")
    assert pair.client._is_interactive


def test_streams_share_the_room_in_turns_and_those_without_a_backlog_get_more():
    pair = qh3_pair()
    tunnel = pair.client
    sent: dict[int, int] = {}
    tunnel._engine.send_stream_data = lambda stream_id, data, end_stream=False: sent.update(
        {stream_id: sent.get(stream_id, 0) + len(data)}
    )
    ids = [tunnel.open_stream()]
    for number in range(1, 11):
        stream = tunnel._streams[4 + 4 * number] = type(tunnel._streams[ids[0]])(tunnel._now)
        stream.bulk_at = tunnel._now
        ids.append(4 + 4 * number)
    for stream_id in ids:
        tunnel._streams[stream_id].outgoing.granted(10**9)
        tunnel._streams[stream_id].outgoing.add(bytes(10**6))
        tunnel._waiting[stream_id] = tunnel._streams[stream_id]
    tunnel._room = 11 * limits.SEND_QUANTUM
    sent.clear()
    assert tunnel._send_waiting()
    assert sent.pop(ids[0]) == limits.INTERACTIVE_WEIGHT * limits.SEND_QUANTUM
    assert list(sent.values()) == [limits.SEND_QUANTUM] * (11 - limits.INTERACTIVE_WEIGHT)


def test_a_long_path_gets_a_window_that_does_not_limit_it():
    """100 ms away, a reader that keeps up: after some round trips megabytes are in flight."""
    pair = TunnelPair(wire=Wire(delay=0.05))
    pair.open()
    consume_everything(pair)
    seen = flights(pair)
    bulk = pair.client.open_stream()
    pair.client.write(bulk, bytes(60_000_000))
    pair.run(1.5)
    assert max(seen) > 4 * limits.STREAM_WINDOW
    window = pair.server._streams[bulk].incoming.window
    assert window > 4 * limits.STREAM_WINDOW
    assert pair.server._budget.left <= limits.GATEWAY_WINDOW - window + limits.MIN_STREAM_WINDOW
    pair.client.close(CloseCode.DONE, TunnelClosed("enough"))
    pair.run(1)
    assert pair.server._budget.left == limits.GATEWAY_WINDOW


def test_whoever_has_not_proved_itself_is_not_listened_to_for_long():
    """What lies behind a gap in a stream is held by the engine, where nobody counts it."""
    pair = TunnelPair()
    pair.client.handshake_completed = lambda: None  # TLS is done, and no proof follows
    pair.run(1)
    with_a_gap = limits.EARLY_DATAGRAM_BYTES // 1000 + 2
    for _ in range(with_a_gap):
        pair.server.receive_datagrams([b"\x40" + bytes(999)], pair.wire.now)
    (error,) = close_errors(pair.at_server)
    assert isinstance(error, ProtocolViolation)
    assert "before the proof" in str(error)
