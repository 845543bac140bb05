"""Requests to one STUN server with long-term credentials (RFC 8489 §9.2): sent again until answered. Sans-IO."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from tunnels.nat import limits, stun
from tunnels.nat.stun import Class

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tunnels.nat.stun import Method, StunMessage

    Done = Callable[[StunMessage | None, float], None]
    """Takes the answer, a response or an error, and the time; None when there was none."""

UNAUTHORIZED: Final = 401
MISMATCH: Final = 437
STALE_NONCE: Final = 438
WRONG_CREDENTIALS: Final = 441
_CHALLENGES: Final = frozenset({UNAUTHORIZED, STALE_NONCE})


@dataclass(slots=True, eq=False)
class _Transaction:
    """One request under way."""

    method: Method
    attributes: Mapping[str, Any]
    done: Done
    transaction_id: bytes = b""
    wire: bytes = b""
    nonce: bytes | None = None
    """The one it is signed with."""
    key: bytes | None = None
    sent: int = 0
    next_at: float = inf
    """When it is sent again, or fails."""
    challenges: int = 0
    unsigned: Collection[int] = ()


class Transactions:
    """The requests under way, and the credentials they are signed with once the server has said how."""

    def __init__(self, username: str, password: str, chance: Callable[[int], bytes]) -> None:
        """`chance` gives so many random bytes that nobody can guess."""
        self._username = username
        self._password = password
        self._chance = chance
        self._realm: str | None = None
        self._nonce: bytes | None = None
        self._under_way: dict[bytes, _Transaction] = {}

    @property
    def credentials(self) -> tuple[str, str]:
        """User name and password."""
        return self._username, self._password

    def set_credentials(self, username: str, password: str) -> None:
        """Sign requests with these from now on; those under way as well, if they are begun anew."""
        self._username, self._password = username, password

    def begin(
        self,
        method: Method,
        attributes: Mapping[str, Any],
        done: Done,
        now: float,
        *,
        unsigned: Collection[int] = (),
    ) -> None:
        """Make a request; it is sent by the next `datagrams_to_send`, and `done` is called once.

        `unsigned`: the errors that are believed although they are not signed with our credentials.
        """
        self._start(_Transaction(method, attributes, done, unsigned=unsigned), now)

    def receive(self, message: StunMessage, now: float) -> bool:
        """Take an answer; whether it was one to a request of ours, and signed where it has to be."""
        transaction = self._under_way.get(message.transaction_id)
        if transaction is None or message.method is not transaction.method:
            return False
        if message.kind not in (Class.RESPONSE, Class.ERROR):
            return False
        challenge = message.kind is Class.ERROR and message.error_code in _CHALLENGES
        may_be_unsigned = message.kind is Class.ERROR and (
            challenge or message.error_code in transaction.unsigned
        )
        if (
            transaction.key is not None
            and not may_be_unsigned
            and not message.is_signed_with(transaction.key)
        ):
            return False  # somebody else's, so go on waiting (§9.2.5)
        del self._under_way[message.transaction_id]
        if not (challenge and self._take_challenge(transaction, message, now)):
            transaction.done(message, now)
        return True

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """The requests that are due; for those that had their last one, `done` is called."""
        due = []
        for transaction_id, transaction in list(self._under_way.items()):
            if transaction.next_at > now:
                continue
            if transaction.sent == limits.TURN_SENDS:
                # What an earlier one's `done` began anew, or gave up, is not under way any more.
                if self._under_way.pop(transaction_id, None) is not None:
                    transaction.done(None, now)
                continue
            transaction.next_at = now + limits.TURN_RESEND * 2**transaction.sent
            transaction.sent += 1
            due.append(transaction.wire)
        return due

    def get_timer(self) -> float:
        """When `datagrams_to_send` is to be called next; infinity for never."""
        return min((transaction.next_at for transaction in self._under_way.values()), default=inf)

    def give_up(self) -> None:
        """Forget all requests; no `done` is called."""
        self._under_way.clear()

    def _start(self, transaction: _Transaction, now: float) -> None:
        transaction.transaction_id = self._chance(stun.TRANSACTION_ID_BYTES)
        transaction.sent = 0
        transaction.next_at = now
        transaction.nonce = self._nonce
        attributes = dict(transaction.attributes)
        if self._realm is not None and self._nonce is not None:
            secret = f"{self._username}:{self._realm}:{self._password}".encode()
            transaction.key = hashlib.md5(
                secret, usedforsecurity=False
            ).digest()  # RFC 8489 §9.2.2 has no other
            attributes |= {"USERNAME": self._username, "REALM": self._realm, "NONCE": self._nonce}
        transaction.wire = stun.encode(
            transaction.method, Class.REQUEST, transaction.transaction_id, attributes, key=transaction.key
        )
        self._under_way[transaction.transaction_id] = transaction

    def _take_challenge(self, transaction: _Transaction, message: StunMessage, now: float) -> bool:
        """Begin the request anew as the server wants it; False if it was as it wanted it, or does not say."""
        nonce = message.attributes.get("NONCE")
        realm = message.attributes.get("REALM", self._realm)
        if nonce is None or realm is None or transaction.challenges == limits.TURN_CHALLENGES:
            return False
        if message.error_code == UNAUTHORIZED and transaction.key is not None:
            return False  # it was signed, so the credentials are no good
        transaction.challenges += 1
        self._nonce, self._realm = nonce, realm
        self._start(transaction, now)
        return True
