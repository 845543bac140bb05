"""What a client speaks, from its first byte."""

import pytest

from gateway.proxy.detection import Speech, detect


@pytest.mark.parametrize(
    ("first", "speech"),
    [(4, Speech.SOCKS4), (5, Speech.SOCKS5), (ord("G"), Speech.HTTP), (ord("c"), Speech.HTTP), (0x16, Speech.TLS),
     (0, Speech.JUNK), (0xFF, Speech.JUNK), (ord(" "), Speech.JUNK)],
)  # fmt: skip
def test_the_first_byte_tells_the_protocol(first: int, speech: Speech) -> None:
    assert detect(first) is speech


def test_every_byte_is_something() -> None:
    assert {detect(first) for first in range(256)} == set(Speech)
