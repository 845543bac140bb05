"""A port of ours at our router: asked for by PCP, NAT-PMP and UPnP, kept while it is good, and given back. Sans-IO.

PCP is asked first, NAT-PMP where that says no or nothing within a quarter of a second, UPnP a little later. The first that
is granted is kept; one that is granted later is given back at once. A mapping is renewed at half its life, anew at half of
what is left where nothing answers, and asked for again at once where the router lost it: its clock went back (RFC 6887 §8.5).

Over IPv6 the same is done by PCP alone, for a pinhole in the router's firewall.

UPnP is not spoken here: `take_errand` says what is to be done with it, and its shell tells what came of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.mapping_messages import NONCE_BYTES, NatPmp, Pcp, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.nat.mapping_messages import Reply

SHARED: Final = IPv4Network("100.64.0.0/10")
"""Addresses that a provider gives where several customers share a public one (RFC 6598)."""


def is_behind_nat(ip: IPv4Address) -> bool:
    """Whether the address is one of a private network, or one that a provider's NAT stands before."""
    return ip in SHARED or any(ip in network for network in _PRIVATE)


GLOBAL: Final = IPv6Network("2000::/3")
"""IPv6 addresses that others may reach (RFC 4291 §2.4, as IANA gives them out)."""

_PRIVATE: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


@dataclass(frozen=True, slots=True)
class Mapping:
    """What comes to `external` is sent on to a port of ours."""

    protocol: Protocol
    external: Address


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to be done by UPnP."""

    external_port: int
    """The one to map, or to unmap."""
    seconds: int
    """How long; 0 to unmap it."""


class Support(Enum):
    """What a router does with one protocol."""

    GRANTS = "grants"
    REFUSES = "refuses"
    """It speaks it, and gives us no port that is any good."""
    ABSENT = "absent"
    """It does not answer, or says that it does not speak it."""
    ASKED = "being asked"
    NOT_ASKED = "not asked"
    """Another protocol was granted, or its library is not installed."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One protocol, for people."""

    protocol: Protocol
    support: Support
    words: str
    """Why it gives no port; empty if it does, or was not asked."""


