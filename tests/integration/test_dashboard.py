"""The dashboard in a real Chromium, over two real gateways: each view, the keyboard, narrow screens, and pages of others."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from gateway.control.invites import InviteRequest
from tests.lab.chromium import chromium
from tests.lab.firefox import Firefox
from tests.lab.gateways import GatewayProcess, clean_environment, running
from tests.lab.hostile_pages import HostilePage, LongAnswer, serving
from tests.lab.invites import BOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.needs("chromium", "curl")

QUERY = "AAABAAABAAAAAAAAA3d3dwVhbGljZQdvdmVybGF5AAABAAE"

SCRIPT = "<img src=x onerror=\"document.title='taken'\">"
expect.set_options(timeout=15_000)
VIEWS = ("", "contacts", "services", "invites", "network", "zone", "logs")


def asked(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a gateway answers on its control socket, in another thread: Playwright runs an event loop in this one."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(call, *arguments).result(30)


class World:
    """Two gateways that do not know each other, a browser, and a web server of alice's."""

    def __init__(
        self, alice: GatewayProcess, bob: GatewayProcess, browser: Browser, server: str, shots: Path
    ) -> None:
        self.alice, self.bob, self.browser, self.server, self.shots = alice, bob, browser, server, shots

    def open(self, whose: GatewayProcess, context: BrowserContext) -> Page:
        page = context.new_page()
        page.goto(asked(whose.control.dashboard_login).url)
        page.locator("header.top").wait_for()
        return page


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("dashboard")
    alice = GatewayProcess(place / "alice", nickname="alice")
    bob = GatewayProcess(place / "bob", nickname="bob")
    with (
        serving(LongAnswer) as server,
        running(alice, bob),
        chromium(place, "--host-resolver-rules=MAP evil.example 127.0.0.1") as browser,
    ):
        yield World(alice, bob, browser, server, place)


@pytest.fixture
def context(world: World) -> Iterator[BrowserContext]:
    context = world.browser.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(world: World, context: BrowserContext) -> Iterator[Page]:
    """Alice's dashboard, logged in; whatever goes wrong in the page is an error."""
    problems: list[str] = []
    page = world.open(world.alice, context)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security" in message.text else None,
    )
    yield page
    assert not problems


def view(page: Page, name: str) -> None:
    page.evaluate("name => { location.hash = `#/${name}` }", name)
    page.locator(
        f"main[data-view='{name.partition('/')[0] if '/' not in name else 'contact'}'] h1"
    ).wait_for()


def figures(page: Page) -> dict[str, str]:
    return dict(page.locator("canvas.plot").first.evaluate("element => ({...element.dataset})"))


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Playwright's own `wait_for_function` makes functions of strings, which our policy forbids."""
    for _ in range(150):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("not within 15 s")


# --- from nothing to a transfer, by the pages alone ------------------------------------------------------------------


