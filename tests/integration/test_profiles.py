"""Profiles by the user name of SOCKS and HTTP, with real gateways: whom they reach, by which paths, on which connection."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.lab.gateways import GatewayProcess, clean_environment, introduce, running, wait_until
from tests.lab.local_beacons import local_beacon
from tests.lab.web import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.live import LaneReport

pytestmark = pytest.mark.needs("curl")

PROFILES = """
[profiles.work]
contacts = ["alice"]
path_policy = "relay-only"
isolation = true
other_hosts = "refuse"

[profiles.friends]
contacts = ["group:friends"]
password = "secret"

[profiles.direct]
path_policy = "direct-only"
isolation = true
"""


class Place(NamedTuple):
    alice: GatewayProcess
    bob: GatewayProcess
    url: str

    def curl(self, user: str, *flags: str, scheme: str = "socks5h", url: str = "") -> tuple[int, str, str]:
        at = f"{user}@" if user else ""
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "--proxy",
                f"{scheme}://{at}{self.bob.listens('proxy')}",
                *flags,
                url or self.url,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env=clean_environment(),
        )
        return done.returncode, done.stdout, done.stderr

    def lanes(self) -> list[LaneReport]:
        return [lane for peer in self.bob.control.live().peers for lane in peer.lanes]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Alice with a web server; bob, who has profiles; a beacon between them."""
    home = tmp_path_factory.mktemp("profiles")
    (home / "files").mkdir()
    (home / "files" / "big").write_bytes(bytes(3 << 20))
    with contextlib.ExitStack() as stack:
        beacon = stack.enter_context(local_beacon(home / "beacon"))
        web = stack.enter_context(web_server(home / "files"))
        alice, bob = stack.enter_context(
            running(
                GatewayProcess(home / "alice", "--beacon", beacon, nickname="alice"),
                GatewayProcess(home / "bob", "--beacon", beacon, nickname="bob", config=PROFILES),
            )
        )
        for each in (alice, bob):
            wait_until(lambda each=each: each.json("status")["beacons"][0]["home"], what="a home")
        introduce(alice, bob)
        alice.run("expose", "web", f"127.0.0.1:{web.port}", "--allow", "bob")
        yield Place(alice, bob, "http://web.alice.overlay/files/big")


def test_a_profile_goes_by_the_paths_that_it_may_use_on_its_own_connection(place: Place) -> None:
    assert place.curl("", "-o", "/dev/null")[0] == 0
    (before,) = place.bob.control.live().peers
    assert before.path == "LAN"
    assert before.lanes == ()
    for scheme in ("socks5h", "socks4a", "http"):
        assert place.curl("work", "-o", "/dev/null", scheme=scheme)[0] == 0
    (after,) = place.bob.control.live().peers
    assert after.path == "LAN"
    (lane,) = after.lanes
    assert (lane.profile, lane.policy, lane.path) == ("work", "relay-only", "relay")
    assert lane.received > 9 << 20
    moved = {one.path: one.received for one in after.moved}
    assert moved["relay"] > 9 << 20
    assert moved["LAN"] < 4 << 20, "none of it went by the path that is forbidden"
    there = {one.path: one.sent for one in place.alice.control.live().peers[0].moved}
    assert there["relay"] > 9 << 20, "and the other side did not send by it either"


def test_each_isolated_profile_has_a_connection(place: Place) -> None:
    assert place.curl("direct", "-o", "/dev/null")[0] == 0
    assert place.curl("work", "-o", "/dev/null")[0] == 0
    assert {(lane.profile, lane.path) for lane in place.lanes()} == {("direct", "LAN"), ("work", "relay")}


def test_a_user_that_is_no_profile_is_refused_with_words(place: Place) -> None:
    code, _, said = place.curl("nobody:x")
    assert code == 97
    assert "User was rejected by the SOCKS5 server" in said
    code, out, _ = place.curl("nobody:x", "-w", "%{http_code}", scheme="http")
    assert out.endswith("407")
    assert "knows no such user" in out
    assert place.curl("nobody", scheme="socks4a")[0] == 97


def test_a_profile_with_a_password_wants_it(place: Place) -> None:
    assert place.curl("friends:wrong")[0] == 97
    assert "407" in place.curl("friends:wrong", "-w", "%{http_code}", scheme="http")[1]
    place.bob.run("contacts", "group", "add", "friends", "alice")
    assert place.curl("friends:secret", "-o", "/dev/null")[0] == 0
    place.bob.run("contacts", "group", "rm", "friends", "alice")
    code, out, _ = place.curl("friends:secret", "-w", "%{http_code}", scheme="http")
    assert out.endswith("403")
    assert "the profile friends reaches only group:friends" in out
    code, _, said = place.curl("friends:secret")
    assert code == 97
    assert "(2)" in said


def test_a_profile_may_refuse_other_hosts(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        _, out, _ = place.curl("work", url=f"http://{host}:{port}/", scheme="http")
        assert "work refuses other hosts" in out


def test_where_no_path_is_left_it_is_told_at_once(place: Place) -> None:
    place.bob.run("contacts", "path", "alice", "direct-only")
    try:
        _, out, _ = place.curl("work", "-w", "%{http_code}", scheme="http")
        assert out.endswith("403")
        assert "no path is both" in out
    finally:
        place.bob.run("contacts", "path", "alice", "default")
    assert place.curl("work", "-o", "/dev/null")[0] == 0


@contextlib.contextmanager
def associated(proxy: tuple[str, int], user: str) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    """A UDP association of that user: a socket, and where its datagrams go (RFC 1928 §7, RFC 1929)."""
    with (
        socket.create_connection(proxy, timeout=10) as control,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        control.sendall(b"\5\1\2")
        assert control.recv(2) == b"\5\2"
        control.sendall(bytes((1, len(user))) + user.encode() + b"\1x")
        assert control.recv(2) == b"\1\0"
        control.sendall(b"\5\3\0\1" + bytes(6))
        reply = control.recv(10)
        assert reply[:4] == b"\5\0\0\1"
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        yield sock, (socket.inet_ntoa(reply[4:8]), int.from_bytes(reply[8:]))


def datagram_to(host: str, port: int) -> bytes:
    """The header of RFC 1928 §7 for a name."""
    return bytes((0, 0, 0, 3, len(host))) + host.encode() + port.to_bytes(2)


def test_datagrams_of_a_profile_go_where_its_streams_go(place: Place, udp_echo_server: int) -> None:
    place.alice.run("expose", "echo", f"127.0.0.1:{udp_echo_server}", "--udp", "--allow", "bob")
    before = place.alice.control.live().peers[0]
    host, _, port = place.bob.listens("proxy").rpartition(":")
    with associated((host, int(port)), "work") as (sock, relay):
        for number in range(50):
            sent = number.to_bytes(2) + bytes(898)
            answer = b""
            while answer[-900:] != sent[::-1]:  # UDP may lose some
                sock.sendto(datagram_to("echo.alice.overlay", udp_echo_server) + sent, relay)
                with contextlib.suppress(TimeoutError):
                    answer = sock.recv(2000)
    after = place.alice.control.live().peers[0]

    def relayed(report: Any) -> int:
        return {one.path: one.received for one in report.moved}.get("relay", 0)

    assert relayed(after) - relayed(before) > 45_000
