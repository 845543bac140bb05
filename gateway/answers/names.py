"""What is told of a name: whether its endpoint answers, by which paths, and what the name stands for."""

from __future__ import annotations

import asyncio

from gateway.answers.contacts import ContactAnswers
from gateway.control.names import PingReport, PingRequest, ResolveReport, ResolveRequest
from gateway.control.paths import PathsReport
from gateway.dialing import DialError, Failure
from gateway.reach import candidate_report, path_report, path_word, trace_report, via
from resolver.facts import NameStatus
from tunnels.errors import TunnelError
from tunnels.events import TunnelState


class NameAnswers(ContactAnswers):
    """Ping, paths, resolve."""

    async def ping(self, request: PingRequest) -> PingReport:
        parts = self.parts
        name = self._name(request.name)
        endpoint_id = self._owner(name)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(request.timeout):
                was_up = any(
                    t.endpoint_id == endpoint_id and t.state is TunnelState.OPEN
                    for t in parts.endpoint.status()
                )
                began = loop.time()
                await parts.endpoint.connect(endpoint_id)
                connected = loop.time() - began
                seconds, address = await parts.endpoint.ping(endpoint_id)
        except TimeoutError:
            raise DialError(
                Failure.OFFLINE, f"{request.name} did not answer within {request.timeout:g} s"
            ) from None
        except TunnelError as error:
            raise DialError(Failure.OFFLINE, str(error)) from None
        path = path_word(address, self._paths(endpoint_id), is_lent=self._is_lent)
        return PingReport(
            name=request.name,
            endpoint_id=str(endpoint_id),
            rtt_ms=seconds * 1000,
            address=str(address or ""),
            path=path,
            via=via(address, path),
            connect_ms=None if was_up else connected * 1000,
        )

    async def paths(self, name: str) -> PathsReport:
        parts = self.parts
        endpoint_id = self._owner(self._name(name))
        report = self._paths(endpoint_id)
        if report is None:
            raise DialError(Failure.OFFLINE, f"paths: no tunnel with {name} is up; try: overlay ping {name}")
        contact = parts.contacts.book.find_id(endpoint_id)
        now = asyncio.get_running_loop().time()
        return PathsReport(
            endpoint_id=str(endpoint_id),
            petname=contact.petname if contact is not None else "",
            policy=self.path_policy(endpoint_id).value,
            own_candidates=tuple(
                candidate_report(candidate, is_lent=self._is_lent) for candidate in report.own_candidates
            ),
            paths=tuple(path_report(path, is_lent=self._is_lent) for path in report.paths),
            decisions=tuple(trace_report(entry, now) for entry in report.trace),
        )

    async def resolve(self, request: ResolveRequest) -> ResolveReport:
        parts = self.parts
        name = self._name(request.name)
        endpoint_id = self._owner(name)
        facts = await parts.directory.ask(name)
        if facts.status is NameStatus.NOT_FOUND:
            raise DialError(
                Failure.NO_SERVICE, f"{name} does not exist: its owner exposes no such service to you"
            )
        if facts.status is NameStatus.UNKNOWN:
            raise DialError(Failure.OFFLINE, facts.reason)
        contact = parts.contacts.book.find_id(endpoint_id)
        explained = parts.records.explain(endpoint_id)
        addresses = (*explained.typed, *(explained.cached.record.addresses if explained.cached else ()))
        return ResolveReport(
            name=str(name),
            endpoint_id=str(endpoint_id),
            petname=contact.petname if contact is not None else "",
            service=name.service or "" if facts.services or not facts.zone else "",
            alias=str(facts.alias or ""),
            ip=str(facts.ipv4 or ""),
            offers=parts.directory.offers(facts, name.service),
            addresses=tuple(map(str, dict.fromkeys(addresses))),
            relays=tuple(map(str, explained.cached.record.relays)) if explained.cached else (),
            source="contact" if isinstance(name.owner, str) else "id",
        )
