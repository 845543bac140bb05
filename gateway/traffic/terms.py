"""What the limits are, and which of them hold for whom. Values only, no I/O.

A scope is a word, or two with a dot between, as the sections of gateway.toml: `default` (each contact), `groups.family`
(each contact in it), `contacts.bob` (or by id), `strangers` (all who are no contacts, together, for ids cost nothing) and
`services.web` (everybody's use of one of our services, together). For a contact the most specific scope that says
something about a limit decides it. What holds for a service holds besides: of both, the one that is reached first.

Terms that were set by command are stronger than those of gateway.toml for the same scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config.quantities import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tunnels.identity import EndpointId

DEFAULT: Final = "default"
STRANGERS: Final = "strangers"
CONTACTS: Final = "contacts."
GROUPS: Final = "groups."
SERVICES: Final = "services."


@dataclass(frozen=True, slots=True)
class Terms:
    """Limits; None is one about which nothing is said here, UNLIMITED lifts what a less specific scope says."""

    rate: int | None = None
    """Octets a second, in each direction by itself."""
    quota: int | None = None
    """Octets a calendar month, both directions together."""
    connections: int | None = None
    """Connections and UDP flows open at once, whoever opened them."""
    weight: int | None = None
    """Its part of what is shared, in comparison with others; 1 if nothing is said."""

    def over(self, other: Terms) -> Terms:
        """These, and those of `other` where these say nothing."""
        if other is NO_TERMS:
            return self
        return Terms(
            rate=other.rate if self.rate is None else self.rate,
            quota=other.quota if self.quota is None else self.quota,
            connections=other.connections if self.connections is None else self.connections,
            weight=other.weight if self.weight is None else self.weight,
        )

    @property
    def share(self) -> int:
        """The weight in force."""
        return self.weight or 1

    @property
    def limits(self) -> bool:
        """Whether anything at all is limited."""
        return any(
            value is not None and value < UNLIMITED for value in (self.rate, self.quota, self.connections)
        )


NO_TERMS: Final = Terms()


class TermsBook:
    """Terms by scope: those of the configuration, and above them those that were set by command."""

    def __init__(self, configured: Mapping[str, Terms], commanded: Mapping[str, Terms] | None = None) -> None:
        self.configured = dict(configured)
        self.commanded = dict(commanded or {})

    def __repr__(self) -> str:
        return f"TermsBook({len(self.configured)} configured, {len(self.commanded)} by command)"

    def of(self, scope: str) -> Terms:
        """What is said in one scope."""
        if scope not in self.commanded:
            return self.configured.get(scope, NO_TERMS)
        return self.commanded.get(scope, NO_TERMS).over(self.configured.get(scope, NO_TERMS))

    def scopes(self) -> tuple[str, ...]:
        """Every scope in which something is said."""
        return tuple(dict.fromkeys((*self.configured, *self.commanded)))

    def for_contact(self, endpoint_id: EndpointId, petname: str | None, groups: Iterable[str]) -> Terms:
        """What holds for a contact: by its id, its petname, its groups in the order they are written, the default."""
        if not self.configured and not self.commanded:
            return NO_TERMS
        terms = self.of(CONTACTS + str(endpoint_id))
        if petname is not None:
            terms = terms.over(self.of(CONTACTS + petname))
        mine = {GROUPS + group for group in groups}
        for scope in self.scopes():
            if scope in mine:
                terms = terms.over(self.of(scope))
        return terms.over(self.of(DEFAULT))

    def for_strangers(self) -> Terms:
        """What holds for all who are no contacts, together."""
        return self.of(STRANGERS)

    def for_service(self, name: str) -> Terms:
        """What holds for everybody's use of one of our services, together."""
        return self.of(SERVICES + name)
