"""What a beacon offers beside passing frames on: the seam to STUN, TURN and vouchers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.beacon.dialing_back import BackDialler
    from gateway.beacon.stores import Balance
    from tunnels.identity import EndpointId
    from tunnels.relay.frames import TurnServer


class VoucherRefused(GatewayError):
    """The voucher is not taken; the message says why."""


class Offers(Protocol):
    """What a gateway is told and given at its login and later."""

    @property
    def stun(self) -> tuple[str, ...]:
        """`ip:port` of the STUN servers."""

    @property
    def policy(self) -> str:
        """The owner's words."""

    @property
    def relays(self) -> bool:
        """Whether datagrams are relayed."""

    @property
    def dialler(self) -> BackDialler | None:
        """What tries ports that gateways say are open; None where that is not offered."""

    def turn(self, endpoint_id: EndpointId) -> TurnServer | None:
        """Credentials for this endpoint, if there is a TURN server."""

    async def redeem(self, endpoint_id: EndpointId, voucher: str) -> tuple[str, Balance]:
        """Take a voucher: the receipt, and the credit now. GatewayError says why not."""


class ConfiguredOffers:
    """What the owner of a beacon configured."""

    def __init__(
        self,
        *,
        policy: str = "",
        relays: bool = True,
        stun: tuple[str, ...] = (),
        dialler: BackDialler | None = None,
        turn: Callable[[EndpointId], TurnServer | None] | None = None,
        redeem: Callable[[EndpointId, str], Awaitable[tuple[str, Balance]]] | None = None,
    ) -> None:
        """`turn` gives an endpoint its credentials, `redeem` takes vouchers; None where there is no such thing."""
        self.policy = policy
        self.relays = relays
        self.stun = stun
        self.dialler = dialler
        self._turn = turn
        self._redeem = redeem

    def turn(self, endpoint_id: EndpointId) -> TurnServer | None:
        """Credentials for this endpoint, if there is a TURN server."""
        return self._turn(endpoint_id) if self._turn is not None else None

    async def redeem(self, endpoint_id: EndpointId, voucher: str) -> tuple[str, Balance]:
        """Take a voucher: the receipt, and the credit now. GatewayError says why not."""
        if self._redeem is None:
            raise VoucherRefused("this beacon takes no vouchers")
        return await self._redeem(endpoint_id, voucher)
