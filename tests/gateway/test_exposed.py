"""The services of a running gateway, from commands and from the configuration."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config import ServiceSettings
from gateway.errors import ConfigurationError, StateError, UsageError
from gateway.expose.services import Service
from gateway.exposed import ExposedServices
from gateway.home import Home


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def service(name: str = "web", **settings) -> Service:
    return Service.of(name, ServiceSettings(**{"target": "127.0.0.1:8000", **settings}))


async def test_an_exposed_service_is_there_after_a_restart_until_it_is_unexposed(home):
    exposed = ExposedServices(home, {})
    await exposed.expose(service(allow=("contacts",)))
    again = await asyncio.to_thread(ExposedServices, home, {})
    assert [found.name for found in again.book] == ["web"]
    await again.unexpose("WEB")
    assert not len((await asyncio.to_thread(ExposedServices, home, {})).book)


async def test_exposing_again_replaces_the_service_of_that_name(home):
    exposed = ExposedServices(home, {})
    await exposed.expose(service())
    await exposed.expose(service(public=True))
    assert [found.public for found in exposed.book] == [True]


async def test_what_cannot_be_saved_is_not_exposed(home, monkeypatch):
    exposed = ExposedServices(home, {})

    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", full)
    with pytest.raises(StateError):
        await exposed.expose(service())
    assert not len(exposed.book)


async def test_two_services_cannot_have_one_port_whatever_their_origin(home):
    exposed = ExposedServices(home, {"web": ServiceSettings(target="8000")})
    with pytest.raises(UsageError, match="port 80"):
        await exposed.expose(service("http"))
    with pytest.raises(UsageError, match="overlay reload"):
        await exposed.expose(service("web"))
    with pytest.raises(UsageError, match="overlay reload"):
        await exposed.unexpose("web")


async def test_a_configured_service_wins_over_a_saved_one_and_says_so(home):
    exposed = ExposedServices(home, {})
    await exposed.expose(service())
    exposed.configure({"other": ServiceSettings(target="9000", port=80)})
    assert [found.name for found in exposed.book] == ["other"]
    assert "web is not exposed" in exposed.warnings[0]


async def test_a_configuration_that_makes_no_sense_is_named_and_changes_nothing(home):
    exposed = ExposedServices(home, {"web": ServiceSettings(target="8000")})
    with pytest.raises(ConfigurationError, match=r"gateway\.toml: \[services\.bad\]"):
        exposed.configure({"bad": ServiceSettings(target="nowhere")})
    assert [found.name for found in exposed.book] == ["web"]


async def test_only_public_services_are_told_to_everybody(home):
    exposed = ExposedServices(home, {})
    await exposed.expose(service("web", public=True))
    await exposed.expose(service("ssh", target="22", allow=("contacts",)))
    assert [told.name for told in exposed.public()] == ["web"]


async def test_who_is_no_contact_any_more_is_allowed_nothing_and_introduces_nobody(home):
    exposed = ExposedServices(home, {})
    who = "y" * 52
    await exposed.expose(service(allow=("bob", who, f"contacts-of:{who}", "group:family")))
    await exposed.revoke(who)
    assert [found.allow for found in exposed.book] == [("bob", "group:family")]
