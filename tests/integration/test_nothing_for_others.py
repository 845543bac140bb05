"""What a real gateway tells of itself on this machine, asked by whom it is not for: four doors, three others.

Each is asked with the cookie and the key of a real session, so that only what is tried keeps it out. What browsers make
of it all is tried in `test_dashboard.py` and `test_secure_contexts.py`, by hostile pages in Chromium and Firefox.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.dashboard.server import KEY_HEADER
from tests.lab.gateways import GatewayProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("root", "curl")

QUERY = "AAABAAABAAAAAAAAA3d3dwVhbGljZQdvdmVybGF5AAABAAE"
DOORS = {
    "dashboard": "/static/app.js",
    "control API": "/v1/status",
    "DNS over HTTPS": f"/dns-query?dns={QUERY}",
    "PAC file": "/proxy.pac",
}
NOBODY = 65534
HOSTILE = [
    ("Origin: http://evil.example",),
    ("Origin: null",),
    ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"),
    ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
    ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
]
"""What browsers say of pages from elsewhere: scripts that read, plain tags, another port of this machine, frames."""
FORGED = ("evil.example", "evil.example:{port}", "localhost.evil.example:{port}", "127.0.0.1.:{port}", "")


class Owner:
    """A gateway, and a session at its dashboard."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.place = gateway.listens("dashboard")
        self.port = self.place.rpartition(":")[2]
        token = gateway.control.dashboard_login().url.partition("#login=")[2]
        request = urllib.request.Request(
            f"http://{self.place}/login",
            json.dumps({"token": token}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            self.cookie = reply.headers["Set-Cookie"].partition(";")[0]
            self.key = json.load(reply)["key"]

    def ask(
        self, path: str, *fields: str, user: int | None = None, where: tuple[str, ...] = ()
    ) -> tuple[str, str]:
        """Status and text of an answer, to the owner unless another `user` asks."""
        url = f"http://{self.place}{path}"
        headers = [f"Cookie: {self.cookie}", f"{KEY_HEADER}: {self.key}", *fields]
        words = ["curl", "-s", "--max-time", "10", "-w", "\n%{http_code}", *where, url]
        for field in headers:
            words += ["-H", field]
        done = subprocess.run(
            words,
            user=user,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=20,
            cwd="/",
        )
        text, _, status = done.stdout.rpartition("\n")
        return status, text.strip()


@pytest.fixture(scope="module")
def owner() -> Iterator[Owner]:
    place = Path(tempfile.mkdtemp(prefix="overlay-others-"))  # below directories that everybody may enter
    try:
        place.chmod(0o755)
        gateway = GatewayProcess(place / "home", nickname="alice")
        with running(gateway):
            yield Owner(gateway)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("door", DOORS)
def test_the_owner_is_answered(owner, door):
    assert owner.ask(DOORS[door])[0] == "200"


@pytest.mark.parametrize("door", DOORS)
def test_a_page_of_a_hostile_origin_gets_nothing(owner, door):
    for fields in HOSTILE:
        status, text = owner.ask(DOORS[door], *fields)
        assert status == "403", fields
        assert text.startswith(('{"error"', "pages may not ask"))


@pytest.mark.parametrize("door", DOORS)
def test_another_local_user_gets_nothing(owner, door):
    status, text = owner.ask(DOORS[door], user=NOBODY)
    assert (status, text) == ("403", "This gateway belongs to another user of this machine.")


@pytest.mark.parametrize("door", DOORS)
def test_a_forged_host_gets_nothing(owner, door):
    for host in FORGED:
        status, text = owner.ask(DOORS[door], f"Host: {host.format(port=owner.port)}" if host else "Host;")
        assert status in ("403", "400"), host
        assert '"error"' in text or status == "400", host
    for host in FORGED[1:3]:  # in the request line, which counts more than the field
        target = f"http://{host.format(port=owner.port)}{DOORS[door]}"
        status, _ = owner.ask(DOORS[door], where=("--request-target", target))
        assert status in ("403", "400"), host


def test_another_local_user_gets_nothing_at_the_control_socket_though_all_may_open_it(owner):
    home = owner.gateway.home
    socket = home / "control.sock"
    for place, mode in ((home, 0o711), (socket, 0o666)):
        place.chmod(mode)
    try:
        where = ("--unix-socket", str(socket))
        assert owner.ask("/v1/status", where=where)[0] == "200"
        status, text = owner.ask("/v1/status", user=NOBODY, where=where)
        assert (status, json.loads(text)["error"]) == ("403", "control: this gateway belongs to another user")
        said = subprocess.run(
            ["nc", "-q", "1", "-U", str(socket)],
            input=b'OVERLAY/1 {"do": "offer", "service": "stolen", "public": true}\n',
            user=NOBODY, capture_output=True, check=False, timeout=20, cwd="/",
        )  # fmt: skip
        assert json.loads(said.stdout)["error"] == "control: this gateway belongs to another user"
    finally:
        home.chmod(0o700)
    assert owner.gateway.control.services() == ()
    assert os.stat(home).st_mode & 0o077 == 0
