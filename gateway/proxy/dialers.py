"""The Dialer the proxy uses: .overlay names go to one dialer, other hosts to another or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from gateway.dialing import Dialer, DialError, Failure, Flow, OpenedStream
from gateway.proxy.routing import OtherHosts, Route, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.profiles import Profiles


class RoutedDialer:
    """Chooses by name; `other_hosts` may be changed at any time and holds for what is opened from then on."""

    def __init__(
        self,
        overlay: Dialer,
        direct: Dialer,
        other_hosts: OtherHosts = OtherHosts.DIRECT,
        profiles: Profiles | None = None,
    ) -> None:
        """`profiles` may have another word about other hosts."""
        self._profiles = profiles
        self._overlay = overlay
        self._direct = direct
        self.other_hosts = other_hosts

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        """Open a TCP stream by the route of its host; raises DialError."""
        return await self._choose(host, user).open_stream(host, port, user=user)

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        """Open a UDP flow by the route of its host; raises DialError."""
        return await self._choose(host, user).open_flow(host, port, on_datagram, on_closed, user=user)

    def _choose(self, host: str, user: str | None) -> Dialer:
        profile = self._profiles.of(user) if self._profiles is not None else None
        others = OtherHosts(profile.other_hosts) if profile and profile.other_hosts else self.other_hosts
        match route(host, others):
            case Route.OVERLAY:
                return self._overlay
            case Route.DIRECT:
                return self._direct
            case Route.REFUSE if profile is not None and profile.other_hosts:
                raise DialError(
                    Failure.PROFILE, f"{host} is not under .overlay, and {profile.name} refuses other hosts"
                )
            case Route.REFUSE:
                raise DialError(
                    Failure.POLICY, f"{host} is not under .overlay, and this proxy refuses other hosts"
                )
            case never:
                assert_never(never)
