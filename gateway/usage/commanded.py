"""Limits that commands set: above those of gateway.toml, and kept. ⚡"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.config.quantities import UNLIMITED
from gateway.errors import UsageError
from gateway.traffic.terms import NO_TERMS, Terms
from gateway.usage.limits import LIMITS_BY_COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.home import Home
    from gateway.traffic.control import TrafficControl

_STATE: Final = "limits"


class _Saved(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terms of one scope in the file."""

    rate: int | None = None
    quota: int | None = None
    connections: int | None = None
    weight: int | None = None

    def terms(self) -> Terms:
        """Whoever edits the file cannot do worse than with a command."""

        def within(value: int | None, least: int) -> int | None:
            return None if value is None else min(max(value, least), UNLIMITED)

        return Terms(
            within(self.rate, 1), within(self.quota, 1), within(self.connections, 1), within(self.weight, 1)
        )


class CommandedLimits:
    """The limits of every scope; what is set here is on disk before it holds."""

    def __init__(self, home: Home, control: TrafficControl) -> None:
        """Read what is kept, from a thread that may wait; StateError when it is corrupt: nothing would be limited else."""
        self.control = control
        self._home = home
        self._setting = asyncio.Lock()
        saved = home.load_state(_STATE, dict[str, _Saved], dict)
        self._terms = {scope: each.terms() for scope, each in saved.items()}

    def __repr__(self) -> str:
        return f"CommandedLimits({len(self._terms)} scopes)"

    def apply(self) -> None:
        """Let what was kept hold; once, on the event loop."""
        for scope, terms in self._terms.items():
            self.control.set_terms(scope, terms)

    def commanded(self, scope: str) -> Terms:
        """What commands say in a scope."""
        return self._terms.get(scope, NO_TERMS)

    async def set(self, scope: str, change: Callable[[Terms], Terms]) -> tuple[Terms, Terms]:
        """Say something else there from now on; returns what was said before, and now. StateError leaves everything as it was."""
        async with self._setting:
            before = self.commanded(scope)
            terms = change(before)
            await asyncio.to_thread(self._save, scope, terms)
            self.control.set_terms(scope, terms)
            return before, terms

    def _save(self, scope: str, terms: Terms) -> None:
        changed = {known: each for known, each in self._terms.items() if known != scope}
        if terms != NO_TERMS:
            if len(changed) >= LIMITS_BY_COMMAND:
                raise UsageError(
                    f"limits: there are {len(changed)} by command already; unset some, or put them under [limits] in gateway.toml"
                )
            changed[scope] = terms
        saved = {
            known: _Saved(each.rate, each.quota, each.connections, each.weight)
            for known, each in changed.items()
        }
        self._home.save_state(_STATE, saved)
        self._terms = changed
