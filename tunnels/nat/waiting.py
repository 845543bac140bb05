"""How long a NAT lets a server in to whom nothing is sent: measured by waiting. Sans-IO.

Each of a few sockets asks a server that can do so (`tunnels.nat.reflector`) to send it something after some time, sends
nothing meanwhile, and sees whether it comes. That takes minutes, so it is done only for those who ask for it. What is told
is a range: a mapping that is used like ours lived so long, and no longer than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any, Final

from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.lifetime import lifetime_of
from tunnels.nat.probes import Probe
from tunnels.nat.reflector import PROOF_BYTES
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import Address
    from tunnels.nat.lifetime import Lifetime

_ROOM: Final = "." * 64
"""As SOFTWARE in a request: the server's answer and what it sends later are no larger together."""


class _Step(Enum):
    ASKING = "where am I seen"
    SETTLING = "nothing, until the NAT sees that we go on"
    ORDERING = "send something later"
    WAITING = "nothing, until it comes"
    CONTROL = "do you still answer"
    OVER = "it is known whether it came, or will not be"


@dataclass(slots=True, eq=False)
class _Try:
    """One socket that waits for so many seconds."""

    seconds: int
    step: _Step = _Step.ASKING
    request: bytes = b""
    sent: int = 0
    at: float = -inf
    """When it is its turn next."""
    proof: bytes = bytes(PROOF_BYTES)
    ordered: bytes = b""
    """The transaction id of what is to come."""
    came: bool | None = None

    def end(self, *, came: bool | None) -> None:
        self.step, self.came, self.at = _Step.OVER, came, inf


class LifetimeProbe:
    """One measurement with one server. Of the same form as `tunnels.nat.probes.Burst` to the sockets' side."""

    def __init__(self, server: Address | None, *, chance: Callable[[int], bytes]) -> None:
        """`server` None: nobody is asked. `chance` gives so many random bytes."""
        self.servers: tuple[Address, ...] = () if server is None else (server,)
        self._chance = chance
        self._tries = [
            _Try(seconds)
            for seconds in limits.LIFETIME_WAITS
            for _ in range(limits.LIFETIME_SOCKETS if server is not None else 0)
        ]

    def __repr__(self) -> str:
        return (
            f"<LifetimeProbe {', '.join(f'{one.seconds} s: {one.step.name.lower()}' for one in self._tries)}>"
        )

    def start(self, now: float) -> None:
        """Begin."""
        for one in self._tries:
            one.at = now

    def bound(self, socket: int, port: int) -> None:
        """A socket has that port; it is no matter here."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent or awaited."""
        return all(one.step is _Step.OVER for one in self._tries)

    @property
    def lifetime(self) -> Lifetime:
        """What is known so far."""
        return lifetime_of((one.seconds, one.came) for one in self._judged())

    def datagrams_to_send(self, now: float) -> list[Probe]:
        """What is due."""
        due = []
        for number, one in enumerate(self._tries):
            if now < one.at:
                continue
            self._turn(one, now)
            if one.request and one.at < inf:
                due.append(Probe(number, one.request, self.servers[0]))
        self._leave_out()
        return due

    def receive(self, socket: int, datagram: bytes, source: Address, now: float) -> bool:
        """Take what came to a socket; whether it was what that one waits for."""
        if source not in self.servers or not 0 <= socket < len(self._tries):
            return False
        one = self._tries[socket]
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return False
        if message.kind is Class.INDICATION:
            if one.step is not _Step.WAITING or message.transaction_id != one.ordered:
                return False
            one.end(came=True)
            self._leave_out()
            return True
        if not one.request or message.transaction_id != one.request[8:20]:
            return False
        if message.kind is Class.ERROR:
            one.end(came=None)
            return True
        if message.kind is not Class.RESPONSE:
            return False
        one.request, one.sent = b"", 0
        match one.step:
            case _Step.ASKING:
                proof = message.attributes.get(Extra.ROUTABLE.label, b"")
                if len(proof) != PROOF_BYTES:
                    one.end(came=None)  # a server that is none of ours
                    return True
                one.proof = proof
                one.step, one.at = _Step.SETTLING, now + limits.LIFETIME_SETTLED
            case _Step.ORDERING:
                if Extra.ECHO_AFTER.label not in message.attributes:
                    one.end(came=None)  # it is an older one, or has too much to do
                    return True
                one.ordered = message.transaction_id
                one.step, one.at = _Step.WAITING, now + one.seconds + limits.LIFETIME_LATE
            case _Step.CONTROL:
                one.end(came=False)
            case _Step.SETTLING | _Step.WAITING | _Step.OVER:
                pass  # nothing is asked then
        self._leave_out()
        return True

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next; None when it is over."""
        at = min((one.at for one in self._tries), default=inf)
        return None if at == inf else at

    # --- within -----------------------------------------------------------------------------------------------

    def _turn(self, one: _Try, now: float) -> None:
        if one.step is _Step.SETTLING:
            one.step = _Step.ORDERING
        elif one.step is _Step.WAITING:
            one.step = _Step.CONTROL
        if one.sent == limits.LIFETIME_SENDS:
            one.end(came=None)
            return
        if not one.request:
            one.request = self._request(one)
        one.sent += 1
        one.at = now + limits.LIFETIME_RESEND

    def _request(self, one: _Try) -> bytes:
        attributes: dict[str, Any] = {"SOFTWARE": _ROOM, Extra.ROUTABLE.label: one.proof}
        if one.step is _Step.ORDERING:
            attributes[Extra.ECHO_AFTER.label] = one.seconds.to_bytes(2)
        return stun.encode(Method.BINDING, Class.REQUEST, self._chance(stun.TRANSACTION_ID_BYTES), attributes)

    def _judged(self) -> list[_Try]:
        """Of each time those that came, or else those that did not, once all of that time are over."""
        found = []
        for seconds in limits.LIFETIME_WAITS:
            tries = [one for one in self._tries if one.seconds == seconds]
            came = [one for one in tries if one.came]
            found += came or (tries if all(one.step is _Step.OVER for one in tries) else [])
        return found

    def _leave_out(self) -> None:
        """What is known does not have to be waited for: what was let in later, or not let in earlier, says the same."""
        known = self.lifetime
        for one in self._tries:
            if one.step is _Step.OVER:
                continue
            if (known.least or 0) >= one.seconds or (known.most or inf) < one.seconds:
                one.end(came=None)
