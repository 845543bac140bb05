"""beacon.toml: what may stand in it, and what its mistakes are called."""

from __future__ import annotations

import pytest

from gateway.beacon.settings import SCHEMA, BeaconConfig, BeaconSettings
from gateway.config import InvalidConfiguration
from gateway.config.loading import load_as, parse_as
from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl


def read(text: str, **environ: str) -> BeaconConfig:
    return parse_as(SCHEMA, text.encode(), source="beacon.toml", environ=environ)


def problem(text: str, **environ: str) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        read(text, **environ)
    return str(caught.value)


def test_nothing_written_is_all_defaults() -> None:
    assert read("") == BeaconConfig()


def test_keys_are_read_as_their_types() -> None:
    issuer = key(1).endpoint_id
    config = read(
        f'[beacon]\nurls = ["https://b.example#{issuer}"]\n[vouchers]\nissuers = ["{issuer}"]\n'
        '[turn]\nservers = ["192.0.2.1:3478"]\nsecret = "s"\n'
    )
    assert config.beacon.urls == (BeaconUrl("https", "b.example", 443, issuer),)
    assert config.vouchers.issuers == (issuer,)
    assert str(config.turn.servers[0]) == "192.0.2.1:3478"


def test_variables_have_a_prefix_of_their_own_and_the_gateways_are_not_theirs() -> None:
    config = read("", OVERLAY_BEACON_RELAY_SESSIONS="7", OVERLAY_PROXY_PORT="1", OVERLAY_HOME="/x")
    assert config.relay.sessions == 7
    assert "OVERLAY_BEACON_RELAY_SESSION" in problem("", OVERLAY_BEACON_RELAY_SESSION="7")


def test_a_gateway_overlooks_the_beacons_variables() -> None:
    from gateway.config import Config, parse

    assert parse(b"", source="x", environ={"OVERLAY_BEACON_RELAY_SESSIONS": "7"}) == Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[relays]\n", "unknown section [relays]; did you mean [relay]?"),
        ("[relay]\nsession = 1\n", "session = 1: unknown key; did you mean `sessions`?"),
        ('[beacon]\nbind = ["localhost"]\n', "write 127.0.0.1"),
        ('[tls]\ncertificate = "a.pem"\n', "certificate and key go together"),
        (
            '[tls]\nmode = "off"\ncertificate = "a"\nkey = "b"\n',
            'mode "off" needs no certificate',
        ),
        ('[turn]\nsecret = "hidden-thing"\n', "servers and secret go together"),
        ('[metrics]\nallow = ["192.0.2.1/24"]\n', "expected a network such as"),
        ('[stun]\naddresses = ["beacon.example"]\n', "not an ip address"),
        ('[beacon]\nurls = ["beacon.example"]\n', "a beacon is written"),
        ("[relay]\nsessions = 0\n", "sessions = 0"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(text: str, said: str) -> None:
    assert said in problem(text)


def test_a_secret_of_a_wrong_type_is_not_repeated() -> None:
    assert "hunter2" not in problem('[turn]\nsecret = ["hunter2"]\n')


def test_several_mistakes_are_counted_and_the_command_that_tells_them_is_named() -> None:
    assert "(and 1 more: see `overlay beacon --check`)" in problem("[a]\n[b]\n")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('[turn]\nservers = ["192.0.2.1:1"]\nsecret = "s"\n', True),
        ('[redis]\nurl = "redis://:pass@127.0.0.1"\n', True),
        ('[redis]\nurl = "redis://127.0.0.1"\n', False),
        ("[turn]\n", False),
    ],
)
def test_a_file_with_a_secret_is_for_its_owner_only(tmp_path, text: str, refused: bool) -> None:
    file = tmp_path / "beacon.toml"
    file.write_text(text)
    file.chmod(0o644)
    if refused:
        with pytest.raises(InvalidConfiguration, match="chmod 600"):
            load_as(SCHEMA, file, environ={}, overrides={})
        file.chmod(0o600)
    load_as(SCHEMA, file, environ={}, overrides={})


@pytest.mark.parametrize(
    ("bind", "local"), [(("127.0.0.1", "::1"), True), (("0.0.0.0",), False), (("127.0.0.1", "::"), False)]
)
def test_it_knows_whether_others_can_reach_it(bind: tuple[str, ...], local: bool) -> None:
    assert BeaconSettings(bind=bind).is_local is local
