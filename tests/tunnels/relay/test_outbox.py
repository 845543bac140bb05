"""What waits for a beacon, and what is dropped when too much does."""

from tunnels import limits
from tunnels.identity import SecretKey
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind
from tunnels.relay.outbox import Outbox

ALICE, BOB = (SecretKey(bytes([seed]) * 32).endpoint_id for seed in (1, 2))


def drained(outbox: Outbox) -> list[str | bytes]:
    taken = []
    while (frame := outbox.take()) is not None:
        taken.append(frame)
    assert not outbox
    return taken


def datagrams(frame: str | bytes) -> tuple[FrameKind, object, list[bytes]]:
    assert isinstance(frame, bytes)
    kind, endpoint_id, body = frames.decode(frame)
    return kind, endpoint_id, frames.datagrams_of(body)


def test_datagrams_for_one_endpoint_share_a_frame_and_keep_their_order():
    outbox = Outbox()
    outbox.add_data(ALICE, [b"1", b"2"])
    outbox.add_data(ALICE, [b"3"])
    outbox.add_data(BOB, [b"4"])
    outbox.add_data(ALICE, [b"5"])
    assert [datagrams(frame) for frame in drained(outbox)] == [
        (FrameKind.DATA, ALICE, [b"1", b"2", b"3"]),
        (FrameKind.DATA, BOB, [b"4"]),
        (FrameKind.DATA, ALICE, [b"5"]),
    ]


def test_text_then_path_messages_and_sealed_ones_then_data():
    outbox = Outbox()
    outbox.add_data(ALICE, [b"data"])
    outbox.add_urgent(ALICE, [b"path"])
    assert outbox.add_message(BOB, b"sealed")
    outbox.add_text("text")
    text, path, message, data = drained(outbox)
    assert text == "text"
    assert datagrams(path) == (FrameKind.PATH, ALICE, [b"path"])
    assert frames.decode(message) == (FrameKind.MESSAGE, BOB, b"sealed")
    assert datagrams(data) == (FrameKind.DATA, ALICE, [b"data"])


def test_no_frame_is_larger_than_a_beacon_takes():
    outbox = Outbox()
    outbox.add_data(ALICE, [bytes(8400)] * 20)
    outbox.add_data(ALICE, [bytes(limits.RELAY_FRAME - 2)])
    taken = drained(outbox)
    assert all(len(frame) <= frames.HEADER_BYTES + limits.RELAY_FRAME for frame in taken)
    assert sum(len(datagrams(frame)[2]) for frame in taken) == 21


def test_what_fits_no_frame_is_left_out():
    outbox = Outbox()
    outbox.add_data(ALICE, [b"", bytes(limits.RELAY_FRAME - 1), b"x"])
    assert [datagrams(frame)[2] for frame in drained(outbox)] == [[b"x"]]
    assert outbox.dropped == 2
    assert not outbox.add_message(ALICE, bytes(limits.RELAY_MESSAGE + 1))
    assert not outbox


def test_the_oldest_data_makes_room_and_nothing_urgent_does():
    outbox = Outbox()
    outbox.add_urgent(BOB, [b"path"])
    count = limits.RELAY_BUFFER // 1000 + 100
    outbox.add_data(ALICE, [index.to_bytes(2) + bytes(998) for index in range(count)])
    path, *data = drained(outbox)
    assert datagrams(path)[2] == [b"path"]
    kept = [int.from_bytes(datagram[:2]) for frame in data for datagram in datagrams(frame)[2]]
    assert kept == list(range(count - len(kept), count))
    assert len(kept) * 1000 <= limits.RELAY_BUFFER
    assert outbox.dropped == count - len(kept)


def test_urgent_frames_are_bounded_too():
    outbox = Outbox()
    for index in range(limits.RELAY_URGENT + 5):
        outbox.add_urgent(ALICE, [index.to_bytes(2)])
    taken = drained(outbox)
    assert len(taken) == limits.RELAY_URGENT
    assert datagrams(taken[0])[2] == [(5).to_bytes(2)]
