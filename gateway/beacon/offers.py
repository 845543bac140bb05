"""What a beacon offers beside passing frames on: the seam to STUN, TURN and vouchers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def turn(self, endpoint_id: EndpointId) -> TurnServer | None:
        """Credentials for this endpoint, if there is a TURN server."""

    async def redeem(self, endpoint_id: EndpointId, voucher: str) -> tuple[str, Balance]:
        """Take a voucher: the receipt, and what the account says now. GatewayError says why not."""


class PlainOffers:
    """STUN and TURN where there are servers, and no vouchers."""

    def __init__(
        self,
        *,
        policy: str = "",
        relays: bool = True,
        stun: tuple[str, ...] = (),
        turn: Callable[[EndpointId], TurnServer | None] = lambda _: None,
    ) -> None:
        self.policy = policy
        self.relays = relays
        self.stun = stun
        self._turn = turn

    def turn(self, endpoint_id: EndpointId) -> TurnServer | None:
        """Credentials for this endpoint, if there is a TURN server."""
        return self._turn(endpoint_id)

    async def redeem(self, endpoint_id: EndpointId, voucher: str) -> tuple[str, Balance]:
        """None is taken."""
        del endpoint_id, voucher
        raise VoucherRefused("this beacon takes no vouchers")
