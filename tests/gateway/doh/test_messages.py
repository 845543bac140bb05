"""Queries and answers of DNS over HTTPS as bytes."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from dnslib import QTYPE, RR, SOA, A, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from gateway.doh.messages import DohError, check_query, lifetime, query_of_parameter, refuse_pages
from resolver.limits import QUERY_BYTES

QUERY = DNSRecord(q=DNSQuestion("web.alice.overlay")).pack()


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def status(parameter: str | None) -> int:
    with pytest.raises(DohError) as caught:
        query_of_parameter(parameter)
    return caught.value.status


def test_a_query_in_a_parameter_is_base64url_without_padding():
    assert query_of_parameter(encoded(QUERY)) == QUERY
    assert query_of_parameter(encoded(b"\xff" * 12)) == b"\xff" * 12


@pytest.mark.parametrize("text", ["", None, "AA==", "A", "A+/A" * 8, "ä" * 20, "AAAA\n", encoded(b"short")])
def test_what_is_no_query_is_refused(text):
    assert status(text) == 400


def test_a_query_has_at_most_the_length_of_one():
    assert query_of_parameter(encoded(bytes(QUERY_BYTES))) == bytes(QUERY_BYTES)
    assert status(encoded(bytes(QUERY_BYTES + 1))) == 414
    with pytest.raises(DohError) as caught:
        check_query(bytes(QUERY_BYTES + 1))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://127.0.0.1:7399"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_pages_may_not_ask(fields):
    with pytest.raises(DohError) as caught:
        refuse_pages(fields)
    assert caught.value.status == 403


def test_resolvers_may():
    refuse_pages({})
    refuse_pages({"Sec-Fetch-Site": "none"})


def reply(*ttls: int, soa: tuple[int, int] | None = None) -> bytes:
    made = DNSRecord(q=DNSQuestion("a.overlay"))
    for ttl in ttls:
        made.add_answer(RR("a.overlay", QTYPE.A, rdata=A("127.64.0.1"), ttl=ttl))
    if soa is not None:
        ttl, minimum = soa
        made.add_auth(RR("overlay", QTYPE.SOA, rdata=SOA("a", "b", (1, 2, 3, 4, minimum)), ttl=ttl))
    return made.pack()


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        (reply(60, 30), 30),
        (reply(0), 0),
        (reply(soa=(60, 10)), 10),
        (reply(soa=(5, 10)), 5),
        (reply(60, soa=(5, 5)), 60),
        (reply(), 0),
        (b"junk", 0),
        (b"", 0),
    ],
)
def test_a_reply_may_be_kept_as_long_as_its_first_record_to_go(message, seconds):
    assert lifetime(message) == seconds


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[A-Za-z0-9_-]{0,40}=?")))
def test_any_text_is_a_query_or_an_error_of_ours(text):
    try:
        assert len(query_of_parameter(text)) >= 12
    except DohError:
        return


START = reply(60, soa=(1, 2))[:40]


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda more: START + more)))
def test_any_bytes_have_a_lifetime(data):
    assert lifetime(data) >= 0
