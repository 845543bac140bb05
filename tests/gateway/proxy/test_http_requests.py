"""What the HTTP proxy plans."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gateway.http.heads import parse_request
from gateway.http.plans import Forward, Place, Tunnel
from gateway.http.problems import HttpError
from gateway.proxy.http_requests import plan_request
from gateway.proxy.requests import Credentials

ANN = Credentials("ann", "a:b")


def plan(line: bytes, fields: bytes = b"", credentials: Credentials | None = None) -> Forward | Tunnel:
    return plan_request(parse_request(line + b" HTTP/1.1\r\n" + fields + b"\r\n"), credentials)


def refused(line: bytes, fields: bytes = b"", credentials: Credentials | None = None) -> int:
    with pytest.raises(HttpError) as caught:
        plan(line, fields, credentials)
    return caught.value.problem.status


def test_connect_opens_a_tunnel() -> None:
    assert plan(b"CONNECT a.overlay:22") == Tunnel(Place("a.overlay", 22))
    assert plan(b"CONNECT [::1]:22") == Tunnel(Place("::1", 22))


@pytest.mark.parametrize(
    ("line", "place", "target", "host"),
    [
        (b"GET http://a.overlay/x?y", Place("a.overlay", 80), b"/x?y", b"a.overlay"),
        (b"GET http://a.overlay:8080", Place("a.overlay", 8080), b"/", b"a.overlay:8080"),
        (b"GET http://[::1]:1/", Place("::1", 1), b"/", b"[::1]:1"),
        (b"GET ws://a.overlay/chat", Place("a.overlay", 80), b"/chat", b"a.overlay"),
        (b"OPTIONS http://a.overlay", Place("a.overlay", 80), b"*", b"a.overlay"),
    ],
)
def test_absolute_targets_are_sent_on_in_origin_form(
    line: bytes, place: Place, target: bytes, host: bytes
) -> None:
    forward = plan(line)
    assert isinstance(forward, Forward)
    assert (forward.place, forward.target, forward.host) == (place, target, host)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400),
        (b"OPTIONS *", 400),
        (b"GET https://a.overlay/", 501),
        (b"GET ftp://a.overlay/", 501),
        (b"GET http:///x", 400),
        (b"GET http://user@a.overlay/", 400),
        (b"GET http://a.overlay:99999/", 400),
        (b"CONNECT a.overlay", 400),
        (b"CONNECT a.overlay:0", 400),
        (b"CONNECT http://a.overlay/", 400),
    ],
)
def test_other_requests_are_refused_with_a_reason(line: bytes, status: int) -> None:
    assert refused(line) == status


def basic(text: str, scheme: bytes = b"Basic") -> bytes:
    return b"Proxy-Authorization: " + scheme + b" " + b64encode(text.encode()) + b"\r\n"


def test_the_right_password_opens_and_names_the_user() -> None:
    for line in (b"CONNECT a.overlay:22", b"GET http://a.overlay/"):
        assert plan(line, basic("ann:a:b"), ANN).place.user == "ann"
        assert plan(line, basic("ann:a:b", b"bAsIc"), ANN).place.user == "ann"


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        basic("ann:a"),
        basic("ann"),
        basic("x:a:b"),
        basic("ann:a:b", b"Bearer"),
        b"Proxy-Authorization: Basic %%\r\n",
    ],
)
def test_anything_else_is_asked_for_a_password(fields: bytes) -> None:
    assert refused(b"GET http://a.overlay/", fields, ANN) == 407
    assert refused(b"GET /", fields, ANN) == 407


def test_without_credentials_nobody_is_asked_and_nobody_is_named() -> None:
    assert plan(b"CONNECT a.overlay:22", basic("ann:a:b")).place.user is None


PROFILES = Credentials(profiles={"work": "", "home": "key"})


@pytest.mark.parametrize(("text", "user"), [("work:", "work"), ("work:any", "work"), ("home:key", "home")])
def test_the_name_of_a_profile_is_kept(text: str, user: str) -> None:
    planned = plan(b"CONNECT a.overlay:80", basic(text), PROFILES)
    assert planned == Tunnel(Place("a.overlay", 80, user))


def test_who_gives_no_name_needs_none_beside_profiles() -> None:
    assert plan(b"CONNECT a.overlay:80", b"", PROFILES) == Tunnel(Place("a.overlay", 80, None))


@pytest.mark.parametrize("text", ["home:wrong", "nobody:x"])
def test_who_is_no_profile_is_told_so(text: str) -> None:
    with pytest.raises(HttpError, match="knows no such user") as caught:
        plan(b"CONNECT a.overlay:80", basic(text), PROFILES)
    assert caught.value.problem.status == 407
