"""What the command line and the dashboard may ask of a running gateway: the facade, and its values on the wire.

The daemon implements `Gateway`; `server` puts it on the control socket and `client` calls it from there, so that
a caller in the same process and one at the other end of the socket see the same methods and the same errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from gateway.config.settings import ServiceSettings  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from gateway.control import zones
    from gateway.control.contacts import GroupReport, GroupRequest, ImportReport, ImportRequest
    from gateway.control.dashboard import LoginReport
    from gateway.control.invites import (
        CodeReport,
        CodeRequest,
        InviteReport,
        InviteRequest,
        InvitesReport,
        RevokeReport,
        SaidCodeReport,
        SayCodeRequest,
        TakeInviteReport,
        TakeInviteRequest,
    )
    from gateway.control.live import LiveReport
    from gateway.control.metrics import MetricsReport
    from gateway.control.netcheck import NetcheckReport, NetcheckRequest
    from gateway.control.records import ExplainRequest, ExplanationReport, PublishedReport
    from gateway.control.topics import JoinTopicRequest, TopicPeerReport, TopicReport
    from gateway.control.usage import ChangedLimitsReport, LimitsReport, SetLimitsRequest, UsageReport

API_VERSION: Final = 1
"""The version in every path (`/v1/…`); a change that an older command would misread gets the next one."""

TransportProtocol: TypeAlias = Literal["tcp", "udp"]

NameText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
"""A petname, an endpoint id or a name under .overlay: no longer than a DNS name may be."""

VoucherText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2048)]

BeaconText: TypeAlias = Annotated[str, Meta(max_length=400)]

TicketText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
"""A record of 1000 bytes is about 1700 characters as text; more is no ticket."""

PathWord: TypeAlias = Literal["LAN", "direct", "TCP", "TURN", "peer relay", "relay"]
"""How datagrams go: on a network of one's own, straight, straight but in a TCP connection, by a TURN server, by a relay that a
gateway lends, by a beacon's."""

AddressTexts: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller asks for; a field we don't know is refused, because ignoring it would do something else."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is told; fields of a newer daemon are ignored."""


# --- status ---------------------------------------------------------------------------------------------------


class ListenerReport(Report, frozen=True, kw_only=True):
    """One local door of this gateway."""

    name: Literal["proxy", "dns", "dashboard", "front door", "https", "tunnels"]
    addresses: tuple[str, ...] = ()
    """Where it listens really, as `ip:port`; empty when it is switched off or failed."""
    enabled: bool = True
    note: str = ""
    """Why it does not listen, or what is to be known of it."""


class OfferReport(Report, frozen=True, kw_only=True):
    """One port of one service, as it is offered on this machine."""

    service: str
    protocol: TransportProtocol
    port: int
    """The service's own port."""
    offered: int
    """The port on the loopback address; differs from `port` when that one could not be bound."""


class LoopbackReport(Report, frozen=True, kw_only=True):
    """The loopback address that stands for a name here."""

    name: str
    """Such as `web.alice.overlay`."""
    ip: str
    offers: tuple[OfferReport, ...] = ()


class TunnelReport(Report, frozen=True, kw_only=True):
    """One connection to another endpoint."""

    endpoint_id: str
    petname: str = ""
    """Empty when the endpoint is no contact."""
    address: str = ""
    """Where its datagrams go now."""
    path: PathWord = "direct"
    path_seconds: float | None = None
    """How long they have gone there."""
    rtt_ms: float | None = None
    """Smoothed round-trip time; None before the first measurement."""
    streams: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    """How long it has been up."""
    trying: str = ""
    """The strategy that is tried for a direct path now; empty if none is."""


