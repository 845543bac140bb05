"""Traffic joined to streams: each is admitted, counted and, where something limits it, let through piece by piece. ⚡

A stream that nothing limits is only looked at when somebody reads the ledger, and at its end: it counts by itself. Where a
rate, a quota or a gateway-wide rate holds, its gates are shut (`tunnels.streams`), and what it wants to move waits here for
its turn: its reader is given nothing, its writer is told to pause, and so whoever is at the far end waits, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from gateway.errors import GatewayError
from gateway.traffic import words
from gateway.traffic.account import Account
from gateway.traffic.admission import Admission, FlowOf
from gateway.traffic.limits import LIMIT_FLUSH_SECONDS, LOCAL_LOOK_SECONDS, TERMS_KNOWN
from gateway.traffic.places import Place, Places
from gateway.traffic.terms import NO_TERMS, SERVICES, STRANGERS, Terms, TermsBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gateway.traffic.ledger import Direction, Ledger, Side
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)


class LimitReached(GatewayError):
    """One more connection is not to be had now; str() is for whoever asked: who, which limit, until when."""


class Contacts(Protocol):
    """What has to be known of the address book."""

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        """Whether the endpoint is in the address book now."""

    def petname_of(self, endpoint_id: EndpointId) -> str | None:
        """What it is called there."""

    def groups_of(self, endpoint_id: EndpointId) -> frozenset[str]:
        """The groups that it is in now."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What all together may move, octets a second, None for no limit; and how peers on the local network count."""

    up: int | None = None
    down: int | None = None
    local: Literal["outside", "last", "same"] = "outside"
    """`outside`: they take nothing of it; `last`: they get what others leave; `same`: they are like all others."""

    @property
    def is_on(self) -> bool:
        """Whether there is anything to share."""
        return self.up is not None or self.down is not None


