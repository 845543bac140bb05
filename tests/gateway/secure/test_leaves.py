"""Certificates made on demand: for which names, how many, how often, and by which hello."""

from __future__ import annotations

import ssl
from itertools import count

import pytest

from gateway.answers.base import time_now
from gateway.secure.authority import Authority
from gateway.secure.hosts import is_ours
from gateway.secure.leaves import Leaves
from gateway.secure.limits import LEAF_BURST, LEAF_DAYS, LEAF_RATE, LEAVES

NOW = time_now()
AUTHORITY = Authority.make(NOW, "test")


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def test_a_name_of_ours_gets_a_certificate_which_is_kept_and_renewed():
    clock = Clock()
    leaves = Leaves(AUTHORITY, clock)
    first = leaves.context_for("web.alice.overlay")
    assert first is not None
    assert leaves.context_for("web.alice.overlay") is first
    clock.now += LEAF_DAYS * 86400 / 2
    assert leaves.context_for("web.alice.overlay") is not first
    assert len(leaves) == 1


@pytest.mark.parametrize(
    "host", ["", "example.com", "overlay", "localhost", "*.overlay", "127.0.0.1", "a.b.c.overlay"]
)
def test_no_other_name_gets_one(host):
    assert Leaves(AUTHORITY, Clock()).context_for(host) is None


def test_no_more_are_kept_than_may_be_and_the_one_used_longest_ago_goes():
    clock = Clock()
    leaves = Leaves(AUTHORITY, clock, most=4)
    for number in range(4):
        leaves.context_for(f"n{number}.overlay")
    used = leaves.context_for("n0.overlay")
    leaves.context_for("n4.overlay")
    assert len(leaves) == 4
    assert leaves.context_for("n0.overlay") is used
    assert LEAVES >= 4


def test_no_more_are_made_than_may_be():
    clock = Clock()
    leaves = Leaves(AUTHORITY, clock)
    names = (f"n{number}.overlay" for number in count())
    made = [leaves.context_for(next(names)) for _ in range(int(LEAF_BURST) + 5)]
    assert made.index(None) == LEAF_BURST
    clock.now += 2
    assert [leaves.context_for(next(names)) is not None for _ in range(12)].count(True) == 2 * LEAF_RATE


def test_names_of_nobody_neither_use_up_nor_push_out_those_of_the_address_book():
    clock = Clock()
    leaves = Leaves(AUTHORITY, clock, lambda host: ".alice." in host, most=8)
    mail = leaves.context_for("mail.alice.localhost")
    for number in range(int(LEAF_BURST) + 5):
        last = leaves.context_for(f"n{number}.nobody.localhost")
    assert last is None
    assert leaves.context_for("mail.alice.localhost") is mail
    assert leaves.context_for("web.alice.localhost") is not None
    assert len(leaves) == 8 + 2


def test_a_clock_that_is_set_back_keeps_nobody_waiting():
    clock = Clock()
    leaves = Leaves(AUTHORITY, clock)
    for number in range(int(LEAF_BURST)):
        leaves.context_for(f"n{number}.overlay")
    assert leaves.context_for("one.overlay") is None
    clock.now -= 86400
    assert leaves.context_for("one.overlay") is not None


def shaken(server: ssl.SSLContext, host: str | None, *, alpn: str = "http/1.1") -> ssl.SSLObject:
    """A handshake in memory; SSLError if it fails."""
    client_context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    client_context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if host is None:
        client_context.check_hostname = False
    client_context.set_alpn_protocols([alpn])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    waiting = [theirs, ours]
    for _ in range(20):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return theirs
    raise AssertionError("the handshake does not end")


def test_the_hello_names_the_certificate():
    leaves = Leaves(AUTHORITY, time_now)
    for host in ("web.alice.overlay", "WEB.Bob.Localhost"):
        done = shaken(leaves.chooser(is_ours), host)
        certificate = done.getpeercert()
        assert certificate is not None
        assert certificate["subjectAltName"] == (("DNS", host.lower()),)
        assert done.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("host", ["example.com", "b.overlay", None])
def test_a_hello_for_another_name_or_none_gets_nothing(host):
    with pytest.raises(ssl.SSLError, match="CALLBACK_FAILED"):
        shaken(Leaves(AUTHORITY, time_now).chooser(lambda asked: asked == "a.overlay"), host)
