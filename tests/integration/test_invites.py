"""Real gateways: an invite is made, taken, passed on, used up, revoked; the issuer is away, or its clock or ours is wrong."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from gateway.invites.texts import FORM, invite_bytes, read_invite
from tests.lab.altered import CLOCK, altered
from tests.lab.gateways import GatewayFailed, GatewayProcess, clean_environment, running, wait_until
from tests.lab.web import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.web import WebServer

pytestmark = pytest.mark.needs("curl")


class People:
    """Alice, who has a web server that nobody may use yet, and others, who do not know her."""

    def __init__(self, web: WebServer, gateways: tuple[GatewayProcess, ...]) -> None:
        self.web = web
        self.alice, *self.others = gateways

    def invite(self, *options: str, by: GatewayProcess | None = None) -> str:
        """One of alice's for both of her servers, unless the options say otherwise."""
        services = (
            () if {"--from", "--service"} & set(options) else ("--service", "web", "--service", "ticks")
        )
        return (by or self.alice).run("invite", *services, *options).stdout.strip()

    def issued(self) -> list[dict[str, Any]]:
        return self.alice.json("invites", "ls")["issued"]


@contextlib.contextmanager
def people(place: Path, *names: str, **programs: tuple[str, ...]) -> Iterator[People]:
    started = tuple(
        GatewayProcess(
            place / name, nickname=name, **({"program": programs[name]} if name in programs else {})
        )
        for name in ("alice", *names)
    )
    with web_server() as web, ticking() as port, running(*started) as gateways:
        gateways[0].run("expose", "web", f"127.0.0.1:{web.port}")
        gateways[0].run("expose", "ticks", f"127.0.0.1:{port}", "--port", "8003")
        yield People(web, gateways)


def page(gateway: GatewayProcess) -> subprocess.CompletedProcess[bytes]:
    proxy = f"socks5h://{gateway.listens('proxy')}"
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", "--proxy", proxy, "http://web.alice.overlay/"],
        capture_output=True,
        check=False,
        timeout=40,
        env=clean_environment(),
    )


class _Ticks(BaseHTTPRequestHandler):
    """Says something fifty times a second until nobody listens any more."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.ended.wait(0.02):
                self.wfile.write(b"tick\n" * 100)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def ticking() -> Iterator[int]:
    """A server whose answers never end; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ticks)
    server.ended = threading.Event()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextlib.contextmanager
