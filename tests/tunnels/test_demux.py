"""Facts about telling datagrams apart."""

from __future__ import annotations

import pytest

from tunnels.demux import KINDS, DatagramKind


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        (0, 3, DatagramKind.STUN),
        (4, 31, DatagramKind.UNKNOWN),
        (32, 32, DatagramKind.FRAGMENT),
        (33, 33, DatagramKind.PROBE),
        (34, 34, DatagramKind.PROBE_ANSWER),
        (35, 35, DatagramKind.CHECK),
        (36, 63, DatagramKind.UNKNOWN),
        (64, 127, DatagramKind.QUIC_SHORT),
        (128, 191, DatagramKind.UNKNOWN),
        (192, 255, DatagramKind.QUIC_LONG),
    ],
)
def test_each_first_byte_has_its_kind(first, last, kind):
    assert set(KINDS[first : last + 1]) == {kind}


def test_every_first_byte_has_a_kind():
    assert len(KINDS) == 256
