"""The zone of our own name and our profile: what a command put there, saved and in force."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import StateError, UsageError
from resolver.errors import InvalidName, InvalidZone
from resolver.profiles import Profile, is_profile, profile_of
from resolver.records import check_own_zone
from resolver.zone_files import JsonZone, json_zone, zone_of_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.home import Home
    from resolver.zone_entries import ZoneEntry
    from tunnels.identity import EndpointId

    Zone = tuple[ZoneEntry, ...]

_STATE: Final = "zone"
_BEFORE: Final = "zone-before"
"""The zone before the last import, as a file that can be imported."""


class OwnZone:
    """Our records and our profile, in one order; a change is saved before it counts."""

    def __init__(self, home: Home, own: EndpointId, on_change: Callable[[], None]) -> None:
        """Read what is saved; StateError when the file is damaged. `on_change` is called after each change."""
        self._home = home
        self._own = own
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self.entries: Zone = self._read(home.load_state(_STATE, JsonZone, JsonZone))

    def __repr__(self) -> str:
        return f"<OwnZone of {len(self.entries)} records>"

    @property
    def records(self) -> Zone:
        """All but the profile."""
        return tuple(entry for entry in self.entries if not is_profile(entry))

    @property
    def profile(self) -> Profile:
        """Our profile."""
        return profile_of(self.entries)

    async def change(
        self, act: Callable[[Zone], Zone], *, keep_before: bool = False, preview: bool = False
    ) -> tuple[Zone, Zone]:
        """Put `act`'s result in place of the zone; returns what was, and what is.

        UsageError if it cannot be published, StateError if it cannot be saved: nothing has changed then. `keep_before` saves the
        old one as `before_file`; with `preview` nothing changes at all.
        """
        async with self._lock:
            before = self.entries
            try:
                after = check_own_zone(self._own, act(before))
            except (InvalidZone, InvalidName) as error:
                raise UsageError(f"zone: {error}") from None
            if after != before and not preview:
                if keep_before:
                    await asyncio.to_thread(self._home.save_state, _BEFORE, json_zone(before, self._own))
                await asyncio.to_thread(self._home.save_state, _STATE, json_zone(after, self._own))
                self.entries = after
                self._on_change()
            return before, after

    @property
    def before_file(self) -> str:
        """Where the zone before the last import is."""
        return str(self._home.state_file(_BEFORE))

    def _read(self, saved: JsonZone) -> Zone:
        try:
            read = zone_of_json(saved, self._own)
            return check_own_zone(self._own, with_profile(read.records, read.profile or Profile()))
        except (InvalidZone, InvalidName) as error:
            raise StateError(
                f"state: {self._home.state_file(_STATE)} is damaged ({error}); restore it, or remove it to start afresh"
            ) from None


def with_profile(zone: Zone, profile: Profile) -> Zone:
    """The zone with this profile in place of its own."""
    told = profile.entry()
    return (*(entry for entry in zone if not is_profile(entry)), *((told,) if told is not None else ()))
