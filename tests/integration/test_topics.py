"""Real gateways that know nothing of each other meet by a topic, and relays that strangers lend are found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.gateways import running, wait_until
from tests.lab.lans import a_lan, gateway_on
from tests.lab.meetings import _put_on, a_meeting, home_of

if TYPE_CHECKING:
    from tests.lab.gateways import GatewayProcess

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(150),
]

MANIFEST = 'name = "Chat"\nversion = "1.2"\ndescription = "Talk."\nservice = "chat"\nhome_page = "https://chat.example/"\n'
MEET_WITHIN = 20.0
"""Seconds from joining to knowing the other; it takes two, and the machine may be busy."""


def peers(gateway: GatewayProcess, topic: str = "chat") -> list[dict[str, Any]]:
    return json.loads(gateway.run("topic", "peers", topic, "--json").stdout)


def meet(gateway: GatewayProcess, other: GatewayProcess, topic: str = "chat") -> dict[str, Any]:
    """The other, once it is a peer of ours."""

    def found() -> list[dict[str, Any]]:
        return [peer for peer in peers(gateway, topic) if peer["endpoint_id"] == other.id]

    return wait_until(found, MEET_WITHIN, f"{gateway.nickname} knows {other.nickname} in {topic}")[0]


def test_strangers_behind_nats_meet_in_a_topic_by_their_beacon(tmp_path):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        machines = [
            meeting.internet.home(name, "symmetric").host("laptop") for name in ("alice", "bob", "carol")
        ]
        urls = [each.url for each in meeting.beacons]
        started = [
            _put_on(machine, tmp_path / name, nickname=name, beacons=urls)
            for name, machine in zip(("alice", "bob", "carol"), machines, strict=True)
        ]
        with running(*started) as (alice, bob, carol):
            (tmp_path / "chat.toml").write_text(MANIFEST)
            done = alice.run("topic", "join", "Chat", "--manifest", str(tmp_path / "chat.toml"))
            assert "undo" in done.stdout
            assert "topic leave chat" in done.stdout
            assert "the service chat, which is not exposed" in done.stderr
            bob.run("topic", "join", "chat")
            carol.run("topic", "join", "game")
            found = meet(bob, alice)
            assert found["manifest"] == {
                "name": "Chat",
                "version": "1.2",
                "description": "Talk.",
                "service": "chat",
                "home_page": "https://chat.example/",
            }
            assert found["host"] == f"chat.{alice.id}.overlay"
            assert found["source"] in ("beacon", "it asked us")
            assert meet(alice, bob)["manifest"] is None
            assert "Chat 1.2: Talk., https://chat.example/" in bob.run("topic", "peers", "chat").stdout
            assert json.loads(bob.run("topic", "ls", "--json").stdout)[0]["peers"] == 1
            assert peers(carol, "game") == []

            # Nothing is granted by it.
            refused = bob.run("ping", alice.id, "--count", "1", check=False)
            assert refused.returncode == 0, "a peer of a topic is reached by its id"

            alice.stop()
            alice.start()
            assert [topic["name"] for topic in json.loads(alice.run("topic", "ls", "--json").stdout)] == [
                "chat"
            ]
            assert meet(alice, bob)["endpoint_id"] == bob.id

            alice.run("topic", "leave", "chat")
            refused = alice.run("topic", "peers", "chat", check=False)
            assert refused.returncode == 2
            assert "topic join chat" in refused.stderr


def test_neighbours_meet_in_a_topic_without_any_server(tmp_path):
    with a_lan() as lan:
        machines = [lan.machine() for _ in range(3)]
        started = [
            gateway_on(machine, tmp_path / name, name)
            for name, machine in zip(("alice", "bob", "carol"), machines, strict=True)
        ]
        with running(*started) as (alice, bob, carol):
            for each, topic in ((alice, "chat"), (bob, "chat"), (carol, "game")):
                each.run("topic", "join", topic)
            assert meet(bob, alice)["source"] in ("local network", "it asked us")
            assert meet(alice, bob)["source"] in ("local network", "it asked us")
            assert peers(carol, "game") == []
            assert len(peers(alice)) == len(peers(bob)) == 1


def test_gateways_without_a_beacon_find_a_relay_that_a_stranger_lends(tmp_path):
    with a_lan() as lan:
        machines = [lan.machine() for _ in range(4)]
        lend = '[lend]\nenabled = true\nto = "all"\n'
        started = [
            gateway_on(machines[0], tmp_path / "carol", "carol", config=lend),
            gateway_on(machines[1], tmp_path / "alice", "alice"),
            gateway_on(machines[2], tmp_path / "bob", "bob"),
            gateway_on(machines[3], tmp_path / "dave", "dave", config="[topics]\nfind_relays = false\n"),
        ]
        with running(*started) as (carol, alice, bob, dave):
            relay = carol.json("status")["lending"]["url"].partition("#")[0]
            for each in (alice, bob):
                wait_until(
                    lambda each=each: home_of(each) == relay,
                    MEET_WITHIN,
                    f"{each.nickname} is at home at carol's",
                )
            assert alice.json("ticket")["relays"] == [f"{relay}#{carol.id}"]
            assert home_of(dave) == "", "he did not want any"
            alice.run("contacts", "add", "bob", bob.id)
            alice.run("contacts", "path", "bob", "relay-only")
            done = alice.run("ping", "bob", "--count", "1")
            assert f"relay {relay.removeprefix('https://')}" in done.stdout
            carol.stop()
            wait_until(lambda: home_of(alice) == "", 30, "alice has no home any more")
            carol.start()
            wait_until(lambda: home_of(alice) != "", 60, "alice is at home there again")


def dht(bootstrap: str, *, serve: bool = False) -> str:
    """A DHT of these machines alone."""
    return (
        f'[dht]\nenabled = "on"\nport = 6881\nprivate = true\nserve = {str(serve).lower()}\n'
        f'bootstrap = ["{bootstrap}"]\n'
    )


def test_homes_behind_nats_find_a_relay_that_a_stranger_lends_in_the_dht_and_meet_by_it(tmp_path):
    with a_meeting(tmp_path) as meeting:
        public = meeting.internet.server("carol")
        node = meeting.internet.server("node")
        place = f"{node.address}:6881"
        machines = [meeting.internet.home(name, "symmetric").host("laptop") for name in ("alice", "bob")]
        lend = '[lend]\nenabled = true\nto = "all"\n'
        with (
            running(
                _put_on(
                    node, tmp_path / "node", "--dht", "on", nickname="node", config=dht(place, serve=True)
                )
            ),
            running(
                _put_on(
                    public,
                    tmp_path / "carol",
                    "--dht",
                    "on",
                    nickname="carol",
                    config=lend + dht(place, serve=True),
                ),
                _put_on(machines[0], tmp_path / "alice", "--dht", "on", nickname="alice", config=dht(place)),
                _put_on(machines[1], tmp_path / "bob", "--dht", "on", nickname="bob", config=dht(place)),
            ) as (carol, alice, bob),
        ):
            relay = f"https://{public.address}:7443"
            for each in (alice, bob):
                wait_until(
                    lambda each=each: home_of(each) == relay, 60, f"{each.nickname} is at home at carol's"
                )
            # Strangers meet at the beacon that they found, and the public one is found at its address.
            for each in (alice, bob, carol):
                each.run("topic", "join", "chat")
            meet(alice, bob)
            meet(bob, alice)
            meet(alice, carol)
            done = alice.run("ping", bob.id, "--count", "1")
            assert f"relay {public.address}:7443" in done.stdout