def test_a_service_is_exposed_an_invite_made_and_taken_and_the_plots_move(world: World, page: Page):
    view(page, "services")
    page.get_by_role("button", name="Expose…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("web")
    dialog.get_by_label("Target").fill("no target")
    dialog.get_by_role("button", name="Expose").click()
    expect(dialog.get_by_role("alert")).to_contain_text("target")
    dialog.get_by_label("Target").fill(world.server)
    dialog.get_by_role("button", name="Expose").click()
    row = page.get_by_role("row").filter(has_text=world.server)
    expect(row).to_contain_text("nobody yet")
    assert asked(world.alice.control.services)[0].name == "web"

    row.get_by_role("button", name="Invite").click()
    expect(dialog.get_by_label("web")).to_be_checked()
    dialog.get_by_label("Name").fill("bobby")
    dialog.get_by_role("button", name="Make").click()
    shown = page.get_by_role("dialog", name="Give this to them")
    expect(shown.get_by_role("img", name="QR code")).to_be_visible()
    invite = shown.locator("code").first.inner_text()
    assert invite.startswith("overlay:i1")
    page.screenshot(path=world.shots / "invite.png")
    shown.get_by_role("button", name="Done").click()
    view(page, "invites")
    expect(page.get_by_role("row").filter(has_text="bobby")).to_contain_text("open")

    other = world.browser.new_context()
    bobs = world.open(world.bob, other)
    view(bobs, "contacts")
    expect(bobs.get_by_text("You have no contacts yet")).to_be_visible()
    bobs.get_by_role("button", name="Join…").click()
    joining = bobs.get_by_role("dialog")
    joining.get_by_label("Invite, ticket").fill(invite)
    joining.get_by_role("button", name="Continue").click()
    expect(joining.get_by_text("lets you use web")).to_be_visible()
    joining.get_by_role("button", name="Continue").click()
    expect(bobs.get_by_role("link", name="alice", exact=True)).to_be_visible()

    view(page, "contacts")
    expect(page.get_by_role("link", name="bobby")).to_be_visible()
    view(page, "contacts/bobby")
    with subprocess.Popen(
        ["curl", "-s", "-o", os.devnull, "--limit-rate", "4M", "--proxy", f"socks5h://{world.bob.listens('proxy')}", "http://web.alice.overlay/"],
        env=clean_environment(),
    ) as curl:  # fmt: skip
        until(page, lambda: int(figures(page).get("most", 0)) > 100_000)
        before = int(figures(page)["points"])
        until(page, lambda: int(figures(page)["points"]) >= before + 2)
        assert re.search(
            r"sent [\d.]+ [kM]?B/s", page.locator("canvas.plot").first.get_attribute("aria-label") or ""
        )
        expect(page.locator(".now")).to_contain_text("round trip")
        expect(page.get_by_role("row").filter(has_text="in use")).to_be_visible()
        expect(page.locator(".trace li").first).to_be_visible()
        page.screenshot(path=world.shots / "contact.png", full_page=True)
        curl.kill()

    view(bobs, "contacts/alice")
    bobs.get_by_role("button", name="Ping").click()
    expect(bobs.locator(".notice").last).to_contain_text("Pong via")
    bobs.get_by_role("button", name="Ask").click()
    expect(bobs.locator(".facts")).to_contain_text("alice")
    other.close()


def test_contacts_are_added_renamed_told_their_paths_and_removed(world: World, page: Page):
    view(page, "contacts")
    page.get_by_role("button", name="Add by id…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("carol")
    dialog.get_by_label("Endpoint id").fill("nonsense")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Endpoint id").fill(str(BOB.endpoint_id))
    dialog.get_by_role("button", name="Add").click()
    row = page.get_by_role("row").filter(has_text="carol")
    row.get_by_role("combobox").select_option("relay-only")
    expect(page.locator(".notice").last).to_contain_text("relay only")
    assert (
        next(one for one in asked(world.alice.control.contacts) if one.petname == "carol").path_policy
        == "relay-only"
    )
    row.get_by_role("button", name="Rename").click()
    dialog.get_by_label("New name").fill("caroline")
    dialog.get_by_role("button", name="Rename").click()
    row = page.get_by_role("row").filter(has_text="caroline")
    page.keyboard.press("Escape")
    page.get_by_label("Filter contacts").fill("caro")
    expect(page.locator("tbody tr")).to_have_count(1)
    row.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("link", name="caroline")).to_have_count(0)
    assert "caroline" not in [one.petname for one in asked(world.alice.control.contacts)]


def test_who_may_use_a_service_is_changed_and_it_is_taken_away(world: World, page: Page):
    view(page, "services")
    page.get_by_role("button", name="Expose…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("notes")
    dialog.get_by_label("Target").fill("127.0.0.1:9")
    dialog.get_by_role("button", name="Expose").click()
    row = page.get_by_role("row").filter(has_text="notes")
    row.get_by_role("button", name="Change").click()
    dialog.get_by_label("all contacts").check()
    dialog.get_by_role("button", name="Save").click()
    expect(row.locator(".tag")).to_have_text("contacts")
    row.get_by_role("button", name="Unexpose").click()
    dialog.get_by_role("button", name="Unexpose").click()
    expect(row).to_have_count(0)
    assert "notes" not in [one.name for one in asked(world.alice.control.services)]


def test_the_zone_and_the_profile_are_edited(world: World, page: Page):
    view(page, "zone")
    page.get_by_role("button", name="Add a record…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Label", exact=True).fill("blog")
    dialog.get_by_label("Value").fill("web")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="blog")
    expect(row).to_contain_text("CNAME")
    expect(page.locator(".notice").last).to_contain_text("To undo: overlay zone unset blog")
    page.get_by_role("button", name="Change…").click()
    dialog.get_by_label("About").fill("where alice is")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("where alice is")
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    assert not asked(world.alice.control.zone).records


def test_an_invite_is_revoked(world: World, page: Page):
    made = asked(world.alice.control.invite, InviteRequest(name="dave"))
    view(page, "invites")
    row = page.get_by_role("row").filter(has_text="dave")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    states = {one.invite.serial: one.state for one in asked(world.alice.control.invites).issued}
    assert states[made.serial] == "revoked"


def test_the_log_is_followed_and_filtered(world: World, page: Page):
    view(page, "logs")
    expect(page.locator(".log")).to_contain_text("gateway.daemon: up")
    with (world.alice.home / "logs" / "gateway.log").open("a") as log:
        log.write(f"2026-01-01 00:00:00 error   test: {SCRIPT}\n")
    expect(page.locator(".log .line.error")).to_have_text(f"2026-01-01 00:00:00 error   test: {SCRIPT}")
    page.get_by_label("Filter lines").fill("nothing has this")
    expect(page.locator(".log .line")).to_have_count(0)
    page.get_by_label("Filter lines").fill("")
    page.get_by_label("Level").select_option("error")
    expect(page.locator(".log .line")).to_have_count(1)


def test_what_cannot_be_measured_says_why(world: World, page: Page):
    view(page, "network")
    expect(page.get_by_role("alert")).to_contain_text("overlay up --beacon URL")
    expect(page.get_by_text("public", exact=False).first).to_be_visible()


# --- how it is used --------------------------------------------------------------------------------------------------


def test_the_keyboard_goes_everywhere(world: World, page: Page):
    view(page, "")
    for number, name in enumerate(VIEWS, 1):
        page.keyboard.press(str(number))
        page.locator(f"main[data-view='{name}']").wait_for()
        assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("2")  # not while a dialog is open
    expect(page.locator("main[data-view='logs']")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.keyboard.press("n")
    name = page.get_by_role("dialog").get_by_label("Name")
    expect(name).to_be_focused()
    page.keyboard.type("1?")  # and not while one types
    expect(name).to_have_value("1?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("2")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter contacts")).to_be_focused()
    page.reload()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("(document.activeElement.textContent || document.activeElement.ariaLabel).trim()")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline not in ("none", ""), seen
    assert seen[0] == "Skip to content"
    assert "Overview1" in seen
    assert "Log out" in seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_the_width_of_a_telephone_nothing_is_cut_off(world: World, scheme: str):
    context = world.browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    context.set_default_timeout(15_000)
    page = world.open(world.alice, context)
    for name in (*VIEWS, "contacts/bobby"):
        view(page, name)
        page.wait_for_timeout(150)
        page.screenshot(
            path=world.shots / f"phone-{scheme}-{name.replace('/', '-') or 'overview'}.png", full_page=True
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Services").click()
    page.locator("main[data-view='services']").wait_for()
    expect(page.locator("#nav")).to_be_hidden()
    page.keyboard.press("n")
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    context.close()


def test_the_theme_follows_the_system_until_one_is_chosen(world: World, context: BrowserContext, page: Page):
    def back() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.emulate_media(color_scheme="light")
    light = back()
    page.emulate_media(color_scheme="dark")
    dark = back()
    assert light != dark
    page.screenshot(path=world.shots / "dark.png", full_page=True)
    page.keyboard.press("t")
    assert back() == light
    page.reload()
    page.locator("header.top").wait_for()
    assert back() == light
    page.keyboard.press("t")
    page.emulate_media(color_scheme="light")
    assert back() == dark
    assert (world.shots / "dark.png").stat().st_size > 10_000


# --- who else wants something ----------------------------------------------------------------------------------------


def test_what_others_call_themselves_is_only_ever_text(world: World, page: Page):
    """In every place that shows what others chose, and in errors that repeat it."""
    told = {"petname": SCRIPT, "endpoint_id": "y" * 52, "nickname": SCRIPT, "services": [SCRIPT], "groups": [SCRIPT], "warnings": [SCRIPT]}  # fmt: skip
    peer = {"endpoint_id": "y" * 52, "petname": SCRIPT, "path": SCRIPT, "where": SCRIPT, "trying": SCRIPT, "streams": 0, "flows": 0, "sent": 0, "received": 0, "seconds": 1}  # fmt: skip
    live = {"moment": 1, "started": 0, "process": {"tasks": 1, "cpu_seconds": 0}, "peers": [peer], "sent": 0, "received": 0, "streams": 0, "flows": 0}  # fmt: skip
    status = {"nickname": SCRIPT, "version": SCRIPT, "endpoint_id": SCRIPT, "uptime": 1, "listeners": [], "warnings": [SCRIPT],
              "beacons": [{"url": f"https://{SCRIPT}", "state": SCRIPT, "error": SCRIPT}]}  # fmt: skip
    service = {"name": SCRIPT, "settings": {"target": SCRIPT, "allow": [SCRIPT]}, "port": SCRIPT, "url": f"javascript:{SCRIPT}", "invited": [SCRIPT], "warnings": [SCRIPT]}  # fmt: skip
    invite = {"invite": {"serial": SCRIPT, "issuer_id": SCRIPT, "services": [SCRIPT], "issued": 0, "expires": 0, "petname": SCRIPT}, "state": SCRIPT, "reason": SCRIPT, "contact": SCRIPT}  # fmt: skip
    zone = {"host": SCRIPT, "records": [{"label": SCRIPT, "type": SCRIPT, "value": [SCRIPT]}], "profile": {"name": SCRIPT, "avatar": f"javascript:{SCRIPT}", "links": [f"javascript:{SCRIPT}"]}, "why_not": SCRIPT}  # fmt: skip
    reports = {"status": status, "live": live, "contacts": [told], "services": [service], "invites": {"issued": [invite], "held": [invite]}, "zone": zone}  # fmt: skip
    body = "".join(f"event: {kind}\ndata: {json.dumps(report)}\n\n" for kind, report in reports.items())
    page.route("**/events?*", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    page.route("**/v1/**", lambda route: route.fulfill(status=500, json={"error": SCRIPT, "code": "failure"}))
    for name in ("", "contacts", "services", "invites", "network", "zone"):
        page.goto(f"http://{world.alice.listens('dashboard')}/#/{name}")
        page.reload()
        expect(page.locator("main").get_by_text(SCRIPT).first).to_be_visible()
        assert page.locator("img").count() == 0
        assert "taken" not in page.title()
    page.goto(f"http://{world.alice.listens('dashboard')}/#/contacts/{SCRIPT.replace('/', '%2F')}")
    assert page.locator("img").count() == 0
    assert page.locator("a[href^='javascript:']").count() == 0
    page.unroute_all(behavior="ignoreErrors")


def test_without_a_session_only_the_way_in_is_shown(world: World, context: BrowserContext):
    page = context.new_page()
    page.goto(f"http://{world.alice.listens('dashboard')}/#/contacts")
    expect(page.get_by_text("overlay dash")).to_be_visible()
    assert world.alice.id not in page.content()
    page.goto(f"http://{world.alice.listens('dashboard')}/#login=wrong")
    expect(page.get_by_role("alert")).to_contain_text("used already")


def test_a_link_is_good_once_and_leaves_no_trace_and_one_can_log_out(world: World, context: BrowserContext):
    url = asked(world.alice.control.dashboard_login).url
    page = context.new_page()
    page.goto(url)
    page.locator("header.top").wait_for()
    assert "login" not in page.url
    cookie = next(each for each in context.cookies() if each["name"].startswith("overlay-"))
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["domain"]) == (True, "Strict", "127.0.0.1")
    assert page.evaluate("document.cookie") == ""
    other = world.browser.new_context()
    late = other.new_page()
    late.goto(url)
    expect(late.get_by_role("alert")).to_contain_text("used already")
    other.close()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out")).to_be_visible()
    page.reload()
    expect(page.get_by_text("overlay dash")).to_be_visible()


@pytest.mark.needs("firefox-esr")
def test_a_hostile_page_in_firefox_gets_nothing(world: World, tmp_path: Path):
    """The same, in a Firefox that is logged in."""
    dashboard = world.alice.listens("dashboard")
    port = dashboard.rpartition(":")[2]
    settings: dict[str, bool | int | str] = {"network.dns.localDomains": "evil.example"}
    with serving(HostilePage) as server, Firefox(tmp_path / "profile", settings) as firefox:
        other = server.rpartition(":")[2]
        live = (
            "new Promise((done) => setInterval(() => document.querySelector('header.top') && done('in'), 50))"
        )
        assert asked(firefox.ask, asked(world.alice.control.dashboard_login).url, live) == "in"
        before = [one.name for one in asked(world.alice.control.services)]
        tried = (  # written into a page that is there: Firefox takes the frame that is refused for a navigation that failed
            "fetch('/').then((reply) => reply.text())"
            ".then((text) => { document.open(); document.write(text); document.close(); })"
            ".then(() => new Promise((done) => setInterval(() => window.done && done(JSON.stringify(window.done)), 50)))"
        )
        for name in ("127.0.0.1", "localhost", "evil.example"):
            for at in (dashboard, f"localhost:{port}", f"evil.example:{port}"):
                assert asked(firefox.ask, f"http://{name}:{other}/idle#{at}", tried) == "[]", (name, at)
        for path in ("", "proxy.pac", f"dns-query?dns={QUERY}", "v1/status"):
            rebound = asked(firefox.ask, f"http://evil.example:{port}/{path}", "document.body.innerText")
            assert "Open this by the address that `overlay dash` prints" in rebound, path
        assert [one.name for one in asked(world.alice.control.services)] == before
        assert asked(firefox.ask, f"http://{dashboard}/", live) == "in"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.example"])
def test_a_hostile_page_in_the_same_browser_gets_nothing(world: World, name: str):
    """Of another port of this machine, which cookies take for the same site; of another name; and by DNS rebinding."""
    dashboard = world.alice.listens("dashboard")
    with serving(HostilePage) as server:
        context = world.browser.new_context()
        mine = world.open(world.alice, context)
        mine.get_by_text("live").first.wait_for()
        before = [one.name for one in asked(world.alice.control.services)]
        port, other = dashboard.rpartition(":")[2], server.rpartition(":")[2]
        for at in (dashboard, f"localhost:{port}", f"evil.example:{port}"):
            page = context.new_page()
            page.goto(f"http://{name}:{other}/#{at}")
            page.wait_for_function("window.done", timeout=20_000)
            assert page.evaluate("window.done") == [], (name, at)
            for frame in page.frames[1:]:  # what refuses to be framed shows an error of the browser's
                assert frame.url.startswith(("chrome-error:", "about:"))
            page.close()
        rebound = context.new_page()
        reply = rebound.goto(f"http://evil.example:{port}/")
        assert reply is not None
        assert reply.status == 403
        assert [one.name for one in asked(world.alice.control.services)] == before
        mine.reload()
        mine.locator("header.top").wait_for()  # whose own page still works
        context.close()
