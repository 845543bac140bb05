"""A person's first five minutes: the five lines that the design promises, on terminals, word for word but for the home and the ports."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.altered import LAST_LOOK, altered
from tests.lab.gateways import OVERLAY, GatewayProcess, clean_environment, gateway, running
from tests.lab.terminals import on_a_terminal
from tests.lab.web import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("curl", "dig")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, ...]]:
    home = tmp_path_factory.mktemp("first-run")
    made = (GatewayProcess(home / name, nickname=name, bind=("127.0.0.1",)) for name in ("alice", "bob"))
    with running(*made) as gateways:
        yield gateways


def terminal(gateway: GatewayProcess, *words: str, **options) -> str:
    code, text = on_a_terminal([OVERLAY, "--home", str(gateway.home), *words], **options)
    assert code == 0, text
    return text


def test_the_five_lines(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    alice, bob = both
    with web_server() as server:
        # A$ overlay expose web 127.0.0.1:8000: prints the name, an invite, a QR code, and the line that undoes it
        shown = terminal(alice, "expose", "web", f"127.0.0.1:{server.port}")
        assert f"web.{alice.id}.overlay" in shown
        invite = re.search(r"overlay:i1\S+", shown)
        assert invite is not None, shown
        assert "█" in shown or "▀" in shown, "the QR code"
        assert f"They run: overlay join {invite[0]}" in shown
        assert re.search(r"undo +overlay --home \S+ unexpose web", shown)
        assert "nobody" not in shown
        # B$ overlay join overlay:invite…: adds the contact, its petname and its grant in one step
        shown = terminal(bob, "join", invite[0], answers=[("Take it?", "y")])
        assert "http://web.alice.overlay/" in shown
        assert re.search(r"or locally +web\.alice\.overlay at 127\.\d+\.\d+\.\d+:\d+", shown), shown
        assert re.search(r"undo +overlay --home \S+ contacts rm alice", shown)
        # B$ curl --proxy socks5h://127.0.0.1:1080 http://web.alice.overlay/
        page = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--proxy", f"socks5h://{bob.listens('proxy')}", "http://web.alice.overlay/"],
            capture_output=True, text=True, check=True, env=clean_environment(),
        ).stdout  # fmt: skip
        assert page
        # B$ dig @127.0.0.1 -p 5399 web.alice.overlay +short
        ip = subprocess.run(
            ["dig", "@127.0.0.1", "-p", str(bob.port("dns")), "web.alice.overlay", "+short"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        assert ip.startswith("127.")
        # $ overlay ping alice --explain
        assert "path: " in bob.run("ping", "alice", "--explain").stdout


def test_a_port_alone_is_a_target_and_a_pipe_gets_no_invite(
    both: tuple[GatewayProcess, GatewayProcess],
) -> None:
    alice, _ = both
    before = len(alice.json("invites")["issued"])
    done = alice.run("expose", "app", "3000", "--port", "81")
    assert "app: 127.0.0.1:3000 is offered as port 81/tcp to nobody yet." in done.stdout
    assert "overlay:i1" not in done.stdout + done.stderr
    assert f"overlay --home {alice.home} invite --service app" in done.stdout
    assert len(alice.json("invites")["issued"]) == before
    assert "overlay:i1" not in terminal(alice, "expose", "app", "3000", "--port", "81", "--no-invite")
    assert "overlay:i1" not in terminal(alice, "expose", "app", "3000", "--port", "81", "--public")
    assert len(alice.json("invites")["issued"]) == before


def test_a_terminal_that_wants_no_colour_gets_none(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    alice, _ = both
    for words in (("status",), ("doctor",), ("services",)):
        command = [OVERLAY, "--home", str(alice.home), *words]
        _, text = on_a_terminal(command, raw=True, NO_COLOR="1")
        assert text
        assert not re.search(r"\x1b\[[0-9;]*m", text), words


def test_a_gateway_that_stops_while_its_first_screen_still_looks_stops_well(tmp_path: Path) -> None:
    with gateway(tmp_path, nickname="alice", program=altered(LAST_LOOK, "alice")) as alice:
        assert alice.process is not None
        assert alice.process.stdout is not None
        screen = iter(alice.process.stdout)
        assert any("doctor" in line for line in screen), "the last line, after which news are waited for"
    assert "stopping" in alice.said()
