"""Lines of programs and of the gateway: read whole, bounded, and never a crash."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.errors import ErrorReply
from gateway.errors import UsageError
from gateway.programs import messages
from gateway.programs.limits import PROGRAM_FORWARDS, PROGRAM_LINE_BYTES
from gateway.programs.messages import (
    MAGIC,
    Accept,
    Attached,
    Connect,
    Done,
    Forward,
    ForwardRule,
    LineReader,
    Offer,
    OpenFlow,
    read_line,
    read_request,
    write_line,
    write_request,
)  # fmt: skip

ASKED = (
    Connect(host="chat.alice.overlay", port=7, strict=True),
    OpenFlow(host="game.alice.overlay"),
    Offer(service="chat", protocols=("tcp", "udp"), allow=("bob",), public=True, port=5),
    Accept(stream="ab"),
    Done(stream="ab"),
    Forward(
        rules=(ForwardRule(listen="127.0.0.1", listen_port=0, host="web.alice.overlay", protocol="udp"),)
    ),
)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: type(asked).__name__)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_request_is_read_as_it_was_written_however_it_is_cut(asked, size):
    reader = LineReader()
    data = write_request(asked) + b"rest"
    line = None
    for start in range(0, len(data), size):
        if line is None:
            line = reader.feed(data[start : start + size])
    assert line is not None
    assert read_request(line) == asked
    assert b"rest".startswith(reader.rest)


def test_what_a_newer_program_asks_for_is_refused():
    with pytest.raises(UsageError):
        read_request(MAGIC + b'{"do": "connect", "host": "a.overlay", "colour": "red"}')
    with pytest.raises(UsageError):
        read_request(MAGIC + b'{"do": "dance"}')


def test_a_line_and_what_it_names_are_bounded():
    reader = LineReader()
    with pytest.raises(UsageError, match="longer than"):
        reader.feed(b"x" * (PROGRAM_LINE_BYTES + 1))
    rule = ForwardRule(listen="127.0.0.1", listen_port=0, host="web.alice.overlay")
    with pytest.raises(UsageError):
        read_request(write_request(Forward(rules=(rule,) * (PROGRAM_FORWARDS + 1)))[:-1])


def test_an_answer_is_what_was_expected_or_an_error():
    answer = Attached(stream="1", endpoint_id="me")
    assert read_line(write_line(answer), Attached) == answer
    error = ErrorReply(error="no", code="usage")
    assert read_line(write_line(error), Attached) == error
    with pytest.raises(UsageError, match="makes no sense"):
        read_line(b"{}", Attached)


@given(st.binary(max_size=300))
def test_nothing_but_our_own_error_comes_of_any_bytes(data):
    for act in (
        lambda: read_request(data),
        lambda: read_request(MAGIC + data),
        lambda: read_line(data, Attached),
        lambda: LineReader().feed(data),
    ):
        with contextlib.suppress(UsageError):
            act()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["do", "host", "port", "stream", "rules", "connect"]), inner)
        ),
    )
)
def test_no_json_does_either(value):
    line = messages.write_line(value)[:-1]
    with contextlib.suppress(UsageError):
        read_request(MAGIC + line)
