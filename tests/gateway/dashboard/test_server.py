"""The web server for browsers on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.control.routes import routes
from gateway.dashboard import limits
from gateway.dashboard import server as server_module
from gateway.dashboard.server import KEY_HEADER, DashboardServer
from gateway.errors import ConfigurationError
from gateway.local_users import LocalUsers
from gateway.supervision import Supervisor
from tests.lab.control import FakeGateway

PAGE = "/"
PAC = "/proxy.pac"


@asynccontextmanager
async def serving(tmp_path, users=None, host="127.0.0.1", port=0):
    supervisor = Supervisor()
    log = tmp_path / "gateway.log"
    server = DashboardServer(
        host,
        port,
        gateway=FakeGateway(),
        log_file=log,
        users=users or LocalUsers(),
        proxy_address=lambda: server.proxy,
        spawn=lambda coroutine, name: supervisor.spawn(coroutine, name=name),
    )
    server.proxy = ("127.0.0.1", 1080)
    server.log_file = log
    server.supervisor = supervisor
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        await supervisor.close()


@pytest.fixture
async def dashboard(tmp_path):
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def browser(dashboard):
    async with Browser(dashboard) as it:
        yield it


class Browser:
    """Somebody who speaks HTTP with the dashboard, and is logged in once `log_in` was called."""

    def __init__(self, server: DashboardServer) -> None:
        self.server = server
        self.url = "http://{}:{}".format(*server.address)
        self.headers: dict[str, str] = {}

    async def __aenter__(self):
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    async def log_in(self) -> dict[str, str]:
        token = self.server.login().url.partition("#login=")[2]
        status, _, text = await self.ask("POST", "/login", json={"token": token})
        assert status == 200, text
        self.headers = {KEY_HEADER: json.loads(text)["key"]}
        return self.headers

    async def ask(self, method: str, path: str, *, json=None, headers=None, **more):
        async with self.session.request(
            method, self.url + path, json=json, headers=self.headers | (headers or {}), **more
        ) as reply:
            return reply.status, reply.headers, await reply.text()

    async def get(self, path: str, **headers: str):
        return await self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})


# --- the PAC file, the page --------------------------------------------------------------------------------------


async def test_the_pac_file_names_the_proxy(browser):
    status, headers, text = await browser.get(PAC)
    assert (status, headers["Content-Type"]) == (200, "application/x-ns-proxy-autoconfig")
    assert "127.0.0.1:1080" in text


async def test_a_proxy_that_listens_everywhere_is_named_by_the_address_that_was_asked(browser, dashboard):
    dashboard.proxy = ("0.0.0.0", 1080)
    assert "SOCKS5 127.0.0.1:1080" in (await browser.get(PAC))[2]


async def test_without_a_proxy_there_is_no_pac_file(browser, dashboard):
    dashboard.proxy = None
    assert (await browser.get(PAC))[0] == 503


@pytest.mark.parametrize("path", [PAGE, PAC, "/static/app.js", "/v1/status", "/events", "/nothing"])
async def test_every_answer_forbids_to_be_used_elsewhere(browser, path):
    _, headers, _ = await browser.get(path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cache-Control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("path", [PAGE, PAC, "/static/app.js", "/v1/status", "/login"])
@pytest.mark.parametrize(
    "host", ["rebound.example.org", "rebound.example.org:7399", "evil", "127.0.0.1", "[::1]:7399"]
)
async def test_a_name_that_was_pointed_here_is_refused(browser, path, host):
    await browser.log_in()
    status, _, text = await browser.get(path, Host=host)
    assert status == 403
    assert "not by a name" in text


async def test_the_page_tells_nothing_of_this_gateway(browser):
    status, headers, text = await browser.get(PAGE)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "me" not in text.split()


async def test_what_a_browser_has_already_is_not_sent_again(browser):
    _, headers, _ = await browser.get("/static/app.js")
    assert (await browser.get("/static/app.js", If_None_Match=headers["ETag"]))[0] == 304


@pytest.mark.parametrize(
    "path",
    ["/static/", "/static/../server.py", "/static/%2e%2e/server.py", "/static/x.js", "/static//etc/passwd"],
)
async def test_nothing_else_is_served(browser, path):
    import yarl

    url = yarl.URL(browser.url + path, encoded=True)
    async with browser.session.get(url) as reply:
        assert reply.status in (401, 404)


# --- getting in --------------------------------------------------------------------------------------------------


async def test_without_a_session_nothing_is_told_or_done(browser, dashboard):
    told = [(route.method, route.path) for route in routes(FakeGateway(), dashboard.log_file)]
    told += [
        ("GET", "/events"),
        ("GET", "/events/logs"),
        ("POST", "/qr"),
        ("POST", "/logout"),
        ("GET", "/v1"),
        ("PUT", "/"),
    ]
    for method, path in told:
        status, _, text = await browser.ask(method, path.replace("{name}", "alice"))
        assert status == (405 if path == "/" else 401), (method, path)
        assert "alice" not in text


async def test_a_link_lets_one_browser_in_once(browser, dashboard):
    url = dashboard.login().url
    assert url.startswith(f"{browser.url}/#login=")
    token = url.partition("#login=")[2]
    status, headers, text = await browser.ask("POST", "/login", json={"token": token})
    assert status == 200
    cookie = headers["Set-Cookie"]
    assert f"overlay-{dashboard.address[1]}=" in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    browser.headers = {KEY_HEADER: json.loads(text)["key"]}
    assert (await browser.get("/v1/status"))[0] == 200
    assert (await browser.ask("POST", "/login", json={"token": token}))[0] == 403


async def test_the_cookie_alone_and_the_key_alone_are_worth_nothing(browser):
    headers = await browser.log_in()
    browser.headers = {}
    assert (await browser.get("/v1/status"))[0] == 401
    browser.headers = headers
    browser.session.cookie_jar.clear()
    assert (await browser.get("/v1/status"))[0] == 401


@pytest.mark.parametrize("token", ["", "x", "x" * 100])
async def test_another_text_lets_nobody_in(browser, token):
    status, _, text = await browser.ask("POST", "/login", json={"token": token})
    assert status == 403
    assert "overlay dash" in text


async def test_a_login_that_a_form_can_send_is_refused(browser, dashboard):
    token = dashboard.login().url.partition("#login=")[2]
    body = json.dumps({"token": token})
    status, _, _ = await browser.ask("POST", "/login", data=body, headers={"Content-Type": "text/plain"})
    assert status == 415
    status, _, _ = await browser.ask(
        "POST", "/login", json={"token": token}, headers={"Origin": "http://evil.example"}
    )
    assert status == 403
    assert (await browser.ask("POST", "/login", json={"token": token}))[0] == 200  # neither used it up


async def test_who_logs_out_is_out(browser):
    await browser.log_in()
    assert (await browser.ask("POST", "/logout"))[0] == 200
    assert (await browser.get("/v1/status"))[0] == 401


async def test_other_pages_get_nothing_with_a_session_either(browser):
    await browser.log_in()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"},
    ):
        for method, path in (
            ("GET", "/v1/status"),
            ("GET", "/events"),
            ("POST", "/v1/services"),
            ("OPTIONS", "/v1/status"),
        ):
            assert (await browser.ask(method, path, headers=headers))[0] == 403


async def test_what_a_page_has_no_use_for_is_not_there(browser):
    await browser.log_in()
    assert (await browser.ask("POST", "/v1/down"))[0] == 404
    assert (await browser.ask("POST", "/v1/dashboard/login"))[0] == 404


async def test_a_gateway_that_listens_everywhere_is_opened_by_loopback(tmp_path):
    async with serving(tmp_path, host="0.0.0.0") as server:
        assert server.login().url.startswith("http://127.0.0.1:")


# --- other users -------------------------------------------------------------------------------------------------


@pytest.mark.needs("root", "curl")
async def test_another_user_of_this_machine_gets_nothing(tmp_path):
    async with serving(tmp_path) as server, Browser(server) as browser:
        headers = await browser.log_in()
        cookie = "; ".join(f"{c.key}={c.value}" for c in browser.session.cookie_jar)
        for path in (PAGE, PAC, "/static/app.js", "/v1/status", "/events"):
            answers = {}
            for who in ("65534", "0"):
                done = await asyncio.to_thread(
                    subprocess.run,
                    ["setpriv", f"--reuid={who}", "--clear-groups", "curl", "-s", "--max-time", "2", "-o", os.devnull, "-w", "%{http_code}",
                     "-H", f"{KEY_HEADER}: {headers[KEY_HEADER]}", "-H", f"Cookie: {cookie}", browser.url + path],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                answers[who] = done.stdout
            assert answers == {"65534": "403", "0": "200"}, path


async def test_who_is_not_admitted_takes_nobodys_place(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "DASHBOARD_CONNECTIONS", 1)
    users = LocalUsers()
    async with serving(tmp_path, users=users) as server:
        monkeypatch.setattr(LocalUsers, "admits", lambda *_: False)
        others = [await asyncio.open_connection(*server.address) for _ in range(5)]
        for reader, writer in others:
            assert b" 403 " in await reader.read()
            writer.close()
            await writer.wait_closed()
        monkeypatch.undo()
        async with Browser(server) as browser:
            assert (await browser.get(PAGE))[0] == 200


async def test_connections_beyond_the_limit_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "DASHBOARD_CONNECTIONS", 2)
    async with serving(tmp_path) as dashboard:
        held = [await asyncio.open_connection(*dashboard.address) for _ in range(2)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*dashboard.address)
        assert b" 503 " in await reader.read()
        for _, open_writer in (*held, (reader, writer)):
            open_writer.close()
            await open_writer.wait_closed()
    assert limits.DASHBOARD_CONNECTIONS > 2


async def test_who_says_nothing_keeps_no_place(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "DASHBOARD_HEAD_SECONDS", 0.2)
    async with serving(tmp_path) as dashboard:
        silent = [await asyncio.open_connection(*dashboard.address) for _ in range(3)]
        silent[1][1].write(b"GET / HTTP/1.1\r\nHost: ")
        async with asyncio.timeout(10):
            for reader, writer in silent:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()


async def test_a_taken_port_is_named_with_the_setting(dashboard, tmp_path):
    host, port = dashboard.address
    with pytest.raises(ConfigurationError, match=rf"{port}.*--dashboard-port"):
        async with serving(tmp_path, host=host, port=port):
            pass


# --- what pages ask ----------------------------------------------------------------------------------------------


async def test_a_qr_code_is_rows_of_modules(browser):
    await browser.log_in()
    status, _, text = await browser.ask("POST", "/qr", json={"text": "overlay:i1yyyy"})
    rows = json.loads(text)["rows"]
    assert status == 200
    assert {len(row) for row in rows} == {len(rows)}
    assert {module for row in rows for module in row} == {"0", "1"}
    for text in ("", "y" * 4296 + "y", "ü" * 4000):
        assert (await browser.ask("POST", "/qr", json={"text": text}))[0] in (400, 500)


async def test_what_is_changed_is_told_to_those_who_look_at_it(browser):
    await browser.log_in()
    async with browser.session.get(f"{browser.url}/events?watch=services", headers=browser.headers) as stream:
        assert stream.content_type == "text/event-stream"
        assert await until(stream, "services") == []
        await browser.ask(
            "POST", "/v1/services", json={"name": "web", "settings": {"target": "127.0.0.1:8000"}}
        )
        assert [one["name"] for one in await until(stream, "services")] == ["web"]
        await browser.ask("POST", "/logout")
        await asyncio.wait_for(stream.content.read(), 5)  # the stream of who is logged out ends


async def test_the_log_is_told_as_it_is_written(browser, dashboard):
    await browser.log_in()
    dashboard.log_file.write_text("one\ntwo\n")
    async with browser.session.get(f"{browser.url}/events/logs?lines=1", headers=browser.headers) as stream:
        assert await until(stream, "lines") == ["two"]
        with dashboard.log_file.open("a") as file:
            file.write("three\n")
        assert await until(stream, "lines") == ["three"]


async def test_closing_ends_what_pages_follow_and_frees_it(tmp_path):
    async with serving(tmp_path) as server, Browser(server) as browser:
        await browser.log_in()
        streams = [
            await browser.session.get(f"{browser.url}/{path}", headers=browser.headers)
            for path in ("events", "events/logs")
        ]
        await until(streams[0], "live")
        assert len(server.supervisor) == 1
        await asyncio.wait_for(server.close(), 5)
        assert len(server.supervisor) == 0
        for stream in streams:
            stream.close()


async def until(stream: aiohttp.ClientResponse, kind: str):
    """The data of the next event of a kind."""
    async with asyncio.timeout(10):
        while True:
            lines = (await stream.content.readuntil(b"\n\n")).decode().strip().split("\n")
            if lines[0] == f"event: {kind}":
                return json.loads(lines[1].removeprefix("data: "))
