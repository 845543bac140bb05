"""The end of a flow that opened it: usable at once, before the far side has answered.

Until the answer is there datagrams go on the stream behind the request, so that the first ones do not wait a
round trip; they are bounded, and what exceeds the bound is dropped. Datagrams of the far side that overtake its
answer are kept, within the same bound.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.flows.stream import FlowStream
from gateway.limits import DATAGRAM_BYTES, FLOW_EARLY_BYTES, FLOW_EARLY_DATAGRAMS
from gateway.stream_header import AnswerParser, HeaderError, Status

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.flows.keeper import FlowKeeper
    from gateway.stream_header import Answer, Request

_logger = logging.getLogger(__name__)


class DialedFlow(FlowStream):
    """A `gateway.dialing.Flow` over a tunnel stream."""

    def __init__(
        self,
        request: Request,
        label: str,
        keeper: FlowKeeper,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
    ) -> None:
        """`label` names the flow in the log; `on_closed` is called once, unless `close` was."""
        super().__init__(keeper)
        self._request = request
        self._label = label
        self._on_datagram = on_datagram
        self._on_closed = on_closed
        self._answer: AnswerParser | None = AnswerParser()
        self._early_datagrams = FLOW_EARLY_DATAGRAMS
        self._early_bytes = FLOW_EARLY_BYTES
        self._overtook: list[bytes] = []
        self._told = False
        self.refusal: Answer | None = None
        """What the far side refused the flow with."""

    def close(self) -> None:
        """End the flow; idempotent, and `on_closed` is not called."""
        self._told = True
        self.expire()

    def ended(self) -> None:
        if not self._told:
            self._told = True
            self._on_closed()

    def deliver(self, data: bytes) -> None:
        if self._answer is None:
            self._on_datagram(data)
        elif len(self._overtook) < FLOW_EARLY_DATAGRAMS:
            self._overtook.append(data)

    def send(self, data: bytes) -> None:
        if self._answer is None:
            super().send(data)
        elif (
            not self.closed and len(data) <= min(self._early_bytes, DATAGRAM_BYTES) and self._early_datagrams
        ):
            self._early_bytes -= len(data)
            self._early_datagrams -= 1
            self._keeper.touch(self)
            self.send_on_stream(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            rest = self._read_answer(self._answer, data)
            if rest is None:
                return
            data = rest
        super().data_received(data)

    def _read_answer(self, parser: AnswerParser, data: bytes) -> bytes | None:
        """What follows a good answer; None while there is none, and after a bad one."""
        try:
            answer = parser.feed(data)
        except HeaderError as error:
            _logger.info("the UDP flow to %s ended: %s", self._label, error)
            self.transport.abort()
            return None
        if answer is None:
            return None
        if answer.status is not Status.OK:
            _logger.info(
                "the UDP flow to %s was refused: %s (%s)", self._label, answer.reason, answer.status.name
            )
            self.refusal = answer
            self.expire()
            return None
        self._answer = None
        for datagram in self._overtook:
            self.deliver(datagram)
        self._overtook.clear()
        return parser.rest
