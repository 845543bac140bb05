"""A profile reaches whom it names, and chooses the connection; who has none is as before."""

from __future__ import annotations

import pytest

from gateway.config.settings import Config, ProfileSettings, ProxySettings
from gateway.config.showing import as_toml
from gateway.dialing import DialError, Failure
from gateway.profiles import Profiles
from tests.lab.endpoints import key_of
from tunnels.dialing import Lane
from tunnels.paths.candidates import PathPolicy

ALICE, BOB = (key_of(name).endpoint_id for name in ("alice", "bob"))


class Contacts:
    """Alice is a contact, in the group friends; bob is nobody."""

    def id_of(self, petname):
        return ALICE if petname == "alice" else None

    def is_contact(self, endpoint_id):
        return endpoint_id == ALICE

    def groups_of(self, endpoint_id):
        return frozenset({"friends"} if endpoint_id == ALICE else ())

    def is_introduced(self, introducer, endpoint_id):
        return False


def profiles(**settings: ProfileSettings) -> Profiles:
    return Profiles(settings, Contacts())


@pytest.mark.parametrize("entry", ["alice", str(ALICE), "contacts", "group:friends"])
def test_whom_a_profile_names_it_reaches_and_nobody_else(entry: str) -> None:
    work = profiles(work=ProfileSettings(contacts=("carol", entry)))
    assert work.lane_to("work", ALICE, "web.alice.overlay:80") is None
    with pytest.raises(DialError, match="the profile work reaches only carol, ") as caught:
        work.lane_to("work", BOB, "x.overlay:80")
    assert caught.value.failure is Failure.PROFILE


def test_who_has_no_profile_is_as_before() -> None:
    work = profiles(work=ProfileSettings(contacts=("carol",), isolation=True))
    for user in (None, "proxy-user"):
        assert work.of(user) is None
        assert work.lane_to(user, BOB, "x") is None


@pytest.mark.parametrize(
    ("settings", "lane"),
    [
        (ProfileSettings(), None),
        (ProfileSettings(path_policy="relay-only"), Lane(PathPolicy.RELAY_ONLY)),
        (ProfileSettings(isolation=True), Lane(PathPolicy.AUTO, "work")),
        (ProfileSettings(isolation=True, path_policy="no-lan"), Lane(PathPolicy.NO_LAN, "work")),
    ],
)
def test_paths_and_isolation_choose_the_connection(settings: ProfileSettings, lane: Lane | None) -> None:
    assert profiles(work=settings).lane_to("work", BOB, "x") == lane


def test_a_profile_does_not_open_a_proxy_that_asks_for_a_password() -> None:
    guarded = ProxySettings(username="me", password="secret")
    with pytest.raises(ValueError, match=r"profiles\.work has no password"):
        Config(proxy=guarded, profiles={"work": ProfileSettings()})
    with pytest.raises(ValueError, match="the same name"):
        Config(proxy=guarded, profiles={"me": ProfileSettings(password="x")})
    shown = as_toml(Config(proxy=guarded, profiles={"work": ProfileSettings(password="hidden")}))
    assert "hidden" not in shown
    assert '[profiles.work]\npassword = "***"' in shown
