"""The forwarding machine, told as transcripts: what arrives, what leaves, what is to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.authority import parse_authority, split_absolute
from gateway.http.exchange import Forwarding, Phase
from gateway.http.plans import (
    CloseClient,
    Command,
    Dial,
    DropUpstream,
    Forward,
    Join,
    Place,
    ResetClient,
    Tunnel,
)
from gateway.http.problems import HttpError, Problem
from gateway.http.rewriting import KEEP
from gateway.limits import HTTP_HEAD_BYTES, HTTP_PIPELINE_BYTES

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead

A, B = Place("a", 80), Place("b", 80)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBLEM = Problem(502, "what", "why")


def plan(head: RequestHead) -> Forward | Tunnel:
    if head.method == b"CONNECT":
        return Tunnel(Place("t", 443))
    parts = split_absolute(head.target)
    if parts is None:
        raise HttpError(Problem(403, "no", "no"))
    authority = parse_authority(parts[1], 80)
    return Forward(Place(authority.host, authority.port), parts[2], KEEP, host=authority.text)


def answer(problem: Problem, head: RequestHead | None, close: bool) -> bytes:
    return b"<%d%s>" % (problem.status, b" close" if close else b"")


class Transcript:
    """One machine and what has come out of it."""

    def __init__(self, *, fixed: Place | None = None) -> None:
        self.machine = Forwarding(plan, answer, fixed=fixed)

    def get(
        self, target: bytes = b"http://a/", method: bytes = b"GET", fields: bytes = b"", body: bytes = b""
    ) -> None:
        self.machine.receive_client(
            method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body
        )

    def expect(
        self, *, client: bytes = b"", upstream: bytes | None = b"", commands: list[Command] | None = None
    ) -> None:
        sent = self.machine.bytes_to_upstream()
        if upstream is not None:
            assert sent == upstream
        assert self.machine.bytes_to_client() == client
        assert self.machine.commands() == (commands or [])

    def open(self, place: Place = A) -> None:
        self.expect(commands=[Dial(place)])
        self.machine.upstream_opened()
        self.expect(upstream=None)
        assert self.machine.phase is Phase.EXCHANGE

    def exchange_once(self) -> None:
        self.get()
        self.open()
        self.machine.receive_upstream(OK)
        self.expect(client=OK)


def test_a_request_is_dialed_sent_and_answered() -> None:
    t = Transcript()
    t.get(fields=b"A: b\r\n")
    t.expect(commands=[Dial(A)])
    t.machine.upstream_opened()
    t.expect(upstream=b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n")
    t.machine.receive_upstream(OK)
    t.expect(client=OK)
    assert t.machine.phase is Phase.IDLE


def test_the_next_request_to_the_same_place_needs_no_dial() -> None:
    t = Transcript()
    t.exchange_once()
    t.get(b"http://a/2")
    t.expect(upstream=b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")


def test_another_place_replaces_the_upstream() -> None:
    t = Transcript()
    t.exchange_once()
    t.get(b"http://b/")
    t.expect(commands=[DropUpstream(False), Dial(B)])


def test_pipelined_requests_are_served_in_order() -> None:
    t = Transcript()
    t.get(body=b"GET http://a/2 HTTP/1.1\r\nHost: a\r\n\r\nGET http://b/3 HTTP/1.1\r\nHost: b\r\n\r\n")
    t.open()
    t.machine.receive_upstream(OK)
    t.expect(client=OK, upstream=b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    t.machine.receive_upstream(OK)
    t.expect(client=OK, commands=[DropUpstream(False), Dial(B)])


def test_reading_pauses_when_too_much_waits_and_resumes() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Content-Length: 100000\r\n", body=b"x" * HTTP_PIPELINE_BYTES)
    assert not t.machine.client_may_send
    t.open()
    assert t.machine.client_may_send


def test_nothing_is_read_while_a_tunnel_opens_so_that_its_end_is_not_lost() -> None:
    t = Transcript()
    t.machine.receive_client(b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\nearly")
    t.expect(commands=[Dial(Place("t", 443))])
    assert not t.machine.client_may_send
    t.machine.upstream_opened(b"banner")
    t.expect(client=b"HTTP/1.1 200 Connection established\r\n\r\n", commands=[Join(b"early", b"banner")])


def test_a_tunnel_that_fails_closes_because_tunnel_bytes_may_follow() -> None:
    t = Transcript()
    t.machine.receive_client(b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\nGET http://a/ HTTP/1.1\r\n\r\n")
    t.machine.commands()
    t.machine.upstream_failed(PROBLEM)
    t.expect(client=b"<502 close>", commands=[CloseClient(linger=True)])


def test_a_failed_dial_leaves_the_connection_usable() -> None:
    t = Transcript()
    t.get()
    t.expect(commands=[Dial(A)])
    t.machine.upstream_failed(PROBLEM)
    t.expect(client=b"<502>")
    t.exchange_once()


def test_a_failed_dial_with_a_body_to_come_closes_and_lingers() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Content-Length: 5\r\n", body=b"12")
    t.machine.commands()
    t.machine.upstream_failed(PROBLEM)
    t.expect(client=b"<502 close>", commands=[CloseClient(linger=True)])


def test_a_flood_of_bad_requests_gets_one_answer() -> None:
    t = Transcript()
    t.machine.receive_client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
    t.expect(client=b"<403 close>", commands=[CloseClient(linger=True)])


def test_a_stale_upstream_is_replaced_once_for_a_bodiless_get() -> None:
    t = Transcript()
    t.exchange_once()
    t.get(b"http://a/2")
    t.expect(upstream=None)
    t.machine.upstream_ended(reset=True)
    t.expect(commands=[Dial(A)])
    t.machine.upstream_opened()
    t.expect(upstream=b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    t.machine.upstream_ended(reset=True)
    t.expect(client=b"<502>")


@pytest.mark.parametrize(("method", "body"), [(b"POST", b""), (b"PUT", b"x")])
def test_a_request_that_may_have_had_effects_is_not_repeated(method: bytes, body: bytes) -> None:
    t = Transcript()
    t.exchange_once()
    t.get(method=method, fields=b"Content-Length: %d\r\n" % len(body), body=body)
    t.expect(upstream=None)
    t.machine.upstream_ended(reset=True)
    t.expect(client=b"<502>")


def test_an_upstream_that_ends_while_idle_is_dialed_anew_next_time() -> None:
    t = Transcript()
    t.exchange_once()
    t.machine.upstream_ended(reset=False)
    t.expect()
    t.exchange_once()


def test_a_response_cut_short_resets_the_client() -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(OK[:-1])
    t.expect(client=OK[:-1])
    t.machine.upstream_ended(reset=False)
    t.expect(commands=[ResetClient()])


def test_a_response_without_length_ends_with_its_connection() -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(b"HTTP/1.0 200 OK\r\n\r\nabc")
    t.expect(client=b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
    t.machine.receive_upstream(b"def")
    t.expect(client=b"def")
    t.machine.upstream_ended(reset=False)
    t.expect(commands=[CloseClient(linger=False)])


def test_a_response_without_length_that_is_reset_is_cut_short() -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(b"HTTP/1.0 200 OK\r\n\r\nabc")
    t.machine.upstream_ended(reset=True)
    assert t.machine.commands() == [ResetClient()]


def test_interim_responses_pass_and_the_body_follows() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Expect: 100-continue\r\nContent-Length: 3\r\n")
    t.open()
    t.machine.receive_upstream(b"HTTP/1.1 100 Continue\r\n\r\n")
    t.expect(client=b"HTTP/1.1 100 Continue\r\n\r\n")
    t.machine.receive_client(b"abc")
    t.expect(upstream=b"abc")
    t.machine.receive_upstream(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK)
    t.expect(client=b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK)


def test_an_answer_before_the_end_of_the_body_ends_the_connection_gently() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Content-Length: 9\r\n", body=b"abc")
    t.open()
    t.machine.receive_upstream(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    t.expect(
        client=b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        commands=[DropUpstream(True), CloseClient(linger=True)],
    )


def test_head_has_no_body_whatever_its_length_says() -> None:
    t = Transcript()
    t.get(method=b"HEAD")
    t.open()
    t.machine.receive_upstream(OK[:-2])
    t.expect(client=OK[:-2])
    assert t.machine.phase is Phase.IDLE


def test_an_upgrade_joins_the_two_sides() -> None:
    t = Transcript()
    t.get(fields=b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    t.open()
    t.machine.receive_client(b"frame")
    response = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    t.machine.receive_upstream(response + b"hello")
    t.expect(client=response, commands=[Join(b"frame", b"hello")])


def test_an_upgrade_nobody_asked_for_is_the_services_fault() -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n")
    t.expect(client=b"<502>", commands=[DropUpstream(True)])


def test_bytes_nobody_asked_for_end_the_upstream() -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(OK + b"HTTP/1.1 200 poisoned\r\n\r\n")
    t.expect(client=OK, commands=[DropUpstream(False)])
    t.exchange_once()
    t.machine.receive_upstream(b"x")
    t.expect(commands=[DropUpstream(False)])


@pytest.mark.parametrize("response", [b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * HTTP_HEAD_BYTES])
def test_a_service_that_does_not_speak_http_gives_502(response: bytes) -> None:
    t = Transcript()
    t.get()
    t.open()
    t.machine.receive_upstream(response)
    t.expect(client=b"<502>", commands=[DropUpstream(True)])


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"A" * (HTTP_HEAD_BYTES + 1), 431),
        (b"GET http://a/ HTTP/1.1\r\nA: " + b"x" * HTTP_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (
            b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_bad_requests_are_answered_and_the_connection_ends(raw: bytes, status: int) -> None:
    t = Transcript()
    t.machine.receive_client(raw)
    t.expect(client=b"<%d close>" % status, commands=[CloseClient(linger=True)])
    t.machine.receive_client(raw)
    t.expect()


def test_a_malformed_chunk_ends_both_sides() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Transfer-Encoding: chunked\r\n")
    t.open()
    t.machine.receive_client(b"zz\r\n")
    t.expect(client=b"<400 close>", commands=[DropUpstream(True), CloseClient(linger=True)])


def test_a_client_that_ends_after_its_request_still_gets_the_answer() -> None:
    t = Transcript()
    t.get()
    t.machine.client_ended()
    t.open()
    t.machine.receive_upstream(OK)
    assert t.machine.bytes_to_client().endswith(b"ok")
    assert t.machine.commands() == [DropUpstream(False), CloseClient(linger=False)]


def test_a_client_that_ends_within_its_request_ends_the_upstream() -> None:
    t = Transcript()
    t.get(method=b"POST", fields=b"Content-Length: 9\r\n", body=b"abc")
    t.open()
    t.machine.client_ended()
    t.expect(commands=[DropUpstream(True), CloseClient(linger=False)])


def test_slow_heads_are_answered_and_silent_clients_just_closed() -> None:
    t = Transcript()
    t.machine.timed_out()
    t.expect(commands=[CloseClient(linger=False)])
    t = Transcript()
    t.machine.receive_client(b"GET ")
    assert t.machine.in_head
    t.machine.timed_out()
    t.expect(client=b"<408 close>", commands=[CloseClient(linger=True)])
    t = Transcript()
    t.get()
    t.machine.timed_out()
    t.expect(commands=[Dial(A)])


def test_a_fixed_upstream_is_never_dialed() -> None:
    t = Transcript(fixed=A)
    t.get()
    t.expect(upstream=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    t.machine.receive_upstream(OK)
    t.expect(client=OK)
    t.get()
    t.expect(upstream=None)
    t.machine.upstream_ended(reset=False)
    t.expect(commands=[CloseClient(linger=False)])


def test_a_fixed_upstream_that_ends_first_is_told() -> None:
    t = Transcript(fixed=A)
    t.get()
    t.expect(upstream=None)
    t.machine.upstream_ended(reset=True)
    t.expect(client=b"<502 close>", commands=[CloseClient(linger=True)])


def test_a_fixed_upstream_that_ends_while_idle_ends_the_client() -> None:
    t = Transcript(fixed=A)
    t.machine.upstream_ended(reset=False)
    t.expect(commands=[CloseClient(linger=False)])


CONVERSATION = (
    b"\r\nGET http://a/1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST http://a/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"
    b"PUT http://a/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwxyz"
)
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
)


def converse(step: int) -> tuple[bytes, bytes]:
    """The whole conversation in pieces of `step` bytes; what the upstream and the client got."""
    machine = Forwarding(plan, answer)
    upstream, client = b"", b""
    responses = list(RESPONSES)
    for start in range(0, len(CONVERSATION), step):
        machine.receive_client(CONVERSATION[start : start + step])
        while True:
            if any(isinstance(command, Dial) for command in machine.commands()):
                machine.upstream_opened()
            sent = machine.bytes_to_upstream()
            upstream += sent
            ends = (b"/1 HTTP/1.1\r\nHost: a\r\n\r\n", b"T: u\r\n\r\n", b"wxyz")
            if not responses or not upstream.endswith(ends[3 - len(responses)]):
                break
            response = responses.pop(0)
            for position in range(0, len(response), step):
                machine.receive_upstream(response[position : position + step])
            client += machine.bytes_to_client()
    return upstream, client


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_conversation_is_the_same_in_any_pieces(step: int) -> None:
    upstream, client = converse(step)
    assert upstream == (
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"
        b"PUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwxyz"
    )
    assert client == b"".join(RESPONSES)


step = st.one_of(
    st.tuples(st.just("client"), st.binary(max_size=40)),
    st.tuples(st.just("client"), st.sampled_from([CONVERSATION, b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n"])),
    st.tuples(st.just("upstream"), st.sampled_from([*RESPONSES, b"HTTP/1.1 200 OK\r\n\r\n", b"junk\r\n\r\n", b"x"])),
    st.tuples(st.sampled_from(["opened", "failed", "ended", "reset", "eof", "slow"]), st.just(b"")),
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(step, max_size=14), st.booleans())
def test_no_order_of_events_breaks_the_machine(steps: list[tuple[str, bytes]], fixed: bool) -> None:
    machine = Forwarding(plan, answer, fixed=A if fixed else None)
    over = dialing = False
    for kind, data in steps:
        if over:
            break
        match kind:
            case "client":
                machine.receive_client(data)
            case "upstream":
                machine.receive_upstream(data)
            case "opened" if dialing:
                dialing = False
                machine.upstream_opened()
            case "failed" if dialing:
                dialing = False
                machine.upstream_failed(PROBLEM)
            case "ended" | "reset":
                machine.upstream_ended(reset=kind == "reset")
            case "eof":
                machine.client_ended()
            case "slow":
                machine.timed_out()
        machine.bytes_to_client()
        machine.bytes_to_upstream()
        for command in machine.commands():
            dialing = dialing or isinstance(command, Dial)
            over = over or isinstance(command, CloseClient | ResetClient | Join)
            assert not (fixed and isinstance(command, Dial) and command.place == A) or not over
    if over:
        assert machine.phase in (Phase.CLOSED, Phase.JOINED)
