"""Targets are read as people write them, and anything else is refused with what is expected."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.expose.targets import IpTarget, UnixTarget, parse_target
from gateway.limits import SERVICE_PORTS
from resolver.names import ServiceProtocol

TCP, UDP = ServiceProtocol.TCP, ServiceProtocol.UDP


@pytest.mark.parametrize(
    ("text", "target", "protocols"),
    [
        ("8000", IpTarget("127.0.0.1", 8000, 8000), None),
        ("127.0.0.1:8000", IpTarget("127.0.0.1", 8000, 8000), None),
        ("nas.local:8000", IpTarget("nas.local", 8000, 8000), None),
        ("[::1]:80", IpTarget("::1", 80, 80), None),
        ("[0::0:1]:80", IpTarget("::1", 80, 80), None),
        ("unix:/run/x.sock", UnixTarget("/run/x.sock"), None),
        ("unix:/run/tcp/udp", UnixTarget("/run/tcp/udp"), None),
        ("5000-5100", IpTarget("127.0.0.1", 5000, 5100), None),
        ("host:5000-5100", IpTarget("host", 5000, 5100), None),
        ("53/udp", IpTarget("127.0.0.1", 53, 53), (UDP,)),
        ("host:53/tcp+udp", IpTarget("host", 53, 53), (TCP, UDP)),
        ("5000-5001/UDP+TCP", IpTarget("127.0.0.1", 5000, 5001), (TCP, UDP)),
        ("[::1]:22/tcp", IpTarget("::1", 22, 22), (TCP,)),
    ],
)
def test_targets_are_read_as_people_write_them(text, target, protocols) -> None:
    assert parse_target(text) == (target, protocols)
    assert parse_target(str(target))[0] == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write host:port"),
        ("web", "'web' is no port"),
        ("host:", "'' is no port"),
        (":80", "'' is no host"),
        ("::1:80", "stands in brackets"),
        ("[::g]:80", "no IPv6 address"),
        ("0", "1-65535"),
        ("65536", "1-65535"),
        ("5100-5000", "write 5000-5100"),
        (f"1-{SERVICE_PORTS + 1}", "at most"),
        ("80/sctp", "'/sctp' is no protocol"),
        ("http://localhost:80", "no URL"),
        ("ho st:80", "no host"),
        ("80\n", "no port"),
        ("unix:x.sock", "whole path"),
        ("unix:/" + "x" * 107, "at most 107"),
        ("unix:/a\0b", "whole path"),
        ("٣:80", "no host"),
        ("٣", "no port"),
    ],
)
def test_wrong_targets_are_refused_with_what_is_expected(text, says) -> None:
    with pytest.raises(UsageError, match=r"is not a target|at most") as caught:
        parse_target(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"\A(unix:)?[a-z.\[\]:]{0,9}:?[0-9-]{0,12}(/[a-z+]{0,8})?\Z"))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        target, _ = parse_target(text)
        assert parse_target(str(target))[0] == target
