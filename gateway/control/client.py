"""Ask a running gateway, over its control socket: `gateway.control.api.Gateway` without the waiting words.

Plain blocking HTTP from the standard library, because a command makes one call and ends: it starts in a third of
the time that an asyncio client takes.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec

import gateway as package
from gateway.control import api, zones
from gateway.control.configuration import ReloadReport
from gateway.control.contacts import (
    AddContactRequest,
    ContactReport,
    GroupReport,
    ImportReport,
    PathPolicyRequest,
    RenameContactRequest,
)
from gateway.control.dashboard import LoginReport
from gateway.control.errors import UNKNOWN_PATH, ErrorReply, error_of
from gateway.control.invites import (
    CodeReport,
    InviteReport,
    InvitesReport,
    RevokeReport,
    SaidCodeReport,
    TakeInviteReport,
)
from gateway.control.live import LiveReport
from gateway.control.metrics import MetricsReport
from gateway.control.names import PingReport, PingRequest, ResolveReport, ResolveRequest
from gateway.control.netcheck import NetcheckReport
from gateway.control.paths import PathsReport
from gateway.control.records import ExplanationReport, PublishedReport
from gateway.control.services import ExposeRequest, ServiceReport
from gateway.control.status import StatusReport
from gateway.control.tickets import JoinReport, JoinRequest, TicketReport, TicketRequest
from gateway.control.topics import TopicPeerReport, TopicReport
from gateway.control.usage import ChangedLimitsReport, LimitsReport, UsageReport
from gateway.control.vouchers import AddVoucherRequest, VoucherReport
from gateway.errors import GatewayError, UsageError
from gateway.invites.limits import CODE_POLL_SECONDS, TAKE_SECONDS
from gateway.limits import CONTROL_REPLY_BYTES, NETCHECK_LIFETIME_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.base import Request
    from gateway.control.contacts import GroupRequest, ImportRequest
    from gateway.control.invites import CodeRequest, InviteRequest, SayCodeRequest, TakeInviteRequest
    from gateway.control.netcheck import NetcheckRequest
    from gateway.control.records import ExplainRequest
    from gateway.control.topics import JoinTopicRequest
    from gateway.control.usage import SetLimitsRequest
    from gateway.home import Home

T = TypeVar("T")

_SECONDS: Final = 30.0
"""How long a reply may take; `ping` and `join` add their own."""


class ControlClient:
    """One gateway's control socket, for a command. Every method may raise NotRunning or the daemon's own error."""

    def __init__(self, home: Home, *, timeout: float = _SECONDS) -> None:
        self._home = home
        self._path = home.control_socket()
        self._timeout = timeout

    def status(self) -> StatusReport:
        """See `Gateway.status`."""
        return self._call("GET", "/status", StatusReport)

    def services(self) -> tuple[ServiceReport, ...]:
        """See `Gateway.services`."""
        return self._call("GET", "/services", tuple[ServiceReport, ...])

    def expose(self, request: ExposeRequest) -> ServiceReport:
        """See `Gateway.expose`."""
        return self._call("POST", "/services", ServiceReport, request)

    def unexpose(self, name: str) -> ServiceReport:
        """See `Gateway.unexpose`."""
        return self._call("DELETE", f"/services/{_part(name)}", ServiceReport)

    def contacts(self) -> tuple[ContactReport, ...]:
        """See `Gateway.contacts`."""
        return self._call("GET", "/contacts", tuple[ContactReport, ...])

    def add_contact(self, request: AddContactRequest) -> ContactReport:
        """See `Gateway.add_contact`."""
        return self._call("POST", "/contacts", ContactReport, request)

    def import_contacts(self, request: ImportRequest) -> ImportReport:
        """See `Gateway.import_contacts`."""
        return self._call("POST", "/contacts/import", ImportReport, request)

    def groups(self) -> tuple[GroupReport, ...]:
        """See `Gateway.groups`."""
        return self._call("GET", "/groups", tuple[GroupReport, ...])

    def change_group(self, request: GroupRequest) -> GroupReport:
        """See `Gateway.change_group`."""
        return self._call("POST", "/groups", GroupReport, request)

    def remove_contact(self, petname: str) -> ContactReport:
        """See `Gateway.remove_contact`."""
        return self._call("DELETE", f"/contacts/{_part(petname)}", ContactReport)

    def rename_contact(self, petname: str, request: RenameContactRequest) -> ContactReport:
        """See `Gateway.rename_contact`."""
        return self._call("PATCH", f"/contacts/{_part(petname)}", ContactReport, request)

    def set_path_policy(self, petname: str, request: PathPolicyRequest) -> ContactReport:
        """See `Gateway.set_path_policy`."""
        return self._call("PUT", f"/contacts/{_part(petname)}/path", ContactReport, request)

    def ticket(self, request: TicketRequest) -> TicketReport:
        """See `Gateway.ticket`."""
        return self._call("POST", "/ticket", TicketReport, request)

    def join(self, request: JoinRequest) -> JoinReport:
        """See `Gateway.join`."""
        return self._call("POST", "/join", JoinReport, request)

    def invite(self, request: InviteRequest) -> InviteReport:
        """See `Gateway.invite`."""
        return self._call("POST", "/invites", InviteReport, request)

    def invites(self) -> InvitesReport:
        """See `Gateway.invites`."""
        return self._call("GET", "/invites", InvitesReport)

    def revoke_invite(self, serial: str) -> RevokeReport:
        """See `Gateway.revoke_invite`."""
        return self._call("DELETE", f"/invites/{_part(serial)}", RevokeReport)

    def take_invite(self, request: TakeInviteRequest) -> TakeInviteReport:
        """See `Gateway.take_invite`."""
        return self._call("POST", "/invites/take", TakeInviteReport, request, extra=TAKE_SECONDS)

    def offer_code(self, request: CodeRequest) -> CodeReport:
        """See `Gateway.offer_code`."""
        return self._call("POST", "/codes", CodeReport, request)

    def code(self, code: str) -> CodeReport:
        """See `Gateway.code`."""
        return self._call("GET", f"/codes/{_part(code)}", CodeReport, extra=CODE_POLL_SECONDS)

    def cancel_code(self, code: str) -> CodeReport:
        """See `Gateway.cancel_code`."""
        return self._call("DELETE", f"/codes/{_part(code)}", CodeReport)

    def say_code(self, request: SayCodeRequest) -> SaidCodeReport:
        """See `Gateway.say_code`."""
        return self._call("POST", "/codes/say", SaidCodeReport, request, extra=TAKE_SECONDS)

    def vouchers(self) -> tuple[VoucherReport, ...]:
        """See `Gateway.vouchers`."""
        return self._call("GET", "/vouchers", tuple[VoucherReport, ...])

    def add_voucher(self, request: AddVoucherRequest) -> VoucherReport:
        """See `Gateway.add_voucher`."""
        return self._call("POST", "/vouchers", VoucherReport, request)

    def ping(self, request: PingRequest) -> PingReport:
        """See `Gateway.ping`."""
        return self._call("POST", "/ping", PingReport, request, extra=request.timeout)

    def paths(self, name: str) -> PathsReport:
        """See `Gateway.paths`."""
        return self._call("GET", f"/paths/{_part(name)}", PathsReport)

    def netcheck(self, request: NetcheckRequest) -> NetcheckReport:
        """See `Gateway.netcheck`."""
        extra = NETCHECK_LIFETIME_SECONDS if request.lifetime else 0.0
        return self._call("POST", "/netcheck", NetcheckReport, request, extra=extra)

    def resolve(self, request: ResolveRequest) -> ResolveReport:
        """See `Gateway.resolve`."""
        return self._call("POST", "/resolve", ResolveReport, request)

    def zone(self) -> zones.ZoneReport:
        """See `Gateway.zone`."""
        return self._call("GET", "/zone", zones.ZoneReport)

    def zone_set(self, request: zones.ZoneSetRequest) -> zones.ZoneChangeReport:
        """See `Gateway.zone_set`."""
        return self._call("POST", "/zone/set", zones.ZoneChangeReport, request)

    def zone_unset(self, request: zones.ZoneUnsetRequest) -> zones.ZoneChangeReport:
        """See `Gateway.zone_unset`."""
        return self._call("POST", "/zone/unset", zones.ZoneChangeReport, request)

    def zone_profile(self, request: zones.ProfileRequest) -> zones.ZoneChangeReport:
        """See `Gateway.zone_profile`."""
        return self._call("POST", "/zone/profile", zones.ZoneChangeReport, request)

    def zone_import(self, request: zones.ZoneImportRequest) -> zones.ZoneChangeReport:
        """See `Gateway.zone_import`."""
        return self._call("POST", "/zone/import", zones.ZoneChangeReport, request)

    def whois(self, name: str) -> zones.WhoisReport:
        """See `Gateway.whois`."""
        return self._call("GET", f"/whois/{_part(name)}", zones.WhoisReport)

    def explain(self, request: ExplainRequest) -> ExplanationReport:
        """See `Gateway.explain`."""
        return self._call("POST", "/explain", ExplanationReport, request)

    def published(self) -> tuple[PublishedReport, ...]:
        """See `Gateway.published`."""
        return self._call("GET", "/published", tuple[PublishedReport, ...])

    def topics(self) -> tuple[TopicReport, ...]:
        """See `Gateway.topics`."""
        return self._call("GET", "/topics", tuple[TopicReport, ...])

    def join_topic(self, request: JoinTopicRequest) -> TopicReport:
        """See `Gateway.join_topic`."""
        return self._call("POST", "/topics", TopicReport, request)

    def leave_topic(self, name: str) -> TopicReport:
        """See `Gateway.leave_topic`."""
        return self._call("DELETE", f"/topics/{_part(name)}", TopicReport)

    def topic_peers(self, name: str) -> tuple[TopicPeerReport, ...]:
        """See `Gateway.topic_peers`."""
        return self._call("GET", f"/topics/{_part(name)}/peers", tuple[TopicPeerReport, ...])

    def live(self) -> LiveReport:
        """See `Gateway.live`."""
        return self._call("GET", "/live", LiveReport)

    def dashboard_login(self) -> LoginReport:
        """See `Gateway.dashboard_login`."""
        return self._call("POST", "/dashboard/login", LoginReport)

    def usage(self, month: str | None = None) -> UsageReport:
        """See `Gateway.usage`."""
        return self._call("GET", f"/usage?month={_part(month)}" if month else "/usage", UsageReport)

    def limits(self) -> LimitsReport:
        """See `Gateway.limits`."""
        return self._call("GET", "/limits", LimitsReport)

    def set_limits(self, request: SetLimitsRequest) -> ChangedLimitsReport:
        """See `Gateway.set_limits`."""
        return self._call("POST", "/limits", ChangedLimitsReport, request)

    def metrics(self) -> MetricsReport:
        """See `Gateway.metrics`."""
        return self._call("GET", "/metrics", MetricsReport)

    def reload(self) -> ReloadReport:
        """See `Gateway.reload`."""
        return self._call("POST", "/reload", ReloadReport)

    def down(self) -> None:
        """See `Gateway.down`."""
        self._call("POST", "/down", dict[str, object])

    def _call(
        self, method: str, path: str, kind: type[T], request: Request | None = None, *, extra: float = 0.0
    ) -> T:
        body = None if request is None else msgspec.json.encode(request)
        with self._connected(self._timeout + extra) as connection:
            reply = self._ask(connection, method, path, body)
            try:
                data = reply.read(CONTROL_REPLY_BYTES)
                if reply.length:  # read(n) does not tell of an end that comes too early
                    raise ConnectionError("its answer is cut short")
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(error) from None
        if reply.status != 200:
            raise self._refusal(reply, data)
        try:
            return msgspec.json.decode(data, type=kind)
        except ValueError as error:
            raise GatewayError(
                f"control: the daemon's answer makes no sense ({error}){self._skew(reply)}"
            ) from None

    @contextlib.contextmanager
    def _connected(self, timeout: float) -> Iterator[http.client.HTTPConnection]:
        connection = _UnixConnection(os.fspath(self._path), timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
                raise self._home.not_running() from None
            raise self._broken(error) from None
        try:
            yield connection
        finally:
            connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        try:
            connection.request(
                method, f"/v{api.API_VERSION}{path}", body=body, headers={"Content-Type": "application/json"}
            )
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from None

    def _refusal(self, reply: http.client.HTTPResponse, data: bytes) -> GatewayError:
        """The error that the daemon answered with."""
        try:
            refusal = msgspec.json.decode(data, type=ErrorReply)
        except ValueError:
            reason = self._skew(reply) or "; see `overlay logs`"
            return GatewayError(f"control: the daemon answered {reply.status} {reply.reason}{reason}")
        if refusal.code == UNKNOWN_PATH:
            return GatewayError(f"{refusal.error}{self._skew(reply)}")
        return error_of(refusal)

    def _skew(self, reply: http.client.HTTPResponse) -> str:
        """What to do when the daemon is of another version than this command; empty when it is not."""
        theirs = reply.getheader("Overlay-Version") or "of an unknown version"
        if theirs == package.__version__:
            return ""
        return f"; the daemon is {theirs} and this command {package.__version__}: restart the daemon"

    def _broken(self, error: Exception) -> GatewayError:
        if isinstance(error, TimeoutError):
            return GatewayError("control: the daemon did not answer in time; see `overlay logs`")
        if isinstance(error, PermissionError):
            return GatewayError(f"control: {self._path} is another user's; name your own gateway with --home")
        reason = str(error) or type(error).__name__
        return GatewayError(f"control: the daemon hung up ({reason}); see `overlay logs`")


def _part(text: str) -> str:
    """A name, as a part of a path; UsageError for an empty one, which would be another path."""
    if not text:
        raise UsageError("a name is empty; an unset variable of the shell is written as '' as well")
    return quote(text, safe="")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a socket file."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the connection."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