class ServiceReport(Report, frozen=True, kw_only=True):
    """One service this gateway exposes."""

    name: str
    settings: ServiceSettings
    """As typed."""
    port: str
    """The port or range others use, such as `80` or `5000-5100`."""
    host: str
    """The name others use, with this endpoint's id in it: `web.<id>.overlay`."""
    nickname_host: str = ""
    """The same with our nickname, which is what a joining contact will call us unless it chooses otherwise."""
    url: str = ""
    """What somebody who joined opens, such as `http://web.alice.overlay/`; empty when the port says nothing of a scheme."""
    join: str = ""
    """The command for the other side that makes the name work there, complete with a ticket."""
    use: str = ""
    """A command for the other side that uses the service through its proxy."""
    undo: str = ""
    """The command that takes the service away again."""
    origin: Literal["configuration", "command", "program"] = "command"
    """Where it was asked for: a section of gateway.toml, `overlay expose`, or a program that is the service itself."""
    warnings: tuple[str, ...] = ()
    """Such as that nobody may use it yet, with the remedy."""
    invited: tuple[str, ...] = ()
    """Who may use it by an invite now: petnames, or the beginnings of ids."""


class ContactReport(Report, frozen=True, kw_only=True):
    """One endpoint we know by a name of our own."""

    petname: str
    endpoint_id: str
    addresses: tuple[str, ...] = ()
    """Where it may be reached, from its record and from the configuration."""
    relays: tuple[str, ...] = ()
    """Beacons by which it may be reached, its home first."""
    services: tuple[str, ...] = ()
    """Services it told us of."""
    connected: bool | None = None
    """Whether a tunnel is up; None when it was never tried."""
    origin: Literal["configuration", "command"] = "command"
    path_policy: str = ""
    """Which paths may be used to it; empty when that was not said for it alone."""
    granted: tuple[str, ...] = ()
    """Services of ours that it may use by an invite now."""
    nickname: str = ""
    """What it calls itself, by its newest record."""
    nickname_before: str = ""
    """What it called itself when its petname was chosen, if that was something else."""
    typed: tuple[str, ...] = ()
    """Those of the addresses that were typed by hand."""
    groups: tuple[str, ...] = ()
    """The groups it is in."""
    warnings: tuple[str, ...] = ()
    """Such as that its petname looks like another one."""


class BeaconReport(Report, frozen=True, kw_only=True):
    """One beacon: a configured one, or another that we are connected to because a peer is at home there."""

    url: str
    state: str
    """`connecting`, `connected`, `waiting`, `closed`."""
    home: bool = False
    """Whether others find us there."""
    seconds: float | None = None
    """How long it has been connected; None while it is not."""
    observed: str = ""
    """Where it sees us, as `ip:port`."""
    relays: bool = True
    """Whether it relays datagrams, or only passes messages on."""
    policy: str = ""
    """Its owner's words."""
    left_bytes: int | None = None
    """What is left of what it relays for us in this period; None where there is no such limit."""
    credit_bytes: int = 0
    """What vouchers gave beyond that."""
    bytes_in: int = 0
    bytes_out: int = 0
    error: str = ""
    """Why it is not connected."""


class PortMappingReport(Report, frozen=True, kw_only=True):
    """The port of the tunnels at our router."""

    external: str = ""
    """What it is outside; empty while there is no mapping."""
    protocol: str = ""
    """`PCP`, `NAT-PMP`, `UPnP`."""
    router: str = ""
    """Its ip; empty where there is none."""
    state: str = ""
    """Of a mapping: `unverified`, `being verified`, `verified`, `dead`."""
    problem: str = ""
    """Why there is no mapping, or none that works; empty if there is nothing to say."""


class LendingReport(Report, frozen=True, kw_only=True):
    """The relay that this gateway lends."""

    url: str
    to: Literal["contacts", "all"]
    """Who may use it."""
    most: int
    """How many may be connected at once."""
    connected: int = 0
    endpoints: tuple[str, ...] = ()
    """Some or all of those who are connected: petnames, or the beginnings of ids."""
    relayed_bytes: int = 0
    """Since the start, our own included."""


