"""Pages under .localhost and with local HTTPS are secure contexts in a real browser, and real clients take our certificates."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from dnslib import DNSQuestion, DNSRecord
from playwright.sync_api import Error, Page, sync_playwright

from gateway.answers.base import time_now
from gateway.secure.authority import Authority
from tests.lab import chromium as browsers
from tests.lab.forgeries import forge, showing
from tests.lab.gateways import OVERLAY, clean_environment, wait_until
from tests.lab.web import web_server
from tests.lab.worlds import World, alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUERY = "AAABAAABAAAAAAAAA3dlYgVhbGljZQdvdmVybGF5AAABAAE"
"""For the address of web.alice.overlay."""

needs_chromium = pytest.mark.needs("chromium", "certutil")


class Secure(NamedTuple):
    """Alice and bob, and bob's authority in the stores of a person of the test's own."""

    world: World
    person: Path
    authority: Path

    def port(self, door: str) -> int:
        return self.world.bob.port(door)

    def at_loopback(self) -> tuple[str, dict[int, int]]:
        """The address that stands for web.alice.overlay, and where each of its ports is really."""
        entries = self.world.bob.json("status")["loopback"]
        entry = next(entry for entry in entries if entry["name"] == "web.alice.overlay")
        return entry["ip"], {offer["port"]: offer["offered"] for offer in entry["offers"]}

    def curl(self, *words: str) -> str:
        """What it says, or why not; a `--cacert` among the words counts instead of ours."""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", str(self.authority), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env=clean_environment(),
        )
        return done.stdout or done.stderr


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    place = tmp_path_factory.mktemp("secure")
    person = place / "person"
    person.mkdir()
    with alice_and_bob(place) as world:
        install = [OVERLAY, "--home", str(world.bob.home), "ca", "install", "--store", "chromium", "--json"]
        done = subprocess.run(
            install,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment() | {"HOME": str(person)},
        )
        assert not done.returncode, done.stderr
        said = json.loads(done.stdout)
        assert [store["state"] for store in said["stores"]] == ["trusted"]
        world.bob.status = world.bob.json("status")
        yield Secure(world, person, world.bob.home / "ca" / "authority.pem")


@contextlib.contextmanager
def chromium(secure: Secure, *flags: str) -> Iterator[Page]:
    """A page of that person's Chromium, which knows the way to .overlay by the PAC file."""
    pac = f"--proxy-pac-url=http://{secure.world.bob.listens('dashboard')}/proxy.pac"
    with browsers.chromium(secure.person, pac, *flags) as browser:
        yield browser.new_page()


def open_secure(page: Page, url: str) -> None:
    page.goto(url, timeout=30_000)
    assert page.evaluate("window.isSecureContext")
    assert page.evaluate("typeof navigator.clipboard.writeText") == "function"
    assert page.evaluate("crypto.randomUUID().length") == 36
    assert page.evaluate(
        "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready)"
        ".then((ready) => ready.active.scriptURL)"
    ).endswith("/worker.js")


@needs_chromium
def test_a_page_under_localhost_is_a_secure_context_with_service_workers_and_its_web_socket(secure):
    with chromium(secure) as page:
        open_secure(page, f"http://web.alice.localhost:{secure.port('front door')}/")
        page.get_by_text("marco polo").wait_for(timeout=15_000)


@needs_chromium
def test_a_page_with_our_certificate_is_one_too(secure):
    with chromium(secure) as page:
        for there in ("web.alice.overlay", f"web.alice.localhost:{secure.port('https')}"):
            open_secure(page, f"https://{there}/")
            heard = page.evaluate(
                "new Promise((told) => { const s = new WebSocket('wss://' + location.host + '/socket');"
                " s.onopen = () => s.send('marco'); s.onmessage = (e) => told(e.data); })"
            )
            assert heard == "marco polo"