class Attempt:
    """One protocol's way to the mapping."""

    def __init__(self, codec: Pcp | NatPmp | None, starts_at: float) -> None:
        """Without a codec it is UPnP's."""
        self.codec = codec
        self.protocol = codec.protocol if codec is not None else Protocol.UPNP
        self.external: Address | None = None
        self.outside: IPv4Address | None = None
        """What the router says that its own address is, even where it is no good."""
        self.is_spoken = False
        """Whether the router answered in this protocol."""
        self.words = ""
        """Why there is no mapping."""
        self.asks_at = starts_at
        """When it is asked next, from the beginning; `inf` while it is being asked, or is not to be."""
        self.sends_at = inf
        self.expires_at = inf
        self.sent = 0
        self._ip: IPv4Address | IPv6Address | None = None
        self._port: tuple[int, int] | None = None
        self._epoch: tuple[int, float] | None = None

    def __repr__(self) -> str:
        return f"<Attempt by {self.protocol.value}: {self.external or self.words or 'nothing yet'}>"

    @property
    def timer(self) -> float:
        return min(self.asks_at, self.sends_at, self.expires_at)

    @property
    def is_asking(self) -> bool:
        return self.sends_at < inf

    @property
    def support(self) -> Support:
        if self.external is not None:
            return Support.GRANTS
        if self.words and (self.sent or self.is_spoken):
            return Support.REFUSES if self.is_spoken else Support.ABSENT
        return Support.ASKED if self.is_asking else Support.NOT_ASKED

    def step(self, now: float) -> bool:
        """Whether it is to be asked now."""
        if self.external is not None and now >= self.expires_at:
            self.lose("it does not renew our mapping")
            self.asks_at = now
        if now >= self.asks_at:
            self.asks_at, self.sent, self.sends_at = inf, 0, now
            self._ip = self._port = None
        if now < self.sends_at:
            return False
        most, wait = (
            (1, limits.UPNP_WAIT) if self.codec is None else (limits.PORTMAP_SENDS, limits.PORTMAP_RESEND)
        )
        if self.sent == most:
            self.failed("it does not answer", limits.PORTMAP_RETRY, now)
            return False
        self.sends_at = now + wait * 2**self.sent
        self.sent += 1
        return True

    def failed(self, words: str, seconds: float, now: float) -> None:
        """No answer, or no mapping; one that there is stays until its time is over."""
        self.sends_at = inf
        if self.external is None:
            self.words = words
            self.asks_at = now + seconds
            return
        left = (self.expires_at - now) / 2 if self.expires_at < inf else limits.PORTMAP_LIFETIME / 2
        self.asks_at = now + left if left >= limits.PORTMAP_LEAST_WAIT else inf  # RFC 6887 §11.2.1

    def lose(self, words: str) -> None:
        """There is no mapping any more."""
        self.external, self.words = None, words
        self.sends_at = self.expires_at = inf

    def granted(self, external: Address, seconds: float, now: float) -> None:
        """There is one, for so long; 0: for ever, as some routers have it."""
        self.is_spoken = True
        if isinstance(external.ip, IPv4Address):
            self.outside = external.ip
        problem = unusable(external)
        if problem:
            self.lose(problem)
            self.asks_at = now + limits.PORTMAP_RETRY
            return
        self.external, self.words = external, ""
        self.sends_at = inf
        kept = min(seconds, limits.PORTMAP_LIFETIME) if seconds else limits.PORTMAP_LIFETIME
        self.expires_at = now + kept if seconds else inf
        self.asks_at = now + max(kept / 2, limits.PORTMAP_LEAST_WAIT)

    def heard(self, reply: Reply, now: float) -> None:
        """An answer, in two parts if it is NAT-PMP's."""
        if reply.epoch is not None:
            if self._has_restarted(reply.epoch, now) and not self.is_asking:
                self.asks_at = now  # it does not know of our mapping any more
            self._epoch = (reply.epoch, now)
        if not self.is_asking:
            return
        self.is_spoken = not reply.unsupported
        self.outside = reply.ip if isinstance(reply.ip, IPv4Address) else self.outside
        if reply.refused:
            if self.external is not None:
                self.lose(reply.refused)
            retry = max(reply.lifetime, limits.PORTMAP_RETRY)
            self.failed(reply.refused, min(retry, limits.PORTMAP_RETRY_MOST), now)
            return
        self._ip = reply.ip or self._ip
        if reply.port is not None and reply.lifetime:  # else it answers what gave an earlier mapping back
            self._port = (reply.port, reply.lifetime)
        if self._ip is None or self._port is None:
            return
        port, lifetime = self._port
        self.granted(Address(self._ip, port), lifetime, now)

    def _has_restarted(self, epoch: int, now: float) -> bool:
        """RFC 6887 §8.5; NAT-PMP's rule (RFC 6886 §3.6) differs by a little."""
        if self._epoch is None:
            return False
        before, at = self._epoch
        ours, theirs = now - at, epoch - before
        return theirs < -1 or ours + 2 < theirs - theirs / 16 or theirs + 2 < ours - ours / 16


def unusable(external: Address) -> str:
    """Why nobody reaches that address from the internet, for people; empty if it may well be reached."""
    ip = external.ip
    if isinstance(ip, IPv6Address):
        return "" if ip in GLOBAL else f"it opens a way to {ip}, which is no address in the internet"
    if is_behind_nat(ip):
        return f"its own address {ip} is not public: another NAT stands before it"
    if ip.is_loopback or ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip.packed[0] in (0, 255):
        return f"it says that its address is {ip}"
    if external.port < limits.PORTMAP_LEAST_PORT:
        return f"it grants port {external.port}, which is some service's"
    return ""


