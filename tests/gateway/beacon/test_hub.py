"""Who is here, where frames go, and who is told that they may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.beacon.hub import Deliver, Elsewhere, Hub, Refusal, Session
from gateway.beacon.limits import BEACON_QUEUE_BYTES, BEACON_QUEUE_SHARE, BEACON_QUEUES_BYTES
from gateway.beacon.settings import RelaySettings
from gateway.beacon.stores import Balance
from tests.lab.resolver_keys import key
from tunnels.errors import ProtocolViolation
from tunnels.limits import RELAY_FRAME, RELAY_MESSAGE
from tunnels.relay.frames import FrameKind, decode, encode

A, B, C = (key(n).endpoint_id for n in (1, 2, 3))
SENT = [FrameKind.DATA, FrameKind.PATH, FrameKind.MESSAGE, FrameKind.MAIL]


def hub_with(*ids: object, **settings: int) -> tuple[Hub, list[Session]]:
    hub = Hub(RelaySettings(**settings))
    sessions = [Session(i, f"192.0.2.{n}", 0.0) for n, i in enumerate(ids)]
    for session in sessions:
        session.takes_mail = True
        hub.join(session)
    return hub, sessions


@pytest.mark.parametrize("kind", SENT)
def test_a_frame_goes_to_its_receiver_with_the_senders_id_and_its_body_as_it_was(kind: FrameKind) -> None:
    hub, (a, b) = hub_with(A, B)
    outcome = hub.receive(a, encode(kind, B, b"sealed"), 0.0)
    assert outcome == Deliver(b, encode(kind, A, b"sealed"))
    assert hub.counters.frames[kind.name.lower()] == 1


def test_a_gateway_that_does_not_know_mail_gets_none_and_its_sender_is_told() -> None:
    hub, (a, b) = hub_with(A, B)
    b.takes_mail = False
    outcome = hub.receive(a, encode(FrameKind.MAIL, B, b"sealed"), 0.0)
    assert outcome == Deliver(a, encode(FrameKind.ABSENT, B, bytes([FrameKind.MAIL])))
    assert hub.deliver(B, encode(FrameKind.MAIL, A, b"from another node")) is None
    assert isinstance(hub.receive(a, encode(FrameKind.MESSAGE, B, b"sealed"), 0.0), Deliver)


def test_no_sender_can_write_anothers_id_into_a_frame() -> None:
    hub, (a, b, _) = hub_with(A, B, C)
    for body in (C.key, encode(FrameKind.DATA, C, b"x"), bytes(100)):
        outcome = hub.receive(a, encode(FrameKind.DATA, B, body), 0.0)
        assert isinstance(outcome, Deliver)
        assert outcome.to is b
        assert decode(outcome.frame) == (FrameKind.DATA, A, body)


@pytest.mark.parametrize("kind", SENT)
def test_a_frame_for_nobody_here_is_for_elsewhere_and_its_sender_can_be_told(kind: FrameKind) -> None:
    hub, (a,) = hub_with(A)
    assert hub.receive(a, encode(kind, B, b"x"), 0.0) == Elsewhere(B, encode(kind, A, b"x"))
    assert hub.absent(A, B, kind) == Deliver(a, encode(FrameKind.ABSENT, B, bytes([kind])))
    assert hub.absent(C, B, kind) is None


def test_a_frame_from_another_node_goes_to_its_receiver_or_nowhere() -> None:
    hub, (a,) = hub_with(A)
    frame = encode(FrameKind.DATA, B, b"x")
    assert hub.deliver(A, frame) == Deliver(a, frame)
    assert hub.deliver(C, frame) is None
    assert hub.deliver(A, b"") is None
    assert hub.deliver(A, bytes(100_000)) is None


@given(st.binary(max_size=200))
def test_junk_is_refused_or_passed_on_and_nothing_else_happens(data: bytes) -> None:
    hub, (a, _b) = hub_with(A, B)
    try:
        outcome = hub.receive(a, data, 0.0)
    except ProtocolViolation:
        return
    assert outcome is None or isinstance(outcome, Deliver | Elsewhere)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        encode(FrameKind.DATA, B, b""),
        encode(FrameKind.ABSENT, B, b"\x01"),
        b"\x00" + B.key + b"x",
        b"\x06" + B.key + b"x",
        encode(FrameKind.DATA, B, bytes(RELAY_FRAME + 1)),
        encode(FrameKind.MESSAGE, B, bytes(RELAY_MESSAGE + 1)),
        encode(FrameKind.MAIL, B, bytes(RELAY_MESSAGE + 1)),
    ],
    ids=[
        "empty",
        "kind",
        "no body",
        "absent",
        "kind 0",
        "kind 6",
        "large data",
        "large message",
        "large mail",
    ],
)
def test_what_a_gateway_never_sends_is_a_violation(frame: bytes) -> None:
    hub, (a, _) = hub_with(A, B)
    with pytest.raises(ProtocolViolation):
        hub.receive(a, frame, 0.0)


def test_the_largest_frames_pass() -> None:
    hub, (a, _) = hub_with(A, B)
    assert isinstance(hub.receive(a, encode(FrameKind.DATA, B, bytes(RELAY_FRAME)), 0.0), Deliver)
    assert isinstance(hub.receive(a, encode(FrameKind.MESSAGE, B, bytes(RELAY_MESSAGE)), 0.0), Deliver)


# --- who is here ----------------------------------------------------------------------------------------------


def test_the_newest_connection_of_an_id_is_the_one_that_counts() -> None:
    hub, (old,) = hub_with(A)
    new = Session(A, None, 1.0)
    assert hub.join(new) is old
    assert hub.find(A) is new
    assert not hub.leave(old), "the old one's end takes nothing away"
    assert hub.find(A) is new
    assert hub.leave(new)
    assert hub.find(A) is None
    assert len(hub) == 0


def test_it_is_full_at_its_bound() -> None:
    hub, _ = hub_with(A, sessions=2)
    assert not hub.full
    hub.join(Session(B, None, 0.0))
    assert hub.full


# --- rates and quotas -----------------------------------------------------------------------------------------


def test_one_sender_beyond_its_rate_is_dropped_and_told_once_a_second_and_others_are_served() -> None:
    hub, (a, b, c) = hub_with(A, B, C, bytes_per_second=100_000)
    frame = encode(FrameKind.DATA, B, bytes(10_000))
    outcomes = [hub.receive(a, frame, 0.0) for _ in range(20)]
    assert sum(isinstance(o, Deliver) for o in outcomes) == 9
    assert [o.refused.code for o in outcomes if isinstance(o, Refusal)] == ["rate"]
    assert isinstance(hub.receive(c, frame, 0.0), Deliver)
    assert isinstance(hub.receive(a, frame, 0.5), Deliver)
    assert hub.counters.dropped["rate"] == 11
    assert b is not None


def test_the_endpoints_of_one_address_share_its_rate() -> None:
    hub = Hub(RelaySettings(address_bytes_per_second=100_000))
    sessions = [Session(key(n).endpoint_id, "192.0.2.1", 0.0) for n in range(1, 30)]
    for session in sessions:
        hub.join(session)
    frame = encode(FrameKind.DATA, B, bytes(10_000))
    outcomes = [hub.receive(session, frame, 0.0) for session in sessions]
    assert sum(isinstance(o, Deliver) for o in outcomes) == 9
    elsewhere, here = Session(C, "192.0.2.9", 0.0), Session(A, None, 0.0)
    assert isinstance(hub.receive(elsewhere, frame, 0.0), Deliver)
    assert all(isinstance(hub.receive(here, frame, 0.0), Deliver) for _ in range(20))


def test_reconnecting_gives_no_new_burst() -> None:
    hub, (a, b) = hub_with(A, B, messages_per_second=1)
    frame = encode(FrameKind.MESSAGE, B, b"x")
    assert [isinstance(hub.receive(a, frame, 0.0), Deliver) for _ in range(5)] == [True] * 4 + [False]
    again = Session(A, "192.0.2.77", 0.0)
    hub.join(again)
    assert not isinstance(hub.receive(again, frame, 0.0), Deliver)
    assert b is not None


def test_questions_count_as_messages() -> None:
    hub, (a,) = hub_with(A, messages_per_second=1)
    assert [hub.may_speak(a, 0.0) for _ in range(5)] == [True] * 4 + [False]


def test_where_nothing_is_relayed_messages_pass_and_datagrams_do_not() -> None:
    hub, (a, _) = hub_with(A, B, enabled=False)
    refusal = hub.receive(a, encode(FrameKind.DATA, B, b"x"), 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.refused.code == "access"
    assert hub.receive(a, encode(FrameKind.PATH, B, b"x"), 0.5) is None
    assert isinstance(hub.receive(a, encode(FrameKind.MESSAGE, B, b"x"), 0.5), Deliver)


def test_a_quota_that_is_used_up_stops_data_and_neither_path_messages_nor_messages() -> None:
    hub, (a, _) = hub_with(A, B, quota_bytes=10_000)
    hub.balanced(a, Balance(used_bytes=8000, credit_bytes=0))
    frame = encode(FrameKind.DATA, B, bytes(967))  # 1000 with its head
    assert isinstance(hub.receive(a, frame, 0.0), Deliver)
    assert isinstance(hub.receive(a, frame, 0.0), Deliver)
    refusal = hub.receive(a, frame, 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.refused.code == "quota"
    assert isinstance(hub.receive(a, encode(FrameKind.PATH, B, b"x"), 0.0), Deliver)
    assert isinstance(hub.receive(a, encode(FrameKind.MESSAGE, B, b"x"), 0.0), Deliver)


def test_charging_takes_what_was_relayed_once_and_credit_goes_on_where_the_quota_ends() -> None:
    hub, (a, _) = hub_with(A, B, quota_bytes=10_000)
    hub.balanced(a, Balance(0, 0))
    frame = encode(FrameKind.DATA, B, bytes(967))
    for _ in range(3):
        hub.receive(a, frame, 0.0)
    assert list(hub.charges()) == [(a, 3000)]
    hub.receive(a, frame, 0.0)
    hub.charged(a, 3000, Balance(used_bytes=9500, credit_bytes=600))
    assert (a.uncharged, a.left) == (1000, 1100)
    assert not isinstance(hub.receive(a, frame, 0.0), Deliver), "100 bytes are left"
    limits = hub.limits_of(Balance(9500, 600))
    assert (limits.quota_bytes, limits.left_bytes, limits.credit_bytes) == (10_000, 500, 600)


def test_a_session_that_replaces_another_owes_what_that_owed() -> None:
    hub, (a, _) = hub_with(A, B)
    hub.receive(a, encode(FrameKind.DATA, B, bytes(967)), 0.0)
    new = Session(A, None, 0.0)
    hub.join(new)
    assert (a.uncharged, new.uncharged) == (0, 1000)


# --- backlogs -------------------------------------------------------------------------------------------------


def test_a_receiver_that_never_reads_holds_no_more_than_its_bound() -> None:
    hub, (a,) = hub_with(A)
    frame = encode(FrameKind.DATA, B, bytes(RELAY_FRAME))
    for _ in range(1000):
        hub.queue(a, frame)
    assert hub.queued <= BEACON_QUEUE_BYTES
    assert hub.counters.dropped["queue"] == 1000 - hub.queued // len(frame)
    hub.leave(a)
    assert (hub.queued, a.backlog) == (0, None)


def test_many_such_receivers_hold_no_more_than_all_may_and_their_shares() -> None:
    count = BEACON_QUEUES_BYTES // BEACON_QUEUE_BYTES + 100
    hub, sessions = hub_with(*(key(n).endpoint_id for n in range(1, count + 1)), sessions=10_000)
    frame = encode(FrameKind.DATA, B, bytes(RELAY_FRAME))
    for session in sessions:
        for _ in range(40):
            hub.queue(session, frame)
    assert hub.queued <= BEACON_QUEUES_BYTES + BEACON_QUEUE_BYTES + 100 * BEACON_QUEUE_SHARE
    assert hub.queued > BEACON_QUEUES_BYTES / 2


def test_what_was_queued_comes_out_and_the_backlog_is_gone() -> None:
    hub, (a,) = hub_with(A)
    frame = encode(FrameKind.DATA, B, b"x")
    hub.queue(a, frame)
    assert hub.next_queued(a) == frame
    assert hub.next_queued(a) is None
    assert (hub.queued, a.backlog) == (0, None)
