"""The SOCKS5 handshake, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.requests import AssociateRequest, ConnectRequest, Credentials, Rejected, SocksEvent
from gateway.proxy.socks5 import Reply, Socks5, State, refusal, reply

ANN = Credentials("ann", "pw")
NO_AUTH = b"\5\1\0"
PASSWORD = b"\5\1\2\1\3ann\2pw"
CONNECT = b"\5\1\0\3\x09a.overlay\0\x50"
REQUEST = ConnectRequest("a.overlay", 80)


def run(
    data: bytes, credentials: Credentials | None = None, step: int = 10_000
) -> tuple[list[SocksEvent], bytes, Socks5]:
    machine = Socks5(credentials)
    events: list[SocksEvent] = []
    output = b""
    for start in range(0, len(data), step):
        events += machine.receive_data(data[start : start + step])
        output += machine.data_to_send()
    return events, output, machine


@pytest.mark.parametrize("step", [1, 2, 3, 10_000])
@pytest.mark.parametrize(
    ("data", "credentials", "event", "output"),
    [
        (NO_AUTH + CONNECT, None, REQUEST, b"\5\0"),
        (b"\5\3\0\1\2" + CONNECT, None, REQUEST, b"\5\0"),
        (PASSWORD + CONNECT, None, ConnectRequest("a.overlay", 80, "ann"), b"\5\2\1\0"),
        (PASSWORD + CONNECT, ANN, ConnectRequest("a.overlay", 80, "ann"), b"\5\2\1\0"),
        (b"\5\2\0\2" + PASSWORD[3:] + CONNECT, ANN, ConnectRequest("a.overlay", 80, "ann"), b"\5\2\1\0"),
        (NO_AUTH + b"\5\1\0\1\x7f\0\0\1\0\x16", None, ConnectRequest("127.0.0.1", 22), b"\5\0"),
        (NO_AUTH + b"\5\1\0\4" + bytes(15) + b"\1\0\x16", None, ConnectRequest("::1", 22), b"\5\0"),
        (NO_AUTH + b"\5\3\0\1\0\0\0\0\0\0", None, AssociateRequest("0.0.0.0", 0), b"\5\0"),
    ],
)  # fmt: skip
def test_requests_are_understood_in_any_pieces(
    step: int, data: bytes, credentials: Credentials | None, event: SocksEvent, output: bytes
) -> None:
    events, sent, machine = run(data, credentials, step)
    assert (events, sent) == ([event], output)
    assert machine.state is State.DONE


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    ("data", "credentials", "output", "answer"),
    [
        (b"\4", None, b"", b""),
        (b"\5\0", None, b"", b"\5\xff"),
        (b"\5\1\1", None, b"", b"\5\xff"),
        (NO_AUTH, ANN, b"", b"\5\xff"),
        (b"\5\1\2\1\3ann\2px", ANN, b"\5\2", b"\1\1"),
        (b"\5\1\2\1\0\0", ANN, b"\5\2", b"\1\1"),
        (b"\5\1\2\5", ANN, b"\5\2", b"\1\1"),
        (NO_AUTH + b"\5\2\0\1\x7f\0\0\1\0\x16", None, b"\5\0", reply(Reply.COMMAND_NOT_SUPPORTED)),
        (NO_AUTH + b"\5\x09\0\1\x7f\0\0\1\0\x16", None, b"\5\0", reply(Reply.COMMAND_NOT_SUPPORTED)),
        (NO_AUTH + b"\5\1\0\2", None, b"\5\0", reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)),
        (NO_AUTH + b"\5\1\0\3\0\0\x50", None, b"\5\0", reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)),
        (NO_AUTH + b"\5\1\0\3\1\n\0\x50", None, b"\5\0", reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)),
        (NO_AUTH + b"\5\1\0\1\x7f\0\0\1\0\0", None, b"\5\0", reply(Reply.GENERAL_FAILURE)),
        (NO_AUTH + b"GET ", None, b"\5\0", reply(Reply.GENERAL_FAILURE)),
    ],
)  # fmt: skip
def test_what_cannot_be_served_gets_the_right_answer(
    step: int, data: bytes, credentials: Credentials | None, output: bytes, answer: bytes
) -> None:
    events, sent, _ = run(data, credentials, step)
    assert sent == output
    (event,) = events
    assert isinstance(event, Rejected)
    assert event.answer == answer
    assert event.reason


def test_the_first_bytes_of_the_stream_are_kept() -> None:
    assert run(NO_AUTH + CONNECT + b"hello")[2].trailing == b"hello"
    _, _, machine = run(NO_AUTH + CONNECT)
    assert machine.trailing == b""
    assert machine.receive_data(b"later") == []
    assert machine.trailing == b"later"


def test_a_right_password_lets_nobody_else_in() -> None:
    assert run(PASSWORD, ANN)[1] == b"\5\2\1\0"
    assert isinstance(run(NO_AUTH, ANN)[0][0], Rejected)


def test_replies_are_ten_bytes_and_carry_the_bound_address() -> None:
    assert reply(Reply.CONNECTION_REFUSED) == b"\5\5\0\1\0\0\0\0\0\0"
    assert reply(Reply.SUCCEEDED, "127.0.0.1", 5000) == b"\5\0\0\1\x7f\0\0\1\x13\x88"
    assert refusal() == b"\5\xff"


@given(st.binary(max_size=60), st.booleans(), st.integers(1, 7))
def test_any_bytes_in_any_pieces_have_one_meaning(data: bytes, ask: bool, step: int) -> None:
    credentials = ANN if ask else None
    data = b"\5" + data
    whole, split = run(data, credentials), run(data, credentials, step)
    assert (whole[0], whole[1]) == (split[0], split[1])
    assert len(whole[0]) <= 1


PROFILES = Credentials(profiles={"work": "", "home": "key"})


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    ("user", "password", "name"),
    [("work", "", "work"), ("work", "any", "work"), ("home", "key", "home"), ("", "x", None)],
)
def test_the_name_of_a_profile_is_asked_for_and_kept(
    step: int, user: str, password: str, name: str | None
) -> None:
    said = bytes((1, len(user))) + user.encode() + bytes((len(password),)) + password.encode()
    events, sent, _ = run(
        b"\5\2\0\2" + said + b"\5\1\0\3\x01a\0\x50", PROFILES, step
    )  # offers no password, too: it has one
    assert events == [ConnectRequest("a", 80, name)]
    assert sent == b"\5\2\1\0"


@pytest.mark.parametrize(("user", "password"), [("home", "wrong"), ("home", ""), ("nobody", "key")])
def test_who_is_no_profile_is_rejected(user: str, password: str) -> None:
    said = bytes((1, len(user))) + user.encode() + bytes((len(password),)) + password.encode()
    (event,), _, _ = run(b"\5\1\2" + said, PROFILES)
    assert isinstance(event, Rejected)
    assert event.answer == b"\1\1"


def test_who_gives_no_name_needs_none_beside_profiles() -> None:
    events, sent, _ = run(b"\5\1\0\5\1\0\3\x01a\0\x50", PROFILES)
    assert events == [ConnectRequest("a", 80, None)]
    assert sent == b"\5\0"


def test_a_proxy_that_asks_lets_in_its_user_and_its_profiles() -> None:
    both = Credentials("me", "secret", {"home": "key"})
    for user, password in ((b"me", b"secret"), (b"home", b"key")):
        said = b"\5\1\2\1" + bytes((len(user),)) + user + bytes((len(password),)) + password
        events, _, _ = run(said + b"\5\1\0\3\x01a\0\x50", both)
        assert events == [ConnectRequest("a", 80, user.decode())]
    events, _, _ = run(b"\5\1\0", both)
    assert isinstance(events[0], Rejected)