@needs_chromium
def test_a_certificate_that_our_authority_signs_for_another_name_is_refused_by_chromium(secure, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority.load(secure.authority.parent)
    assert authority is not None
    good = authority.issue("good.forged.localhost", time_now(), key.public_key())
    bad = forge(authority, x509.DNSName("www.forged.example"), key=key)
    with (
        showing(good, key, tmp_path) as ours,
        showing(bad, key, tmp_path) as theirs,
        chromium(secure, "--host-resolver-rules=MAP *.forged.example 127.0.0.1") as page,
    ):
        page.goto(f"https://good.forged.localhost:{ours}/", timeout=20_000)
        assert page.locator("body").inner_text() == "forged"
        with pytest.raises(Error, match="ERR_CERT"):
            page.goto(f"https://www.forged.example:{theirs}/", timeout=20_000)


ATTEMPTS = """async (places) => {
    const said = [];
    for (const [url, options] of places) {
        try { const answer = await fetch(url, options); said.push(answer.type + await answer.text()); }
        catch (error) { said.push("failed"); }
    }
    said.push(await new Promise((told) => {
        const socket = new WebSocket(places[0][0].replace("http", "ws") + "socket");
        socket.onopen = () => told("open"); socket.onerror = () => told("failed");
    }));
    return said;
}"""


@needs_chromium
def test_a_hostile_page_gets_nothing_from_the_front_door_and_dns_over_https(secure, tmp_path):
    """It may be anywhere: here at a port of 127.0.0.1, which is another site for the browser."""
    (tmp_path / "index.html").write_text("<title>hostile</title>")
    port, dashboard = secure.port("front door"), secure.world.bob.listens("dashboard")
    there, dns = f"http://web.alice.localhost:{port}/", f"http://dns.localhost:{port}/dns-query?dns={QUERY}"
    places = [
        [there, {}],
        [there, {"mode": "no-cors"}],
        [f"{there}echo", {"mode": "no-cors", "method": "POST", "body": "x"}],
        [dns, {"mode": "no-cors"}],
        [dns, {}],
        [f"http://{dashboard}/dns-query?dns={QUERY}", {}],
    ]
    seen = len(secure.world.web.seen)
    with web_server(tmp_path) as hostile, chromium(secure) as page:
        page.goto(f"http://127.0.0.1:{hostile.port}/files/index.html")
        tried = page.evaluate(ATTEMPTS, places)
        assert tried == ["failed", "opaque", "opaque", "opaque", "failed", "failed", "failed"]
        page.set_content(f"<iframe src='{there}'></iframe>")
        page.frame_locator("iframe").get_by_text("Another site may not do this").wait_for(timeout=15_000)
    assert len(secure.world.web.seen) == seen  # what the page could not read has not happened either


@needs_chromium
def test_chromium_finds_names_by_dns_over_https_alone(secure, tmp_path):
    wanted = {"mode": "secure", "templates": f"https://dns.localhost:{secure.port('https')}/dns-query"}
    _, ports = secure.at_loopback()
    (tmp_path / "Local State").write_text(json.dumps({"dns_over_https": wanted}))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(tmp_path),
            executable_path=browsers.PROGRAM,
            args=browsers.FLAGS,
            env=browsers.environment(secure.person),
        )
        page = browser.new_page()
        page.goto(f"http://web.alice.overlay:{ports[80]}/", timeout=20_000)
        assert page.title() == "Alice"
        page.goto(f"https://web.alice.overlay:{ports[443]}/", timeout=20_000)
        assert page.evaluate("window.isSecureContext")
        browser.close()


@pytest.mark.needs("curl", "certutil")
def test_curl_takes_our_certificates_at_every_door(secure):
    bob = secure.world.bob
    assert "alice.localhost" in secure.curl(f"https://web.alice.localhost:{secure.port('https')}/headers")
    by_id = f"web.{secure.world.alice.id}"
    for name in ("web.alice", by_id):
        for proxy in (f"socks5h://{bob.listens('proxy')}", f"http://{bob.listens('proxy')}"):
            seen = json.loads(secure.curl("--proxy", proxy, f"https://{name}.overlay/headers"))
            assert (seen["Host"], seen["X-Forwarded-Proto"]) == (f"{name}.overlay", "https")
    ip, ports = secure.at_loopback()
    port = ports[443]
    for name in ("web.alice.overlay", "alice.overlay"):
        place = f"{name}:{port}:{ip}"
        assert name in secure.curl("--resolve", place, f"https://{name}:{port}/headers")
    refused = secure.curl("--resolve", f"web.bob.overlay:{port}:{ip}", f"https://web.bob.overlay:{port}/")
    assert "curl: (35)" in refused
    assert "curl: (35)" in secure.curl(
        "--resolve",
        f"example.com:{secure.port('https')}:127.0.0.1",
        f"https://example.com:{secure.port('https')}/",
    )


