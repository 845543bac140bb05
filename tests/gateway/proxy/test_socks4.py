"""SOCKS4 and SOCKS4a, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.requests import ConnectRequest, Credentials, Rejected, SocksEvent
from gateway.proxy.socks4 import Reply, Socks4, reply


def run(
    data: bytes, step: int = 10_000, credentials: Credentials | None = None
) -> tuple[list[SocksEvent], Socks4]:
    machine = Socks4(credentials)
    events: list[SocksEvent] = []
    for start in range(0, len(data), step):
        events += machine.receive_data(data[start : start + step])
        assert machine.data_to_send() == b""
    return events, machine


@pytest.mark.parametrize("step", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"\4\1\0\x50\x7f\0\0\1\0", ConnectRequest("127.0.0.1", 80)),
        (b"\4\1\0\x50\x7f\0\0\1ann\0", ConnectRequest("127.0.0.1", 80, "ann")),
        (b"\4\1\x1f\x90\0\0\0\1\0a.overlay\0", ConnectRequest("a.overlay", 8080)),
        (b"\4\1\x1f\x90\0\0\0\xffann\0a.overlay\0", ConnectRequest("a.overlay", 8080, "ann")),
        (b"\4\1\0\x50\0\0\0\0\0", ConnectRequest("0.0.0.0", 80)),
    ],
)
def test_requests_are_understood_in_any_pieces(step: int, data: bytes, event: SocksEvent) -> None:
    events, machine = run(data + b"rest", step)
    assert events == [event]
    assert machine.trailing == b"rest"


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\4\2\0\x50\x7f\0\0\1\0", 91),
        (b"\4\1\0\0\x7f\0\0\1\0", 91),
        (b"\4\1\0\x50\0\0\0\1\0\0", 91),
        (b"\4\1\0\x50\0\0\0\1\0a b\0", 91),
        (b"\4\1\0\x50\x7f\0\0\1" + b"u" * 256, 91),
        (b"\4\1\0\x50\0\0\0\1\0" + b"h" * 256, 91),
    ],
)
def test_what_cannot_be_served_is_rejected(step: int, data: bytes, code: int) -> None:
    (event,) = run(data, step)[0]
    assert isinstance(event, Rejected)
    assert event.answer == bytes((0, code, 0, 0, 0, 0, 0, 0))


def test_nobody_gets_in_without_a_password_when_there_is_one() -> None:
    (event,) = run(b"\4\1\0\x50\x7f\0\0\1ann\0", credentials=Credentials("ann", "pw"))[0]
    assert isinstance(event, Rejected)
    assert event.answer == reply(Reply.WRONG_USER)


def test_another_version_is_not_answered() -> None:
    assert run(b"\5")[0] == [Rejected(b"", "not SOCKS4")]


@given(st.binary(max_size=40), st.integers(1, 7))
def test_any_bytes_in_any_pieces_have_one_meaning(data: bytes, step: int) -> None:
    data = b"\4" + data
    assert run(data)[0] == run(data, step)[0]


def test_a_profile_without_a_password_is_chosen_by_name() -> None:
    profiles = Credentials(profiles={"work": "", "home": "key"})
    for user, name in ((b"work", "work"), (b"", None)):
        (event,), _ = run(b"\4\1\0\x50\1\2\3\4" + user + b"\0", credentials=profiles)
        assert event == ConnectRequest("1.2.3.4", 80, name)
    for user in (b"home", b"nobody"):
        (event,), _ = run(b"\4\1\0\x50\1\2\3\4" + user + b"\0", credentials=profiles)
        assert isinstance(event, Rejected)
