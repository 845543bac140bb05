"""Who may use the dashboard: tokens for one login each, and the browsers that are logged in. All of it in memory.

`overlay dash` gets a token over the control socket, which only our own user can speak to; the page hands it in and
becomes a session with two secrets. One is a cookie that no script can read. But cookies know no ports, so a browser
shows it to every server on this address; the other is a key that only pages of this very origin hold, and send in a
header, which no page from elsewhere can make a browser do. Nothing is answered without both.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.dashboard.limits import (
    DASHBOARD_SESSION_SECONDS,
    DASHBOARD_SESSIONS,
    DASHBOARD_TOKEN_SECONDS,
    DASHBOARD_TOKENS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Login:
    """The two secrets of a new session."""

    cookie: str
    key: str


@dataclass(slots=True)
class _Session:
    key: bytes
    """Its digest."""
    ends: float
    used: float


class Sessions:
    """Tokens and sessions by the digests of their secrets, so that how long a search takes tells nothing of them.

    `now` is any clock that only goes forward, in seconds; `chance` gives that many secret bytes.
    """

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        self._chance = chance
        self._tokens: dict[bytes, float] = {}
        """Until when each is good, the oldest first."""
        self._sessions: dict[bytes, _Session] = {}

    def issue(self, now: float) -> str:
        """A token for one login; the oldest that was not used gives way when there are too many."""
        self._expire(now)
        while len(self._tokens) >= DASHBOARD_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        token = self._secret()
        self._tokens[_digest(token)] = now + DASHBOARD_TOKEN_SECONDS
        return token

    def log_in(self, token: str, now: float) -> Login | None:
        """The session that a token is good for, once; None for any other text."""
        self._expire(now)
        if self._tokens.pop(_digest(token), None) is None:
            return None
        while len(self._sessions) >= DASHBOARD_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda one: self._sessions[one].used)]
        login = Login(self._secret(), self._secret())
        self._sessions[_digest(login.cookie)] = _Session(
            _digest(login.key), now + DASHBOARD_SESSION_SECONDS, now
        )
        return login

    def is_open(self, cookie: str, key: str, now: float) -> bool:
        """Whether these two belong to one session that has not ended; it counts as used."""
        self._expire(now)
        session = self._sessions.get(_digest(cookie))
        if session is None or not hmac.compare_digest(session.key, _digest(key)):
            return False
        session.used = now
        return True

    def log_out(self, cookie: str) -> None:
        """End a session; nothing happens if there is none."""
        self._sessions.pop(_digest(cookie), None)

    def _secret(self) -> str:
        return base64.urlsafe_b64encode(self._chance(_SECRET_BYTES)).rstrip(b"=").decode()

    def _expire(self, now: float) -> None:
        for token in [token for token, until in self._tokens.items() if until <= now]:
            del self._tokens[token]
        for cookie in [cookie for cookie, session in self._sessions.items() if session.ends <= now]:
            del self._sessions[cookie]


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", errors="surrogatepass")).digest()
