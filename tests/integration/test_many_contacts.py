"""A real gateway that knows many: more contacts than may have listeners, and records of strangers that only the disk holds."""

from __future__ import annotations

import asyncio
import time

from gateway.home import Home
from gateway.limits import LISTENERS
from scripts.bench.full_homes import fill
from tests.lab.gateways import gateway
from tests.lab.resolver_dns import ask, query_bytes, reply
from tunnels.addresses import Address

CONTACTS = 1200


def test_all_of_them_are_known_after_a_start(tmp_path):
    known = fill(Home(tmp_path / "home"), contacts=CONTACTS, strangers=500, now=time.time())  # noqa: TID251 - the records are of now
    with gateway(tmp_path / "home", nickname="me") as me:
        assert 2 * CONTACTS > LISTENERS, "a listener at the service's name and one at the endpoint's"
        contacts = me.json("contacts", "ls")
        assert {each["petname"] for each in contacts} == {f"contact{number}" for number in range(CONTACTS)}
        assert all(each["addresses"] == ["127.0.0.1:9", "[::1]:9"] for each in contacts)
        assert all(each["services"] == ["web"] for each in contacts)
        assert me.json("status")["warnings"] == []

        server = Address.parse(me.listens("dns"))
        addresses = set()
        for number in (*range(0, CONTACTS, 100), 0):
            answered = reply(asyncio.run(ask(server, query_bytes(f"web.contact{number}.overlay"))))
            addresses.add(str(answered.rr[0].rdata))
        assert len(addresses) == CONTACTS / 100
        assert sum(len(entry["offers"]) for entry in me.json("status")["loopback"]) <= LISTENERS

        stranger = known.strangers[0]
        explained = me.json("resolve", str(stranger), "--explain")
        (record,) = explained["records"]
        assert (record["scope"], record["source"], record["in_use"]) == (
            "public",
            "https://eu1.example",
            True,
        )
        ticket, public = me.json("resolve", "contact7", "--explain")["records"]
        assert {ticket["scope"], public["scope"]} == {"given", "public"}
