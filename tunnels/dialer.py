"""How connections with remote endpoints come about: handshakes at all known addresses until one is through."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from math import ceil
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.errors import NoAllowedPath, Offline, TunnelError, Unreachable, WrongIdentity
from tunnels.paths.candidates import is_allowed, tier_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Any

    from tunnels.addresses import PathAddress
    from tunnels.dialing import Remote
    from tunnels.driver import TunnelDriver
    from tunnels.identity import EndpointId

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    FindAddresses = Callable[[EndpointId], Awaitable[Sequence[PathAddress]]]
    Begin = Callable[[Remote, tuple[PathAddress, ...], float], TunnelDriver]


class Dialer:
    """Dials remotes, at most once each at a time."""

    def __init__(
        self,
        *,
        find_addresses: FindAddresses,
        begin: Begin,
        spawn: Spawn,
        connect_timeout: float,
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        """`begin` starts a handshake with a remote at addresses, which may take so many seconds; `problem` tells why
        addresses may not have been found, if this machine is to blame."""
        self._find_addresses = find_addresses
        self._begin = begin
        self._spawn = spawn
        self._connect_timeout = connect_timeout
        self._problem = problem

    async def connect(self, remote: Remote) -> TunnelDriver:
        """The remote's connection, or the next one to open; TunnelError says why there is none."""
        now = time.monotonic()
        current = remote.working(now)
        if current is not None:
            return current
        if remote.dial is None:
            wait = remote.backoff.next_attempt - now
            if wait > 0 and remote.last_error is not None:
                raise type(remote.last_error)(f"{remote.last_error} (not tried again for {ceil(wait)} s)")
            remote.dial = self._spawn(self._dial(remote), f"dial {remote.endpoint_id.short}")
            remote.dial.add_done_callback(lambda _: remote.dial_ended(time.monotonic()))
        return await remote.wait_opened()

    async def _dial(self, remote: Remote) -> None:
        deadline = time.monotonic() + self._connect_timeout
        error = await self._attempts(remote, deadline)
        if error is not None and remote.has_connection:
            # It fell silent, and cannot be dialled anew; it gets the rest of the time to come back.
            await asyncio.sleep(max(0.0, deadline - time.monotonic()))
        now = time.monotonic()
        if error is not None and remote.working(now) is None:
            remote.last_error = error
            remote.backoff.failed(now, _chance())

    async def _attempts(self, remote: Remote, deadline: float) -> TunnelError | None:
        """Begin handshakes until one is through or time is up; None, or why there is no connection.

        The first news of where the remote is get the time of a handshake, however late they come: people wait for this dial
        who asked after that.
        """
        name = remote.endpoint_id.short
        try:
            async with asyncio.timeout_at(deadline):
                candidates = _allowed(remote, await self._find_addresses(remote.endpoint_id))
        except TimeoutError:
            return Unreachable(f"looking for the addresses of {name} took too long; is this machine online?")
        if not candidates and (problem := self._problem()):
            return Unreachable(f"no address of {name} is known, and {problem}")
        if not candidates and remote.policy is not None:
            return NoAllowedPath(f"no path to {name} is known that {remote.policy.value} allows")
        if not candidates:
            return Unreachable(
                f"no address of {name} is known; ask its owner for a new ticket, then: overlay join TICKET"
            )
        error: TunnelError = _no_answer(name, candidates)
        pause = limits.DIAL_PAUSE
        left = candidates
        wrong: set[PathAddress | None] = set()
        had_news = False
        while (seconds := deadline - time.monotonic()) > 0.1:
            driver = self._begin(remote, left, min(seconds, limits.DIAL_ATTEMPT_TIMEOUT))
            outcome = await asyncio.shield(driver.settled)
            if outcome is None:
                return None
            if isinstance(outcome, Offline):
                return outcome
            # Whoever answers first at one address must not stand in the way of the endpoint itself at another.
            answered = driver.paths.confirmed
            left = tuple(address for address in left if address != answered)
            if isinstance(outcome, WrongIdentity):
                wrong.add(answered)
                candidates = tuple(address for address in candidates if address != answered)
                if not candidates:
                    return outcome
                error = _no_answer(name, candidates)
            elif not isinstance(outcome, Unreachable):  # it answered, and not with a connection
                error = Unreachable(f"{name} did not accept the connection: {outcome}")
                await asyncio.sleep(min(pause, seconds))
                pause *= 2
            # There may be news, such as a relay that we came to meanwhile: at which the endpoint was not then, but may be now.
            news = [address for address in await self._look_again(remote) if address not in candidates]
            news = [address for address in news if address not in wrong]
            candidates = (*candidates, *news)
            left = (*left, *news) or candidates
            if news and not had_news:
                had_news = True
                deadline = max(deadline, time.monotonic() + limits.DIAL_ATTEMPT_TIMEOUT)
        return error

    async def _look_again(self, remote: Remote) -> Sequence[PathAddress]:
        """What is known of its addresses at this moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.SEARCH_AHEAD):
                return _allowed(remote, await self._find_addresses(remote.endpoint_id))
        return ()

    def redial(self, remote: Remote) -> None:
        """A connection in use fell silent or was lost: try to have a fresh one before somebody asks."""
        if remote.redial is None:
            remote.redial = self._spawn(self._redial(remote), f"redial {remote.endpoint_id.short}")
            remote.redial.add_done_callback(lambda _: setattr(remote, "redial", None))

    async def _redial(self, remote: Remote) -> None:
        for _ in range(limits.RECONNECT_ATTEMPTS):
            now = time.monotonic()
            await asyncio.sleep(
                max(0.0, remote.backoff.next_attempt - now) + _chance() * limits.REDIAL_JITTER
            )
            if remote.working(time.monotonic()) is not None:
                return
            try:
                await self.connect(remote)
            except TunnelError:
                continue  # the next wait is longer; the error is in `last_error` for whoever asks
            return


def _allowed(remote: Remote, addresses: Sequence[PathAddress]) -> tuple[PathAddress, ...]:
    """Without those that a lane may not use; for the main connection its paths see to it."""
    policy = remote.policy
    return tuple(one for one in addresses if policy is None or is_allowed(policy, tier_of(one)))


def _no_answer(name: str, addresses: Sequence[PathAddress]) -> Unreachable:
    tried = ", ".join(map(str, addresses))
    return Unreachable(f"{name} did not answer at {tried}; is its gateway running and reachable?")


def _chance() -> float:
    """Uniform in [0, 1)."""
    return secrets.randbelow(1 << 16) / (1 << 16)
