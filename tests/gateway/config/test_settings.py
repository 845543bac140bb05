"""Settings that stand for something else when they are empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.checks import check_petname
from gateway.config.settings import GatewaySettings


@pytest.mark.parametrize(
    ("hostname", "nickname"),
    [
        ("alice.example.org", "alice"),
        ("Alice's PC", "alice-s-pc"),
        ("-x-", "x"),
        ("", "endpoint"),
        ("...", "endpoint"),
        ("\u00e4", "endpoint"),
        ("a" * 100, "a" * 63),
        ("8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo", "endpoint"),
    ],
)
def test_an_empty_nickname_is_the_hosts_first_label(hostname: str, nickname: str) -> None:
    assert GatewaySettings().nickname_for(hostname) == nickname
    assert GatewaySettings(nickname="mine").nickname_for(hostname) == "mine"


@given(st.text())
def test_any_hostname_gives_a_petname(hostname: str) -> None:
    check_petname(GatewaySettings().nickname_for(hostname))
