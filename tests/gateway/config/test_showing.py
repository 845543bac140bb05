"""What `overlay config show` prints can be read back, but for its secrets."""

from __future__ import annotations

from gateway.config import Config, parse
from gateway.config.showing import as_toml, as_values

TEXT = b"""
[tunnels]
addresses = ["203.0.113.7:7777"]
[dns]
forward = ["192.0.2.53"]
[services.web]
target = "unix:/run/\\"x\\""
allow = ["alice"]
[contacts.alice]
id = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"
"""


def test_what_is_shown_reads_back_as_the_same_configuration() -> None:
    for config in (Config(), parse(TEXT, source="f")):
        assert parse(as_toml(config).encode(), source="shown") == config


def test_secrets_are_masked() -> None:
    config = parse(
        b"[proxy]\nusername = 'me'\npassword = 'hunter2'\nupstream = 'http://a:hunter2@x:1'", source="f"
    )
    assert "hunter2" not in as_toml(config)
    assert "hunter2" not in str(as_values(config))
    assert 'password = "***"' in as_toml(config)
