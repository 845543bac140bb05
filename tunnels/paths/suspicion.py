"""What is known of a path that may be dead in one direction only, and who has been told. Sans-IO.

The end that misses something notices: its QUIC gets no acknowledgements. Either its data is lost or the acknowledgements
are, and only the other end can do something about those. So it says in its pings, by whatever path they arrive, that it
hears nothing, and the other end distrusts the path it sends on, until a later ping of its own is answered.

Who carries the datagrams may pass checks on and drop data. Then pings are answered at once, and QUIC is disappointed
again; and where both ends change paths each time, they may do so in step, with one of them on the bad one always. So
when trust was disappointed several times in short, data goes by other paths as well for a while, whatever pings say.
"""

from __future__ import annotations

from collections import deque
from math import inf

from tunnels import limits


class Suspicion:
    """One connection's."""

    __slots__ = (
        "_deceits",
        "_disappointed",
        "_has_healed",
        "_has_told",
        "_proof",
        "_since",
        "deceived_until",
        "probe_timeouts",
        "tells",
    )

    def __init__(self) -> None:
        self.probe_timeouts = 0
        """QUIC's, in a row."""
        self.tells = False
        """Whether our pings say that nothing is heard."""
        self.deceived_until = -inf
        """Until when an answered ping is no reason to send data by one path alone."""
        self._disappointed: deque[float] = deque(maxlen=limits.DECEIVED_TIMES)
        self._deceits = 0
        self._since = -inf
        self._has_healed = False
        self._has_told = False
        self._proof = -1  # the peer's sequence number when it last answered a ping on the selected path

    def counted(self, probe_timeouts: int) -> bool:
        """So many of QUIC's probes went unanswered; whether that is more than it was."""
        before, self.probe_timeouts = self.probe_timeouts, probe_timeouts
        if not probe_timeouts:
            self.tells = False
        if probe_timeouts > before:
            self._has_healed = False
        return probe_timeouts > before

    def tell(self, now: float) -> None:
        """Say so in pings, until the peer has answered one of them."""
        self.tells = True
        self._has_told = True
        self._since = now

    def answered(self, ping_sent_at: float) -> None:
        """The peer answered a ping that was sent then; perhaps one that told."""
        if ping_sent_at >= self._since:
            self.tells = False

    def proved(self, sequence: int) -> None:
        """With its check of that number the peer said that the selected path works."""
        self._proof = sequence

    def is_news(self, sequence: int) -> bool:
        """Whether a complaint of that number is younger than the last proof that there is no reason for it."""
        return sequence > self._proof

    def heals(self) -> bool:
        """A trusted path answers: whether QUIC is to be told not to wait.

        Once for each of its timeouts, and once after we said that nothing is heard: QUIC may have lost a whole flight
        in a sleep, and have had no time for timeouts.
        """
        is_late = self.probe_timeouts >= limits.DISTRUST_PROBES and not self._has_healed
        if not is_late and not self._has_told:
            return False
        self._has_healed, self._has_told = True, False
        return True

    def disappointed(self, now: float) -> bool:
        """A path whose pings were answered had to be distrusted; whether that makes it a deceit."""
        self._disappointed.append(now)
        if (
            now < self.deceived_until
            or len(self._disappointed) < limits.DECEIVED_TIMES
            or now - self._disappointed[0] > limits.DECEIVED_WITHIN
        ):
            return False
        if now - self.deceived_until > limits.PATH_DEATHS_FORGOTTEN:
            self._deceits = 0
        wait = limits.PATH_HOLD_DOWN * 2 ** min(self._deceits, 16)
        self.deceived_until = now + min(wait, limits.PATH_HOLD_DOWN_MAX)
        self._deceits += 1
        return True
