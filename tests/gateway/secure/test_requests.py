"""What the front doors do with requests: where they go, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.heads import parse_request
from gateway.http.plans import Forward, Place
from gateway.http.problems import HttpError
from gateway.http.rewriting import KEEP
from gateway.secure.requests import DOH_PLACE, OVER_TLS, plan_terminated, plan_visit

HOST = b"web.alice.localhost:7380"


def visit(
    *fields: str, target: bytes = b"/", method: bytes = b"GET", host: bytes = HOST, over_tls: bool = False
) -> Forward:
    lines = [
        method + b" " + target + b" HTTP/1.1",
        b"Host: " + host,
        *(field.encode() for field in fields),
        b"",
        b"",
    ]
    return plan_visit(parse_request(b"\r\n".join(lines)), over_tls=over_tls)


def refusal(*fields: str, **words: object) -> int:
    with pytest.raises(HttpError) as caught:
        visit(*fields, **words)  # type: ignore[arg-type]
    return caught.value.problem.status


def test_a_request_goes_to_the_service_with_the_host_that_the_browser_sent():
    assert visit(target=b"/a?b") == Forward(Place("web.alice.overlay", 80), b"/a?b", KEEP, host=HOST)
    assert visit(over_tls=True).rewrite == OVER_TLS
    assert visit(host=b"dns.localhost").place == DOH_PLACE
    assert visit(target=b"*", method=b"OPTIONS").target == b"*"


def test_it_is_no_proxy():
    assert refusal(method=b"CONNECT", target=b"example.com:443") == 501
    assert refusal(target=b"http://example.com/") == 421
    assert refusal(target=b"example.com:80") == 400
    assert visit(target=b"http://blog.bob.localhost/x").place == Place("blog.bob.overlay", 80)


@pytest.mark.parametrize(
    "host", [b"evil.example:7380", b"127.0.0.1:7380", b"web.alice.localhost.:7380", b"web.alice.overlay", b""]
)
def test_a_host_that_is_not_under_localhost_is_refused(host):
    assert refusal(host=host) == 421


def test_a_host_that_is_no_name_is_not_found():
    assert refusal(host=b"localhost:7380") == 404
    assert refusal(host=b"a.b.c.localhost") == 404


CROSS = "Sec-Fetch-Site: cross-site"
LINK = (CROSS, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Sec-Fetch-Site: none",),
        ("Sec-Fetch-Site: same-origin", "Origin: http://web.alice.localhost:7380"),
        ("Sec-Fetch-Site: same-site", "Origin: http://blog.alice.localhost:7380"),
        ("Origin: http://web.alice.localhost:7380", "Upgrade: websocket", "Connection: Upgrade"),
        LINK,
    ],
)
def test_a_person_and_the_pages_of_the_same_endpoint_may_do_all(fields):
    assert visit(*fields).place == Place("web.alice.overlay", 80)


@pytest.mark.parametrize(
    "fields",
    [
        (CROSS,),
        (CROSS, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
        (CROSS, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        (*LINK, "Origin: https://evil.example"),
        ("Origin: https://evil.example",),
        ("Origin: null",),
        ("Origin: http://web.bob.localhost:7380",),
        ("Origin: http://alice.localhost.evil.example",),
        ("Origin: chrome-extension://abc",),
        (
            "Sec-Fetch-Site: same-origin",
            "Origin: http://web.alice.localhost:7380",
            "Origin: https://evil.example",
        ),
        ("Origin: https://evil.example", "Upgrade: websocket", "Connection: Upgrade"),
    ],
)
def test_pages_of_another_site_may_not(fields):
    assert refusal(*fields) == 403
    assert refusal(*fields, host=b"dns.localhost") == 403


def test_a_form_of_another_site_is_not_a_link():
    assert refusal(*LINK, method=b"POST") == 403


def terminated(host: bytes, target: bytes = b"/") -> Forward:
    head = parse_request(
        b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nX-Forwarded-Proto: http\r\n\r\n"
    )
    return plan_terminated(head, Place("web.id.overlay", 80), lambda asked: asked == "web.alice.overlay")


def test_over_tls_a_connection_serves_the_names_it_was_opened_for():
    plan = terminated(b"Web.Alice.Overlay")
    assert plan == Forward(Place("web.id.overlay", 80), b"/", OVER_TLS, host=b"Web.Alice.Overlay")
    assert OVER_TLS.drop == {b"x-forwarded-proto"}
    for host in (b"web.bob.overlay", b"example.com", b"\xff", b""):
        with pytest.raises(HttpError) as caught:
            terminated(host)
        assert caught.value.problem.status == 421
    with pytest.raises(HttpError):
        terminated(b"web.alice.overlay", b"https://example.com/")


FIELD = st.sampled_from(["Host", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Upgrade", "X"])


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(FIELD, st.binary(max_size=60)), max_size=5),
    st.sampled_from([b"GET", b"CONNECT", b"OPTIONS", b"POST"]),
)
def test_any_request_is_planned_or_refused(target, fields, method):
    raw = method + b" " + target + b" HTTP/1.1\r\n"
    raw += b"".join(name.encode() + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    try:
        head = parse_request(raw)
        plan = plan_visit(head, over_tls=False)
    except HttpError:
        return
    assert plan.place == DOH_PLACE or plan.place.host.endswith(".overlay")
