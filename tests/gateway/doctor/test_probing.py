"""Each channel is tried for real; who answers something else, or nothing, has not proved it."""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from gateway.doctor import probing
from gateway.doctor.facts import Proof

ME = "y" * 52 + ".overlay"


@contextlib.contextmanager
def answering(*replies: bytes, hold: bool = False):
    """A TCP server that sends one reply for each read of its one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.settimeout(5)
                    for reply in replies:
                        client.recv(4096)
                        client.sendall(reply)
                    if hold:
                        done.wait(5)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            done.set()
            server.close()
            thread.join()


@pytest.mark.parametrize(
    ("reply", "ok"),
    [(b"\x05\x00", True), (b"\x05\x02", True), (b"\x05\xff", False), (b"HT", False), (b"", False)],
)
def test_a_socks_greeting(reply, ok):
    with answering(reply) as place:
        assert probing.proven(partial(probing.socks, place)).ok is ok


@pytest.mark.parametrize(
    ("replies", "ok"),
    [
        ((b"\x05\x00", b"\x05\x05"), True),
        ((b"\x05\x00", b"\x05\x02"), True),
        ((b"\x05\x00", b"\x05\x04"), False),
        ((b"\x05\xff",), False),
        ((b"\x05",), False),
    ],
)
def test_a_name_by_socks(replies, ok):
    with answering(*replies) as place:
        assert probing.proven(partial(probing.socks5h, place, ME)).ok is ok


def test_a_login_is_given_where_it_is_known():
    with answering(b"\x05\x02", b"\x01\x00", b"\x05\x05") as place:
        assert probing.socks5h(place, ME, ("user", "word")).ok
    with answering(b"\x05\x02", b"\x01\x01") as place:
        assert "password" in probing.socks5h(place, ME, ("user", "word")).detail


@pytest.mark.parametrize(
    ("status", "ok"), [(404, True), (403, True), (200, True), (502, False), (407, False)]
)
def test_a_name_by_http_connect(status, ok):
    with answering(f"HTTP/1.1 {status} Words here\r\n\r\n".encode()) as place:
        assert probing.proven(partial(probing.http_connect, place, ME)).ok is ok
    with answering(b"SSH-2.0-OpenSSH_9\r\n") as place:
        assert not probing.proven(partial(probing.http_connect, place, ME)).ok


def dns_answer(ip: str = "127.80.3.1", *, rcode: int = 0, number: int = 7) -> bytes:
    question = DNSRecord.question(ME, "A")
    question.header.id = number
    answer = question.reply()
    answer.header.rcode = rcode
    if ip:
        answer.add_answer(RR(ME, QTYPE.A, rdata=A(ip)))
    return answer.pack()


def test_a_dns_answer_has_to_be_what_the_gateway_says():
    assert probing.read_answer(dns_answer(), 7, ME, "127.80.3.1").ok
    assert probing.read_answer(dns_answer(""), 7, ME, "").ok
    for answer, expected in (
        (dns_answer(), "127.80.3.2"),
        (dns_answer(), ""),
        (dns_answer(""), "127.80.3.1"),
    ):
        proof = probing.read_answer(answer, 7, ME, expected)
        assert not proof.ok
        assert "somebody else answers" in proof.detail
    refused = probing.read_answer(dns_answer("", rcode=RCODE.NXDOMAIN), 7, ME, "")
    assert not refused.ok
    assert "NXDOMAIN" in refused.detail


def test_an_answer_to_another_question_is_none():
    with pytest.raises(ValueError, match="this question"):
        probing.read_answer(dns_answer(), 8, ME, "127.80.3.1")
    with pytest.raises(ValueError, match="this question"):
        probing.read_answer(DNSRecord.question(ME).pack(), 7, ME, "")


@given(st.binary(max_size=600))
def test_bytes_that_are_no_dns_answer_are_a_value_error_at_most(data):
    with contextlib.suppress(ValueError):
        probing.read_answer(data, 7, ME, "")


@pytest.mark.parametrize(
    ("reply", "ok"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nfunction FindProxyForURL(){ return 'SOCKS5 127.0.0.1:1080' }", True),
        (b"HTTP/1.0 200 OK\r\n\r\nfunction FindProxyForURL(){ return 'SOCKS5 127.0.0.1:9' }", False),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>", False),
        (b"HTTP/1.0 503 No\r\n\r\n", False),
        (b"\x00\xff", False),
    ],
)
def test_the_pac_file_has_to_name_our_proxy(reply, ok):
    with answering(reply) as place:
        assert probing.proven(partial(probing.pac, place, "127.0.0.1:1080")).ok is ok


def test_a_loopback_address_is_bound_and_reached():
    assert probing.proven(partial(probing.loopback, "127.80.3.1")).ok
    proof = probing.proven(partial(probing.loopback, "192.0.2.1"))  # nobody's here
    assert not proof.ok
    assert proof.detail


def test_who_never_answers_or_is_not_there_is_told_in_words(monkeypatch):
    monkeypatch.setattr(probing, "DOCTOR_PROBE_SECONDS", 0.1)
    with answering(hold=True) as place:
        assert probing.proven(partial(probing.socks, place)) == Proof(
            ok=False, detail="no answer within 0.1 s"
        )
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
    assert probing.proven(partial(probing.socks, place)) == Proof(ok=False, detail="nobody listens there")


def test_no_more_is_read_than_the_bound(monkeypatch):
    monkeypatch.setattr(probing, "DOCTOR_REPLY_BYTES", 1000)
    with answering(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000) as place:
        assert not probing.proven(partial(probing.pac, place, "")).ok


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:1080", ("127.0.0.1", 1080)),
        ("0.0.0.0:1080", ("127.0.0.1", 1080)),
        ("[::]:53", ("::1", 53)),
        ("[::1]:53", ("::1", 53)),
    ],
)
def test_where_a_door_is_reached(text, place):
    assert probing.place_of(text) == place


def test_names_are_shown_in_short():
    assert probing.brief(f"web.{ME}") == "web.yyyyyyyy….overlay"


@pytest.mark.parametrize(
    ("reply", "ok"),
    [(b"HTTP/1.1 421 x\r\n\r\n", True), (b"HTTP/1.1 200 OK\r\n\r\n", False), (b"SSH-2.0 x y\r\n", False)],
)
def test_a_front_door_knows_what_is_not_behind_it(reply, ok):
    with answering(reply) as place:
        assert probing.proven(partial(probing.front_door, place)).ok is ok


def test_https_is_proven_by_a_certificate_of_our_own_authority(tmp_path):
    with answering(b"HTTP/1.1 421 x\r\n\r\n") as place:
        assert not probing.proven(partial(probing.front_door, place, tmp_path)).ok
