"""Limits and shares between real gateways: what bob and carol get of alice, who limits them while they pull."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from gateway.control.contacts import AddContactRequest
from gateway.control.tickets import JoinRequest, TicketRequest
from tests.lab.gateways import GatewayProcess, clean_environment, introduce, running, wait_until
from tests.lab.pulling import DatagramSink, connect, endless_source, pulls, send_datagrams, settles

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("curl")

HOST = "flood.alice.overlay"
PORT = 7000
THIRD_PORT = 7001
MB = 1_000_000


class Limited:
    """Alice with an endless source and a UDP sink, and who uses them."""

    def __init__(self, alice: GatewayProcess, bob: GatewayProcess, carol: GatewayProcess) -> None:
        self.alice, self.bob, self.carol = alice, bob, carol

    def set(self, text: str, on: GatewayProcess | None = None) -> None:
        """Put limits in force on alice, or somebody else, as a person would."""
        gateway = on or self.alice
        (gateway.home / "gateway.toml").write_text(text)
        gateway.control.reload()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    place = tmp_path_factory.mktemp("limits")
    with (
        endless_source() as source,
        running(
            *(GatewayProcess(place / name, nickname=name) for name in ("alice", "bob", "carol"))
        ) as gateways,
    ):
        alice, bob, carol = gateways
        introduce(alice, bob)
        alice.control.add_contact(AddContactRequest(petname="carol", id_or_ticket=carol.id))
        ticket = alice.control.ticket(TicketRequest()).ticket
        carol.control.join(JoinRequest(ticket=ticket, petname="alice"))
        for name, port in (("flood", PORT), ("third", THIRD_PORT)):
            alice.run("expose", name, f"127.0.0.1:{source}", "--port", str(port), "--allow", "contacts")
        yield Limited(alice, bob, carol)


def near(megabytes: float, share: float) -> object:
    """This many megabytes a second, within a share of it."""
    return pytest.approx(megabytes * MB, rel=share)


def streams_of(gateway: GatewayProcess) -> int:
    return sum(tunnel["streams"] for tunnel in gateway.json("status")["tunnels"])


@pytest.fixture
def limited(three: Limited) -> Iterator[Limited]:
    yield three
    for gateway in (three.alice, three.bob):
        three.set("", gateway)
    wait_until(lambda: not streams_of(three.alice), what="all streams have ended")


def test_a_rate_is_kept_within_five_percent_also_by_what_was_open_before(limited):
    with pulls((limited.bob, HOST, PORT), (limited.carol, HOST, PORT)) as (bob, carol):
        wait_until(lambda: bob.octets > 5 * MB)
        limited.set("[limits.contacts.bob]\nrate = '1MB/s'\n")
        settles(  # what was on its way arrives first
            (bob, carol), lambda got: got[0] == near(1, 0.05) and got[1] > 5 * MB, after=2.0
        )
        limited.set("")
        settles((bob,), lambda got: got[0] > 3 * MB)


def test_who_uses_a_service_may_limit_it_as_well(limited):
    limited.set("[limits.contacts.alice]\nrate = '1MB/s'\n", limited.bob)
    with pulls((limited.bob, HOST, PORT)) as (bob,):
        settles((bob,), lambda got: got[0] == near(1, 0.05))


def test_a_quota_stops_within_one_percent_in_the_middle_and_new_ones_are_told_why(limited):
    limited.set("[limits.services.third]\nquota = '20MB'\n")
    with pulls((limited.bob, "third.alice.overlay", THIRD_PORT), (limited.carol, HOST, PORT)) as (bob, carol):
        bob.wait_for_end()
        assert isinstance(bob.ended_by, ConnectionResetError)
        assert bob.octets == pytest.approx(20 * MB, rel=0.01)
        before = carol.octets
        wait_until(lambda: carol.octets > before)
    sock, reply = connect(limited.bob, "third.alice.overlay", THIRD_PORT)
    sock.close()
    assert reply == 2  # not allowed
    page = subprocess.run(
        ["curl", "-sS", "-i", "--proxy", f"http://{limited.bob.listens('proxy')}", f"http://third.alice.overlay:{THIRD_PORT}/"],
        capture_output=True, text=True, check=True, timeout=20, env=clean_environment(),
    ).stdout  # fmt: skip
    assert page.startswith("HTTP/1.1 429 ")
    for words in ("service third has used the 20 MB of this month", "-01 (UTC) it goes on", "overlay limits"):
        assert words in page
    assert "service third has used the 20 MB" in limited.alice.said()
    assert "connections that end: 1" in limited.alice.said()


def test_connections_beyond_the_limit_are_told_so_at_once(limited):
    limited.set("[limits.groups.nobody]\nconnections = 1\n[limits.default]\nconnections = 2\n")
    with pulls((limited.bob, HOST, PORT), (limited.bob, HOST, PORT)) as (first, second):
        assert (first.reply, second.reply) == (0, 0)
        began = time.monotonic()
        sock, reply = connect(limited.bob, HOST, PORT)
        sock.close()
        assert reply == 2
        assert time.monotonic() - began < 5
        with pulls((limited.carol, HOST, PORT)) as (carol,):
            assert carol.reply == 0
    wait_until(lambda: _granted(limited.bob))


def _granted(gateway: GatewayProcess) -> bool:
    sock, reply = connect(gateway, HOST, PORT)
    sock.close()
    return reply == 0


@pytest.mark.parametrize(("weight", "streams"), [(1, 4), (4, 1)])
def test_two_contacts_share_by_weight_however_many_connections_they_have(limited, weight, streams):
    limited.set(f"[sharing]\nup = '10MB/s'\nlocal = 'same'\n[limits.contacts.bob]\nweight = {weight}\n")
    with pulls((limited.bob, HOST, PORT), *[(limited.carol, HOST, PORT)] * streams) as (bob, *carols):
        settles(
            (bob, *carols),
            lambda got: (
                got[0] / sum(got[1:]) == pytest.approx(weight, rel=0.1) and sum(got) == near(10, 0.05)
            ),
        )


def test_what_one_does_not_use_the_other_gets(limited):
    limited.set("[sharing]\nup = '10MB/s'\nlocal = 'same'\n[limits.contacts.bob]\nrate = '1MB/s'\n")
    with pulls((limited.bob, HOST, PORT), (limited.carol, HOST, PORT)) as (bob, carol):
        settles((bob, carol), lambda got: got[0] == near(1, 0.1) and got[1] == near(9, 0.1))


def test_a_small_answer_comes_at_once_beside_a_download_that_takes_everything(limited):
    limited.set("[sharing]\nup = '2MB/s'\nlocal = 'same'\n")
    with pulls((limited.bob, HOST, PORT), (limited.carol, HOST, PORT)) as (bob, _):
        wait_until(lambda: bob.octets > 3 * MB)
        took = []
        for _ in range(10):
            sock, reply = connect(limited.bob, HOST, PORT)
            began = time.monotonic()
            with sock:
                assert reply == 0
                assert sock.recv(1000)
            took.append(time.monotonic() - began)
        assert sorted(took)[5] < 0.5, took


def test_datagrams_beyond_the_rate_are_dropped(limited):
    with DatagramSink() as sink:
        limited.alice.run(
            "expose", "sink", f"127.0.0.1:{sink.port}", "--udp", "--port", "7002", "--allow", "contacts"
        )
        limited.set("[limits.services.sink]\nrate = '100KB/s'\n")
        send_datagrams(limited.bob, "sink.alice.overlay", 7002, rate=MB, seconds=3)
        wait_until(lambda: sink.octets > 250_000)
        assert sink.octets < 400_000  # three seconds' worth, and what may go ahead of it
        limited.alice.run("unexpose", "sink")
