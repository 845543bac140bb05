"""How much moved, and how much may: accounts, limits, and what the process may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from gateway.answers.base import Answers
from gateway.control.usage import (
    ChangedLimitsReport,
    DayUsageReport,
    LimitsReport,
    ResourceReport,
    TermsReport,
    UsageReport,
    UsageRowReport,
)
from gateway.errors import UsageError
from gateway.reach import word_of
from gateway.traffic.terms import CONTACTS, DEFAULT, GROUPS, SERVICES, STRANGERS, Terms
from gateway.usage.months import read_month
from resolver.errors import ResolverError
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from gateway.control.base import PathWord
    from gateway.control.usage import SetLimitsRequest
    from gateway.traffic.ledger import Ledger
    from gateway.usage.commanded import CommandedLimits
    from gateway.usage.meter import Meter
    from gateway.usage.tally import Octets, Row

_WORDS: Final = ("rate", "quota", "connections", "weight")
_ORDER: Final = (DEFAULT, STRANGERS, CONTACTS, GROUPS, SERVICES)


class UsageAnswers(Answers):
    """`/v1/usage` and `/v1/limits`."""

    async def usage(self, month: str | None = None) -> UsageReport:
        meter = self._meter()
        account = await meter.account(None if month is None else read_month(month))
        rows = sorted(account.rows.items(), key=lambda each: -sum(each[1]))
        return UsageReport(
            month=account.month,
            months=account.months,
            rows=tuple(self._usage_row(row, octets) for row, octets in rows),
            days=tuple(
                DayUsageReport(
                    day=day, path=cast("PathWord", path), sent=octets.sent, received=octets.received
                )
                for (day, path), octets in sorted(account.days.items())
            ),
            problem=meter.problem,
        )

    async def limits(self) -> LimitsReport:
        limits = self._limits()
        meter = self.parts.meter
        return LimitsReport(
            month=meter.month if meter is not None else "",
            terms=tuple(self._terms_in(scope) for scope in sorted(limits.control.terms.scopes(), key=_order)),
            resources=self._resources(),
        )

    async def set_limits(self, request: SetLimitsRequest) -> ChangedLimitsReport:
        scope, warnings = self._scope(request)
        named = {word: getattr(request, word) for word in _WORDS}

        def change(before: Terms) -> Terms:
            return Terms(
                **{
                    word: None if word in request.unset else value or getattr(before, word)
                    for word, value in named.items()
                }
            )

        before, now = await self._limits().set(scope, change)
        return ChangedLimitsReport(
            now=self._terms_in(scope),
            before=TermsReport(scope=self._shown(scope), **_values(before)),
            commanded=TermsReport(scope=self._shown(scope), **_values(now)),
            warnings=warnings,
        )

    def path_with(self, endpoint_id: EndpointId) -> PathWord | None:
        """The kind of path that data takes to an endpoint now; None if there is none."""
        return word_of(self._paths(endpoint_id), is_lent=self._is_lent)

    def _limits(self) -> CommandedLimits:
        limits = self.parts.limits
        if limits is None:
            raise UsageError("limits: this gateway limits nothing")
        return limits

    def _scope(self, request: SetLimitsRequest) -> tuple[str, tuple[str, ...]]:
        """What is meant, as `gateway.traffic.terms` writes it, contacts by their ids; and what is odd about it."""
        name = (request.name or "").lower()
        if (request.kind in ("contact", "group", "service")) is not bool(name):
            raise UsageError(
                "limits: name a contact, a group or a service; strangers and the default have no name"
            )
        if request.kind == "contact":
            return CONTACTS + str(self._contact_id(name)), ()
        if request.kind == "group":
            known = name in self.parts.contacts.book.groups()
            return GROUPS + name, () if known else (f"nobody is in the group {name} yet",)
        if request.kind == "service":
            known = self.parts.exposed.book.get(name) is not None
            return SERVICES + name, () if known else (f"{name} is not exposed now; the limit waits for it",)
        return (STRANGERS if request.kind == "strangers" else DEFAULT), ()

    def _contact_id(self, name: str) -> EndpointId:
        """Of a petname or an id."""
        contacts = self.parts.contacts
        try:
            who = EndpointId.parse(name)
        except ValueError:
            try:
                return contacts.book.get(name).endpoint_id
            except ResolverError as error:
                raise UsageError(f"limits: {error}") from None
        if not contacts.is_contact(who):
            raise UsageError(
                f"limits: {who.short}… is no contact, and counts as one of the strangers; "
                "add it with `overlay contacts add`, or limit them all with --strangers"
            )
        return who

    def _shown(self, scope: str) -> str:
        """A scope for people: contacts by their petnames."""
        if not scope.startswith(CONTACTS):
            return scope
        try:
            who = EndpointId.parse(scope.removeprefix(CONTACTS))
        except ValueError:
            return scope
        contact = self.parts.contacts.book.find_id(who)
        return scope if contact is None else CONTACTS + contact.petname

    def _terms_in(self, scope: str) -> TermsReport:
        limits = self._limits()
        book, key = limits.control.terms, self._key(scope)
        account = None if key is None else limits.control.account(key)
        is_configured, is_commanded = scope in book.configured, scope in book.commanded
        return TermsReport(
            scope=self._shown(scope),
            set_by="both"
            if is_configured and is_commanded
            else "gateway.toml"
            if is_configured
            else "command"
            if is_commanded
            else "",
            **_values(book.of(scope)),
            used=None if key is None else _used(limits.control.ledger, key),
            open=None if account is None else account.connections,
        )

    def _key(self, scope: str) -> str | EndpointId | None:
        """By what traffic knows who the scope is; None if it is not one contact, one service or all strangers."""
        if scope.startswith(CONTACTS):
            name = scope.removeprefix(CONTACTS)
            contact = self.parts.contacts.book.find(name)
            try:
                return contact.endpoint_id if contact is not None else EndpointId.parse(name)
            except ValueError:
                return None
        return scope if scope == STRANGERS or scope.startswith(SERVICES) else None

    def _resources(self) -> tuple[ResourceReport, ...]:
        headroom = self.parts.headroom
        if headroom is None:
            return ()
        state = headroom.state
        most, free = state.descriptors, state.free_descriptors
        return (
            ResourceReport(
                name="memory", used=state.resident, most=state.memory, short=state.memory_is_short
            ),
            ResourceReport(
                name="descriptors",
                used=None if most is None or free is None else most - free,
                most=most,
                short=state.descriptors_are_short,
            ),
            ResourceReport(name="disk", left=state.free_disk, short=state.disk_is_short),
        )

    def _meter(self) -> Meter:
        meter = self.parts.meter
        if meter is None:
            raise UsageError("usage: this gateway keeps no accounts")
        return meter

    def _usage_row(self, row: Row, octets: Octets) -> UsageRowReport:
        who = row.endpoint_id
        contact = self.parts.contacts.book.find_id(who) if who is not None else None
        return UsageRowReport(
            endpoint_id=str(who) if who is not None else "",
            petname=contact.petname if contact is not None else "",
            service=row.service,
            side=row.side,
            path=cast("PathWord", row.path),
            sent=octets.sent,
            received=octets.received,
        )


def _values(terms: Terms) -> dict[str, Any]:
    return {word: getattr(terms, word) for word in _WORDS}


def _used(ledger: Ledger, key: str | EndpointId) -> int:
    """Octets of this month."""
    ledger.on_read()
    if isinstance(key, EndpointId):
        return ledger.month_of_endpoint(key)
    return (
        ledger.month_of_strangers()
        if key == STRANGERS
        else ledger.month_of_service(key.removeprefix(SERVICES))
    )


def _order(scope: str) -> tuple[int, str]:
    """The general before the particular."""
    return next(number for number, start in enumerate(_ORDER) if scope.startswith(start)), scope
