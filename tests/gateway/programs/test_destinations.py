"""How people write services, and local ports that lead to them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.programs.destinations import destination, forward_rule
from gateway.programs.messages import ForwardRule


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("alice", "web"), ("web.alice.overlay", 80)),
        (("alice.overlay", "chat"), ("chat.alice.overlay", 0)),
        (("Alice.overlay.", "8000"), ("alice.overlay", 8000)),
        (("web.alice",), ("web.alice.overlay", 80)),
        (("alice", "game:27015"), ("game.alice.overlay", 27015)),
        (("sshd2.alice", "22"), ("sshd2.alice.overlay", 22)),
        (("web.alice", "web"), ("web.alice.overlay", 80)),
    ],
)
def test_services_are_named_in_these_ways(words, expected):
    assert destination(*words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("alice",),
        ("web.alice", "chat"),
        ("alice", "0"),
        ("alice", "70000"),
        ("not a name", "web"),
        ("", "web"),
    ],
)
def test_others_are_refused(words):
    with pytest.raises(UsageError):
        destination(*words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080:web.alice", ("127.0.0.1", 8080, "web.alice.overlay", 80)),
        ("0:alice:5432", ("127.0.0.1", 0, "alice.overlay", 5432)),
        ("[::1]:8080:web.alice", ("::1", 8080, "web.alice.overlay", 80)),
        ("0.0.0.0:53:dns.alice", ("0.0.0.0", 53, "dns.alice.overlay", 53)),
        ("localhost:1:chat.alice.overlay", ("127.0.0.1", 1, "chat.alice.overlay", 0)),
    ],
)
def test_ports_are_forwarded_in_these_ways(text, expected):
    listen, listen_port, host, port = expected
    assert forward_rule(text, "udp") == ForwardRule(
        listen=listen, listen_port=listen_port, host=host, port=port, protocol="udp"
    )


@pytest.mark.parametrize(
    "text", ["web.alice", "8080", "8080:alice", "70000:web.alice", "1.2.3.4.5:80:web.alice", "x:80:web.alice"]
)
def test_other_rules_are_refused(text):
    with pytest.raises(UsageError):
        forward_rule(text, "tcp")


@given(st.text(max_size=60))
def test_no_text_does_worse(text):
    for act in (
        lambda: forward_rule(text, "tcp"),
        lambda: destination(text, "web"),
        lambda: destination("alice", text),
    ):
        with contextlib.suppress(UsageError):
            act()
