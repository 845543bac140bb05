"""Our own zone and profile, and what is known of whom."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.answers.base import time_now
from gateway.answers.contacts import ContactAnswers
from gateway.control import zones
from gateway.errors import UsageError
from gateway.limits import WHOIS_SECONDS
from gateway.own_zone import with_profile
from resolver.discovery.base import Scope
from resolver.errors import InvalidName, InvalidZone
from resolver.limits import ZONE_BYTES
from resolver.profiles import PROFILE_LABEL, Profile, is_profile, profile_of
from resolver.records import zone_bytes
from resolver.zone_entries import APEX, ZoneEntry, ZoneKind, split_label
from resolver.zone_files import json_profile, json_records, read_zone_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.own_zone import OwnZone, Zone
    from resolver.records import EndpointRecord
    from tunnels.identity import EndpointId


class ZoneAnswers(ContactAnswers):
    """Zone: show, set, unset, profile, import; whois."""

    async def zone(self) -> zones.ZoneReport:
        return self._zone(self._own_zone().entries)

    async def zone_set(self, request: zones.ZoneSetRequest) -> zones.ZoneChangeReport:
        own = self.parts.secret_key.endpoint_id

        def act(before: Zone) -> Zone:
            kind = ZoneKind.parse(request.type)
            entry = ZoneEntry.parse(request.label, kind, request.value, own, self.parts.id_of)
            _refuse_profile(entry.label)
            kept = tuple(
                one
                for one in before
                if one != entry and (request.add or (one.label, one.kind) != (entry.label, entry.kind))
            )
            return (*kept, entry)

        return await self._change(act)

    async def zone_unset(self, request: zones.ZoneUnsetRequest) -> zones.ZoneChangeReport:
        def act(before: Zone) -> Zone:
            prefix, node = split_label(request.label)
            kind = ZoneKind.parse(request.type) if request.type else None
            label = ".".join((*prefix, node) if node else prefix)
            _refuse_profile(label)
            after = tuple(one for one in before if one.label != label or kind not in (None, one.kind))
            if after == before:
                what = f"{label or APEX} {kind.name}" if kind else label or APEX
                raise InvalidZone(f"there is no {what}; see: overlay zone show")
            return after

        return await self._change(act)

    async def zone_profile(self, request: zones.ProfileRequest) -> zones.ZoneChangeReport:
        def act(before: Zone) -> Zone:
            old = profile_of(before)
            profile = Profile(
                old.name if request.name is None else request.name,
                old.description if request.description is None else request.description,
                old.avatar if request.avatar is None else request.avatar,
                old.links if request.links is None else request.links,
            )
            return with_profile(before, profile.check())

        return await self._change(act)

    async def zone_import(self, request: zones.ZoneImportRequest) -> zones.ZoneChangeReport:
        own = self.parts.secret_key.endpoint_id
        try:
            file = read_zone_file(request.text, own, self.parts.id_of)
        except (InvalidZone, InvalidName) as error:
            raise UsageError(f"zone import: {error}") from None

        def act(before: Zone) -> Zone:
            records = tuple(dict.fromkeys(file.records))
            there = {(one.label, one.kind) for one in records}
            kept = (
                () if request.replace else tuple(one for one in before if (one.label, one.kind) not in there)
            )
            # In its old place where nothing changed, so that the order tells nothing new.
            same = tuple(one for one in before if one in records)
            profile = file.profile
            if profile is None:
                profile = Profile() if request.replace else profile_of(before)
            merged = (*kept, *same, *(one for one in records if one not in same))
            merged = tuple(one for one in merged if not is_profile(one))
            return with_profile(merged, profile)

        return await self._change(act, is_import=True, preview=request.preview, skipped=file.skipped)

    async def whois(self, name: str) -> zones.WhoisReport:
        parts = self.parts
        endpoint_id = self._owner(self._name(name))
        contact = parts.contacts.book.find_id(endpoint_id)
        petname = contact.petname if contact is not None else ""
        if endpoint_id == parts.secret_key.endpoint_id:
            made = parts.published_record(Scope.PUBLIC)
            own = None if isinstance(made, str) else made[0]
            entries = self._own_zone().entries
            return zones.WhoisReport(
                endpoint_id=str(endpoint_id),
                petname=petname,
                nickname=parts.nickname,
                profile=_profile(entries),
                zone=_records(entries, endpoint_id),
                services=tuple(service.name for service in own.services) if own is not None else (),
                relays=tuple(map(str, own.relays)) if own is not None else (),
                addresses=tuple(map(str, own.addresses)) if own is not None else (),
                source="this gateway itself",
                own=True,
            )
        with contextlib.suppress(TimeoutError):  # what is known by then is told; slower sources go on
            async with asyncio.timeout(WHOIS_SECONDS):
                await parts.records.refresh(endpoint_id)
        cached = parts.records.known(endpoint_id)
        if cached is None:
            return zones.WhoisReport(endpoint_id=str(endpoint_id), petname=petname)
        record, now = cached.record, time_now()
        nickname = record.nickname or ""
        then = contact.nickname if contact is not None else ""
        return zones.WhoisReport(
            endpoint_id=str(endpoint_id),
            petname=petname,
            nickname=nickname,
            known_as=then if then != nickname else "",
            profile=_profile(record.zone),
            zone=_records(record.zone, endpoint_id),
            services=tuple(service.name for service in record.services),
            relays=tuple(map(str, record.relays)),
            addresses=tuple(map(str, record.addresses)),
            source=cached.source,
            age=cached.age(now),
            expires=float(record.expires),
        )

    # --- inside -----------------------------------------------------------------------------------------

    def _own_zone(self) -> OwnZone:
        own = self.parts.own_zone
        assert own is not None  # noqa: S101 - every gateway has one; only tests of other answers do without
        return own

    def _zone(self, entries: Zone) -> zones.ZoneReport:
        parts = self.parts
        own = parts.secret_key.endpoint_id
        used = zone_bytes(own, entries)
        made = parts.published_record(Scope.PUBLIC)
        published = None if isinstance(made, str) else made[0]
        return zones.ZoneReport(
            host=f"{own}.overlay",
            records=_records(entries, own),
            profile=_profile(entries),
            used_bytes=used,
            left_bytes=ZONE_BYTES - used,
            record_bytes=len(published.encode()) if published is not None else 0,
            left_out=tuple(self._left_out(published)) if published is not None else (),
            why_not=made if isinstance(made, str) else "",
        )

    def _left_out(self, published: EndpointRecord) -> Iterator[str]:
        """What [publish] allows and the record has no room for."""
        parts, words = self.parts, self.parts.config.publish.public
        if "services" in words:
            yield from (one.name for one in parts.exposed.public() if one not in published.services)
        if "relays" in words:
            yield from (str(one) for one in parts.own_relays() if one not in published.relays)
        if "addresses" in words:
            wanted = parts.config.tunnels.addresses
            yield from (str(one) for one in wanted if one not in published.addresses)

    async def _change(
        self,
        act: Callable[[Zone], Zone],
        *,
        is_import: bool = False,
        preview: bool = False,
        skipped: tuple[str, ...] = (),
    ) -> zones.ZoneChangeReport:
        own_zone, own = self._own_zone(), self.parts.secret_key.endpoint_id
        before, after = await own_zone.change(act, keep_before=is_import, preview=preview)
        added = tuple(one for one in after if one not in before)
        removed = tuple(one for one in before if one not in after)
        undo: tuple[tuple[str, ...], ...] = ()
        if added or removed:
            before_file = ("zone", "import", "--replace", own_zone.before_file)
            undo = (before_file,) if is_import else tuple(_undo(before, after, own))
        services = {service.name for service in self.parts.exposed.book}
        return zones.ZoneChangeReport(
            zone=self._zone(after),
            added=tuple(_line(one, own) for one in added),
            removed=tuple(_line(one, own) for one in removed),
            skipped=skipped,
            warnings=tuple(
                f"{one.node} is a service of yours, which wins over this record for whoever may use it"
                for one in added
                if one.node in services and not one.prefix and one.kind is not ZoneKind.TXT
            ),
            undo=() if preview else undo,
        )


def _refuse_profile(label: str) -> None:
    if label == PROFILE_LABEL:
        raise InvalidZone(f"{PROFILE_LABEL} is written by: overlay zone profile")


def _records(entries: Iterable[ZoneEntry], own: EndpointId) -> tuple[zones.ZoneRecordReport, ...]:
    return tuple(
        zones.ZoneRecordReport(label=one.label, type=one.type, value=one.value)
        for one in json_records(entries, own)
    )


def _profile(entries: Iterable[ZoneEntry]) -> zones.ProfileReport:
    told = json_profile(entries)
    return zones.ProfileReport(
        name=told.name, description=told.description, avatar=told.avatar, links=told.links
    )


def _line(entry: ZoneEntry, own: EndpointId) -> str:
    """A record for people."""
    label, *words = entry.words(own)
    if is_profile(entry):
        return f"profile: {' '.join(words[1:])}"
    return " ".join((label, *words))


def _undo(before: Zone, after: Zone, own: EndpointId) -> Iterator[tuple[str, ...]]:
    """The words of the commands that make `before` of `after`."""
    changed = {(one.label, one.kind) for one in set(before) ^ set(after)}
    for label, kind in sorted(changed, key=lambda one: (one[0], one[1].name)):
        if label == PROFILE_LABEL:
            yield _profile_words(profile_of(before))
            continue
        old = [one for one in before if (one.label, one.kind) == (label, kind)]
        if not old:
            yield ("zone", "unset", label or APEX, kind.name)
        for number, one in enumerate(old):
            words = one.words(own)
            yield (
                "zone",
                "set",
                *(("--add",) if number else ()),
                *(("--",) if any(word.startswith("-") for word in words) else ()),
                *words,
            )


def _profile_words(profile: Profile) -> tuple[str, ...]:
    """The words of the command that makes a profile what it was, whatever it is."""
    links = tuple(word for link in profile.links for word in ("--link", link)) or ("--no-links",)
    return (
        "zone",
        "profile",
        *("--name", profile.name),
        *("--description", profile.description),
        *("--avatar", profile.avatar),
        *links,
    )
