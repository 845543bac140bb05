"""Datagrams and sealed messages by way of beacons: one connection to our home, others as peers need them.

A peer is reached at the beacon where it is at home. Ours is searched by `tunnels.relay.home` and kept; a connection to
another beacon is made when something is first sent there, and closed when nothing passed it for a while.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import BeaconUrl, RelayAddress
from tunnels.errors import Unreachable
from tunnels.identity import EndpointId
from tunnels.relay import frames
from tunnels.relay.client import DatagramsReceived, EndpointAbsent, MailReceived, MessageReceived
from tunnels.relay.status import RelayState, RelayStatus
from tunnels.transports.beacon_connections import BeaconConnections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tunnels.identity import SecretKey
    from tunnels.relay.client import RelayEvent
    from tunnels.transports.beacon_connection import BeaconConnection, Spawn

__all__ = ["RelayState", "RelayStatus", "RelayTransport"]


class RelayTransport:
    """Our connections to beacons. Callbacks run on the event loop and must not block."""

    def __init__(
        self,
        secret_key: SecretKey,
        *,
        on_datagrams: Callable[[list[bytes], RelayAddress, bool], None],
        on_message: Callable[[EndpointId, bytes, BeaconUrl], None],
        on_absent: Callable[[RelayAddress], None],
        on_state: Callable[[BeaconUrl, RelayState], None],
        spawn: Spawn,
        proxy: str | None = None,
        version: str = "",
    ) -> None:
        """`proxy` is asked to CONNECT to https beacons: `http://[user:password@]host:port`; ValueError if it is none.

        `on_datagrams` gets the datagrams of one frame, the sender's address, written as we wrote to it, and whether
        they are path messages. `on_state` tells every change of a beacon, with `home` already as it is then.
        """
        self._on_datagrams = on_datagrams
        self._on_message = on_message
        self._on_absent = on_absent
        self._connections = BeaconConnections(
            secret_key, on_event=self._received, on_state=on_state, spawn=spawn, proxy=proxy, version=version
        )
        self._mail: dict[bytes, Callable[[EndpointId, bytes], None]] = {}  # ours to bound: one for each code
        self._written_as: OrderedDict[EndpointId, RelayAddress] = OrderedDict()  # the last way we wrote to it

    # --- which beacons --------------------------------------------------------------------------------------

    def set_beacons(
        self,
        urls: Iterable[BeaconUrl],
        lent: Iterable[BeaconUrl] = (),
        strangers: Iterable[BeaconUrl] = (),
    ) -> None:
        """Be at home at the first of these that works; from now on, and again whenever it is lost.

        While none does, a relay that a peer `lent` us is our home, or one of `strangers`.
        """
        self._connections.set_beacons(urls, lent, strangers)

    def set_own(self, url: BeaconUrl, at: str) -> None:
        """We lend a relay ourselves, and others know it by `url`: be there, too, by its origin `at` on this machine."""
        self._connections.set_own(url, at)

    @property
    def home(self) -> BeaconUrl | None:
        """The beacon where others find us, while it is connected."""
        return self._connections.home

    @property
    def home_id(self) -> EndpointId | None:
        """Its id, which it proved and whose attestations we believe (`tunnels.nat.attested`); None while there is none, or it
        is a stranger's."""
        return self._connections.home_id

    def status(self) -> tuple[RelayStatus, ...]:
        """Configured beacons in their order, then the others we are connected to."""
        return self._connections.status()

    def network_changed(self) -> None:
        """Ask every beacon for a sign of life within a second, and try again at once what failed or was not up yet."""
        self._connections.network_changed()

    async def close(self) -> None:
        """Close every connection; nothing is called back from here on."""
        await self._connections.close()

    # --- sending ----------------------------------------------------------------------------------------------

    def send(
        self, datagrams: list[bytes], address: RelayAddress, urgent: bool = False, *, may_connect: bool = True
    ) -> bool:
        """Datagrams for a peer; `urgent` ones are path messages, and wait behind no data.

        False if its beacon cannot be had now: it failed a moment ago, too many others are in use, or there is no
        connection and it may not be made (a stranger must not send us anywhere it likes). True promises nothing: what
        waits too long behind a slow connection is dropped.
        """
        connection = self._connections.get(address.beacon, may_connect=may_connect)
        if connection is None:
            return False
        if self._written_as.get(address.endpoint_id) is not address:
            self._written_as[address.endpoint_id] = address
            self._written_as.move_to_end(address.endpoint_id)
            if len(self._written_as) > limits.MAX_REMOTES:
                self._written_as.popitem(last=False)
        connection.send(address.endpoint_id, datagrams, urgent)
        return True

    def send_message(self, endpoint_id: EndpointId, body: bytes, beacon: BeaconUrl) -> bool:
        """A sealed message for an endpoint that may be at `beacon`; False as in `send`, or if it is too large."""
        connection = self._connections.get(beacon)
        return connection is not None and connection.send_message(endpoint_id, body)

    # --- questions ----------------------------------------------------------------------------------------------

    async def who(
        self, endpoint_ids: Iterable[EndpointId], beacon: BeaconUrl | None = None
    ) -> frozenset[EndpointId]:
        """Those of these endpoints that are at the beacon (our home if None is named).

        Unreachable if it is not connected, refuses, or does not answer.
        """
        asked = tuple(dict.fromkeys(endpoint_ids))
        here: list[EndpointId] = []
        for start in range(0, len(asked), limits.RELAY_WHO_IDS):
            batch = {
                str(endpoint_id): endpoint_id for endpoint_id in asked[start : start + limits.RELAY_WHO_IDS]
            }
            reply = await self._asked(beacon).ask(frames.Who(ids=tuple(batch)), frames.Online)
            here += [batch[text] for text in reply.ids if text in batch]
        return frozenset(here)

    async def redeem(self, voucher: str, beacon: BeaconUrl | None = None) -> frames.Receipt:
        """Hand a voucher in; Unreachable as in `who`, with the beacon's reason."""
        return await self._asked(beacon).ask(frames.Redeem(voucher=voucher), frames.Receipt)

    async def turn(self, beacon: BeaconUrl | None = None) -> frames.TurnServer | None:
        """New TURN credentials, which the beacon's status then has as well; None if it has none. Unreachable as in `who`."""
        return (await self._asked(beacon).ask(frames.TurnPlease(), frames.Turn)).turn

    async def dial_back(self, port: int, nonce: bytes) -> frames.Dialled:
        """Have our home send a datagram to our port, where it sees us. Unreachable as in `who`."""
        return await self._asked(None).ask(frames.DialBack(port=port, nonce=nonce), frames.Dialled)

    async def join_topics(self, topics: Sequence[bytes], beacon: BeaconUrl) -> int:
        """Say at a connected beacon which topics we are in, and no others; how many of them it tells others of.

        Unreachable as in `who`, and where the beacon knows of no topics.
        """
        connection = self._asked_about_topics(beacon)
        most = connection.welcome.topics if connection.welcome is not None else 0
        said = frames.Topics(ids=tuple(topics)[: min(most, limits.RELAY_TOPICS)])
        return (await connection.ask(said, frames.TopicsKept)).kept

    async def who_is_in(self, topic: bytes, beacon: BeaconUrl) -> tuple[EndpointId, ...]:
        """Some of those who say at that beacon that they are in a topic; Unreachable as in `join_topics`."""
        answer = await self._asked_about_topics(beacon).ask(frames.WhoIsIn(topic=topic), frames.IsIn)
        if answer.topic != topic:
            return ()
        return tuple(found for text in answer.ids if (found := _id_in(text)) is not None)

    def _asked_about_topics(self, beacon: BeaconUrl) -> BeaconConnection:
        """A connection that is up, to a beacon that knows what is asked: another one would hang up on us."""
        connection = self._connections.get(beacon, may_connect=False)
        if connection is None or connection.welcome is None or not connection.welcome.topics:
            raise Unreachable(f"the beacon {beacon.authority} keeps no topics")
        return connection

    def _asked(self, beacon: BeaconUrl | None) -> BeaconConnection:
        url = beacon or self.home
        if url is None:
            raise Unreachable("no beacon is connected; `overlay status` says why")
        connection = self._connections.get(url)
        if connection is None:
            raise Unreachable(
                f"the beacon {url.authority} cannot be had: {self._connections.error_of(url) or 'too many others are'}"
            )
        return connection

    # --- meeting by spoken codes ----------------------------------------------------------------------------------

    async def put_nameplate(self, token: bytes, beacon: BeaconUrl | None = None) -> frames.Plated:
        """Wait to be found under a number. Unreachable as in `who`."""
        return await self._asked(beacon).ask(frames.Nameplate(token=token), frames.Plated)

    async def claim_nameplate(
        self, number: int, *, take: bool, beacon: BeaconUrl | None = None
    ) -> frames.Claimed:
        """Who waits under a number, and no longer if we `take` it. Unreachable as in `who`."""
        return await self._asked(beacon).ask(frames.Claim(number=number, take=take), frames.Claimed)

    def release_nameplate(self, number: int, beacon: BeaconUrl) -> None:
        """Wait under a number no more."""
        connection = self._connections.get(beacon, may_connect=False)
        if connection is not None:
            connection.say(frames.Release(number=number))

    def expect_mail(self, token: bytes, heard: Callable[[EndpointId, bytes], None]) -> None:
        """Give `heard` what comes for this token, with its sender's id, until `heard_enough`."""
        self._mail[token] = heard

    def heard_enough(self, token: bytes) -> None:
        """Drop what comes for this token."""
        self._mail.pop(token, None)

    def send_mail(self, endpoint_id: EndpointId, token: bytes, said: bytes, beacon: BeaconUrl) -> bool:
        """Say something to whom we met; False as in `send`, or if it is too large."""
        connection = self._connections.get(beacon)
        return connection is not None and connection.send_message(
            endpoint_id, token + said, frames.FrameKind.MAIL
        )

    # --- what comes -------------------------------------------------------------------------------------------

    def _received(self, connection: BeaconConnection, event: RelayEvent) -> None:
        match event:
            case DatagramsReceived(sender, datagrams, urgent):
                connection.used_at = asyncio.get_running_loop().time()
                self._on_datagrams(datagrams, self._address_of(sender, connection), urgent)
            case MessageReceived(sender, body):
                connection.used_at = asyncio.get_running_loop().time()
                self._on_message(sender, body, connection.url)
            case MailReceived(sender, body):
                heard = self._mail.get(body[: limits.NAMEPLATE_TOKEN])
                if heard is not None:
                    heard(sender, body[limits.NAMEPLATE_TOKEN :])
            case EndpointAbsent(endpoint_id):
                self._on_absent(self._address_of(endpoint_id, connection))
            case _:  # an answer, which whoever asked gets
                pass

    def _address_of(self, endpoint_id: EndpointId, connection: BeaconConnection) -> RelayAddress:
        """As we last wrote to it, if that was by this connection: one beacon can be written in several ways."""
        written = self._written_as.get(endpoint_id)
        if written is not None and (
            written.beacon == connection.url or self._connections.same_beacon(written.beacon) is connection
        ):
            return written
        return RelayAddress(connection.url, endpoint_id)


def _id_in(text: str) -> EndpointId | None:
    """An id that a beacon tells; None for what is none."""
    try:
        return EndpointId.parse(text)
    except ValueError:
        return None
