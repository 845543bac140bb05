"""A burst of questions to STUN servers from fresh sockets, from which the NAT's behaviour is told. Sans-IO.

First one socket asks each server, and another, which nobody but the first server ever hears of, that one alone. Then
the first server answers that other socket from places it never sent to (RFC 5780; with the proof of
`tunnels.nat.reflector`), while more sockets ask one server or two. After a pause a few more sockets do: what changed
meanwhile others did. Servers of one address are asked as far as that goes; what only two addresses can show stays unknown.
No more is asked than has to be: each question from another socket, or to another server, takes room in our router.

Sends to the servers it was given, and to nobody else, but for hairpinning: that goes to where two servers see us, and
no farther than to the provider's NAT.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any, Final

from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.behavior import Evidence, Observation
from tunnels.nat.reflector import PROOF_BYTES, Change
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.nat.stun import StunMessage

_ROOM: Final = "." * 44
"""As SOFTWARE in a question: our reflector's answer is never larger than what it answers."""

_QUIET: Final = 0
"""The socket that sends to one server only."""
_LOUD: Final = 1
"""The socket that asks every server."""
_PAIRED: Final = range(2, 4)
_FIRST: Final = range(4, 6)
_AGAIN: Final = range(6, 8)
"""The sockets that show how ports are chosen, before and after the pause; those that are paired ask a server of another ip, too."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A datagram to be sent."""

    socket: int
    """The number of the socket to send from; below `limits.PROBE_SOCKETS`, and bound when it is first named."""
    datagram: bytes
    to: Address
    ttl: int | None = None
    """Routers it may pass; None as many as usual."""


class _Kind(Enum):
    SIGHT = "where am I seen"
    FROM_OTHER_IP = "answer from your other ip and port"
    FROM_OTHER_PORT = "answer from your other port"
    CONTROL = "do you still answer"
    AFTER_INBOUND = "where do you see me, who sent to me first"
    HAIRPIN = "a datagram to ourselves"


class _Phase(Enum):
    MEETING = 0
    BURST = 1
    AGAIN = 2
    OVER = 3


@dataclass(slots=True, eq=False)
class _Question:
    kind: _Kind
    socket: int
    server: Address
    request: bytes
    from_: Address
    """Where the answer comes from."""
    sends: int
    first_at: float = inf
    sent_at: float = -inf
    sent: int = 0
    is_open: bool = True
    answer: StunMessage | None = None
    seen: Address | None = None

    @property
    def is_answered(self) -> bool:
        return self.seen is not None


