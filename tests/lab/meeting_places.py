"""A beacon in memory where gateways meet by spoken codes: `Place` for each of them, `Beacon` between them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.beacon.nameplates import NameplateTable
from gateway.beacon.stores import Nameplate
from tests.lab.invites import Clock
from tunnels.addresses import BeaconUrl
from tunnels.errors import Unreachable
from tunnels.relay.frames import Claimed, Plated, Welcome, tag_of
from tunnels.relay.status import RelayState, RelayStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.identity import EndpointId


class Beacon:
    """Passes on what is said, unless told otherwise."""

    def __init__(self, name: str = "eu1.example", seed: int = 1, *, nameplates: bool = True) -> None:
        self.url = BeaconUrl("https", name, 443, None)
        self.clock = Clock()
        self.table = NameplateTable(self.clock, random.Random(seed).random)
        self.nameplates = nameplates
        self.people: dict[EndpointId, Place] = {}
        self.claims: list[tuple[int, bool]] = []
        self.said: list[bytes] = []
        self.is_away = False
        self.tamper: Callable[[bytes], bytes | None] = lambda said: said


@dataclass
class Place:
    """Implements `gateway.invites.passing.MeetingPlaces` for one endpoint; the first of its beacons is its home."""

    endpoint_id: EndpointId
    beacons: tuple[Beacon, ...]
    connected: frozenset[str] | None = None
    """Names of those that it is connected to; None: all."""
    heard: dict[bytes, Callable[[EndpointId, bytes], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for beacon in self.beacons:
            beacon.people[self.endpoint_id] = self

    def status(self) -> tuple[RelayStatus, ...]:
        return tuple(map(self._status, self.beacons))

    def _status(self, beacon: Beacon) -> RelayStatus:
        is_up = not beacon.is_away and (self.connected is None or beacon.url.host in self.connected)
        welcome = Welcome(signature=bytes(64), observed="192.0.2.1:1", nameplates=beacon.nameplates)
        return RelayStatus(
            url=beacon.url,
            state=RelayState.CONNECTED if is_up else RelayState.CLOSED,
            is_home=is_up and beacon is self.beacons[0],
            connected_seconds=None,
            welcome=welcome if is_up else None,
            beacon_id=None,
            bytes_sent=0,
            bytes_received=0,
            error="",
        )

    def _at(self, url: BeaconUrl | None) -> Beacon:
        beacon = next((beacon for beacon in self.beacons if url in (None, beacon.url)), None)
        if beacon is None or beacon.is_away:
            raise Unreachable("the beacon does not answer")
        return beacon

    async def put_nameplate(self, token: bytes, beacon: BeaconUrl | None = None) -> Plated:
        number = await self._at(beacon).table.put(Nameplate(self.endpoint_id, token))
        if number is None:
            raise Unreachable("the beacon refuses: as many codes wait as may")
        return Plated(number=number, seconds=600)

    async def claim_nameplate(self, number: int, *, take: bool, beacon: BeaconUrl | None = None) -> Claimed:
        at = self._at(beacon)
        at.claims.append((number, take))
        plate = await (at.table.take if take else at.table.look)(number)
        if plate is not None and not take:
            return Claimed(found=True, tag=tag_of(plate.token))
        return (
            Claimed(found=False)
            if plate is None
            else Claimed(found=True, id=str(plate.owner), token=plate.token)
        )

    def release_nameplate(self, number: int, beacon: BeaconUrl) -> None:
        self.released = number, beacon

    def expect_mail(self, token: bytes, heard: Callable[[EndpointId, bytes], None]) -> None:
        self.heard[token] = heard

    def heard_enough(self, token: bytes) -> None:
        self.heard.pop(token, None)

    def send_mail(self, endpoint_id: EndpointId, token: bytes, said: bytes, beacon: BeaconUrl) -> bool:
        at = self._at(beacon)
        at.said.append(said)
        passed_on = at.tamper(said)
        other = at.people.get(endpoint_id)
        if passed_on is not None and other is not None and token in other.heard:
            other.heard[token](self.endpoint_id, passed_on)
        return True
