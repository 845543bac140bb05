"""Our own record: where we are and which services are public, signed, as tickets carry it and beacons keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from resolver.limits import RECORD_ADDRESSES, RECORD_RELAYS, RECORD_SERVICES, RECORD_TOPICS
from resolver.records import EndpointRecord, fits_record

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from resolver.records import PublicService
    from resolver.signed_packets import SignedPacket
    from resolver.zone_entries import ZoneEntry
    from tunnels.addresses import Address, BeaconUrl
    from tunnels.identity import SecretKey


class PublishedParts(TypedDict):
    """What a record tells, as `own_record` takes it."""

    nickname: str
    addresses: Sequence[Address]
    services: Sequence[PublicService]
    relays: Sequence[BeaconUrl]
    lends: BeaconUrl | None


TICKET_LIFETIME: Final = 30 * 86400.0
"""Seconds a ticket is good for unless asked otherwise: addresses of homes and laptops change about that often."""


def published_parts(
    words: Collection[str],
    *,
    nickname: str,
    addresses: Sequence[Address],
    services: Sequence[PublicService],
    relays: Sequence[BeaconUrl],
    lends: BeaconUrl | None,
) -> PublishedParts:
    """What of all this a record may tell, by the words of [publish]; for `own_record`.

    `nickname` is one that the owner chose, never one made of the machine's name.
    """
    return {
        "nickname": nickname if "nickname" in words else "",
        "addresses": addresses if "addresses" in words else (),
        "services": services if "services" in words else (),
        "relays": relays if "relays" in words else (),
        "lends": lends if "relays" in words else None,
    }


def own_record(
    secret_key: SecretKey,
    *,
    nickname: str,
    addresses: Sequence[Address],
    services: Sequence[PublicService],
    relays: Sequence[BeaconUrl] = (),
    lends: BeaconUrl | None = None,
    topics: Sequence[bytes] = (),
    zone: Sequence[ZoneEntry] = (),
    now: float,
    lifetime: float = TICKET_LIFETIME,
    salt: bytes = b"",
) -> tuple[EndpointRecord, SignedPacket]:
    """The record as of `now` (unix seconds), and it signed; what does not fit is left out, the last first.

    `relays` are our beacons, the one we are connected to first; `lends` is the relay that we lend ourselves,
    `topics` are the ids of those we are in, which only our own networks are told.
    `zone` is all or nothing: it was checked when it was set, and has its room beside the rest.
    `salt` is that of a packet that is for some only (`resolver.signed_packets`).
    """
    record = EndpointRecord(
        secret_key.endpoint_id,
        timestamp=int(now * 1_000_000),
        expires=int(now + lifetime),
        nickname=nickname or None,
        addresses=tuple(addresses[:RECORD_ADDRESSES]),
        services=tuple(services[:RECORD_SERVICES]),
        relays=tuple(filter(fits_record, relays))[:RECORD_RELAYS],
        lends=lends if lends is not None and fits_record(lends) else None,
        topics=tuple(topics[:RECORD_TOPICS]),
        zone=tuple(zone),
    ).fitted()
    return record, record.sign(secret_key, salt=salt)
