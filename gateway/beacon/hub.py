"""Who is connected to this node, and where a frame goes that one of them sends. Sans-IO.

A frame comes with the receiver's id and leaves with the sender's; what is in it is sealed between the two, and
nobody here can read it. `receive` says what is to be done with one: it goes to a session of this node (which may be
the sender's own, for an answer), or it is for somebody who is not on this node, or the sender is told that it may not.
What a receiver cannot take at once waits in its backlog.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.beacon.backlog import Backlog
from gateway.beacon.limits import (
    BEACON_BUCKETS,
    BEACON_QUEUE_BYTES,
    BEACON_QUEUE_SHARE,
    BEACON_QUEUES_BYTES,
    BEACON_REFUSE_EVERY,
)
from gateway.beacon.rates import Rates
from tunnels.errors import ProtocolViolation
from tunnels.identity import EndpointId
from tunnels.limits import RELAY_FRAME, RELAY_MESSAGE
from tunnels.relay.frames import HEADER_BYTES, FrameKind, Refused, RelayLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.beacon.settings import RelaySettings
    from gateway.beacon.stores import Balance

_DATA: Final = int(FrameKind.DATA)
_MESSAGE: Final = int(FrameKind.MESSAGE)
_MAIL: Final = int(FrameKind.MAIL)
_LETTERS: Final = (_MESSAGE, _MAIL)
"""Small ones, counted and not measured, that whoever relays nothing passes on, too."""
_ABSENT: Final = bytes([FrameKind.ABSENT])
_BURST_SECONDS: Final = 1.0
"""What is allowed at once, as seconds of the rate."""
_MESSAGE_BURST: Final = 4.0
"""The same for messages: a gateway that starts calls all its contacts."""


class Session:
    """One connected endpoint; a shell may add how it is reached."""

    __slots__ = ("backlog", "client", "endpoint_id", "heard", "left", "refused", "takes_mail", "uncharged")

    def __init__(self, endpoint_id: EndpointId, client: str | None, now: float) -> None:
        """`client` is where it comes from, as far as limits count one; None counts as nobody."""
        self.endpoint_id = endpoint_id
        self.client = client
        self.heard = now
        self.takes_mail = False
        """Whether it knows such frames; an older gateway would hang up."""
        self.left: int | None = None
        """Bytes that may still be relayed for it, None where there is no quota; below 0 when it is overdrawn."""
        self.uncharged = 0
        """Bytes relayed for it that the accounts do not know of."""
        self.refused = 0.0
        """When it was last told that it is beyond a limit."""
        self.backlog: Backlog | None = None


class Deliver(NamedTuple):
    """The frame goes to a session of this node."""

    to: Session
    frame: bytes


class Elsewhere(NamedTuple):
    """The receiver is not connected to this node."""

    receiver: EndpointId
    frame: bytes
    """As the receiver is to get it."""


class Refusal(NamedTuple):
    """The sender is told why its frames go nowhere; now and then, not for each."""

    refused: Refused


Outcome = Deliver | Elsewhere | Refusal | None
"""None: the frame is dropped, and everybody who needs to know knows."""

_RATE: Final = Refusal(
    Refused(code="rate", reason="more than this relay gives one sender per second; the rest is dropped")
)
_QUOTA: Final = Refusal(
    Refused(
        code="quota",
        reason="the relay's quota for you is used up; data is dropped until the next period or a voucher",
    )
)
_NO_RELAY: Final = Refusal(
    Refused(code="access", reason="this beacon passes messages on, and relays no datagrams")
)


@dataclass(slots=True)
class Counters:
    """What happened since the start, for the metrics."""

    frames: dict[str, int] = field(default_factory=lambda: {kind.name.lower(): 0 for kind in FrameKind})
    """Frames passed on, by kind; `absent` are the answers that somebody is not here."""
    relayed_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: {"queue": 0, "rate": 0, "quota": 0, "access": 0})
    """Frames dropped, by reason."""
    logins: int = 0
    replaced: int = 0


class Hub:
    """The sessions of one node, by endpoint id."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._sessions: dict[bytes, Session] = {}
        self.counters = Counters()
        self.queued = 0
        """Bytes in all backlogs."""
        self._bytes = Rates(
            settings.bytes_per_second,
            max(settings.bytes_per_second * _BURST_SECONDS, RELAY_FRAME * 2),
            bound=BEACON_BUCKETS,
        )
        self._client_bytes = Rates(
            settings.address_bytes_per_second,
            max(settings.address_bytes_per_second * _BURST_SECONDS, RELAY_FRAME * 2),
            bound=BEACON_BUCKETS,
        )
        self._messages = Rates(
            settings.messages_per_second, settings.messages_per_second * _MESSAGE_BURST, bound=BEACON_BUCKETS
        )
        self._client_messages = Rates(
            settings.address_messages_per_second,
            settings.address_messages_per_second * _MESSAGE_BURST,
            bound=BEACON_BUCKETS,
        )

    # --- who is here ------------------------------------------------------------------------------------------

    def join(self, session: Session) -> Session | None:
        """The endpoint is connected now; the session that this one replaces, which is to be closed."""
        key = session.endpoint_id.key
        replaced = self._sessions.get(key)
        self._sessions[key] = session
        self.counters.logins += 1
        if replaced is not None:
            self.counters.replaced += 1
            session.uncharged, replaced.uncharged = session.uncharged + replaced.uncharged, 0
        return replaced

    def leave(self, session: Session) -> bool:
        """The session has ended; False if another one has taken its place."""
        if session.backlog is not None:
            self.queued -= session.backlog.size
            session.backlog = None
        if self._sessions.get(session.endpoint_id.key) is not session:
            return False
        del self._sessions[session.endpoint_id.key]
        return True

    def find(self, endpoint_id: EndpointId) -> Session | None:
        """The endpoint's session, if it is connected to this node."""
        return self._sessions.get(endpoint_id.key)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Everybody who is here."""
        return tuple(self._sessions.values())

    def __len__(self) -> int:
        """How many are here."""
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Whether nobody else may join."""
        return len(self._sessions) >= self._settings.sessions

    # --- frames -----------------------------------------------------------------------------------------------

    def receive(self, sender: Session, frame: bytes, now: float) -> Outcome:
        """What to do with a frame from a gateway; ProtocolViolation for what is none, and its connection ends."""
        size = len(frame)
        kind = frame[0] if frame else 0
        if kind not in (1, 2, 3, 5) or not HEADER_BYTES < size <= HEADER_BYTES + RELAY_FRAME:
            raise ProtocolViolation(
                "a gateway sends data, path messages and sealed messages, and nothing larger than a frame"
            )
        if kind in _LETTERS and size > HEADER_BYTES + RELAY_MESSAGE:
            raise ProtocolViolation(f"a sealed message has at most {RELAY_MESSAGE} bytes")
        refusal = self._check(sender, kind, size, now)
        if refusal is not None:
            return refusal if self._may_tell(sender, now) else None
        sender.uncharged += size
        exchanged = b"".join((frame[:1], sender.endpoint_id.key, memoryview(frame)[HEADER_BYTES:]))
        to = self._sessions.get(frame[1:HEADER_BYTES])
        if to is not None and kind == _MAIL and not to.takes_mail:
            return self.absent(sender.endpoint_id, to.endpoint_id, kind)
        if to is None:
            return Elsewhere(EndpointId(frame[1:HEADER_BYTES]), exchanged)
        self._count(kind, size)
        return Deliver(to, exchanged)

    def deliver(self, receiver: EndpointId, frame: bytes) -> Deliver | None:
        """A frame from another node, as the receiver is to get it; None when the receiver is not here any more."""
        to = self._sessions.get(receiver.key)
        if to is not None and frame[:1] == bytes([_MAIL]) and not to.takes_mail:
            return None
        if to is None or not HEADER_BYTES <= len(frame) <= HEADER_BYTES + RELAY_FRAME:
            return None
        self._count(frame[0], len(frame))
        return Deliver(to, frame)

    def absent(self, sender: EndpointId, receiver: EndpointId, kind: int) -> Deliver | None:
        """What tells the sender of a frame of this kind that its receiver is nowhere; None when it has left too."""
        to = self._sessions.get(sender.key)
        if to is None:
            return None
        self.counters.frames["absent"] += 1
        return Deliver(to, b"%b%b%c" % (_ABSENT, receiver.key, kind))

    def may_speak(self, sender: Session, now: float) -> bool:
        """Whether a text frame is within the sender's rate of messages."""
        return self._messages.take(sender.endpoint_id, 1, now)

    def passed_on(self, frame: bytes) -> None:
        """A frame went to another node."""
        self._count(frame[0], len(frame))

    def _check(self, sender: Session, kind: int, size: int, now: float) -> Refusal | None:
        """Why a frame goes nowhere, and one more for the counter of that."""
        if kind in _LETTERS:
            if not (
                self._messages.take(sender.endpoint_id, 1, now)
                and (sender.client is None or self._client_messages.take(sender.client, 1, now))
            ):
                self.counters.dropped["rate"] += 1
                return _RATE
            return None
        if not self._settings.enabled:
            self.counters.dropped["access"] += 1
            return _NO_RELAY
        if kind == _DATA and sender.left is not None and sender.left - sender.uncharged < size:
            self.counters.dropped["quota"] += 1
            return _QUOTA
        if not (
            self._bytes.take(sender.endpoint_id, size, now)
            and (sender.client is None or self._client_bytes.take(sender.client, size, now))
        ):
            self.counters.dropped["rate"] += 1
            return _RATE
        return None

    @staticmethod
    def _may_tell(sender: Session, now: float) -> bool:
        if now < sender.refused:
            return False
        sender.refused = now + BEACON_REFUSE_EVERY
        return True

    def _count(self, kind: int, size: int) -> None:
        self.counters.frames[FrameKind(kind).name.lower()] += 1
        self.counters.relayed_bytes += size

    # --- backlogs ---------------------------------------------------------------------------------------------

    def queue(self, session: Session, frame: bytes) -> None:
        """Keep a frame until the receiver can take it; the oldest data is dropped where one must be."""
        if session.backlog is None:
            session.backlog = Backlog()
        limit = BEACON_QUEUE_BYTES if self.queued < BEACON_QUEUES_BYTES else BEACON_QUEUE_SHARE
        self.queued += len(frame)
        for dropped in session.backlog.put(frame, limit):
            self.queued -= len(dropped)
            self.counters.dropped["queue"] += 1

    def next_queued(self, session: Session) -> bytes | None:
        """The frame that is to go to the receiver next; None when nothing waits, and the backlog is gone."""
        frame = session.backlog.take() if session.backlog is not None else None
        if frame is None:
            session.backlog = None
        else:
            self.queued -= len(frame)
        return frame

    # --- accounts ---------------------------------------------------------------------------------------------

    def charges(self) -> Iterator[tuple[Session, int]]:
        """What is to be written into the accounts, for each session that has something; to be confirmed by `charged`."""
        for session in tuple(self._sessions.values()):
            if session.uncharged:
                yield session, session.uncharged

    def charged(self, session: Session, size: int, balance: Balance) -> None:
        """The accounts know of `size` more bytes."""
        session.uncharged -= size
        self.balanced(session, balance)

    def balanced(self, session: Session, balance: Balance) -> None:
        """What the accounts say of the session's endpoint."""
        if self._settings.quota_bytes:
            session.left = max(0, self._settings.quota_bytes - balance.used_bytes) + balance.credit_bytes

    def limits_of(self, balance: Balance | None) -> RelayLimits:
        """What the gateway is told of its limits."""
        quota = self._settings.quota_bytes
        return RelayLimits(
            bytes_per_second=self._settings.bytes_per_second,
            quota_bytes=quota,
            period_seconds=self._settings.period_seconds if quota else 0,
            left_bytes=max(0, quota - balance.used_bytes) if balance is not None else quota,
            credit_bytes=balance.credit_bytes if balance is not None else 0,
        )

    def sweep(self, now: float) -> None:
        """Forget the rates of whoever is quiet."""
        for rates in (self._bytes, self._client_bytes, self._messages, self._client_messages):
            rates.sweep(now)

    def __repr__(self) -> str:
        return f"Hub({len(self)} sessions, {self.queued} bytes queued)"
