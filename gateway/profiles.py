"""What the user name that a program gives the proxy stands for: whom it may reach, by which paths, on a connection of its own.

A profile chooses; it guards nothing by itself, since a program that may speak to the proxy may leave its name away. Who
wants that reads `[proxy] username` in configs/gateway.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.dialing import DialError, Failure
from gateway.expose.access import is_listed
from tunnels.dialing import Lane
from tunnels.paths.candidates import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from gateway.config.settings import ProfileSettings
    from gateway.expose.access import Contacts
    from tunnels.identity import EndpointId


@dataclass(frozen=True, slots=True)
class Profile:
    """One of them, in force for what begins now."""

    name: str
    contacts: tuple[str, ...] = ()
    """As a service's `allow`; empty for everybody."""
    policy: PathPolicy = PathPolicy.AUTO
    """What is allowed besides what the contact's own policy forbids."""
    isolation: bool = False
    """Whether it shares no connection with others."""
    other_hosts: Literal["", "direct", "refuse"] = ""
    """Empty: as the proxy does."""

    @property
    def lane(self) -> Lane | None:
        """On which connections its streams and flows go; None for the main ones."""
        if self.isolation:
            return Lane(self.policy, self.name)
        return None if self.policy is PathPolicy.AUTO else Lane(self.policy)


class Profiles:
    """All of them, by name."""

    def __init__(self, settings: Mapping[str, ProfileSettings], contacts: Contacts) -> None:
        self._profiles = {
            name: Profile(name, one.contacts, PathPolicy(one.path_policy), one.isolation, one.other_hosts)
            for name, one in settings.items()
        }
        self._contacts = contacts

    def of(self, user: str | None) -> Profile | None:
        """The profile of that user; None if it has none, as when there are no profiles."""
        return None if user is None else self._profiles.get(user)

    def lane_to(self, user: str | None, endpoint_id: EndpointId, label: str) -> Lane | None:
        """On which connection the user reaches an endpoint, None for the main one; DialError if it may not."""
        profile = self.of(user)
        if profile is None:
            return None
        if profile.contacts and not is_listed(endpoint_id, profile.contacts, self._contacts):
            raise DialError(
                Failure.PROFILE,
                f"{label}: the profile {profile.name} reaches only {', '.join(profile.contacts)}",
            )
        return profile.lane