@pytest.mark.needs("curl", "certutil")
def test_a_service_with_tls_of_its_own_is_passed_through_untouched(secure, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    other = Authority.make(time_now(), "alice's own")
    (tmp_path / "other.pem").write_bytes(other.pem)
    certificate = other.issue("shop.alice.overlay", time_now(), key.public_key())
    with showing(certificate, key, tmp_path) as port:
        secure.world.alice.run("expose", "shop", f"127.0.0.1:{port}", "--port", "443", "--allow", "bob")
        words = ("--proxy", f"socks5h://{secure.world.bob.listens('proxy')}", "https://shop.alice.overlay/")
        wait_until(lambda: secure.curl("--cacert", str(tmp_path / "other.pem"), *words) == "forged")
        assert "certificate" in secure.curl(*words)  # ours is not what it shows
        secure.world.alice.run("unexpose", "shop")


@pytest.mark.needs("curl", "certutil")
@pytest.mark.parametrize("where", ["front door", "https", "dashboard"])
def test_dns_over_https_gives_what_the_dns_server_gives(secure, where, tmp_path):
    port = secure.port(where)
    origin = {
        "front door": "http://dns.localhost",
        "https": "https://dns.localhost",
        "dashboard": "http://127.0.0.1",
    }
    url = f"{origin[where]}:{port}/dns-query"
    query = DNSRecord(q=DNSQuestion("web.alice.overlay"))
    (tmp_path / "query").write_bytes(query.pack())
    post = ("--data-binary", f"@{tmp_path / 'query'}", "-H", "Content-Type: application/dns-message")
    for words in ((f"{url}?dns={QUERY}",), (*post, url)):
        secure.curl("-o", str(tmp_path / "reply"), *words)
        reply = DNSRecord.parse((tmp_path / "reply").read_bytes())
        assert str(reply.rr[0].rdata) == secure.at_loopback()[0]
    for field in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Host: evil.example"):
        status = secure.curl("-o", "/dev/null", "-w", "%{http_code}", "-H", field, f"{url}?dns={QUERY}")
        assert status in ("403", "421"), field


@pytest.mark.needs("root", "curl")
def test_another_user_of_this_machine_gets_nothing(secure):
    for url in (
        f"http://web.alice.localhost:{secure.port('front door')}/",
        f"http://dns.localhost:{secure.port('front door')}/",
    ):
        words = ["curl", "-sS", "--max-time", "10", url]
        other = subprocess.run(words, user=65534, capture_output=True, text=True, check=False, timeout=20)
        assert (other.stdout, other.returncode) == ("", 52) or other.returncode == 56, other.stderr


@pytest.mark.needs("curl", "certutil")
def test_what_cannot_be_opened_is_told_over_https(secure):
    said = secure.curl("-H", "Accept: text/html", f"https://nobody.localhost:{secure.port('https')}/")
    assert "Nobody is known by this name" in said


@needs_chromium
def test_a_page_of_one_contact_is_another_site_for_the_services_of_others(secure):
    """What a browser calls a site decides what Sec-Fetch-Site says of requests that have no Origin."""
    port = secure.port("front door")
    with chromium(secure) as page:
        page.goto(f"http://web.alice.localhost:{port}/")
        for domain, kept in (("localhost", ""), ("bob.localhost", ""), ("alice.localhost", "x=1")):
            assert page.evaluate(f"document.cookie = 'x=1; domain={domain}', document.cookie") == kept, domain
        for owner, status in (("bob", 403), ("alice", 404)):
            there = f"http://none.{owner}.localhost:{port}/"
            with page.expect_response(there) as answered:
                page.evaluate("(url) => fetch(url, {mode: 'no-cors'})", there)
            assert answered.value.status == status, owner