class PortMap:
    """Keeps one UDP port mapped at one router, from the first `datagrams_to_send` to `close`."""

    def __init__(
        self,
        own_ip: IPv4Address | IPv6Address,
        port: int,
        chance: Callable[[int], bytes],
        now: float,
        *,
        has_upnp: bool,
    ) -> None:
        """`own_ip` is what the router knows us by; `chance` gives so many random bytes.

        An IPv6 address is asked a pinhole for, by PCP, whatever `has_upnp` says.
        """
        is_pinhole = own_ip.version == 6
        has_upnp = has_upnp and not is_pinhole
        self._chance = chance
        self._port = port
        self._wanted = port if port >= limits.PORTMAP_LEAST_PORT else 0
        self._pcp = Attempt(Pcp(own_ip, port, chance(NONCE_BYTES)), now)
        self._nat_pmp = Attempt(NatPmp(port), inf if is_pinhole else now + limits.PORTMAP_NEXT)
        self._upnp = Attempt(None, now + limits.UPNP_AFTER if has_upnp else inf)
        self._upnp.words = "" if has_upnp else limits.UPNP_ABSENT
        self._attempts: tuple[Attempt, ...] = (
            (self._pcp,) if is_pinhole else (self._pcp, self._nat_pmp, self._upnp)
        )
        self._is_pinhole = is_pinhole
        self._used: Attempt | None = None
        self._due: list[bytes] = []
        self._errands: list[Errand] = []
        self._changed = False
        self._closed = False
        self._checked_at = now
        self._last: Mapping | None = None

    def __repr__(self) -> str:
        return f"<PortMap of {self._port}: {self.mapping or self.problem}>"

    # --- what the owner asks and says -----------------------------------------------------------------------

    @property
    def mapping(self) -> Mapping | None:
        """What there is now."""
        used = self._used
        return (
            Mapping(used.protocol, used.external) if used is not None and used.external is not None else None
        )

    @property
    def problem(self) -> str:
        """Why there is none, for people; empty while there is one, or may be soon."""
        if self.mapping is not None or any(
            attempt.is_asking or not attempt.words for attempt in self._attempts
        ):
            return ""
        said: dict[str, list[str]] = {}
        for attempt in self._attempts:
            said.setdefault(attempt.words, []).append(attempt.protocol.value)
        return "; ".join(f"{' and '.join(protocols)}: {words}" for words, protocols in said.items())

    @property
    def spoken(self) -> tuple[Spoken, ...]:
        """What the router does with each protocol."""
        return tuple(
            Spoken(attempt.protocol, attempt.support, attempt.words if attempt.external is None else "")
            for attempt in self._attempts
        )

    @property
    def outside(self) -> IPv4Address | None:
        """What the router says that its own address outside is; None if it says nothing."""
        used = (self._used,) if self._used is not None else ()
        return next((one.outside for one in (*used, *self._attempts) if one.outside is not None), None)

    def take_changed(self) -> bool:
        """Whether `mapping` is another one since this was asked."""
        changed, self._changed = self._changed, False
        return changed

    def check(self, now: float) -> None:
        """Something is amiss with our addresses: the router is asked whether it still knows us."""
        if (
            self._used is not None
            and not self._used.is_asking
            and now >= self._checked_at + limits.PORTMAP_CHECK
        ):
            self._checked_at = now
            self._used.asks_at = now

    def replace(self, now: float) -> None:
        """The mapping leads nowhere: it is given back, and another one asked for, at another port."""
        used = self._used
        if used is None or used.external is None:
            return
        self._give_back(used)
        used.lose("what it mapped let nothing in")
        used.asks_at = now
        for attempt in self._attempts:  # it is this protocol's turn
            if attempt is not used and attempt.asks_at < inf:
                attempt.asks_at = max(attempt.asks_at, now + limits.PORTMAP_NEXT)
        self._used = self._last = None
        self._changed = True
        if not self._is_pinhole:  # which is for our own port
            self._wanted = (
                limits.PORTMAP_FIRST_RANDOM + int.from_bytes(self._chance(2)) % limits.PORTMAP_RANDOM
            )
        self._settle(now)

    def close(self) -> None:
        """Give back what there is; what is to be sent for that is sent once, and nothing afterwards."""
        for attempt in self._attempts:
            if attempt.external is not None or (attempt.is_asking and attempt.codec is not None):
                self._give_back(attempt)
            attempt.external = None
            attempt.asks_at = attempt.sends_at = attempt.expires_at = inf
        self._used = None
        self._closed = True

    # --- datagrams, errands and time ---------------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> None:
        """What came from the router's port 5351."""
        for attempt in self._attempts:
            reply = attempt.codec.read(datagram) if attempt.codec is not None else None
            if reply is None or self._closed:
                continue
            attempt.heard(reply, now)
            if (
                attempt is self._pcp
                and reply.refused
                and self._nat_pmp.asks_at < inf
                and not self._nat_pmp.words
            ):
                self._nat_pmp.asks_at = min(self._nat_pmp.asks_at, now)
        self._settle(now)

    def granted(self, external: Address, seconds: int, now: float) -> None:
        """UPnP's shell mapped the port, for so long (0: for ever)."""
        if self._closed:
            self._errands.append(Errand(external.port, 0))
            return
        self._upnp.granted(external, seconds, now)
        if self._upnp.external is None:  # a mapping that nobody reaches
            self._errands.append(Errand(external.port, 0))
        self._settle(now)

    def refused(self, words: str, now: float, *, is_spoken: bool = False) -> None:
        """UPnP's shell could not map it, and why; `is_spoken`: the router speaks UPnP at least."""
        if not self._closed:
            self._upnp.is_spoken = is_spoken
            self._upnp.failed(words, limits.PORTMAP_RETRY, now)
            self._settle(now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Requests that are due, to the router's port 5351."""
        self._settle(now)
        for attempt in () if self._closed else self._attempts:
            if self._is_idle(attempt) or not attempt.step(now):
                continue
            if attempt.codec is not None:
                self._due += attempt.codec.requests(limits.PORTMAP_LIFETIME, self._wanted, attempt.external)
            else:
                port = attempt.external.port if attempt.external is not None else self._wanted
                self._errands.append(Errand(port or self._port, limits.PORTMAP_LIFETIME))
        self._settle(now)
        due, self._due = self._due, []
        return due

    def take_errand(self) -> Errand | None:
        """What is to be done by UPnP next."""
        return self._errands.pop(0) if self._errands else None

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next."""
        at = min((one.timer for one in self._attempts if not self._is_idle(one)), default=inf)
        return None if at == inf else at

    # --- within -----------------------------------------------------------------------------------------------

    def _is_idle(self, attempt: Attempt) -> bool:
        """Another one has a mapping: this one need not begin, but what is under way is waited for."""
        return self.mapping is not None and attempt is not self._used and not attempt.is_asking

    def _settle(self, now: float) -> None:
        """The first that has a mapping is used; what others get later is given back."""
        before = self._last
        if self._used is None or self._used.external is None:
            self._used = next((attempt for attempt in self._attempts if attempt.external is not None), None)
            if self._used is None and before is not None:
                for attempt in self._attempts:  # all are asked again, not only the one that had it
                    if not attempt.is_asking and attempt.asks_at < inf:
                        attempt.asks_at = min(attempt.asks_at, now + limits.PORTMAP_NEXT)
        for attempt in self._attempts:
            if attempt is not self._used and attempt.external is not None:
                self._give_back(attempt)
                attempt.lose("")
                attempt.asks_at = now + limits.PORTMAP_RETRY
        if self.mapping != before:
            self._last = self.mapping
            self._changed = True

    def _give_back(self, attempt: Attempt) -> None:
        used = self._used
        is_other = used is not None and used is not attempt and used.external is not None
        # Most routers keep one table for all protocols, where the mapping that we use would go with it.
        if (
            is_other
            and used is not None
            and (used.external == attempt.external or (used.codec is not None and attempt.codec is not None))
        ):
            return
        if attempt.codec is not None:
            self._due += attempt.codec.requests(0, 0, attempt.external)
        elif attempt.external is not None:
            self._errands.append(Errand(attempt.external.port, 0))
