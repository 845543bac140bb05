from __future__ import annotations

import socket
import threading

import pytest
from dnslib import RR, TXT, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from gateway.system_dns import asking
from tunnels.addresses import Address

SERVER = Address.parse("127.0.0.1:9")


@pytest.fixture
def gateway():
    """A DNS server that says which gateway it is; asked once for each text in `ids`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(10)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                data, client = sock.recvfrom(4096)
            except OSError:
                return
            question = DNSRecord.parse(data)
            reply = question.reply()
            reply.add_answer(RR(question.q.qname, 16, rdata=TXT("id=alice")))
            sock.sendto(reply.pack(), client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Address.of(*sock.getsockname())
    ended.set()
    asking.gateway_at(Address.of(*sock.getsockname()))  # it waits for one more
    thread.join(10)
    sock.close()


def test_a_gateway_tells_its_id_and_a_port_with_nobody_nothing(gateway):
    assert asking.gateway_at(gateway) == "alice"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nobody = Address.of(*silent.getsockname())
    assert asking.gateway_at(nobody) is None


@given(st.binary(max_size=300), st.integers(0, 65535))
def test_what_is_no_answer_is_none(data, message_id):
    assert all(isinstance(text, str) for text in asking.texts_in(data, message_id))


@given(st.data())
def test_an_answer_that_was_damaged_breaks_nothing(data):
    question = DNSRecord.question("x.gateway.overlay", "TXT")
    reply = question.reply()
    reply.add_answer(RR("x.gateway.overlay", 16, rdata=TXT("id=alice")))
    packed = bytearray(reply.pack())
    assert asking.texts_in(bytes(packed), question.header.id) == ("id=alice",)
    packed[data.draw(st.integers(2, len(packed) - 1))] = data.draw(st.integers(0, 255))
    for text in asking.texts_in(bytes(packed), question.header.id):
        assert isinstance(text, str)
    assert asking.texts_in(reply.pack(), question.header.id ^ 1) == ()


def test_each_name_is_new():
    assert asking.new_name() != asking.new_name()
    assert asking.new_name().endswith(".gateway.overlay.")


def test_what_the_system_says(monkeypatch):
    assert asking.look_up("127.0.0.9") == ("127.0.0.9",)
    waits = threading.Event()
    monkeypatch.setattr(asking.socket, "getaddrinfo", lambda *_: [][: waits.wait(20)])
    assert asking.look_up("anything", seconds=0.05) is None
    waits.set()


@pytest.mark.parametrize(
    ("found", "direct", "problem"),
    [
        (("127.0.0.1",), "alice", ""),
        ((), "alice", "finds no names under .overlay"),
        ((), None, "is the gateway running?"),
        (None, "alice", "does not answer"),
        (("127.66.1.1",), "alice", "finds no names"),
    ],
)
def test_why_names_are_not_found(monkeypatch, found, direct, problem):
    monkeypatch.setattr(asking, "look_up", lambda name: found)
    monkeypatch.setattr(asking, "gateway_at", lambda server: direct)
    monkeypatch.setattr(asking, "_texts", lambda *_: ())
    said = asking.check(SERVER, ["127.0.0.53"])
    assert problem in said
    assert bool(problem) == bool(said)


def test_another_gateway_is_not_taken_for_ours(monkeypatch):
    monkeypatch.setattr(asking, "look_up", lambda name: ("127.0.0.1",))
    monkeypatch.setattr(asking, "gateway_at", lambda server: "alice")
    monkeypatch.setattr(asking, "_texts", lambda *_: ("id=mallory",))
    assert asking.check(SERVER, ["127.0.0.53"]) == "another gateway answers, mallory"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_resolver_that_is_starting_has_time(monkeypatch):
    clock, answers = Clock(), iter(["it finds no names", "it finds no names", ""])
    monkeypatch.setattr(asking, "check", lambda *_: next(answers))
    assert asking.verify(SERVER, (), found_outside=False, now=lambda: clock.now, sleep=clock.sleep) == ""
    assert clock.now == pytest.approx(0.4)


def test_and_not_for_ever(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(asking, "check", lambda *_: "it finds no names")
    said = asking.verify(SERVER, (), found_outside=True, seconds=3, now=lambda: clock.now, sleep=clock.sleep)
    assert said == "it finds no names"
    assert 3 <= clock.now < 4


def test_names_outside_must_be_found_as_before(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(asking, "check", lambda *_: "")
    monkeypatch.setattr(asking, "look_up", lambda name: ())
    options = {"seconds": 1, "now": lambda: clock.now, "sleep": clock.sleep}
    assert "outside" in asking.verify(SERVER, (), found_outside=True, **options)
    assert asking.verify(SERVER, (), found_outside=False, **options) == ""
