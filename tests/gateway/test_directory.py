"""What each name stands for on this machine."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network

import pytest

from gateway.contact_book import ContactBook
from gateway.dialing import DialError, Failure
from gateway.directory import Directory
from gateway.expose.services import ServiceBook
from gateway.home import Home
from gateway.kept_state import KeptState
from gateway.own_services import OwnServices
from gateway.remote_services import RemoteServices
from gateway.stream_header import ListedService
from gateway.supervision import Supervisor
from resolver.contacts import Contact
from resolver.facts import NOT_FOUND, NameStatus
from resolver.names import OverlayName, Petname, ServiceProtocol
from resolver.zone_entries import ZoneEntry, ZoneKind
from tests.lab.dialer import FakeDialer
from tests.lab.resolver_keys import key

ME, ALICE, STRANGER = (key(number).endpoint_id for number in (1, 2, 3))
NETWORK = IPv4Network("127.99.0.0/16")


class Zones:
    """Implements what the directory asks of `gateway.known_zones.KnownZones`: everybody has one zone."""

    def __init__(self, zone) -> None:
        self._zone = zone
        self.on_change = lambda _: None

    def of(self, endpoint_id):
        return self._zone()


class Town:
    """A directory with one contact, alice, whose services are `told`; None while she is offline."""

    def __init__(self, home: Home) -> None:
        self.told: list[ListedService] | None = [
            ListedService("web", 18080, 18080, (ServiceProtocol.TCP,), False)
        ]
        self.supervisor = Supervisor()
        self.zone = ()
        self.zones = Zones(lambda: self.zone)
        self.looked_again = set()
        self.with_https: set[str] = set()
        self.contacts = ContactBook(home, {})
        self.state = KeptState(home, self._spawn)
        self.remote = RemoteServices(self.state, self._ask, lambda who: self.directory.services_changed(who))
        self.directory = Directory(
            self.state,
            (ME, OwnServices(ServiceBook, FakeDialer(), ME)),
            self.contacts.id_of,
            self.contacts,
            self.remote,
            FakeDialer(),
            NETWORK,
            zones=self.zones,
            look_again=self.looked_again.add,
            offers_https=lambda service: service.name in self.with_https,
        )

    def _spawn(self, coroutine, name):
        return self.supervisor.spawn(coroutine, name=name)

    async def close(self) -> None:
        await self.supervisor.close()
        await self.directory.close()
        await self.remote.close()
        await self.state.close()

    async def _ask(self, endpoint_id) -> list[ListedService]:
        if self.told is None:
            raise DialError(Failure.OFFLINE, "alice does not answer")
        return self.told


@pytest.fixture
async def town(tmp_path):
    home = Home(tmp_path / "home")
    await asyncio.to_thread(home.create)
    town = await asyncio.to_thread(Town, home)
    await town.contacts.change(lambda book: book.add(Contact(Petname("alice"), ALICE)))
    await town.directory.start()
    yield town
    await town.close()


def name(text: str) -> OverlayName:
    return OverlayName.parse(f"{text}.overlay")


def offered(town, text: str) -> list[int]:
    return [
        o.port
        for report in town.directory.loopback()
        if report.name == f"{text}.overlay"
        for o in report.offers
    ]


async def test_port_443_is_offered_for_services_whose_tls_ends_here_and_for_their_endpoint_if_that_is_clear(
    town,
):
    town.told = [*town.told, ListedService("blog", 18081, 18081, (ServiceProtocol.TCP,), False)]
    await town.directory.lookup(name("alice"))
    assert offered(town, "web.alice") == [18080]
    town.with_https = {"web"}
    await town.directory.listen_anew()
    assert (offered(town, "web.alice"), offered(town, "blog.alice")) == ([18080, 443], [18081])
    assert sorted(offered(town, "alice")) == [443, 18080, 18081]
    facts = await town.directory.lookup(name("web.alice"))
    assert [service.port for service in facts.services] == [
        18080
    ]  # it is no service of hers, so DNS tells nothing of it
    town.with_https = {"web", "blog"}
    await town.directory.listen_anew()
    assert offered(town, "alice") == [18080, 18081]
    town.with_https = set()
    await town.directory.listen_anew()
    assert offered(town, "web.alice") == [18080]


async def test_services_at_a_name_are_what_its_owner_told_or_tells_now(town):
    assert [service.name for service in await town.directory.services_at(name("web.alice"))] == ["web"]
    town.told = None
    assert [service.name for service in await town.directory.services_at(name("web.alice"))] == ["web"]
    assert await town.directory.services_at(name("nobody")) == ()


async def test_services_of_one_who_was_never_heard_are_none(town):
    town.told = None
    assert await town.directory.services_at(name("web.alice")) == ()


async def test_a_name_that_nobody_has_does_not_exist(town):
    assert town.directory.lookup_nowait(name("nobody")) is NOT_FOUND
    assert await town.directory.lookup(name("nobody")) is NOT_FOUND


async def test_a_service_has_an_address_with_a_real_listener(town):
    assert town.directory.lookup_nowait(name("web.alice")) is None  # alice must be asked first
    facts = await town.directory.lookup(name("web.alice"))
    (service,) = facts.services
    assert facts.ipv4 in NETWORK
    _, writer = await asyncio.open_connection(str(service.address), service.listening_port)
    writer.close()
    assert town.directory.lookup_nowait(name("web.alice")) == facts
    assert town.directory.name_at(facts.ipv4) == name("web.alice")


async def test_the_same_facts_are_the_same_object_so_that_ready_replies_stay_ready(town):
    await town.directory.lookup(name("web.alice"))
    first = town.directory.lookup_nowait(name("web.alice"))
    assert town.directory.lookup_nowait(name("web.alice")) is first


async def test_a_service_she_does_not_tell_of_does_not_exist_until_she_does(town):
    facts = await town.directory.lookup(name("blog.alice"))
    assert facts.status is NameStatus.NOT_FOUND
    town.told = [*town.told, ListedService("blog", 18081, 18081, (ServiceProtocol.TCP,), False)]
    await town.remote.fetch(ALICE)
    assert (await town.directory.lookup(name("blog.alice"))).status is NameStatus.EXISTS


async def test_offline_and_never_heard_her_services_cannot_be_told_but_she_exists(town):
    town.told = None
    assert (await town.directory.lookup(name("alice"))).status is NameStatus.EXISTS
    facts = await town.directory.lookup(name("web.alice"))
    assert facts.status is NameStatus.UNKNOWN
    assert "does not answer" in facts.reason


async def test_offline_and_heard_before_her_services_keep_their_addresses(town):
    before = await town.directory.lookup(name("web.alice"))
    town.told = None
    assert (await town.directory.lookup(name("web.alice"))).ipv4 == before.ipv4


async def test_a_stranger_that_does_not_answer_gets_no_address(town):
    town.told = None
    facts = await town.directory.lookup(OverlayName(STRANGER))
    assert (facts.status, facts.ipv4) == (NameStatus.UNKNOWN, None)


async def test_a_renamed_contact_is_found_by_the_new_name_at_the_old_address(town):
    before = await town.directory.lookup(name("web.alice"))
    await town.contacts.change(lambda book: book.rename("alice", "alicia"))
    town.directory.contact_changed(ALICE)
    assert town.directory.lookup_nowait(name("web.alice")) is NOT_FOUND
    assert (await town.directory.lookup(name("web.alicia"))).ipv4 == before.ipv4
    assert [report.name for report in town.directory.loopback(ALICE)] == [
        "alicia.overlay",
        "web.alicia.overlay",
    ]


async def test_the_listeners_of_a_removed_contact_are_closed(town):
    facts = await town.directory.lookup(name("web.alice"))
    await town.contacts.change(lambda book: book.remove("alice"))
    town.directory.contact_changed(ALICE)
    while len(town.supervisor):  # noqa: ASYNC110 - the tasks are the supervisor's own
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(str(facts.ipv4), 18080)
    assert town.directory.loopback() == ()


async def test_our_own_name_is_known_without_asking_anybody(town):
    facts = town.directory.lookup_nowait(OverlayName(ME))
    assert facts is not None
    assert facts.endpoint_id == ME


def entry(line: str):
    label, kind, *words = line.split()
    return ZoneEntry.parse(label, ZoneKind.parse(kind), words, ALICE)


async def test_a_label_of_the_owners_zone_exists_beside_services_and_has_no_address(town):
    town.zone = (entry("note TXT x"), entry("_sip._tcp SRV 0 0 1 web"), entry("_a.note TXT y"))
    assert town.directory.lookup_nowait(name("note.alice")) is None  # a service of that name would win
    facts = await town.directory.lookup(name("note.alice"))
    assert (facts.status, facts.ipv4, facts.services) == (NameStatus.EXISTS, None, ())
    assert facts.zone == (town.zone[0], town.zone[2])
    assert town.directory.lookup_nowait(name("note.alice")) is town.directory.lookup_nowait(
        name("note.alice")
    )
    assert (await town.directory.lookup(name("alice"))).zone == (town.zone[1],)
    assert (await town.directory.lookup(name("none.alice"))) is NOT_FOUND


async def test_a_service_wins_over_an_alias_of_its_name(town):
    town.zone = (entry("web CNAME www.example.org"), entry("www CNAME web"))
    assert (await town.directory.lookup(name("web.alice"))).alias is None
    assert await town.directory.alias_of(name("web.alice")) is None
    assert (await town.directory.lookup(name("www.alice"))).alias == name("web.alice")
    assert await town.directory.alias_of(name("www.alice")) == name("web.alice")
    town.told = [ListedService("www", 80, 80, (ServiceProtocol.TCP,), False)]
    await town.remote.fetch(ALICE)
    assert await town.directory.alias_of(name("www.alice")) is None
    assert (await town.directory.lookup(name("www.alice"))).services


async def test_an_alias_is_told_by_the_names_that_are_used_here(town):
    town.zone = (
        entry("out CNAME www.example.org"),
        entry(f"me CNAME web.{ME}.overlay"),
        entry("self CNAME @"),
        entry("both CNAME web"),
        entry("both TXT x"),
    )
    await town.contacts.change(lambda book: book.add(Contact(Petname("bob"), ME)))
    assert await town.directory.alias_of(name("out.alice")) == "www.example.org"
    assert await town.directory.alias_of(name("me.alice")) == name("web.bob")
    assert await town.directory.alias_of(name("self.alice")) == name("alice")
    assert await town.directory.alias_of(OverlayName(ALICE, "self")) == OverlayName(ALICE)
    assert await town.directory.alias_of(name("both.alice")) is None, "nothing stands beside a CNAME"
    assert await town.directory.alias_of(name("alice")) is None
    assert await town.directory.alias_of(name("out.nobody")) is None


async def test_a_zone_is_known_without_its_owner(town):
    town.told = None
    town.zone = (entry("note TXT x"), entry("www CNAME web"), entry("@ TXT y"))
    assert (await town.directory.lookup(name("note.alice"))).zone == (town.zone[0],)
    assert await town.directory.alias_of(name("www.alice")) == name("web.alice")
    assert (await town.directory.lookup(name("alice"))).zone == (town.zone[2],)
    assert (await town.directory.lookup(name("none.alice"))).status is NameStatus.UNKNOWN


async def test_names_are_looked_at_again_when_the_zone_changes_and_newer_records_are_asked_for(town):
    town.zone = (entry("note TXT x"),)
    await town.directory.lookup(name("note.alice"))
    before = town.directory.lookup_nowait(name("note.alice"))
    assert town.looked_again == {ALICE}
    town.zone = (entry("note TXT y"),)
    assert town.directory.lookup_nowait(name("note.alice")) is before
    town.zones.on_change(ALICE)
    assert town.directory.lookup_nowait(name("note.alice")).zone == town.zone


async def test_our_own_zone_is_seen_under_our_own_name(town):
    town.zone = (entry("note TXT x"), entry("@ TXT y"))
    assert town.directory.lookup_nowait(OverlayName(ME, "note")).zone == (town.zone[0],)
    assert town.directory.lookup_nowait(OverlayName(ME)).zone == (town.zone[1],)


async def test_addresses_outlive_a_restart_and_those_of_a_removed_contact_do_not(town, tmp_path):
    before = await town.directory.lookup(name("web.alice"))
    await town.close()
    again = await asyncio.to_thread(Town, Home(tmp_path / "home"))
    assert again.directory.address_of(ALICE) is not None
    await again.directory.start()
    assert (await again.directory.lookup(name("web.alice"))).ipv4 == before.ipv4
    await again.contacts.change(lambda book: book.remove("alice"))
    again.directory.contact_changed(ALICE)
    await again.close()
    third = await asyncio.to_thread(Town, Home(tmp_path / "home"))
    assert third.directory.address_of(ALICE) is None
    assert third.remote.known(ALICE) is None
    await third.close()


async def test_only_as_many_names_have_listeners_as_there_may_be_and_the_last_asked_for_are_among_them(
    town, monkeypatch
):
    """More endpoints than listeners: each name that is asked for gets its own, and a fact never tells of one that ended."""
    monkeypatch.setattr("gateway.directory.LISTENERS", 4)
    town.directory._listeners._limit = 4
    ids = [key(number).endpoint_id for number in range(4, 10)]
    for endpoint_id in ids:
        facts = await town.directory.lookup(OverlayName(endpoint_id, "web"))
        (service,) = facts.services
        _, writer = await asyncio.open_connection(str(service.address), service.listening_port)
        writer.close()
    assert len(town.directory._listeners.status()) == 4
    assert town.directory.warnings() == ()
    assert town.directory.lookup_nowait(OverlayName(ids[0], "web")) is None, "its listener gave way"
    assert town.directory.lookup_nowait(OverlayName(ids[-1], "web")) is not None
    assert len(town.directory._bindings()) == 4


async def test_what_she_told_before_is_answered_without_waiting_for_her(town, tmp_path):
    """After a restart her listeners are not there, and she does not answer: nobody waits for that."""
    before = await town.directory.lookup(name("web.alice"))
    await town.close()
    again = await asyncio.to_thread(Town, Home(tmp_path / "home"))

    async def never(endpoint_id):
        await asyncio.Event().wait()

    again.remote._ask = never
    again.directory._listeners = None
    await again.directory.start()
    await again.directory._listeners.apply([])
    async with asyncio.timeout(5):
        facts = await again.directory.lookup(name("web.alice"))
    assert facts.ipv4 == before.ipv4
    assert again.remote._asking, "she is asked behind the answer"
    await again.close()
