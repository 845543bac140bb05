"""What the gateway of `tests.lab.control` says of zones, of who is who, and of files of contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.control import zones
from gateway.control.contacts import ContactReport, ImportedReport, ImportReport, ImportRequest
from gateway.dialing import DialError, Failure
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.control.base import Request

ALICE = "yryyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
ME = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"


class FakeZones:
    """`asked` are the requests; `zone_records` the zone, and `who` whoever is asked for."""

    def __init__(self, book: dict[str, ContactReport]) -> None:
        self.book = book
        self.asked: list[Request] = []
        self.zone_records: list[zones.ZoneRecordReport] = []
        self.who = zones.WhoisReport(endpoint_id=ALICE, petname="alice")

    async def zone(self) -> zones.ZoneReport:
        return zones.ZoneReport(
            host=f"{ME}.overlay",
            records=tuple(self.zone_records),
            profile=zones.ProfileReport(name="Alice", links=("https://a.example/",)),
            used_bytes=156,
            left_bytes=300,
            record_bytes=400,
            left_out=("game",) if self.zone_records else (),
        )

    async def _zone_change(self, added: tuple[str, ...], **more: Any) -> zones.ZoneChangeReport:
        undo = (("zone", "set", "note", "TXT", "two words"), ("zone", "unset", "x"))
        return zones.ZoneChangeReport(
            zone=await self.zone(),
            added=added,
            removed=("note TXT old",) if added else (),
            undo=undo if added else (),
            **more,
        )

    async def zone_set(self, request: zones.ZoneSetRequest) -> zones.ZoneChangeReport:
        if request.type == "A":
            raise UsageError("zone: a zone has no A records")
        self.asked.append(request)
        return await self._zone_change((" ".join((request.label, request.type, *request.value)),))

    async def zone_unset(self, request: zones.ZoneUnsetRequest) -> zones.ZoneChangeReport:
        self.asked.append(request)
        return await self._zone_change(())

    async def zone_profile(self, request: zones.ProfileRequest) -> zones.ZoneChangeReport:
        self.asked.append(request)
        return await self._zone_change(("profile: n=x",), warnings=("web is a service of yours",))

    async def zone_import(self, request: zones.ZoneImportRequest) -> zones.ZoneChangeReport:
        self.asked.append(request)
        return await self._zone_change(("a TXT b",), skipped=("line 1: SOA",))

    async def whois(self, name: str) -> zones.WhoisReport:
        if name not in self.book:
            raise DialError(Failure.UNKNOWN_NAME, f"whois: nobody is called {name}")
        return self.who

    async def import_contacts(self, request: ImportRequest) -> ImportReport:
        self.asked.append(request)
        taken = []
        for one in request.contacts:
            known = self.book.get(one.petname)
            if known is None:
                undo = (("contacts", "rm", one.petname),)
                taken.append(ImportedReport(petname=one.petname, outcome="added", undo=undo))
            elif known.endpoint_id == one.id:
                taken.append(ImportedReport(petname=one.petname, outcome="same"))
            else:
                outcome = "replaced" if request.replace else "conflict"
                detail = f"{one.petname} is {known.endpoint_id} here"
                undo = (("contacts", "rename", one.petname, "old"),) if request.replace else ()
                taken.append(ImportedReport(petname=one.petname, outcome=outcome, detail=detail, undo=undo))
        return ImportReport(contacts=tuple(taken))
