"""Sealed messages, and what becomes of them in the hands of a beacon that means no good."""

from __future__ import annotations

import pytest

from tunnels import limits
from tunnels.errors import ProtocolViolation
from tunnels.identity import EndpointId, SecretKey
from tunnels.rendezvous.sealed import MAX_PAYLOAD, SIZES, Opener, Sealer

ALICE, BOB, EVE = (SecretKey(bytes([seed]) * 32) for seed in (1, 2, 3))
NOW = 1_800_000_000.0


class Sender:
    """Seals for Bob, with a new nonce each time."""

    def __init__(self, key: SecretKey = ALICE, session: bytes = b"s" * 16) -> None:
        self.sealer = Sealer(key, session)
        self.count = 0

    def seal(self, payload: bytes, to: SecretKey = BOB, now: float = NOW) -> bytes:
        self.count += 1
        return self.sealer.seal(to.endpoint_id, payload, now=now, nonce=self.count.to_bytes(24))


def opened(opener: Opener, message: bytes, sender: SecretKey = ALICE, now: float = NOW) -> bytes:
    return opener.open_sealed(sender.endpoint_id, message, now=now)


@pytest.mark.parametrize("size", [0, 1, 400, 900, MAX_PAYLOAD])
def test_what_is_sealed_for_someone_is_opened_by_them(size):
    message = Sender().seal(bytes([7]) * size)
    assert opened(Opener(BOB), message) == bytes([7]) * size
    assert len(message) in SIZES


def test_sizes_tell_nothing_and_a_beacon_takes_the_largest():
    assert {len(Sender().seal(bytes(size))) for size in (0, 10, 100, 300)} == {SIZES[0]}
    assert SIZES[-1] <= limits.RELAY_MESSAGE
    with pytest.raises(ValueError, match=str(MAX_PAYLOAD)):
        Sender().seal(bytes(MAX_PAYLOAD + 1))


def test_nothing_of_it_can_be_read_on_the_way():
    message = Sender().seal(b"192.168.1.5:41641" * 10)
    assert b"192.168" not in message
    assert ALICE.endpoint_id.key not in message
    assert BOB.endpoint_id.key not in message


# --- a beacon that means no good ----------------------------------------------------------------------------------


def test_a_beacon_that_drops_a_message_denies_that_one_only():
    sender, bob = Sender(), Opener(BOB)
    sender.seal(b"dropped")
    assert opened(bob, sender.seal(b"next")) == b"next"


def test_a_beacon_that_delays_a_message_has_it_refused():
    message = Sender().seal(b"x")
    late = NOW + limits.SEALED_LIFETIME + limits.SEALED_CLOCK_ERROR
    with pytest.raises(ProtocolViolation, match="too late"):
        opened(Opener(BOB), message, now=late)
    assert opened(Opener(BOB), message, now=late - 0.01) == b"x"


def test_a_beacon_that_reorders_messages_changes_nothing_in_them():
    sender, bob = Sender(), Opener(BOB)
    messages = [sender.seal(bytes([index])) for index in range(limits.SEALED_WINDOW)]
    assert [opened(bob, message) for message in reversed(messages)] == [
        bytes([index]) for index in reversed(range(limits.SEALED_WINDOW))
    ]


def test_a_message_that_very_many_overtook_is_refused():
    sender, bob = Sender(), Opener(BOB)
    first, *others = [sender.seal(b"x") for _ in range(limits.SEALED_WINDOW + 1)]
    opened(bob, others[-1])
    with pytest.raises(ProtocolViolation, match="before"):
        opened(bob, first)
    assert opened(bob, others[0]) == b"x"


def test_a_beacon_that_repeats_a_message_has_it_refused():
    sender, bob = Sender(), Opener(BOB)
    messages = [sender.seal(b"x") for _ in range(300)]
    for message in messages:
        opened(bob, message)
    for message in messages:
        with pytest.raises(ProtocolViolation, match="before"):
            opened(bob, message, now=NOW + limits.SEALED_LIFETIME)


def test_a_beacon_that_names_another_sender_has_it_refused():
    message = Sender(EVE).seal(b"I am Alice")
    with pytest.raises(ProtocolViolation, match="not sealed by"):
        opened(Opener(BOB), message, ALICE)


def test_a_beacon_that_hands_it_to_another_endpoint_has_it_refused():
    message = Sender().seal(b"for Bob")
    with pytest.raises(ProtocolViolation, match="not sealed by"):
        opened(Opener(EVE), message)


def test_a_beacon_that_sends_it_back_has_it_refused():
    message = Sender().seal(b"for Bob")
    with pytest.raises(ProtocolViolation, match="not sealed by"):
        opened(Opener(ALICE), message, BOB)


def test_a_beacon_that_changes_a_bit_anywhere_has_it_refused():
    message, bob = Sender().seal(b"x"), Opener(BOB)
    for index in range(len(message)):
        changed = bytearray(message)
        changed[index] ^= 0x10
        with pytest.raises(ProtocolViolation):
            opened(bob, bytes(changed))
    assert opened(bob, message) == b"x", "what was refused is not held against the true one"


@pytest.mark.parametrize("message", [b"", b"\x01", bytes(SIZES[0]), bytes(513), b"\x01" + bytes(SIZES[2])])
def test_junk_is_refused(message):
    with pytest.raises(ProtocolViolation):
        opened(Opener(BOB), message)


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_a_sender_that_is_no_key_is_refused(key):
    with pytest.raises(ProtocolViolation):
        Opener(BOB).open_sealed(EndpointId(key), Sender().seal(b"x"), now=NOW)


# --- time and memory ----------------------------------------------------------------------------------------------


def test_clocks_that_differ_by_hours_are_told():
    with pytest.raises(ProtocolViolation, match="future"):
        opened(Opener(BOB), Sender().seal(b"x", now=NOW + 3600))
    assert opened(Opener(BOB), Sender().seal(b"x", now=NOW + limits.SEALED_CLOCK_ERROR - 1)) == b"x"


def test_a_new_run_of_the_sender_begins_anew():
    bob = Opener(BOB)
    assert opened(bob, Sender().seal(b"before")) == b"before"
    assert opened(bob, Sender(session=bytes(16)).seal(b"after its restart")) == b"after its restart"


def test_many_senders_are_refused_rather_than_anything_forgotten_that_could_be_replayed():
    bob = Opener(BOB)
    first = Sender(session=bytes(16)).seal(b"x")
    opened(bob, first)
    for run in range(1, limits.SEALED_RUNS):
        opened(bob, Sender(session=run.to_bytes(16)).seal(b"x"))
    with pytest.raises(ProtocolViolation, match="more senders"):
        opened(bob, Sender(session=b"n" * 16).seal(b"x"))
    with pytest.raises(ProtocolViolation, match="before"):
        opened(bob, first)
    later = NOW + limits.SEALED_LIFETIME + limits.SEALED_CLOCK_ERROR
    assert opened(bob, Sender(session=b"n" * 16).seal(b"x", now=later), now=later) == b"x"
    assert len(bob._opened) == 1


def test_keys_of_many_peers_are_bounded():
    sender = Sender()
    for seed in range(limits.SEALED_PEERS + 5):
        sender.seal(b"x", to=SecretKey(seed.to_bytes(32)))
    assert len(sender.sealer._keys._kept) == limits.SEALED_PEERS
