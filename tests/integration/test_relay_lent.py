"""Three gateways and no beacon: carol, who has a public address, lends her relay, and her contacts find it by her ticket."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.gateways import GatewayProcess, wait_until
from tests.lab.meetings import a_meeting, home_of, path_in, put_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.meetings import Meeting
    from tests.lab.networks import Nat

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(120),
]


@contextlib.contextmanager
def a_lender_and_her_contacts(place: Path, nat: Nat) -> Iterator[tuple[Meeting, GatewayProcess, str]]:
    """Alice and bob in homes with such NATs, carol, who knows both and lends, and `host:port` of her relay."""
    with a_meeting(place) as meeting:
        public = meeting.internet.server("carol")
        lend = "[lend]\nenabled = true\n"
        with put_on(public, place / "carol", nickname="carol", config=lend) as carol:
            meeting.start(*(meeting.internet.home(name, nat).host("laptop") for name in ("alice", "bob")))
            ticket = carol.json("ticket")["ticket"]
            for each in (meeting.alice, meeting.bob):
                carol.run("contacts", "add", each.nickname, each.id)
                each.run("join", ticket, "--name", "carol")
            relay = f"{public.address}:7443"
            for each in (meeting.alice, meeting.bob):
                wait_until(
                    lambda each=each: home_of(each) == f"https://{relay}", what="home is what she lends"
                )
            yield meeting, carol, relay


def lent(carol: GatewayProcess) -> dict[str, Any]:
    return carol.json("status")["lending"]


def test_contacts_of_a_lender_meet_by_her_relay_until_one_is_her_contact_no_more(tmp_path):
    with a_lender_and_her_contacts(tmp_path, "symmetric") as (meeting, carol, relay):
        url = f"https://{relay}#{carol.id}"
        assert meeting.alice.json("ticket")["relays"] == [url]
        assert carol.json("ticket")["relays"] == [url]

        meeting.first_byte()
        assert meeting.path() == ("peer relay", relay)
        assert path_in(meeting.bob.run("ping", "alice", "--count", "1").stdout) == ("peer relay", relay)

        report = lent(carol)
        assert (report["url"], report["to"]) == (url, "contacts")
        assert sorted(report["endpoints"]) == ["alice", "bob"]
        assert report["relayed_bytes"] > 1000
        assert "2 of 64: " in carol.run("status").stdout

        carol.run("contacts", "rm", "bob")
        wait_until(lambda: lent(carol)["endpoints"] == ["alice"], what="bob is sent away")
        wait_until(lambda: not home_of(meeting.bob), what="bob is at home nowhere")
        wait_until(
            lambda: "lent to its owner's contacts only" in meeting.bob.run("status").stdout,
            what="bob is told why",
        )
        assert home_of(meeting.alice) == f"https://{relay}"


def test_the_lender_is_at_her_own_relay_and_tells_its_guests_where_they_are_seen(tmp_path):
    with a_lender_and_her_contacts(tmp_path, "port-restricted") as (meeting, carol, relay):
        meeting.bob.run("contacts", "path", "carol", "relay-only")
        assert path_in(meeting.bob.run("ping", "carol", "--count", "1").stdout) == ("peer relay", relay)
        meeting.first_byte()
        meeting.wait_for_path("direct")
        assert meeting.path()[1].startswith(meeting.alice.namespace.public_address)
        assert home_of(carol) == f"https://{relay}"
