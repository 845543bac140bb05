"""The servers that stand beside gateways in tests really start, answer and are gone afterwards."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from gateway.beacon.server import wall_clock
from gateway.beacon.settings import BeaconConfig
from tests.lab.beacons_real import TURN_PORT, TURN_SECRET, beacon, coturn, redis
from tests.lab.internet import an_internet
from tunnels.addresses import BeaconUrl
from tunnels.nat import attested

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl")


def test_a_beacon_keeps_its_url_when_it_is_killed_and_started_again(tmp_path):
    with an_internet() as internet:
        laptop = internet.home("home").host("laptop")
        with beacon(tmp_path / "beacon", internet.server("beacon")) as running:
            url = running.url
            assert url.startswith(f"https://{running.machine.address}#")
            asked = (
                "curl",
                "-sSk",
                "--max-time",
                "5",
                f"https://{running.machine.address}/overlay/v1/observed",
            )
            for end in (running.kill, running.stop):
                assert laptop.public_address in json.dumps(json.loads(laptop.run(*asked).stdout))
                assert running.metrics()
                end()
                assert laptop.run(*asked, check=False).returncode != 0
                running.start()
                assert running.url == url


def test_a_beacon_attests_the_address_of_a_home_to_who_asks_from_within(tmp_path):
    with an_internet() as internet, beacon(tmp_path / "beacon", internet.server("beacon")) as running:
        laptop = internet.home("home").host("laptop")
        beacon_id = BeaconUrl.parse(running.url).beacon_id
        stun_port = BeaconConfig().stun.ports[0]
        with laptop.socket() as asker:
            asker.settimeout(5)
            asker.sendto(attested.request(bytes(16), bytes(range(12))), (running.machine.address, stun_port))
            reply = attested.reply(asker.recv(2048), bytes(range(12)))
        for ip, is_there in ((laptop.public_address, True), (laptop.address, False)):
            proven = attested.proven_ip(reply.attestation, ip_address(ip), bytes(16), beacon_id, wall_clock())
            assert proven is is_there


@pytest.mark.needs("redis-server")
def test_a_redis_that_is_killed_and_started_again_is_empty(tmp_path):
    with an_internet() as internet, redis(internet.server("redis")) as running:

        def say(*words: str) -> str:
            return running.machine.run("redis-cli", "-h", running.machine.address, *words).stdout.strip()

        assert say("SET", "key", "value") == "OK"
        running.kill()
        running.start()
        assert say("GET", "key") == ""
        assert running.machine.address in running.section


@pytest.mark.needs("turnserver")
def test_coturn_answers_from_within_a_home():
    with an_internet() as internet, coturn(internet.server("coturn")) as turn:
        laptop = internet.home("home").host("laptop")
        assert TURN_SECRET in turn.section
        said = laptop.run("turnutils_stunclient", "-p", str(TURN_PORT), turn.machine.address).stdout
        assert laptop.public_address in said