class LocalNetworkReport(Report, frozen=True, kw_only=True):
    """How we are found on the local network, and find others there."""

    interfaces: tuple[str, ...] = ()
    """Those that we are on; none where there is no local network, or our tunnels do not listen there."""
    mdns: tuple[int, ...] = ()
    """The IP versions in which multicast DNS works."""
    mdns_problem: str = ""
    """Why it does not; empty if it does, or is off."""
    fallback: tuple[int, ...] = ()
    """The IP versions in which our own datagrams work."""
    fallback_problem: str = ""
    heard: int = 0
    """Endpoints that are there."""
    refused: int = 0
    """Packets that were forged, or no records."""
    dropped: int = 0
    """Packets that were not looked at, because there were too many."""


class DhtReport(Report, frozen=True, kw_only=True):
    """The Mainline DHT."""

    enabled: bool
    """Whether it runs."""
    nodes: int = 0
    """Live nodes in our table."""
    serves: bool = False
    """Whether we answer other nodes."""
    stored: int | None = None
    """Nodes that took our record the last time; None if it was not published yet."""
    published_ago: float | None = None
    """Seconds since then."""
    problem: str = ""
    """Why it does not run though it might, or why our record is not there, with the remedy."""


class StatusReport(Report, frozen=True, kw_only=True):
    """A snapshot of one gateway."""

    version: str
    endpoint_id: str
    nickname: str
    pid: int
    home: str
    uptime: float
    """Seconds since the start."""
    quic_engine: str = ""
    listeners: tuple[ListenerReport, ...] = ()
    addresses: tuple[str, ...] = ()
    """What our tickets say of where we may be reached."""
    relays: tuple[str, ...] = ()
    """The same of our beacons, our home first."""
    services: tuple[ServiceReport, ...] = ()
    contacts: tuple[ContactReport, ...] = ()
    tunnels: tuple[TunnelReport, ...] = ()
    beacons: tuple[BeaconReport, ...] = ()
    port_mapping: PortMappingReport | None = None
    """None where it is off."""
    pinhole: PortMappingReport | None = None
    """The same in the router's firewall for IPv6."""
    lending: LendingReport | None = None
    """None where no relay is lent."""
    local_network: LocalNetworkReport | None = None
    """None where it is off."""
    dht: DhtReport | None = None
    loopback: tuple[LoopbackReport, ...] = ()
    warnings: tuple[str, ...] = ()

    def listener(self, name: str) -> str:
        """Where the listener of this name listens first, as `ip:port`; empty when it does not."""
        return next(
            (report.addresses[0] for report in self.listeners if report.name == name and report.addresses), ""
        )


# --- services -------------------------------------------------------------------------------------------------


class ExposeRequest(Request, frozen=True, kw_only=True):
    """Expose a service; one of the same name that a command asked for is replaced."""

    name: NameText
    settings: ServiceSettings


# --- contacts, tickets ----------------------------------------------------------------------------------------


class AddContactRequest(Request, frozen=True, kw_only=True):
    """Give an endpoint a petname."""

    petname: NameText
    id_or_ticket: TicketText
    addresses: AddressTexts = ()


class RenameContactRequest(Request, frozen=True, kw_only=True):
    """Give a contact another petname."""

    petname: NameText


class PathPolicyRequest(Request, frozen=True, kw_only=True):
    """Choose which paths may be used to a contact."""

    policy: Literal["", "auto", "direct-only", "relay-only", "no-lan"]
    """Empty: what [tunnels] path_policy says."""


class TicketRequest(Request, frozen=True, kw_only=True):
    """Ask for our own record as text."""

    expires_in: Annotated[float, Meta(ge=1, le=366 * 86400)] | None = None
    """Seconds from now; None is the usual lifetime."""


