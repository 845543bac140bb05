"""That the peer is where it says, before much is sent there, and that we are, for the peer. Sans-IO.

Each end has its own ip attested by the STUN server of the *other* end's beacon, over the other end's challenge, and tells
what it got (`tunnels.nat.attested`). A peer can name any server and any number of challenges, so questions are few.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels.bucket import Bucket
from tunnels.crossing import limits
from tunnels.nat import limits as nat_limits
from tunnels.paths.candidates import is_private, is_sane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address
    from tunnels.crossing.budget import Budget
    from tunnels.crossing.description import Description

    Ip = IPv4Address | IPv6Address


class PeerProof:
    """Where the peer is attested to be."""

    def __init__(self, proves: Callable[[bytes, Ip], bool]) -> None:
        """`proves` says whether an attestation is good for an ip, now."""
        self._proves = proves
        self._may_prove = Bucket(limits.CROSS_PROOFS_PER_SECOND, limits.CROSS_PROOFS)
        self._told = b""
        self._ips: frozenset[Ip] = frozenset()

    def __contains__(self, ip: Ip) -> bool:
        return ip in self._ips

    def told(self, attestation: bytes, ips: Iterable[Ip], now: float) -> None:
        """The peer has this, and may be seen at these ips. Of too many the next one counts, when it is told again."""
        if attestation and attestation != self._told and self._may_prove.take(now):
            self._told = attestation
            self.look(ips)

    def look(self, ips: Iterable[Ip]) -> None:
        """An attestation grows old, and the peer may say now that it is seen elsewhere."""
        self._ips = frozenset(ip for ip in ips if self._told and self._proves(self._told, ip))


class OwnProof:
    """What attests us for the peer."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._may_ask = Bucket(1 / limits.CROSS_ATTEST_EVERY, limits.CROSS_ATTESTS)
        self._asked: tuple[bytes, Address] | None = None
        """The challenge that we are attested over, or are to be, and by whom."""
        self._left = 0
        self._attested_at = -inf
        self.attestation = b""
        """Empty while there is none."""
        self.due = inf
        """When to `ask` again."""

    @property
    def is_awaited(self) -> bool:
        """Whether an answer may still come."""
        return not self.attestation and self.due < inf

    def forget(self) -> None:
        """We are elsewhere."""
        self._asked, self.attestation = None, b""

    def renew(self, now: float) -> None:
        """Another attempt begins: the peer is not to find that what it has is too old."""
        if self.attestation and now - self._attested_at > nat_limits.ATTESTED_SECONDS / 2:
            self._asked = None

    def attested(self, attestation: bytes, now: float) -> None:
        """The answer."""
        self.attestation, self._attested_at, self.due = attestation, now, inf

    def wants(self, theirs: Description, now: float) -> bool:
        """Whether there is something new to `ask`, for what the peer says of its network."""
        if not theirs.challenge or theirs.attester is None:
            return False
        asked = theirs.challenge, theirs.attester
        if asked == self._asked or not self._may_ask.take(now):
            return False
        self._asked, self._left = asked, limits.SAMPLING_SENDS
        return True

    def ask(self, own_servers: Iterable[Address], now: float) -> tuple[Address, bytes] | None:
        """The server and the challenge to ask it with now, once more; None for no question."""
        self.due = inf
        self._left -= 1
        if self._asked is None or self._left < 0:
            return None
        challenge, server = self._asked
        is_ours = server in own_servers
        if not is_sane(server, with_loopback=False) or (is_private(server) and not is_ours):
            return None
        self.due = now + 2 * nat_limits.STUN_RESEND
        return (server, challenge) if self._budget.may_send(server, now, is_proven=is_ours) else None
