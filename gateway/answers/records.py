"""What is told of records: how an endpoint is found, and where our own are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.answers.base import Answers, time_now
from gateway.control.records import (
    ExplainRequest,
    ExplanationReport,
    FoundAddressReport,
    PlaceReport,
    PublishedReport,
    RecordReport,
    SourceReport,
)
from resolver.discovery.base import Scope

if TYPE_CHECKING:
    from gateway.publishing import Publication
    from resolver.client import Explanation, SourceFinding
    from resolver.record_cache import CachedRecord


class RecordAnswers(Answers):
    """Explain, published."""

    async def published(self) -> tuple[PublishedReport, ...]:
        return tuple(map(self._published, (Scope.PUBLIC, Scope.LOCAL)))

    def _published(self, scope: Scope) -> PublishedReport:
        parts, now = self.parts, time_now()
        settings = parts.config.publish
        words = settings.public if scope is Scope.PUBLIC else settings.lan
        places = tuple(_place(each, now) for each in parts.publisher.publications() if each.scope is scope)
        made = parts.published_record(scope)
        if isinstance(made, str):
            return PublishedReport(scope=scope.value, words=words, why_not=made, places=places)
        record, packet = made
        return PublishedReport(
            scope=scope.value,
            words=words,
            relays=tuple(map(str, (*record.relays, *([record.lends] if record.lends else [])))),
            services=tuple(service.name for service in record.services),
            addresses=tuple(map(str, record.addresses)),
            nickname=record.nickname or "",
            zone=tuple(" ".join(entry.words(record.endpoint_id)) for entry in record.zone),
            bytes=len(packet.packet),
            why_not="" if places else self._why_nowhere(scope),
            places=places,
        )

    def _why_nowhere(self, scope: Scope) -> str:
        beacons = self.parts.config.beacons
        if scope is Scope.PUBLIC and not beacons.publish:
            return "[beacons] publish = false"
        return "there is nowhere to put it" + (
            "; name a beacon: overlay up --beacon URL" if scope is Scope.PUBLIC else ""
        )

    async def explain(self, request: ExplainRequest) -> ExplanationReport:
        parts = self.parts
        name = self._name(request.name)
        endpoint_id = self._owner(name)
        await parts.records.refresh(endpoint_id)
        contact = parts.contacts.book.find_id(endpoint_id)
        explained = parts.records.explain(endpoint_id)
        now = time_now()
        return ExplanationReport(
            name=str(name),
            endpoint_id=str(endpoint_id),
            petname=contact.petname if contact is not None else "",
            sources=tuple(_source(finding, explained, now) for finding in explained.findings),
            records=tuple(_record(each, explained, now) for each in explained.records),
            addresses=_addresses(explained),
        )


def _source(finding: SourceFinding, explained: Explanation, now: float) -> SourceReport:
    used = explained.cached.packet.timestamp if explained.cached is not None else None
    return SourceReport(
        source=finding.source,
        finding=finding.finding.value,
        detail=finding.detail,
        seconds=finding.seconds,
        age=None if finding.timestamp is None else max(0.0, now - finding.timestamp / 1e6),
        in_use=finding.timestamp is not None and finding.timestamp == used,
    )


def _record(cached: CachedRecord, explained: Explanation, now: float) -> RecordReport:
    return RecordReport(
        scope=cached.scope.value,
        source=cached.source,
        age=cached.age(now),
        learned_ago=max(0.0, now - cached.learned_at),
        expires_in=cached.record.expires - now,
        in_use=cached is explained.cached,
        relays=tuple(map(str, cached.record.relays)),
        services=tuple(service.name for service in cached.record.services),
    )


def _place(publication: Publication, now: float) -> PlaceReport:
    at, expires = publication.published_at, publication.expires
    return PlaceReport(
        place=publication.place,
        published_ago=None if at is None else max(0.0, now - at),
        good_for=None if expires is None else max(0.0, expires - now),
        next_in=publication.next_in,
        problem=publication.problem,
    )


def _addresses(explained: Explanation) -> tuple[FoundAddressReport, ...]:
    found: dict[str, dict[str, None]] = {}
    for address in explained.typed:
        found.setdefault(str(address), {})["typed by hand"] = None
    for cached in explained.records:
        for address in cached.record.addresses:
            found.setdefault(str(address), {})[cached.source] = None
    return tuple(FoundAddressReport(address=address, sources=tuple(who)) for address, who in found.items())