class TicketReport(Report, frozen=True, kw_only=True):
    """Our record as text, to be given to others."""

    ticket: str
    endpoint_id: str
    expires: float
    """Wall-clock seconds since 1970."""
    addresses: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """The public ones; others don't appear in a record."""
    command: str = ""
    """What the other side runs."""


class JoinRequest(Request, frozen=True, kw_only=True):
    """Take a ticket: its endpoint becomes a contact."""

    ticket: TicketText
    petname: Annotated[str, Meta(max_length=63)] = ""
    """Empty for the nickname in the ticket."""
    preview: bool = False
    """Tell what would happen and change nothing."""


class JoinReport(Report, frozen=True, kw_only=True):
    """What a ticket said, and the contact it became."""

    contact: ContactReport
    expires: float
    """When the ticket ends, in wall-clock seconds since 1970."""
    known: bool = False
    """Whether the endpoint was a contact already; then its addresses were refreshed."""
    urls: tuple[str, ...] = ()
    """What may be opened now."""
    loopback: tuple[LoopbackReport, ...] = ()
    undo: str = ""


# --- vouchers -------------------------------------------------------------------------------------------------


class AddVoucherRequest(Request, frozen=True, kw_only=True):
    """Take a voucher and hand it in."""

    voucher: VoucherText
    beacon: BeaconText = ""
    """Where; empty for our own beacons."""


class VoucherReport(Report, frozen=True, kw_only=True):
    """A voucher that we hold."""

    serial: str
    """In hexadecimal."""
    issuer: str
    """The id of the relay's owner."""
    credit_bytes: int
    expires: float
    """Wall-clock seconds since 1970."""
    expired: bool = False
    taken_by: str = ""
    """The URL of the beacon that took it; empty while none has."""
    receipt: str = ""
    """That beacon's signed word for it."""
    error: str = ""
    """Why none has."""


# --- names ----------------------------------------------------------------------------------------------------


class PingRequest(Request, frozen=True, kw_only=True):
    """One round trip to an endpoint, connecting first if need be."""

    name: NameText
    timeout: Annotated[float, Meta(gt=0, le=60)] = 10.0


class PingReport(Report, frozen=True, kw_only=True):
    """One answered round trip."""

    name: str
    endpoint_id: str
    rtt_ms: float
    address: str
    path: PathWord = "direct"
    via: str = ""
    """The same two for people: `relay eu1.example`, `203.0.113.9:41641 (direct)`."""
    connect_ms: float | None = None
    """How long connecting took; None when a tunnel was up already."""


class CandidateReport(Report, frozen=True, kw_only=True):
    """One place where an endpoint might be reached."""

    address: str
    kind: str
    """How it is known: `host`, `server-reflexive`, `peer-reflexive`, `configured`, `relayed`, `relay`."""
    path: PathWord


class PathReport(Report, frozen=True, kw_only=True):
    """One path to a peer: the direction in which we send, and beside it what comes from there."""

    address: str
    kind: str
    path: PathWord
    state: str
    """`closed`, `opening`, `open`, `usable`, `stale`."""
    selected: bool = False
    """Whether our data goes this way."""
    trusted: bool = False
    """Whether it was answered so lately that nothing is sent twice."""
    lossy: bool = False
    rtt_ms: float | None = None
    min_rtt_ms: float | None = None
    observed: str = ""
    """Where the peer saw us on it."""
    bytes_in: int = 0
    bytes_out: int = 0
    state_seconds: float | None = None
    selected_seconds: float | None = None
    answered_ago: float | None = None
    """Seconds since a ping on it was answered."""
    heard_ago: float | None = None
    """Seconds since anything came from there."""


class DecisionReport(Report, frozen=True, kw_only=True):
    """Something that was decided about paths."""

    at: float
    """A clock of the daemon, only to be compared with others of these."""
    ago: float
    what: str
    why: str = ""
    times: int = 1


