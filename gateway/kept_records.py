"""The newest records of contacts on disk, so that they are found after a restart and with no beacon in reach."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StateError
from gateway.late_saver import LateSaver
from gateway.limits import KEPT_RECORDS_SAVE_SECONDS
from resolver.errors import RecordError
from resolver.signed_packets import SignedPacket, newer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.home import Home
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

_STATE: Final = "records"


class KeptRecords:
    """Signed packets of contacts, the newest of each; no more than there are contacts."""

    def __init__(
        self,
        home: Home,
        is_contact: Callable[[EndpointId], bool],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """Read what is saved; a damaged file or entry is only forgotten, for all of it can be had again."""
        self._home = home
        self._is_contact = is_contact
        self._saver = LateSaver(lambda: self._save(), KEPT_RECORDS_SAVE_SECONDS, "save records", spawn)
        self._packets: dict[EndpointId, SignedPacket] = {}
        try:
            saved = home.load_state(_STATE, list[str], list)
        except StateError as error:
            _logger.warning("%s; the records in it are asked for again", error)
            saved = []
        for text in saved:
            try:
                packet = SignedPacket.parse(base64.b64decode(text, validate=True))
            except (RecordError, binascii.Error):
                continue
            self._packets[packet.endpoint_id] = packet

    def __len__(self) -> int:
        return len(self._packets)

    def __repr__(self) -> str:
        return f"<KeptRecords of {len(self)} contacts>"

    def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest packet of a contact."""
        return self._packets.get(endpoint_id)

    def keep(self, packet: SignedPacket) -> None:
        """Keep the packet if it is a contact's and newer than what is kept; it is written a moment later."""
        known = self._packets.get(packet.endpoint_id, packet)
        if not self._is_contact(packet.endpoint_id) or (
            packet.endpoint_id in self._packets and newer_of(known, packet) is known
        ):
            return
        self._packets[packet.endpoint_id] = packet
        self._saver.changed()

    def contacts_changed(self) -> None:
        """Forget the records of those who are contacts no more."""
        if not all(map(self._is_contact, self._packets)):
            self._saver.changed()

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._saver.close()

    async def _save(self) -> None:
        self._packets = {
            endpoint_id: packet
            for endpoint_id, packet in self._packets.items()
            if self._is_contact(endpoint_id)
        }
        texts = [base64.b64encode(packet.to_bytes()).decode() for packet in self._packets.values()]
        try:
            await asyncio.to_thread(self._home.save_state, _STATE, texts)
        except StateError as error:
            _logger.warning("%s; records of contacts are asked for again after a restart", error)
