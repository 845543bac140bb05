"""Facts about telling datagrams apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.demux import DatagramKind, classify


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        (0, 3, DatagramKind.STUN),
        (4, 63, DatagramKind.UNKNOWN),
        (64, 127, DatagramKind.QUIC_SHORT),
        (128, 191, DatagramKind.UNKNOWN),
        (192, 255, DatagramKind.QUIC_LONG),
    ],
)
def test_each_first_byte_has_its_kind(first, last, kind):
    assert {classify(bytes([byte])) for byte in range(first, last + 1)} == {kind}
    assert classify(bytes([first]) + b"rest") is kind


def test_an_empty_datagram_is_unknown():
    assert classify(b"") is DatagramKind.UNKNOWN


@given(st.binary())
def test_every_datagram_has_a_kind(datagram):
    assert classify(datagram) in DatagramKind