class PathsReport(Report, frozen=True, kw_only=True):
    """Why datagrams to an endpoint go where they go."""

    endpoint_id: str
    petname: str = ""
    policy: str = "auto"
    """Which paths may be used."""
    own_candidates: tuple[CandidateReport, ...] = ()
    """Where we told the peer that we are."""
    paths: tuple[PathReport, ...] = ()
    """To each place that is known of the peer."""
    decisions: tuple[DecisionReport, ...] = ()
    """Oldest first."""


class ResolveRequest(Request, frozen=True, kw_only=True):
    """What a name under .overlay stands for."""

    name: NameText


class ResolveReport(Report, frozen=True, kw_only=True):
    """What a name under .overlay stands for; a name that does not exist is a DialError instead."""

    name: str
    endpoint_id: str
    petname: str = ""
    service: str = ""
    """The service the name asks for; empty for the endpoint as a whole, and for what is in its zone alone."""
    alias: str = ""
    """The name that it stands for, by its owner's zone."""
    ip: str = ""
    """The loopback address; empty when there are none."""
    offers: tuple[OfferReport, ...] = ()
    addresses: tuple[str, ...] = ()
    """Where the endpoint may be reached."""
    relays: tuple[str, ...] = ()
    """By which beacons."""
    source: str = ""
    """How we know: `id`, `contact`, `configuration`, …"""


class ReloadReport(Report, frozen=True, kw_only=True):
    """What a changed configuration did."""

    applied: tuple[str, ...] = ()
    """Dotted keys now in force."""
    restart: tuple[str, ...] = ()
    """Dotted keys that changed and wait for the next start."""