class Burst:
    """One measurement of one address family."""

    def __init__(
        self,
        servers: Iterable[Address],
        *,
        local_ips: Iterable[IPv4Address | IPv6Address],
        chance: Callable[[int], bytes],
    ) -> None:
        """`servers` of one family, the first `limits.PROBE_SERVERS` are asked; `chance` gives so many random bytes."""
        self.servers = tuple(dict.fromkeys(servers))[: limits.PROBE_SERVERS]
        self._local_ips = frozenset(local_ips)
        self._chance = chance
        self._questions: dict[bytes, _Question] = {}
        self._ports: dict[int, int] = {}
        self._phase = _Phase.OVER
        self._started = 0.0
        self._first_answer = inf
        self._again_at = inf
        self._round_trip: float | None = None
        self._proof = bytes(PROOF_BYTES)
        self._hairpinned = False
        self.sent = 0
        """Datagrams so far."""

    def __repr__(self) -> str:
        answered = sum(question.is_answered for question in self._questions.values())
        return f"<Burst {self._phase.name.lower()}, {answered} of {len(self._questions)} questions answered>"

    def start(self, now: float) -> None:
        """Begin."""
        if not self.servers:
            return
        self._phase, self._started = _Phase.MEETING, now
        self._ask(_Kind.SIGHT, _QUIET, self.servers[0], sends=limits.PROBE_SENDS)
        for server in self.servers:
            self._ask(_Kind.SIGHT, _LOUD, server, sends=limits.PROBE_SENDS)

    def bound(self, socket: int, port: int) -> None:
        """A socket that was named in a probe has that port on this machine."""
        self._ports[socket] = port

    def give_up(self) -> None:
        """Nothing can be sent: this machine has no such network."""
        self._phase = _Phase.OVER

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent or awaited."""
        return self._phase is _Phase.OVER

    @property
    def answered(self) -> tuple[Address, ...]:
        """The servers that answered."""
        heard = {question.server for question in self._questions.values() if question.is_answered}
        return tuple(server for server in self.servers if server in heard)

    # --- what the sockets' side does ----------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[Probe]:
        """What is due, in the order in which it is to be sent."""
        self._advance(now)
        due: list[Probe] = []
        if self.is_over:
            return due
        for question in self._questions.values():
            if not question.is_open or self._due(question) > now:
                continue
            if question.sent == question.sends or self.sent >= limits.PROBE_DATAGRAMS:
                question.is_open = False
                continue
            question.first_at = min(question.first_at, now)
            question.sent_at = now
            question.sent += 1
            self.sent += 1
            ttl = limits.HAIRPIN_TTL if question.kind is _Kind.HAIRPIN else None
            due.append(Probe(question.socket, question.request, question.server, ttl))
        self._advance(now)
        return due

    def receive(self, socket: int, datagram: bytes, source: Address, now: float) -> bool:
        """Take what came to a socket; whether it was an answer that was waited for. Everything else is passed over."""
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return False
        question = self._questions.get(message.transaction_id)
        if question is None or self.is_over or message.method is not Method.BINDING:
            return False
        if question.kind is _Kind.HAIRPIN:
            return self._hairpin_came(question, socket, message)
        if not question.is_open or socket != question.socket or not question.sent:
            return False
        if message.kind is Class.ERROR and source == question.server:
            question.is_open = False
            question.answer = message
            return True
        if message.kind is not Class.RESPONSE or source != question.from_:
            return False
        seen = message.address("XOR-MAPPED-ADDRESS") or message.address("MAPPED-ADDRESS")
        question.is_open = False
        question.answer = message
        if seen is None or seen.ip.version != source.ip.version or not stun.is_plausible(seen, source):
            return True
        question.seen = seen
        self._first_answer = min(self._first_answer, now)
        took = now - question.first_at  # at most, if it was asked more than once
        self._round_trip = took if self._round_trip is None else min(took, self._round_trip)
        if socket == _QUIET and question.kind is _Kind.SIGHT:
            proof = message.attributes.get(Extra.ROUTABLE.label, b"")
            self._proof = proof if len(proof) == PROOF_BYTES else self._proof
        self._advance(now)
        return True

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next; None when it is over."""
        if self.is_over:
            return None
        due = [self._due(question) for question in self._questions.values() if question.is_open]
        if self._phase is _Phase.MEETING:
            due.append(self._meeting_ends)
        if self._phase is _Phase.BURST and not self._waits_for_elsewhere:
            due.append(self._again_at)
        return min(due)

    # --- what came of it ----------------------------------------------------------------------------------

    @property
    def flows(self) -> int:
        """How many our router has to remember for it."""
        return len({(asked.socket, asked.server) for asked in self._questions.values() if asked.sent})

    @property
    def has_two_addresses(self) -> bool:
        """Whether the first server answers from a second address, which shows filtering."""
        return self._other is not None

    def evidence(self) -> Evidence:
        """What was found out so far."""
        sights = [question for question in self._questions.values() if question.kind is _Kind.SIGHT]
        observations = tuple(
            Observation(
                question.socket,
                self._ports.get(question.socket, 0),
                question.server,
                question.seen,
                question.first_at,
            )
            for question in sights
            if question.sent
        )
        control = self._one(_Kind.CONTROL)
        still_answers = control is not None and control.is_answered
        before, after = self._sight(_QUIET), self._one(_Kind.AFTER_INBOUND)
        moved = None
        if before is not None and after is not None and after.seen is not None:
            moved = after.seen != before
        asked = self._one(_Kind.HAIRPIN)
        return Evidence(
            observations=observations,
            local_ips=self._local_ips,
            from_other_ip=self._came(_Kind.FROM_OTHER_IP, still_answers=still_answers),
            from_other_port=self._came(_Kind.FROM_OTHER_PORT, still_answers=still_answers),
            hairpin=None if asked is None or not asked.sent else self._hairpinned,
            moved_by_inbound=moved,
        )

    def _came(self, kind: _Kind, *, still_answers: bool) -> bool | None:
        """Whether the answer from elsewhere came. That it did not says something of the NAT only if the server gave it."""
        question = self._one(kind)
        if question is None or not question.sent:
            return None
        if question.is_answered:
            return True
        return False if still_answers and question.answer is None else None

    # --- inside -------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Go on to the next phase when it is time."""
        is_open = any(question.is_open for question in self._questions.values())
        if self._phase is _Phase.MEETING and (not is_open or now >= self._meeting_ends):
            if self._first_answer == inf:
                self._phase = _Phase.OVER
                return
            self._phase = _Phase.BURST
            self._again_at = now + max(limits.PROBE_PAUSE, 2.5 * self._wait)
            self._ask_elsewhere()
            self._sample(_PAIRED, servers=2)
            self._sample(_FIRST)
        elif self._phase is _Phase.BURST and now >= self._again_at and not self._waits_for_elsewhere:
            self._phase = _Phase.AGAIN
            self._sample(_AGAIN)
            self._ask_afterwards()
            self._ask_ourselves()
        elif self._phase is _Phase.AGAIN and not is_open:
            self._phase = _Phase.OVER

    @property
    def _waits_for_elsewhere(self) -> bool:
        """Whether an answer from where the quiet socket never sent to could still come, and would count.

        Nothing may go there before: it would let the late answer to a question that was asked again in.
        """
        return any(
            question.is_open and question.kind in (_Kind.FROM_OTHER_IP, _Kind.FROM_OTHER_PORT)
            for question in self._questions.values()
        )

    @property
    def _meeting_ends(self) -> float:
        """When those who have not answered yet are not waited for any longer; they are still asked again."""
        if self._first_answer == inf:
            return self._started + limits.PROBE_GIVE_UP
        return self._first_answer + max(limits.PROBE_RESEND, self._wait)

    @property
    def _wait(self) -> float:
        """A round trip, as far as it is known."""
        return limits.PROBE_UNKNOWN_ROUND_TRIP if self._round_trip is None else self._round_trip

    def _due(self, question: _Question) -> float:
        """When it is asked (again), or given up."""
        if not question.sent:
            return -inf
        if self._first_answer == inf and question.sent == question.sends:
            return self._started + limits.PROBE_GIVE_UP
        if question.kind is _Kind.HAIRPIN:  # the NAT is near
            return question.sent_at + limits.PROBE_RESEND
        return question.sent_at + max(limits.PROBE_RESEND, 1.5 * self._wait)

    def _ask(
        self,
        kind: _Kind,
        socket: int,
        server: Address,
        *,
        from_: Address | None = None,
        change: Change | None = None,
        sends: int = limits.PROBE_SENDS_LATER,
    ) -> None:
        transaction_id = self._chance(stun.TRANSACTION_ID_BYTES)
        attributes: dict[str, Any] = {"CHANGE-REQUEST": int(change)} if change is not None else {}
        attributes["SOFTWARE"] = _ROOM
        attributes[Extra.ROUTABLE.label] = self._proof if socket == _QUIET else bytes(PROOF_BYTES)
        request = stun.encode(Method.BINDING, Class.REQUEST, transaction_id, attributes)
        self._questions[transaction_id] = _Question(kind, socket, server, request, from_ or server, sends)

    def _ask_elsewhere(self) -> None:
        """The quiet socket asks for answers from where it never sent to, the farthest first."""
        first, other = self.servers[0], self._other
        if other is None or self._sight(_QUIET) is None:
            return
        self._ask(_Kind.FROM_OTHER_IP, _QUIET, first, from_=other, change=Change.IP | Change.PORT)
        near = Address(first.ip, other.port)
        self._ask(_Kind.FROM_OTHER_PORT, _QUIET, first, from_=near, change=Change.PORT)

    def _sample(self, sockets: Iterable[int], servers: int = 1) -> None:
        heard = [question.server for question in self._questions.values() if question.is_answered]
        one = heard[0]
        pair = [
            one,
            *[server for server in (self._other, *heard) if server is not None and server.ip != one.ip][:1],
        ]
        for socket in sockets:
            for server in pair[:servers]:
                self._ask(_Kind.SIGHT, socket, server)

    def _ask_afterwards(self) -> None:
        """Whether the server answered all the while, and what its sending first did."""
        if self._one(_Kind.FROM_OTHER_IP) is None or self._other is None:
            return
        self._ask(_Kind.CONTROL, _QUIET, self.servers[0], sends=limits.PROBE_SENDS)
        self._ask(_Kind.AFTER_INBOUND, _QUIET, self._other)

    def _ask_ourselves(self) -> None:
        """Two of our sockets send to each other's outside addresses, if those are sure, and not our own."""
        quiet, loud = self._sight(_QUIET), self._agreed(_LOUD)
        if quiet is None or loud is None or quiet.ip != loud.ip or loud.ip in self._local_ips:
            return
        self._ask(_Kind.HAIRPIN, _LOUD, quiet)
        self._ask(_Kind.HAIRPIN, _QUIET, loud)

    def _hairpin_came(self, question: _Question, socket: int, message: StunMessage) -> bool:
        if message.kind is not Class.REQUEST or socket not in (_QUIET, _LOUD) or socket == question.socket:
            return False
        self._hairpinned = True
        for other in self._questions.values():
            if other.kind is _Kind.HAIRPIN:
                other.is_open = False
        return True

    @property
    def _other(self) -> Address | None:
        """Where the first server answers from as well; one that it made up itself is not believed."""
        for question in self._questions.values():
            if question.answer is None or question.server != self.servers[0]:
                continue
            other = question.answer.address("OTHER-ADDRESS")
            if (
                other in self.servers
                and other.ip != self.servers[0].ip
                and other.port != self.servers[0].port
            ):
                return other
        return None

    def _sight(self, socket: int) -> Address | None:
        """Where the first server sees that socket."""
        return next(
            (
                question.seen
                for question in self._questions.values()
                if question.kind is _Kind.SIGHT
                and question.socket == socket
                and question.server == self.servers[0]
            ),
            None,
        )

    def _agreed(self, socket: int) -> Address | None:
        """Where all servers see that socket that answered it, if they are of two ips."""
        seen = {
            question.server.ip: question.seen
            for question in self._questions.values()
            if question.kind is _Kind.SIGHT and question.socket == socket and question.seen is not None
        }
        return next(iter(seen.values())) if len(seen) > 1 and len(set(seen.values())) == 1 else None

    def _one(self, kind: _Kind) -> _Question | None:
        return next((question for question in self._questions.values() if question.kind is kind), None)
