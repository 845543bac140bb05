"""What the command line and the dashboard may ask of a running gateway; what is asked and told stands by subject next door.

The daemon implements `Gateway`; `server` puts it on the control socket and `client` calls it from there, so that
a caller in the same process and one at the other end of the socket see the same methods and the same errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gateway.control import zones
    from gateway.control.configuration import ReloadReport
    from gateway.control.contacts import (
        AddContactRequest,
        ContactReport,
        GroupReport,
        GroupRequest,
        ImportReport,
        ImportRequest,
        PathPolicyRequest,
        RenameContactRequest,
    )
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
    from gateway.control.names import PingReport, PingRequest, ResolveReport, ResolveRequest
    from gateway.control.netcheck import NetcheckReport, NetcheckRequest
    from gateway.control.paths import PathsReport
    from gateway.control.records import ExplainRequest, ExplanationReport, PublishedReport
    from gateway.control.services import ExposeRequest, ServiceReport
    from gateway.control.status import StatusReport
    from gateway.control.tickets import JoinReport, JoinRequest, TicketReport, TicketRequest
    from gateway.control.topics import JoinTopicRequest, TopicPeerReport, TopicReport
    from gateway.control.usage import ChangedLimitsReport, LimitsReport, SetLimitsRequest, UsageReport
    from gateway.control.vouchers import AddVoucherRequest, VoucherReport

API_VERSION: Final = 1
"""The version in every path (`/v1/…`); a change that an older command would misread gets the next one."""


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