class Gateway(Protocol):
    """A running gateway. Every method may raise a GatewayError, whose text is for people."""

    async def status(self) -> StatusReport:
        """A snapshot of everything."""

    async def services(self) -> tuple[ServiceReport, ...]:
        """What this gateway exposes."""

    async def expose(self, request: ExposeRequest) -> ServiceReport:
        """Expose a service, now and after each start."""

    async def unexpose(self, name: str) -> ServiceReport:
        """Take a service away and end its streams; returns what it was."""

    async def contacts(self) -> tuple[ContactReport, ...]:
        """The address book."""

    async def add_contact(self, request: AddContactRequest) -> ContactReport:
        """Give an endpoint a petname; UsageError when either is taken or makes no sense."""

    async def remove_contact(self, petname: str) -> ContactReport:
        """Forget a contact; returns what it was."""

    async def import_contacts(self, request: ImportRequest) -> ImportReport:
        """Take contacts of a file; those that contradict the address book are told, and replaced only if asked for."""

    async def groups(self) -> tuple[GroupReport, ...]:
        """The groups that contacts are in, or that services name."""

    async def change_group(self, request: GroupRequest) -> GroupReport:
        """Put contacts into a group or take them out; streams that they may not use any more end."""

    async def rename_contact(self, petname: str, request: RenameContactRequest) -> ContactReport:
        """Give a contact another petname; what it may use stays."""

    async def set_path_policy(self, petname: str, request: PathPolicyRequest) -> ContactReport:
        """Choose which paths may be used to a contact; streams go on."""

    async def ticket(self, request: TicketRequest) -> TicketReport:
        """Our own record as text."""

    async def join(self, request: JoinRequest) -> JoinReport:
        """Make a ticket's endpoint a contact, or only tell what that would do."""

    async def invite(self, request: InviteRequest) -> InviteReport:
        """Make an invite, or pass on one that we took; InviteError when that may not be."""

    async def invites(self) -> InvitesReport:
        """The invites that we made, and those that we took."""

    async def revoke_invite(self, serial: str) -> RevokeReport:
        """Take an invite back and end what it granted; `serial` may be its beginning."""

    async def take_invite(self, request: TakeInviteRequest) -> TakeInviteReport:
        """Take somebody's invite, or only tell what it says; InviteError when it is not good."""

    async def offer_code(self, request: CodeRequest) -> CodeReport:
        """Wait at a beacon with a spoken code, to pass an invite to who says it; InviteError when that cannot be."""

    async def code(self, code: str) -> CodeReport:
        """What became of a code of ours; waits some seconds for news while there is none."""

    async def cancel_code(self, code: str) -> CodeReport:
        """Wait with a code no more."""

    async def say_code(self, request: SayCodeRequest) -> SaidCodeReport:
        """Say somebody's code and get the invite it stands for; InviteError when there is none."""

    async def vouchers(self) -> tuple[VoucherReport, ...]:
        """The vouchers we hold."""

    async def add_voucher(self, request: AddVoucherRequest) -> VoucherReport:
        """Take a voucher and hand it in, now or when a beacon that takes it is connected."""

    async def ping(self, request: PingRequest) -> PingReport:
        """One round trip to an endpoint; DialError when it does not answer."""

    async def paths(self, name: str) -> PathsReport:
        """Why datagrams to an endpoint go where they go; DialError when no tunnel with it is up."""

    async def netcheck(self, request: NetcheckRequest) -> NetcheckReport:
        """How the network lets us be reached; GatewayError when nobody can be asked."""

    async def resolve(self, request: ResolveRequest) -> ResolveReport:
        """What a name stands for; DialError with UNKNOWN_NAME when it does not exist."""

    async def zone(self) -> zones.ZoneReport:
        """Our zone and profile."""

    async def zone_set(self, request: zones.ZoneSetRequest) -> zones.ZoneChangeReport:
        """Put a record into our zone; UsageError if it makes no sense or does not fit, and nothing has changed."""

    async def zone_unset(self, request: zones.ZoneUnsetRequest) -> zones.ZoneChangeReport:
        """Take records out of our zone; UsageError if there are none."""

    async def zone_profile(self, request: zones.ProfileRequest) -> zones.ZoneChangeReport:
        """Change our profile, as `zone_set` changes the zone."""

    async def zone_import(self, request: zones.ZoneImportRequest) -> zones.ZoneChangeReport:
        """Take the records of a file, all or none, or tell what that would change."""

    async def whois(self, name: str) -> zones.WhoisReport:
        """What is known of an endpoint; DialError with UNKNOWN_NAME if nobody is called so."""

    async def explain(self, request: ExplainRequest) -> ExplanationReport:
        """Ask all sources for an endpoint's records; DialError when nobody goes by the name."""

    async def published(self) -> tuple[PublishedReport, ...]:
        """Our records: what they tell, where they are, and why they are not."""

    async def topics(self) -> tuple[TopicReport, ...]:
        """The topics we are in."""

    async def join_topic(self, request: JoinTopicRequest) -> TopicReport:
        """Be in a topic, now and after each start; UsageError when its name makes no sense, or there are too many."""

    async def leave_topic(self, name: str) -> TopicReport:
        """Be in it no more; returns what it was."""

    async def topic_peers(self, name: str) -> tuple[TopicPeerReport, ...]:
        """Who proved to be in a topic of ours."""

    async def live(self) -> LiveReport:
        """What moves now, in counts; cheap enough to be asked for each second."""

    async def dashboard_login(self) -> LoginReport:
        """A URL that lets one browser into the dashboard; GatewayError when there is none."""

    async def usage(self, month: str | None = None) -> UsageReport:
        """How much moved in a month, this one if none is named."""

    async def limits(self) -> LimitsReport:
        """Every limit in force, and how much of it is used."""

    async def set_limits(self, request: SetLimitsRequest) -> ChangedLimitsReport:
        """Set limits that hold at once, and after a restart."""

    async def metrics(self) -> MetricsReport:
        """The figures for Prometheus."""

    async def reload(self) -> ReloadReport:
        """Read the configuration again; ConfigurationError leaves everything as it was."""

    async def down(self) -> None:
        """Begin to stop; returns at once."""
