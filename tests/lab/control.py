"""A gateway that is only an address book: everything `gateway.control` and `gateway.cli` can ask, in memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from gateway.answers.ladders import ladders
from gateway.config import ServiceSettings
from gateway.control.configuration import ReloadReport
from gateway.control.contacts import (
    AddContactRequest,
    ContactReport,
    GroupReport,
    GroupRequest,
    PathPolicyRequest,
    RenameContactRequest,
)
from gateway.control.dashboard import LoginReport
from gateway.control.live import LiveReport, MovedReport, PeerLiveReport, ProcessReport
from gateway.control.metrics import MetricsReport
from gateway.control.names import PingReport, PingRequest, ResolveReport, ResolveRequest
from gateway.control.netcheck import (
    FamilyNetworkReport,
    FindingReport,
    LadderReport,
    NetcheckReport,
    NetcheckRequest,
)
from gateway.control.paths import CandidateReport, DecisionReport, PathReport, PathsReport
from gateway.control.records import (
    ExplainRequest,
    ExplanationReport,
    FoundAddressReport,
    PlaceReport,
    PublishedReport,
    RecordReport,
    SourceReport,
)
from gateway.control.server import ControlServer
from gateway.control.services import ExposeRequest, LoopbackReport, OfferReport, ServiceReport
from gateway.control.status import BeaconReport, LendingReport, ListenerReport, StatusReport, TunnelReport
from gateway.control.tickets import JoinReport, JoinRequest, TicketReport, TicketRequest
from gateway.control.topics import JoinTopicRequest, TopicPeerReport, TopicReport
from gateway.control.vouchers import AddVoucherRequest, VoucherReport
from gateway.dialing import DialError, Failure
from gateway.errors import ChooseName, ConfigurationError, GatewayError, UsageError
from gateway.metrics import Counts
from gateway.metrics import text as exposition
from gateway.topics.manifest import Manifest
from tests.lab.control_usage import FakeUsage
from tests.lab.control_zones import ALICE, ME, FakeZones
from tests.lab.fake_invites import FakeInvites
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.home import Home


class FakeGateway(FakeUsage, FakeInvites, FakeZones):
    """Implements `gateway.control.api.Gateway`; knows `alice`, who answers in 1.5 ms, and `bob`, who never does."""

    def __init__(self) -> None:
        self.exposed: dict[str, ServiceReport] = {}
        self.book = {
            "alice": ContactReport(petname="alice", endpoint_id=ALICE, addresses=("192.0.2.1:7777",))
        }
        super().__init__(self.book)
        self.asked_down = asyncio.Event()
        self.configuration_is_wrong = False
        self.held: list[VoucherReport] = []
        self.joined_topics: dict[str, TopicReport] = {}
        self.udp_blocked: bool | None = False
        """What a measurement finds; None: there is nobody to ask."""
        self.pings = 0
        self.dashboard_note = ""
        self.looks = 0
        self.relayed_pings = 0
        """How many pings go by relay before the path is direct."""

    async def status(self, *, with_contacts: bool = True) -> StatusReport:
        return StatusReport(
            version="0.1.0",
            endpoint_id=ME,
            nickname="me",
            pid=1,
            home="/home/me",
            uptime=7.0,
            quic_engine="qh3",
            listeners=(
                ListenerReport(name="proxy", addresses=("127.0.0.1:1080",)),
                ListenerReport(name="dns", addresses=("127.0.0.1:5399",)),
                ListenerReport(name="dashboard", addresses=("127.0.0.1:7399",)),
                ListenerReport(name="tunnels", enabled=False),
            ),
            services=await self.services(),
            contacts=await self.contacts() if with_contacts else (),
            tunnels=(
                TunnelReport(
                    endpoint_id=ALICE, petname="alice", address="192.0.2.1:7777", rtt_ms=1.5, path_seconds=65
                ),
            ),
            beacons=(
                BeaconReport(
                    url="https://eu1.example",
                    state="connected",
                    home=True,
                    seconds=3700,
                    observed="198.51.100.7:50000",
                    left_bytes=1_500_000,
                    credit_bytes=2_000_000_000,
                ),
                BeaconReport(url="https://us1.example", state="waiting", error="no answer in time"),
            ),
            lending=LendingReport(
                url="https://203.0.113.9:7443#me",
                to="contacts",
                most=64,
                connected=3,
                endpoints=("alice", "bob"),
                relayed_bytes=1_500_000,
            ),
            loopback=(
                LoopbackReport(
                    name="web.alice.overlay",
                    ip="127.80.3.1",
                    offers=(OfferReport(service="web", protocol="tcp", port=80, offered=8080),),
                ),
            ),
            warnings=("port 80 needs a privilege",),
        )

    async def services(self) -> tuple[ServiceReport, ...]:
        return tuple(self.exposed.values())

    async def expose(self, request: ExposeRequest) -> ServiceReport:
        if "_" in request.name:
            raise UsageError(f"expose: {request.name!r} is not a name; use a-z, 0-9 and hyphen")
        settings = request.settings
        report = ServiceReport(
            name=request.name,
            settings=settings,
            port=str(settings.port or 80),
            host=f"{request.name}.{ME}.overlay",
            url=f"http://{request.name}.me.overlay/",
            join="overlay join TICKET",
            use=f"curl --proxy socks5h://127.0.0.1:1080 http://{request.name}.me.overlay/",
            undo=f"overlay unexpose {request.name}",
            warnings=()
            if settings.public or settings.allow
            else ("nobody may use it yet; add --allow NAME",),
        )
        self.exposed[request.name] = report
        return report

    async def unexpose(self, name: str) -> ServiceReport:
        if name not in self.exposed:
            raise UsageError(f"unexpose: no service is called {name}; see `overlay services`")
        return self.exposed.pop(name)

    async def contacts(self) -> tuple[ContactReport, ...]:
        return tuple(self.book.values())

    async def add_contact(self, request: AddContactRequest) -> ContactReport:
        if request.petname in self.book:
            taken = f"contacts: {request.petname} is taken; choose another name"
            raise ChooseName(taken, f"{request.petname}-2")
        report = ContactReport(
            petname=request.petname, endpoint_id=request.id_or_ticket, addresses=request.addresses
        )
        self.book[request.petname] = report
        return report

    async def remove_contact(self, petname: str) -> ContactReport:
        if petname not in self.book:
            raise UsageError(f"contacts: nobody is called {petname}; see `overlay contacts`")
        return self.book.pop(petname)

    async def rename_contact(self, petname: str, request: RenameContactRequest) -> ContactReport:
        old = await self.remove_contact(petname)
        return await self.add_contact(
            AddContactRequest(petname=request.petname, id_or_ticket=old.endpoint_id, addresses=old.addresses)
        )

    async def groups(self) -> tuple[GroupReport, ...]:
        known = {group: self._group(group) for one in self.book.values() for group in one.groups}
        return tuple(known.values())

    async def change_group(self, request: GroupRequest) -> GroupReport:
        changed = []
        for petname in request.petnames:
            if petname not in self.book:
                raise UsageError(f"contacts: no contact is called {petname}; see: overlay contacts ls")
            known = self.book[petname]
            groups = {*known.groups} - {request.group} if request.remove else {*known.groups, request.group}
            if groups != {*known.groups}:
                changed.append(petname)
            self.book[petname] = msgspec.structs.replace(known, groups=tuple(sorted(groups)))
        return msgspec.structs.replace(self._group(request.group), changed=tuple(changed))

    def _group(self, group: str) -> GroupReport:
        return GroupReport(
            group=group, members=tuple(n for n, one in self.book.items() if group in one.groups)
        )

    async def set_path_policy(self, petname: str, request: PathPolicyRequest) -> ContactReport:
        if petname not in self.book:
            raise UsageError(f"contacts: nobody is called {petname}; see `overlay contacts`")
        self.book[petname] = msgspec.structs.replace(self.book[petname], path_policy=request.policy)
        return self.book[petname]

    async def ticket(self, request: TicketRequest) -> TicketReport:
        return TicketReport(
            ticket="overlay1abc",
            endpoint_id=ME,
            expires=1e9 + (request.expires_in or 0),
            addresses=("192.0.2.7:7",),
        )

    async def join(self, request: JoinRequest) -> JoinReport:
        if request.ticket != "overlay1abc":
            raise UsageError("join: this ticket is cut short; ask for it again")
        contact = ContactReport(petname=request.petname or "carol", endpoint_id=ME, services=("web",))
        if not request.preview:
            self.book[contact.petname] = contact
        return JoinReport(contact=contact, expires=1e9, urls=("http://web.carol.overlay/",))

    async def topics(self) -> tuple[TopicReport, ...]:
        return tuple(self.joined_topics.values())

    async def join_topic(self, request: JoinTopicRequest) -> TopicReport:
        warnings = ("beacon: eu1.example is away",) if request.name == "lonely" else ()
        report = TopicReport(
            name=request.name,
            id="y" * 32,
            manifest=request.manifest,
            peers=1,
            joined_before=request.name in self.joined_topics,
            warnings=warnings,
        )
        self.joined_topics[request.name] = report
        return report

    async def leave_topic(self, name: str) -> TopicReport:
        if name not in self.joined_topics:
            raise UsageError(f"topic: {name} is not joined; join it with: overlay topic join {name}")
        return self.joined_topics.pop(name)

    async def topic_peers(self, name: str) -> tuple[TopicPeerReport, ...]:
        if name == "lonely":
            return ()
        app = Manifest(name="Chat", version="1", description="Talk.", service="chat")
        return (
            TopicPeerReport(
                endpoint_id=ALICE,
                petname="alice",
                manifest=app,
                host="chat.alice.overlay",
                source="beacon",
                seconds=60.0,
                verified_seconds=5.0,
            ),
            TopicPeerReport(
                endpoint_id=ME, host=f"{ME}.overlay", source="dht", seconds=60.0, verified_seconds=5.0
            ),
        )

    async def vouchers(self) -> tuple[VoucherReport, ...]:
        return tuple(self.held)

    async def add_voucher(self, request: AddVoucherRequest) -> VoucherReport:
        if not request.voucher.startswith("overlay:v1"):
            raise UsageError("this is no voucher; one begins with overlay:v1")
        report = VoucherReport(
            serial="00" * 16,
            issuer=ALICE,
            credit_bytes=10_000_000_000,
            expires=1e9,
            taken_by=request.beacon,
            error="" if request.beacon else "eu1.example: this relay takes no vouchers of yryyyyyy…",
        )
        self.held.append(report)
        return report

    async def ping(self, request: PingRequest) -> PingReport:
        if request.name == "bob":
            raise DialError(Failure.OFFLINE, "ping: bob did not answer at any address we know; is it up?")
        if request.name not in self.book:
            raise DialError(Failure.UNKNOWN_NAME, f"ping: nobody is called {request.name}")
        self.pings += 1
        if self.pings <= self.relayed_pings:
            return PingReport(
                name=request.name,
                endpoint_id=ALICE,
                rtt_ms=23.4,
                address="relay eu1.example",
                path="relay",
                via="relay eu1.example",
                connect_ms=120.0 if self.pings == 1 else None,
            )
        address = "192.0.2.1:7777"
        return PingReport(
            name=request.name, endpoint_id=ALICE, rtt_ms=1.5, address=address, via=f"{address} (direct)"
        )

    async def paths(self, name: str) -> PathsReport:
        if name == "bob":
            raise DialError(Failure.OFFLINE, "paths: no tunnel with bob is up; try: overlay ping bob")
        direct, relay = "192.0.2.1:7777", "relay eu1.example"
        decisions = [
            DecisionReport(at=1.0, ago=2.0, what=f"use {relay}", why="it answered first"),
            DecisionReport(at=2.0, ago=1.0, what=f"use {direct}", why="direct", times=2),
        ]
        return PathsReport(
            endpoint_id=ALICE,
            petname="alice",
            own_candidates=(
                CandidateReport(address="198.51.100.7:7", kind="server-reflexive", path="direct"),
            ),
            paths=(
                PathReport(address=direct, kind="configured", path="direct", state="usable", selected=True),
                PathReport(
                    address=relay, kind="relay", path="relay", state="usable", rtt_ms=23.4, answered_ago=0.5
                ),
            ),
            decisions=tuple(decisions[: max(1, self.pings - self.relayed_pings + 1)]),
        )

    def _ladders(self, request: NetcheckRequest) -> tuple[LadderReport, ...]:
        if not request.ladder:
            return ()
        told = ladders(typical(NetworkClass.RANDOM))
        return (msgspec.structs.replace(told[0], peer=f"{request.peer}: open"),) if request.peer else told

    async def netcheck(self, request: NetcheckRequest) -> NetcheckReport:
        if self.udp_blocked is None:
            raise GatewayError(
                "netcheck: this gateway knows no beacon; name one with: overlay up --beacon URL"
            )
        if request.peer and request.peer not in self.book:
            raise DialError(Failure.UNKNOWN_NAME, f"netcheck: nobody is called {request.peer}")
        return NetcheckReport(
            udp_blocked=self.udp_blocked,
            ipv4=FamilyNetworkReport(has_address=True, mapping="endpoint-independent", span=(1024, 2047)),
            ipv6=FamilyNetworkReport(has_address=False),
            seconds=0.42,
            age=request.max_age / 2,
            findings=(FindingReport(what="IPv4 mapping", value="endpoint-independent", meaning="good"),),
            remedies=("forward UDP 41641",),
            network_class="symmetric, random ports",
            ladders=self._ladders(request),
        )

    async def explain(self, request: ExplainRequest) -> ExplanationReport:
        if request.name != "alice":
            raise DialError(Failure.UNKNOWN_NAME, f"resolve: nobody is called {request.name}")
        return ExplanationReport(
            name="alice.overlay",
            endpoint_id=ALICE,
            petname="alice",
            sources=(
                SourceReport(
                    source="https://eu1.example", finding="found", seconds=0.02, age=65, in_use=True
                ),
                SourceReport(source="dht", finding="failed", detail="no node answers", seconds=1.5),
                SourceReport(source="local network", finding="nothing", seconds=0.1),
            ),
            records=(
                RecordReport(
                    scope="public",
                    source="https://eu1.example",
                    age=65,
                    learned_ago=5,
                    expires_in=3700,
                    in_use=True,
                    relays=("https://eu1.example",),
                ),
                RecordReport(scope="given", source="ticket", age=7200, learned_ago=7100, expires_in=86400),
            ),
            addresses=(FoundAddressReport(address="192.0.2.1:7777", sources=("typed by hand", "ticket")),),
        )

    async def published(self) -> tuple[PublishedReport, ...]:
        return (
            PublishedReport(
                scope="public",
                words=("relays", "services"),
                relays=("https://eu1.example",),
                bytes=200,
                places=(
                    PlaceReport(place="https://eu1.example", published_ago=65, good_for=604000, next_in=3000),
                    PlaceReport(place="dht", next_in=5, problem="no node answers"),
                ),
            ),
            PublishedReport(scope="local", why_not="[publish] lan is empty"),
        )

    async def resolve(self, request: ResolveRequest) -> ResolveReport:
        if request.name not in self.book:
            raise DialError(Failure.UNKNOWN_NAME, f"resolve: nobody is called {request.name}")
        return ResolveReport(
            name=f"{request.name}.overlay",
            endpoint_id=ALICE,
            petname=request.name,
            ip="127.80.3.1",
            offers=(OfferReport(service="web", protocol="tcp", port=80, offered=8080),),
            source="contact",
        )

    async def dashboard_login(self) -> LoginReport:
        return LoginReport(url="http://127.0.0.1:7399/#login=secret", seconds=60, note=self.dashboard_note)

    async def live(self) -> LiveReport:
        """Each time a second later, and a megabyte more from alice."""
        self.looks += 1
        received = 1_000_000 * self.looks
        return LiveReport(
            moment=100.0 + self.looks,
            started=93.0,
            process=ProcessReport(
                rss=50_000_000, descriptors=20, descriptors_most=1024, cpu_seconds=1.5, threads=3, tasks=9
            ),
            peers=(
                PeerLiveReport(
                    endpoint_id=ALICE,
                    petname="alice",
                    where="192.0.2.1:7777 (direct)",
                    rtt=0.0015,
                    sent=2000,
                    received=received,
                    moved=(MovedReport(path="direct", sent=2000, received=received),),
                    streams=2,
                    flows=1,
                    seconds=65.0,
                ),
            ),
            sent=2000,
            received=received,
            moved=(MovedReport(path="direct", sent=2000, received=received),),
            streams=2,
            flows=1,
        )

    async def metrics(self) -> MetricsReport:
        text = exposition(await self.status(), await self.live(), Counts(), contacts=True)
        return MetricsReport(text=text.decode())

    async def reload(self) -> ReloadReport:
        if self.configuration_is_wrong:
            raise ConfigurationError(
                "/home/me/gateway.toml: [proxy] prot = 1: unknown key; did you mean `port`?"
            )
        return ReloadReport(applied=("dns.ttl",), restart=("proxy.port",))

    async def down(self) -> None:
        self.asked_down.set()


SETTINGS = ServiceSettings(target="127.0.0.1:8000")


@contextlib.asynccontextmanager
async def serving(home: Home) -> AsyncIterator[FakeGateway]:
    """A control socket in `home` that a FakeGateway answers."""
    await asyncio.to_thread(home.create)
    gateway = FakeGateway()
    path = await asyncio.to_thread(home.control_socket)
    server = ControlServer(gateway, path=path, log_file=home.log_file)
    await server.start()
    try:
        yield gateway
    finally:
        await server.close()
