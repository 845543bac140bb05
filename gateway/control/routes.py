"""The control API as HTTP: each path with its method of `Gateway`. The control socket and the dashboard mount these.

Requests and reports are JSON. Who may call is the business of whoever mounts the routes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

import gateway as package
from gateway.control import api, zones
from gateway.control.contacts import (
    AddContactRequest,
    GroupRequest,
    ImportRequest,
    PathPolicyRequest,
    RenameContactRequest,
)
from gateway.control.errors import ErrorReply, reply_of
from gateway.control.invites import CodeRequest, InviteRequest, SayCodeRequest, TakeInviteRequest
from gateway.control.names import PingRequest, ResolveRequest
from gateway.control.netcheck import NetcheckRequest
from gateway.control.records import ExplainRequest
from gateway.control.services import ExposeRequest
from gateway.control.tickets import JoinRequest, TicketRequest
from gateway.control.topics import JoinTopicRequest
from gateway.control.usage import SetLimitsRequest
from gateway.control.vouchers import AddVoucherRequest
from gateway.errors import GatewayError, UsageError
from gateway.limits import CONTROL_BODY_BYTES, CONTROL_BODY_SECONDS, CONTROL_LOG_LINES
from gateway.logs import LogTail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

VERSION_HEADER: Final = "Overlay-Version"
"""In every reply: the version of the daemon, so that a command of another version can say so."""

_LOG_POLL_SECONDS: Final = 0.25
"""How often a followed log is looked at; a person sees no delay, and it costs one stat call."""


def routes(gateway: api.Gateway, log_file: Path) -> list[web.RouteDef]:
    """Every path of the API, answered by `gateway`; `log_file` is what `/v1/logs` tells."""

    async def status(request: web.Request) -> web.Response:
        return answer(await gateway.status())

    async def services(request: web.Request) -> web.Response:
        return answer(await gateway.services())

    async def expose(request: web.Request) -> web.Response:
        return answer(await gateway.expose(await body(request, ExposeRequest)))

    async def unexpose(request: web.Request) -> web.Response:
        return answer(await gateway.unexpose(request.match_info["name"]))

    async def contacts(request: web.Request) -> web.Response:
        return answer(await gateway.contacts())

    async def add_contact(request: web.Request) -> web.Response:
        return answer(await gateway.add_contact(await body(request, AddContactRequest)))

    async def import_contacts(request: web.Request) -> web.Response:
        return answer(await gateway.import_contacts(await body(request, ImportRequest)))

    async def groups(request: web.Request) -> web.Response:
        return answer(await gateway.groups())

    async def change_group(request: web.Request) -> web.Response:
        return answer(await gateway.change_group(await body(request, GroupRequest)))

    async def remove_contact(request: web.Request) -> web.Response:
        return answer(await gateway.remove_contact(request.match_info["petname"]))

    async def rename_contact(request: web.Request) -> web.Response:
        asked = await body(request, RenameContactRequest)
        return answer(await gateway.rename_contact(request.match_info["petname"], asked))

    async def set_path_policy(request: web.Request) -> web.Response:
        asked = await body(request, PathPolicyRequest)
        return answer(await gateway.set_path_policy(request.match_info["petname"], asked))

    async def plain_ticket(request: web.Request) -> web.Response:
        return answer(await gateway.ticket(TicketRequest()))

    async def ticket(request: web.Request) -> web.Response:
        return answer(await gateway.ticket(await body(request, TicketRequest)))

    async def join(request: web.Request) -> web.Response:
        return answer(await gateway.join(await body(request, JoinRequest)))

    async def invite(request: web.Request) -> web.Response:
        return answer(await gateway.invite(await body(request, InviteRequest)))

    async def invites(request: web.Request) -> web.Response:
        return answer(await gateway.invites())

    async def revoke_invite(request: web.Request) -> web.Response:
        return answer(await gateway.revoke_invite(request.match_info["serial"]))

    async def take_invite(request: web.Request) -> web.Response:
        return answer(await gateway.take_invite(await body(request, TakeInviteRequest)))

    async def offer_code(request: web.Request) -> web.Response:
        return answer(await gateway.offer_code(await body(request, CodeRequest)))

    async def code(request: web.Request) -> web.Response:
        return answer(await gateway.code(request.match_info["code"]))

    async def cancel_code(request: web.Request) -> web.Response:
        return answer(await gateway.cancel_code(request.match_info["code"]))

    async def say_code(request: web.Request) -> web.Response:
        return answer(await gateway.say_code(await body(request, SayCodeRequest)))

    async def vouchers(request: web.Request) -> web.Response:
        return answer(await gateway.vouchers())

    async def add_voucher(request: web.Request) -> web.Response:
        return answer(await gateway.add_voucher(await body(request, AddVoucherRequest)))

    async def ping(request: web.Request) -> web.Response:
        return answer(await gateway.ping(await body(request, PingRequest)))

    async def paths_to(request: web.Request) -> web.Response:
        return answer(await gateway.paths(request.match_info["name"]))

    async def netcheck(request: web.Request) -> web.Response:
        return answer(await gateway.netcheck(await body(request, NetcheckRequest)))

    async def resolve(request: web.Request) -> web.Response:
        return answer(await gateway.resolve(await body(request, ResolveRequest)))

    async def zone(request: web.Request) -> web.Response:
        return answer(await gateway.zone())

    async def zone_set(request: web.Request) -> web.Response:
        return answer(await gateway.zone_set(await body(request, zones.ZoneSetRequest)))

    async def zone_unset(request: web.Request) -> web.Response:
        return answer(await gateway.zone_unset(await body(request, zones.ZoneUnsetRequest)))

    async def zone_profile(request: web.Request) -> web.Response:
        return answer(await gateway.zone_profile(await body(request, zones.ProfileRequest)))

    async def zone_import(request: web.Request) -> web.Response:
        return answer(await gateway.zone_import(await body(request, zones.ZoneImportRequest)))

    async def whois(request: web.Request) -> web.Response:
        return answer(await gateway.whois(request.match_info["name"]))

    async def explain(request: web.Request) -> web.Response:
        return answer(await gateway.explain(await body(request, ExplainRequest)))

    async def published(request: web.Request) -> web.Response:
        return answer(await gateway.published())

    async def topics(request: web.Request) -> web.Response:
        return answer(await gateway.topics())

    async def join_topic(request: web.Request) -> web.Response:
        return answer(await gateway.join_topic(await body(request, JoinTopicRequest)))

    async def leave_topic(request: web.Request) -> web.Response:
        return answer(await gateway.leave_topic(request.match_info["name"]))

    async def topic_peers(request: web.Request) -> web.Response:
        return answer(await gateway.topic_peers(request.match_info["name"]))

    async def live(request: web.Request) -> web.Response:
        return answer(await gateway.live())

    async def dashboard_login(request: web.Request) -> web.Response:
        return answer(await gateway.dashboard_login())

    async def usage(request: web.Request) -> web.Response:
        return answer(await gateway.usage(request.query.get("month")))

    async def limits(request: web.Request) -> web.Response:
        return answer(await gateway.limits())

    async def set_limits(request: web.Request) -> web.Response:
        return answer(await gateway.set_limits(await body(request, SetLimitsRequest)))

    async def metrics(request: web.Request) -> web.Response:
        return answer(await gateway.metrics())

    async def reload(request: web.Request) -> web.Response:
        return answer(await gateway.reload())

    async def down(request: web.Request) -> web.Response:
        await gateway.down()
        return answer({})

    async def logs(request: web.Request) -> web.StreamResponse:
        return await _send_logs(request, log_file)

    paths: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
        ("GET", "/status", status),
        ("GET", "/services", services),
        ("POST", "/services", expose),
        ("DELETE", "/services/{name}", unexpose),
        ("GET", "/contacts", contacts),
        ("POST", "/contacts", add_contact),
        ("POST", "/contacts/import", import_contacts),
        ("GET", "/groups", groups),
        ("POST", "/groups", change_group),
        ("DELETE", "/contacts/{petname}", remove_contact),
        ("PATCH", "/contacts/{petname}", rename_contact),
        ("PUT", "/contacts/{petname}/path", set_path_policy),
        ("GET", "/ticket", plain_ticket),
        ("POST", "/ticket", ticket),
        ("POST", "/join", join),
        ("POST", "/invites", invite),
        ("GET", "/invites", invites),
        ("DELETE", "/invites/{serial}", revoke_invite),
        ("POST", "/invites/take", take_invite),
        ("POST", "/codes", offer_code),
        ("GET", "/codes/{code}", code),
        ("DELETE", "/codes/{code}", cancel_code),
        ("POST", "/codes/say", say_code),
        ("GET", "/vouchers", vouchers),
        ("POST", "/vouchers", add_voucher),
        ("POST", "/ping", ping),
        ("GET", "/paths/{name}", paths_to),
        ("POST", "/netcheck", netcheck),
        ("POST", "/resolve", resolve),
        ("GET", "/zone", zone),
        ("POST", "/zone/set", zone_set),
        ("POST", "/zone/unset", zone_unset),
        ("POST", "/zone/profile", zone_profile),
        ("POST", "/zone/import", zone_import),
        ("GET", "/whois/{name}", whois),
        ("POST", "/explain", explain),
        ("GET", "/published", published),
        ("GET", "/topics", topics),
        ("POST", "/topics", join_topic),
        ("DELETE", "/topics/{name}", leave_topic),
        ("GET", "/topics/{name}/peers", topic_peers),
        ("GET", "/live", live),
        ("POST", "/dashboard/login", dashboard_login),
        ("GET", "/usage", usage),
        ("GET", "/limits", limits),
        ("POST", "/limits", set_limits),
        ("GET", "/metrics", metrics),
        ("POST", "/reload", reload),
        ("POST", "/down", down),
        ("GET", "/logs", logs),
    )
    return [web.route(method, f"/v{api.API_VERSION}{path}", told(handler)) for method, path, handler in paths]


def refuse(status: int, error: str, code: str) -> web.Response:
    """An error that is no GatewayError as a reply."""
    return answer(ErrorReply(error=error, code=code), status)


def told(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler, with a GatewayError told as JSON."""

    async def wrapped(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except GatewayError as error:
            status, reply = reply_of(error)
            return answer(reply, status)

    return wrapped


def answer(report: object, status: int = 200) -> web.Response:
    """A report as a reply."""
    return web.Response(
        body=msgspec.json.encode(report),
        status=status,
        content_type="application/json",
        headers={VERSION_HEADER: package.__version__},
    )


async def body(request: web.Request, kind: type[T]) -> T:
    """The request's JSON as `kind`; UsageError when it is too long, too slow or something else."""
    try:
        async with asyncio.timeout(CONTROL_BODY_SECONDS):
            data = await request.read()
    except TimeoutError:
        raise UsageError(f"request: the body did not arrive within {CONTROL_BODY_SECONDS:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise UsageError(f"request: the body is longer than {CONTROL_BODY_BYTES} bytes") from None
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"request: {request.path} does not take this: {error}") from None


async def _send_logs(request: web.Request, log_file: Path) -> web.StreamResponse:
    """The last `lines` lines as text; with `follow=1`, each new one as it comes, until the caller hangs up."""
    try:
        count = min(int(request.query.get("lines", "100")), CONTROL_LOG_LINES)
    except ValueError:
        count = -1
    if count < 0:
        raise UsageError("logs: lines is a number")
    tail = LogTail(log_file)
    response = web.StreamResponse(headers={VERSION_HEADER: package.__version__})
    response.content_type = "text/plain"
    response.charset = "utf-8"
    try:
        lines = await asyncio.to_thread(tail.last, count)
        await response.prepare(request)
        while True:
            if lines:
                await response.write("".join(f"{line}\n" for line in lines).encode())
            if request.query.get("follow") != "1":
                break
            await asyncio.sleep(_LOG_POLL_SECONDS)
            if request.transport is None:  # the caller hung up while there was nothing to tell
                break
            lines = await asyncio.to_thread(tail.added)
        await response.write_eof()
    except ConnectionError:
        pass  # the caller hung up
    finally:
        tail.close()
    return response
