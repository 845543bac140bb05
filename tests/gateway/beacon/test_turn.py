"""Facts about TURN credentials; that coturn takes them is seen in tests/tunnels/nat/test_turn_coturn.py."""

from __future__ import annotations

from gateway.beacon.turn import TurnCredentials
from tunnels.addresses import Address
from tunnels.identity import SecretKey

ALICE, BOB = SecretKey(b"a" * 32).endpoint_id, SecretKey(b"b" * 32).endpoint_id
SERVER = Address.parse("198.51.100.1:3478")


def test_the_name_says_until_when_and_the_password_is_coturns_mac_over_it():
    said = TurnCredentials(SERVER, "north", 600).for_endpoint(ALICE, 1_000_000.9)
    assert said.address == "198.51.100.1:3478"
    assert said.seconds == 600
    expires, alias = said.username.split(":")
    assert expires == "1000600"
    assert alias.isalnum()
    assert said.username == "1000600:2irc43xmxcqoo5cn"
    # echo -n USERNAME | openssl dgst -sha1 -hmac north -binary | base64
    assert said.password == "Mx+H+Im8gXIu0xgdNHv2kClOmJ4="


def test_an_endpoint_keeps_its_alias_and_has_it_for_itself():
    credentials = TurnCredentials(SERVER, "north", 600)

    def alias(endpoint_id, now=0.0, credentials=credentials):
        return credentials.for_endpoint(endpoint_id, now).username.partition(":")[2]

    assert alias(ALICE) == alias(ALICE, 1e9) != alias(BOB)
    assert alias(ALICE) != alias(ALICE, credentials=TurnCredentials(SERVER, "south", 600))
    assert str(ALICE)[:8] not in alias(ALICE)


def test_a_secret_of_any_length_will_do():
    assert TurnCredentials(SERVER, "x" * 500, 60).for_endpoint(ALICE, 0.0).password
