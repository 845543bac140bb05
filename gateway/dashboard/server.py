"""The web server for browsers on this machine: the dashboard's pages, what they ask, and `/proxy.pac`.

Everything that tells or changes something is the control API, and needs a session; see `sessions` for who gets one
and `guard` for what else is asked of a request. The page itself, the PAC file and DNS over HTTPS tell
no more than the proxy and the DNS server do, and still go to nobody but users of this machine that `LocalUsers` admits.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from gateway.control.dashboard import LoginReport
from gateway.control.routes import answer, body, refuse, routes, told
from gateway.dashboard import guard
from gateway.dashboard.door import Door
from gateway.dashboard.files import INDEX, read_files
from gateway.dashboard.guard import Kind
from gateway.dashboard.limits import (
    DASHBOARD_CONNECTIONS,
    DASHBOARD_HEAD_SECONDS,
    DASHBOARD_KEEPALIVE_SECONDS,
    DASHBOARD_QR_CHARACTERS,
    DASHBOARD_TOKEN_SECONDS,
)
from gateway.dashboard.news import News
from gateway.dashboard.sessions import Sessions
from gateway.dashboard.streams import Streams
from gateway.errors import ConfigurationError
from gateway.limits import CONTROL_BODY_BYTES
from gateway.pac import CONTENT_TYPE, pac
from gateway.qr_codes import modules
from gateway.web_port import WebPort

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from gateway.dashboard.files import StaticFile
    from gateway.dashboard.news import Gateway
    from gateway.local_users import LocalUsers

KEY_HEADER: Final = "Overlay-Key"
"""Where a page shows the key of its session."""

_STATIC: Final = "/static/"
_PAC: Final = "/proxy.pac"
_LOGIN: Final = "/login"
_NOT_HERE: Final = frozenset({"/v1/down", "/v1/dashboard/login"})
"""What the control socket answers and a page has no use for."""


class _LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: Annotated[str, Meta(max_length=100)]


class _QrRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=DASHBOARD_QR_CHARACTERS)]


class DashboardServer:
    """Listens from `start` to `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        gateway: Gateway,
        log_file: Path,
        users: LocalUsers,
        proxy_address: Callable[[], tuple[str, int] | None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        doh: Collection[web.RouteDef] = (),
    ) -> None:
        """`proxy_address` tells where the proxy listens, or None while it does not; `doh` answers DNS over HTTPS."""
        self._host = host
        self._port = port
        self._users = users
        self._proxy_address = proxy_address
        self._open_to_programs = {_PAC, *(route.path for route in doh)}
        self._files: Mapping[str, StaticFile] = {}
        self._sessions = Sessions(secrets.token_bytes)
        self._news = News(gateway, spawn)
        self._streams = Streams(self._news, log_file)
        app = web.Application(middlewares=[self._guard], client_max_size=CONTROL_BODY_BYTES)
        app.on_response_prepare.append(_forbid)
        app.add_routes([route for route in routes(gateway, log_file) if route.path not in _NOT_HERE])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get(_STATIC + "{name:.+}", self._file),
                web.get(_PAC, self._pac),
                web.post(_LOGIN, told(self._log_in)),
                web.post("/logout", self._log_out),
                web.get("/events", told(self._events)),
                web.get("/events/logs", told(self._logs)),
                web.post("/qr", told(self._qr)),
                *doh,
            ]
        )
        self._web = WebPort(
            app,
            connections=DASHBOARD_CONNECTIONS,
            first_request=DASHBOARD_HEAD_SECONDS,
            keepalive=DASHBOARD_KEEPALIVE_SECONDS,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens; ConfigurationError before `start`."""
        address = self._web.address
        if address is None:
            raise ConfigurationError("the dashboard is not running")
        return address

    async def start(self) -> None:
        """Listen; ConfigurationError says in one line why not."""
        self._files = await asyncio.to_thread(read_files)
        try:
            await self._web.start(lambda: Door(self._users, self._web.enter), self._host, self._port)
        except OSError as error:
            why = (
                "another program, or another gateway, uses this port"
                if error.errno == errno.EADDRINUSE
                else (error.strerror or str(error)).lower()
            )
            raise ConfigurationError(
                f"the dashboard cannot listen on {self._host}:{self._port}: {why}; "
                "choose another with [dashboard] port or --dashboard-port, 0 for any free one"
            ) from None

    async def close(self) -> None:
        """Stop listening, and end what pages follow; idempotent."""
        self._web.stop()
        self._streams.close()
        await self._web.close()

    def login(self) -> LoginReport:
        """A URL that lets one browser in, once."""
        host, port = self.address
        ip = ip_address(host)
        if ip.is_unspecified:
            ip = ip_address("127.0.0.1" if ip.version == 4 else "::1")
        place = f"[{ip}]" if ip.version == 6 else str(ip)
        token = self._sessions.issue(_now())
        return LoginReport(
            url=f"http://{place}:{port}/#login={token}",
            seconds=DASHBOARD_TOKEN_SECONDS,
            note=self._users.note,
        )

    # --- who may ask --------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._web.first_requests.came(request.protocol)
        here = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if here is None:
            raise ConnectionResetError
        # The authority of a whole URL would count more than the Host that is looked at (RFC 9112 §3.2.2).
        if not request.raw_path.startswith("/"):
            return refuse(403, "dashboard: this is no proxy", "usage")
        kind = self._kind(request.path)
        if why := guard.refusal(kind, request.headers, here[:2]):
            return refuse(403, f"dashboard: {why}", "usage")
        if kind is Kind.DATA and request.path != _LOGIN and not self._is_open(request):
            return refuse(401, "dashboard: this browser is not logged in; run: overlay dash", "usage")
        response = await handler(request)
        if request.method not in ("GET", "HEAD"):
            self._news.hurry()
        return response

    def _kind(self, path: str) -> Kind:
        if path == "/":
            return Kind.PAGE
        return Kind.FILE if path in self._open_to_programs or path.startswith(_STATIC) else Kind.DATA

    def _is_open(self, request: web.Request) -> bool:
        cookie, key = request.cookies.get(self._cookie, ""), request.headers.get(KEY_HEADER, "")
        return self._sessions.is_open(cookie, key, _now())

    @property
    def _cookie(self) -> str:
        """Cookies know no ports: gateways on one machine must not take each other's."""
        return f"overlay-{self.address[1]}"

    async def _log_in(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # what a form can send is not
            return refuse(415, "dashboard: a login is JSON", "usage")
        login = self._sessions.log_in((await body(request, _LoginRequest)).token, _now())
        if login is None:
            why = "that link was used already, or is older than a minute; run once more: overlay dash"
            return refuse(403, f"dashboard: {why}", "usage")
        response = answer({"key": login.key})
        response.set_cookie(self._cookie, login.cookie, path="/", httponly=True, samesite="Strict")
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        self._sessions.log_out(request.cookies.get(self._cookie, ""))
        response = answer({})
        response.del_cookie(self._cookie, path="/", httponly=True, samesite="Strict")
        return response

    # --- pages --------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return _sent(request, self._files[INDEX])

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="There is nothing of that name.\n")
        return _sent(request, file)

    async def _pac(self, request: web.Request) -> web.Response:
        address = self._proxy_address()
        if address is None:
            raise web.HTTPServiceUnavailable(text="The proxy is switched off ([proxy] enabled).\n")
        host, port = address
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if ip_address(host).is_unspecified and local is not None:
            host = local[0]  # the proxy listens everywhere, so also where this request came to
        return web.Response(
            body=pac(host, port).encode(),
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-cache"},
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.events(request, lambda: self._is_open(request))

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.logs(request, lambda: self._is_open(request))

    async def _qr(self, request: web.Request) -> web.Response:
        rows = modules((await body(request, _QrRequest)).text)
        return answer({"rows": ["".join("1" if dark else "0" for dark in row) for row in rows]})


def _now() -> float:
    return asyncio.get_running_loop().time()


def _sent(request: web.Request, file: StaticFile) -> web.Response:
    headers = {"Cache-Control": "no-cache", "ETag": file.tag}
    if request.headers.get("If-None-Match") == file.tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)


async def _forbid(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(guard.HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