def downloading(gateway: GatewayProcess, to: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A download that never ends by itself, well under way."""
    proxy = f"socks5h://{gateway.listens('proxy')}"
    with subprocess.Popen(
        ["curl", "-sSN", "-o", str(to), "--proxy", proxy, "http://ticks.alice.overlay/"],
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        try:
            wait_until(lambda: to.exists() and to.stat().st_size > 1000, what="the download is under way")
            yield process
        finally:
            process.kill()


def opens(gateway: GatewayProcess) -> bool:
    return b"Hello from alice" in page(gateway).stdout


def refused(gateway: GatewayProcess, text: str) -> tuple[int, str]:
    """Exit code and code for machines of a join that fails."""
    done = gateway.run("join", text, "--yes", "--json", check=False)
    assert done.returncode, done.stdout
    plain = gateway.run("join", text, "--yes", check=False)
    assert plain.stderr.count("\n") == 1, plain.stderr
    assert plain.returncode == done.returncode
    return done.returncode, json.loads(done.stderr)["code"]


def test_an_invite_is_shown_taken_and_opens_the_page(tmp_path):
    with people(tmp_path, "bob") as world:
        bob = world.others[0]
        text = world.invite("--name", "robert")
        preview = bob.run("join", "--preview", text).stdout
        for words in (
            f"An invite of alice ({world.alice.id})",
            "web, ticks until",
            "good once",
            "calls you",
            "nickname bob",
        ):
            assert words in preview
        assert bob.json("contacts", "ls") == []
        assert page(bob).returncode == 97

        taken = bob.run("join", text, "--yes").stdout
        assert "is now called alice." in taken
        assert "http://web.alice.overlay/" in taken
        assert opens(bob)
        (contact,) = world.alice.json("contacts", "ls")
        assert (contact["petname"], contact["endpoint_id"], contact["granted"]) == (
            "robert",
            bob.id,
            ["web", "ticks"],
        )
        assert "robert (by invite)" in world.alice.run("services").stdout
        assert "redeemed" in bob.run("invites", "ls").stdout
        assert bob.run("join", text, "--yes").returncode == 0, "the same again is no other use"
        assert world.issued()[0]["used"] == 1

        world.alice.run("contacts", "rm", "robert")
        assert not opens(bob)
        assert not world.issued()[0]["taken"][0]["in_force"]


def test_an_invite_is_good_once_whatever_happens_to_its_issuer(tmp_path):
    with people(tmp_path, "bob", "carol") as world:
        bob, carol = world.others
        text = world.invite()
        bob.run("join", text, "--yes")
        world.alice.kill()
        world.alice.start()
        assert refused(carol, text) == (13, "invite-used")
        assert carol.json("contacts", "ls") == []
        assert opens(bob)


def test_revoking_ends_a_download_at_once(tmp_path):
    with people(tmp_path, "bob") as world:
        bob = world.others[0]
        text = world.invite()
        bob.run("join", text, "--yes")
        with downloading(bob, tmp_path / "got") as curl:
            serial = world.issued()[0]["invite"]["serial"]
            said = world.alice.run("invites", "revoke", serial[:8])
            assert "what it granted to bob has ended" in said.stdout
            assert curl.wait(5)
        assert not opens(bob)
        assert refused(bob, text) == (14, "invite-revoked")
        other = world.invite()
        world.alice.run("invites", "revoke", world.issued()[1]["invite"]["serial"])
        bob.run("contacts", "rm", "alice")
        assert refused(bob, other) == (14, "invite-revoked")


def test_what_it_grants_ends_with_it_and_so_does_a_download(tmp_path):
    with people(tmp_path, "bob") as world:
        bob = world.others[0]
        bob.run("join", world.invite("--expires", "4s"), "--yes")
        with downloading(bob, tmp_path / "got") as curl:
            assert curl.wait(15)
        assert not opens(bob)
        bob.run("join", world.invite("--expires", "4s", "--lasts", "forever"), "--yes")
        assert opens(bob)
        end = time.monotonic() + 4
        wait_until(lambda: time.monotonic() > end)
        assert opens(bob)


def test_who_was_invited_passes_it_on_and_its_issuer_takes_back_what_it_likes(tmp_path):
    with people(tmp_path, "bob", "carol") as world:
        bob, carol = world.others
        world.alice.run("expose", "private", f"127.0.0.1:{world.web.port}", "--port", "8001")
        text = world.invite(
            "--service", "ticks", "--service", "web", "--service", "private", "--uses", "3", "--delegable"
        )
        bob.run("join", text, "--yes")
        for_carol = world.invite(
            "--from", "alice", "--service", "web", "--service", "ticks", "--name", "caroline", by=bob
        )
        assert "came by" in carol.run("join", "--preview", for_carol).stdout
        carol.run("join", for_carol, "--yes")
        assert opens(carol)
        assert carol.json("contacts", "ls")[0]["services"] == ["ticks", "web"]
        (issued,) = world.issued()
        assert [taken["petname"] for taken in issued["taken"]] == ["bob", "caroline"]
        assert issued["taken"][1]["delegators"] == ["bob"]
        wider = bob.run("invite", "--from", "alice", "--uses", "9", check=False)
        assert (wider.returncode, "can only grant less" in wider.stderr) == (19, True)
        assert refused(bob, for_carol) == (13, "invite-used")

        link = issued["taken"][1]["serial"]
        not_his = bob.run("invites", "revoke", link[:8], check=False)
        assert (not_his.returncode, "alice, who alone can take it back" in not_his.stderr) == (2, True)
        with downloading(carol, tmp_path / "got") as curl:
            world.alice.run("invites", "revoke", link[:8])
            assert curl.wait(5)
        assert opens(bob)
        world.alice.run("invites", "revoke", issued["invite"]["serial"][:8])
        assert not opens(bob)


def test_an_issuer_that_is_away_is_shown_it_with_the_first_request(tmp_path):
    with people(tmp_path, "bob") as world:
        bob = world.others[0]
        text = world.invite()
        world.alice.stop()
        taken = bob.run("join", text, "--yes", timeout=60)
        assert "cannot be reached now" in taken.stderr
        assert "waits for its issuer" in bob.run("invites", "ls").stdout
        bob.stop()
        world.alice.start()
        bob.start()
        assert opens(bob)
        assert bob.json("invites", "ls")["held"][0]["state"] == "redeemed"


def test_a_name_that_is_taken_at_the_issuer_is_told_there(tmp_path):
    with people(tmp_path, "bob", "carol") as world:
        bob, carol = world.others
        world.alice.run("contacts", "add", "bob", carol.id)
        bob.run("join", world.invite(), "--yes")
        assert [contact["petname"] for contact in world.alice.json("contacts", "ls")] == ["bob", "bob-2"]
        assert "bob-2 (wanted: bob)" in world.alice.run("invites", "ls").stdout


def test_a_name_that_is_taken_here_is_for_the_person_to_decide(tmp_path):
    with people(tmp_path, "bob", "carol") as world:
        bob, carol = world.others
        bob.run("contacts", "add", "alice", carol.id)
        text = world.invite()
        done = bob.run("join", text, "--yes", check=False)
        assert (done.returncode, "alice-2" in done.stderr) == (2, True), done.stderr
        assert world.issued()[0]["used"] == 0
        assert "is now called alice-2." in bob.run("join", text, "--yes", "--name", "alice-2").stdout


def test_invites_that_are_not_good_are_told_apart(tmp_path):
    with people(tmp_path, "bob", "carol") as world:
        bob, carol = world.others
        text = world.invite("--for", carol.id)
        assert refused(bob, text) == (15, "invite-not-for-you")
        assert refused(world.alice, text) == (15, "invite-not-for-you")
        assert refused(bob, text[:-20]) == (10, "invite-damaged")
        assert refused(bob, "overlay:i2yyyy") == (18, "invite-newer")
        data = bytearray(invite_bytes(read_invite(text)))
        data[-100] ^= 1
        assert refused(bob, FORM.write(bytes(data))) == (11, "invite-tampered")
        assert bob.run("invite", "--from", text, check=False).returncode == 15
        assert carol.run("invite", "--from", text, check=False).returncode == 19

        text = world.invite()
        world.alice.stop()
        (world.alice.home / "state" / "invites.json").unlink()
        world.alice.start()
        assert refused(bob, text) == (17, "invite-unknown")
        assert bob.json("contacts", "ls") == []

        with pytest.raises(GatewayFailed, match="exposed are: ticks, web"):
            world.invite("--service", "ssh")


@pytest.mark.parametrize(
    ("wrong", "expires", "code"),
    [
        ("-3600", "7d", (16, "invite-clock-skew")),
        ("-200", "1s", (16, "invite-clock-skew")),
        ("+3600", "30m", (12, "invite-expired")),
        ("+0", "1s", (12, "invite-expired")),
    ],
    ids=["hours behind", "minutes behind", "hours ahead", "right"],
)
def test_a_wrong_clock_is_told_from_an_invite_that_expired(tmp_path, wrong, expires, code):
    with people(tmp_path, "bob", bob=altered(f"{CLOCK}{wrong}", "bob")) as world:
        bob = world.others[0]
        text = world.invite("--expires", expires)
        end = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > end)
        assert refused(bob, text) == code
        assert bob.json("contacts", "ls") == []


def test_exposing_says_how_to_invite_or_makes_an_invite(tmp_path):
    with people(tmp_path, "bob") as world:
        port = f"127.0.0.1:{world.web.port}"
        said = world.alice.run("expose", "web", port)
        assert f"overlay --home {world.alice.home} invite --service web" in said.stdout
        assert "overlay invite --service web" in said.stderr
        made = world.alice.json("expose", "web", port, "--invite")
        assert made["service"]["name"] == "web"
        world.others[0].run("join", made["invite"]["invite"], "--yes")
        assert opens(world.others[0])
        assert "nobody may use web" not in world.alice.run("services").stderr
