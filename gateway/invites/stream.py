"""One message about an invite on a tunnel stream, at either end. ⚡"""

from __future__ import annotations

import asyncio

from gateway.invites.errors import InviteDamaged, InviteError
from gateway.invites.messages import MessageParser


class WholeMessage(asyncio.Protocol):
    """Reads until one message is whole; what follows it is not looked at."""

    def __init__(self) -> None:
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The message without its length; InviteDamaged if the stream ends before, or it is too long."""
        self._parser = MessageParser()

    def data_received(self, data: bytes) -> None:
        if self.whole.done():
            return
        try:
            message = self._parser.feed(data)
        except InviteError as error:
            self.whole.set_exception(error)
            return
        if message is not None:
            self.whole.set_result(message)

    def eof_received(self) -> bool:
        self._ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    def _ended(self) -> None:
        if not self.whole.done():
            self.whole.set_exception(InviteDamaged("the stream ended within what was said about an invite"))
