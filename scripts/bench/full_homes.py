"""The home of a gateway that knows many: ten thousand contacts with tickets, and as many records of strangers as one likes.

Everything is written by the gateway's own code, as if it had run for years. Nobody is there: their addresses are a port of
this machine where nothing listens, and their relays are of the kind that no gateway uses of another's record.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from gateway.contact_book import ContactBook
from gateway.kept_records import KeptRecords
from gateway.kept_state import KeptState, LateRows
from gateway.limits import KEPT_RECORDS_UNWRITTEN
from gateway.remote_services import TABLE as SERVICES
from gateway.stream_header import ListedService
from gateway.supervision import Supervisor
from resolver.contacts import Contact
from resolver.names import Petname, ServiceProtocol
from resolver.record_cache import CachedRecord
from resolver.records import EndpointRecord, PublicService
from tunnels.addresses import Address, BeaconUrl
from tunnels.identity import SecretKey

if TYPE_CHECKING:
    from gateway.home import Home
    from resolver.contacts import AddressBook
    from tunnels.identity import EndpointId

RELAYS = (BeaconUrl.parse("https://127.0.0.1:9"), BeaconUrl.parse("https://127.0.0.2:9"))
WEB = PublicService("web", 80, 80, frozenset({ServiceProtocol.TCP}))


@dataclass(frozen=True)
class Known:
    """Who is known there."""

    contacts: tuple[EndpointId, ...]
    """Their petnames are `contact0` and so on."""
    strangers: tuple[EndpointId, ...]


def fill(home: Home, *, contacts: int, strangers: int, now: float) -> Known:
    """Write contacts with tickets, records and services, and records of strangers, as of `now` (unix seconds)."""
    home.create()
    chance = random.Random(6)
    records = [_record(SecretKey(chance.randbytes(32)), now) for _ in range(contacts + strangers)]
    known = Known(
        tuple(each.record.endpoint_id for each in records[:contacts]),
        tuple(each.record.endpoint_id for each in records[contacts:]),
    )
    asyncio.run(_fill(home, records[:contacts], records[contacts:], now))
    return known


def _record(key: SecretKey, now: float) -> CachedRecord:
    record = EndpointRecord(
        key.endpoint_id,
        int(now * 1e6),
        int(now + 30 * 86400),
        addresses=(Address.parse("127.0.0.1:9"), Address.parse("[::1]:9")),
        services=(WEB,),
        relays=RELAYS,
    )
    return CachedRecord(record.sign(key), record, "https://eu1.example", now)


async def _fill(home: Home, contacts: list[CachedRecord], strangers: list[CachedRecord], now: float) -> None:
    async with contextlib.AsyncExitStack() as stack:
        supervisor = Supervisor()
        stack.push_async_callback(supervisor.close)
        state = await asyncio.to_thread(
            KeptState, home, lambda coroutine, name: supervisor.spawn(coroutine, name=name)
        )
        stack.push_async_callback(state.close)
        book = await asyncio.to_thread(ContactBook, home, {})
        kept = await asyncio.to_thread(KeptRecords, state, book.is_contact, lambda: now)

        def add_all(to: AddressBook) -> None:
            for number, each in enumerate(contacts):
                to.add(Contact(Petname(f"contact{number}"), each.record.endpoint_id, (), each.packet, now))

        await book.change(add_all)
        services = LateRows(state, SERVICES)
        told = msgspec.json.encode((ListedService("web", 80, 80, (ServiceProtocol.TCP,), False),))
        for number, each in enumerate((*contacts, *strangers)):
            kept.keep(replace(each, learned_at=now - number))
            if number % (KEPT_RECORDS_UNWRITTEN // 2) == 0:
                await kept.close()
        for each in contacts:
            services.put((each.record.endpoint_id.key, told))
        await kept.close()
        await services.close()