class TrafficControl:
    """All streams of services, ours and others', what they moved and what they may."""

    def __init__(
        self,
        ledger: Ledger,
        contacts: Contacts,
        *,
        clock: Callable[[], float],
        terms: TermsBook | None = None,
        sharing: Sharing | None = None,
        local_endpoints: Callable[[], Collection[EndpointId]] = frozenset,
    ) -> None:
        """`clock` is the time of day, in Unix seconds; `local_endpoints` are those reached over the local network now."""
        self.ledger = ledger
        self._contacts = contacts
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.terms = terms or TermsBook({})
        self._sharing = sharing or Sharing()
        self._local_endpoints = local_endpoints
        self._local: frozenset[EndpointId] = frozenset()
        self._looked_at: set[EndpointId] = set()
        self._open: dict[Admission, None] = {}
        self._accounts: dict[str | EndpointId, Account] = {}
        self._known_terms: dict[str | EndpointId, Terms] = {}
        self._whole = Account()
        self._places = Places(self._whole)
        self._going: deque[tuple[FlowOf, int]] = deque()
        self._is_going = False
        self._timer: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.TimerHandle] = set()
        self._watcher: asyncio.TimerHandle | None = None
        ledger.on_read = self.sample
        ledger.on_month = self.refresh
        self.refresh()

    def __repr__(self) -> str:
        return f"TrafficControl({len(self._open)} open, {len(self._accounts)} accounts)"

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Count what is open a last time; nothing waits for its turn any more."""
        self.sample()
        for timer in (self._timer, self._watcher, *self._ends):
            if timer is not None:
                timer.cancel()
        self._timer = self._watcher = None
        self._ends.clear()

    # --- terms ------------------------------------------------------------------------------------------

    def configure(self, terms: Mapping[str, Terms], sharing: Sharing) -> None:
        """Other terms of the configuration hold from now on, for what is open, too."""
        self.terms.configured, self._sharing = dict(terms), sharing
        self.refresh()

    def set_terms(self, scope: str, terms: Terms | None) -> None:
        """Set what is said in a scope by command, or, with None, say nothing by command there; it holds at once."""
        if terms is None or terms == NO_TERMS:
            self.terms.commanded.pop(scope, None)
        else:
            self.terms.commanded[scope] = terms
        self.refresh()

    @property
    def has_idle_weights(self) -> bool:
        """Whether somebody has a weight that means nothing, because there is nothing to share."""
        return not self._sharing.is_on and any(self.terms.of(scope).weight for scope in self.terms.scopes())

    def account(self, scope: str | EndpointId) -> Account | None:
        """What has been made use of: by a contact, by `strangers` or in `services.NAME`; None where nothing is limited."""
        if isinstance(scope, str) and scope != STRANGERS and not scope.startswith(SERVICES):
            return None  # `default` and groups are for each contact by itself
        return self._account(scope)

    def refresh(self) -> None:
        """Contacts, terms, the month or the network changed: look anew at what holds for everything that is open."""
        self.sample()
        now = self._loop.time()
        self._look_who_is_local()
        self._whole.sent.set_rate(self._sharing.up, now)
        self._whole.received.set_rate(self._sharing.down, now)
        self._known_terms.clear()
        accounts, self._accounts = self._accounts, {}
        for key, account in accounts.items():
            terms = self._terms_of(key)
            if terms.limits:
                account.apply(terms, now)
                account.connections = 0
                account.used = self._used_by(key)
                self._accounts[key] = account
        self._places = Places(self._whole)
        for admission in self._open:
            self._place(admission)
        for admission in tuple(self._open):
            admission.set_gates()
            if admission.place is not None:
                for flow in (admission.sent, admission.received):
                    self._places.queue(flow.direction, admission.place).ask(flow, 0, now)
        self._go()
        for admission in tuple(self._open):
            self._end_if_used_up(admission)
        self._watch()

    def _terms_of(self, key: str | EndpointId) -> Terms:
        """What holds for a contact, for all strangers, or for a service."""
        known = self._known_terms.get(key)
        if known is not None:
            return known
        if isinstance(key, str):
            terms = self.terms.of(key)
        elif not self._contacts.is_contact(key):
            terms = NO_TERMS
        else:
            terms = self.terms.for_contact(key, self._contacts.petname_of(key), self._contacts.groups_of(key))
        if len(self._known_terms) >= TERMS_KNOWN:
            self._known_terms.clear()
        self._known_terms[key] = terms
        return terms

    def _used_by(self, key: str | EndpointId) -> int:
        if not isinstance(key, str):
            return self.ledger.month_of_endpoint(key)
        if key == STRANGERS:
            return self.ledger.month_of_strangers()
        return self.ledger.month_of_service(key.removeprefix(SERVICES))

    def _account(self, key: str | EndpointId) -> Account | None:
        account = self._accounts.get(key)
        if account is None and (terms := self._terms_of(key)).limits:
            self.sample()
            account = self._accounts[key] = Account()
            account.apply(terms, self._loop.time())
            account.used = self._used_by(key)
        return account

    def _who(self, endpoint_id: EndpointId) -> str | EndpointId:
        """Whom an endpoint counts as: itself if it is a contact, else all strangers, for ids cost nothing."""
        return endpoint_id if self._contacts.is_contact(endpoint_id) else STRANGERS

    def _name(self, key: str | EndpointId) -> str:
        """An account's name in our own log."""
        if isinstance(key, str):
            return key.replace("services.", "service ")
        return self._contacts.petname_of(key) or key.short

    # --- streams ----------------------------------------------------------------------------------------

    def admit(self, endpoint_id: EndpointId, service: str, side: Side) -> Admission:
        """One more connection; LimitReached tells why not. It counts until it is `release`d, or its stream has ended."""
        who = self._who(endpoint_id)
        for key in (who, SERVICES + service) if side == "served" else (who,):
            account = self._account(key)
            if account is None or (account.left > 0 and not account.is_full):
                continue
            told = words.told(key, self._name(key), side)
            if account.left <= 0:
                raise LimitReached(words.used_up(told, account, self._clock()))
            raise LimitReached(words.too_many(told, account))
        if self._asks_who_is_local and endpoint_id not in self._looked_at:
            self._looked_at.add(endpoint_id)
            self._local = frozenset(self._local_endpoints())
        admission = Admission(self, endpoint_id, service, side)
        self._open[admission] = None
        self._place(admission)
        return admission

    def _place(self, admission: Admission) -> None:
        """Find an admission its accounts, and its place among those that share; it counts as a connection there."""
        who = self._who(admission.endpoint_id)
        is_served = admission.side == "served"
        contact = self._account(who)
        service = self._account(SERVICES + admission.service) if is_served else None
        accounts = tuple(account for account in (contact, service) if account is not None)
        for account in accounts:
            account.connections += 1
        is_local = admission.endpoint_id in self._local
        is_shared = self._sharing.is_on and not (is_local and self._sharing.local == "outside")
        if not is_shared and not any(account.counts_octets for account in accounts):
            admission.set_place(accounts)
            return
        place = Place(
            who,
            (admission.side, admission.service),
            is_shared=is_shared,
            is_last=is_local and self._sharing.local == "last",
        )
        leaves = self._places.enter(
            place,
            (contact, self._terms_of(who).share),
            (service, self._terms_of(SERVICES + admission.service).share if is_served else 1),
        )
        admission.set_place(accounts, place, leaves)

    def forget(self, admission: Admission) -> None:
        """A stream is over, or never came to be; idempotent."""
        if admission in self._open:
            del self._open[admission]
            admission.sample()
            admission.sent.wants = admission.received.wants = 0
            for account in admission.accounts:
                account.connections -= 1
            if admission.place is not None:
                self._places.leave(admission.place)

    def sample(self) -> None:
        """Count what open streams have moved since the last time."""
        for admission in self._open:
            admission.sample()

    # --- letting through --------------------------------------------------------------------------------

    def ask(self, admission: Admission, direction: Direction, octets: int) -> int:
        """Octets of a stream wait: how many of them may go now; the others are let through later."""
        if admission.place is None:
            return octets
        flow = admission.sent if direction == "sent" else admission.received
        self._places.queue(direction, admission.place).ask(flow, octets, self._loop.time())
        return self._go(flow)

    def may_datagram(self, admission: Admission, direction: Direction, octets: int) -> bool:
        """Whether a datagram may go now; otherwise it is dropped, and counted as such."""
        flow = admission.sent if direction == "sent" else admission.received
        if admission.place is None or self._places.queue(direction, admission.place).datagram(
            flow, octets, self._loop.time()
        ):
            return True
        for account in admission.accounts:
            account.dropped += 1
            if account.left < octets:  # nothing as large will fit any more
                account.used += account.left
        self._end_if_used_up(admission)
        return False

    def _go(self, asking: FlowOf | None = None) -> int:
        """Let go whoever may; returns what came to who is asking, who is told nothing else."""
        own = 0
        now = self._loop.time()
        for flow, octets in self._places.pump(now):
            mine = cast("FlowOf", flow)
            if mine is asking:
                own += octets
            else:
                self._going.append((mine, octets))
            if any(account.left <= 0 for account in mine.admission.accounts):
                self._end_if_used_up(mine.admission)
        if (
            not self._is_going
        ):  # what is let through here asks for more, which is let through by this loop, too
            self._is_going = True
            try:
                while self._going:
                    flow, octets = self._going.popleft()
                    flow.admission.let(flow.direction, octets)
            finally:
                self._is_going = False
        self._arm()
        return own

    def _arm(self) -> None:
        now = self._loop.time()
        at = self._places.next_at(now)
        if self._timer is not None:
            if at is not None and self._timer.when() <= at + _LATE:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(max(at, now + _SOON), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._go()

    # --- the end of a quota -----------------------------------------------------------------------------

    def _end_if_used_up(self, admission: Admission) -> None:
        """Streams whose quota is used up end, once what was let through of them is on its way."""
        if admission.is_ending:
            return
        for account in admission.accounts:
            if account.left > 0:
                continue
            self._end_soon(account)

    def _end_soon(self, account: Account) -> None:
        ending = [each for each in self._open if account in each.accounts and not each.is_ending]
        for each in ending:
            each.is_ending = True
        name = next(self._name(key) for key, each in self._accounts.items() if each is account)
        _logger.warning(
            "%s; connections that end: %d", words.used_up(name, account, self._clock()), len(ending)
        )
        now = self._loop.time()
        self._ends = {timer for timer in self._ends if timer.when() > now}
        self._ends.add(self._loop.call_later(LIMIT_FLUSH_SECONDS, lambda: self._end(ending)))

    def _end(self, admissions: list[Admission]) -> None:
        for admission in admissions:
            if any(account.left <= 0 for account in admission.accounts):
                admission.abort()
            else:  # somebody was more generous meanwhile
                admission.is_ending = False

    # --- the local network ------------------------------------------------------------------------------

    @property
    def _asks_who_is_local(self) -> bool:
        return self._sharing.is_on and self._sharing.local != "same"

    def _look_who_is_local(self) -> None:
        self._looked_at = {each.endpoint_id for each in self._open}
        self._local = frozenset(
            self._local_endpoints() if self._asks_who_is_local and self._looked_at else ()
        )

    def _watch(self) -> None:
        """Paths change: look now and then who is on the local network, where that makes a difference."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        if self._asks_who_is_local:
            self._watcher = self._loop.call_later(LOCAL_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self._open and frozenset(self._local_endpoints()) != self._local:
            self.refresh()
        else:
            self._looked_at.clear()
            self._watch()


_SOON = 0.001  # seconds from now at the least, and by which a timer may be late: event loops count in milliseconds
_LATE = 0.001
