"""`overlay doctor` beside real gateways: where all is well, and where things are broken as they break in life."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from gateway.control.contacts import AddContactRequest
from gateway.doctor import gathering, probing
from gateway.home import Home
from tests.lab.certificates import server_context
from tests.lab.control_zones import ME as FRIEND
from tests.lab.gateways import GatewayProcess, free_port, gateway, wait_until
from tests.lab.local_beacons import local_beacon
from tunnels.addresses import BeaconUrl
from tunnels.identity import SecretKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway at a beacon, with a service and a contact; tests leave it as they found it."""
    home = tmp_path_factory.mktemp("doctor")
    with (
        local_beacon(home / "beacon") as url,
        gateway(home / "alice", "--beacon", url, nickname="alicia") as alice,
    ):
        alice.control.add_contact(AddContactRequest(petname="grandma", id_or_ticket=FRIEND))
        alice.run("expose", "web", "8000")
        wait_until(lambda: any(one.state == "connected" for one in alice.control.status().beacons))
        yield alice


def doctor(home: Path | GatewayProcess, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]], Any]:
    """Exit code, findings by id, and everything."""
    process = home if isinstance(home, GatewayProcess) else GatewayProcess(home, nickname="x")
    done = process.run("doctor", "--json", *words, check=False)
    report = json.loads(done.stdout)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in report["findings"]:
        found.setdefault(one["id"], []).append(one)
    return done.returncode, found, report


def test_where_all_is_well_every_channel_is_proved(alice: GatewayProcess) -> None:
    code, found, _ = doctor(alice)
    for channel in (
        "proxy",
        "socks5h",
        "http-connect",
        "dns-udp",
        "dns-tcp",
        "loopback",
        "pac",
        "doh",
        "front-door",
        "permissions",
        "beacon",
    ):
        assert found[channel][0]["severity"] == "ok", found[channel]
    assert "clock" in found
    assert code == 0, [one for ones in found.values() for one in ones if one["severity"] == "problem"]


def test_it_prints_lines_for_people_without_colour_in_a_pipe(alice: GatewayProcess) -> None:
    done = alice.run("doctor", "proxy", "dns")
    assert "✓ proxy " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert "beacon" not in done.stdout


def test_the_first_screen_has_a_tick_for_each_channel(alice: GatewayProcess) -> None:
    assert alice.process is not None
    assert alice.process.stdout is not None
    lines = []
    while not any("overlay" in line and " doctor" in line for line in lines):
        lines.append(alice.process.stdout.readline())
    text = "".join(lines)
    for row in ("proxy", "dns", "pac", "loopback", "udp"):
        assert f"  ✓ {row} " in text, text
    assert re.search(r"[✓…] beacon http://127", text)
    assert "\x1b" not in text


def test_without_a_gateway_it_tells_that_none_runs_and_who_has_its_ports(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hijacked,
    ):
        hijacked.bind(("127.0.0.1", 0))
        (home / "gateway.toml").write_text(
            f"[proxy]\nport = {taken.getsockname()[1]}\n[dns]\nport = {hijacked.getsockname()[1]}\n"
        )
        code, found, _ = doctor(home)
    assert code == 1
    assert found["not-running"][0]["remedy"] == "overlay up"
    assert f"(process {os.getpid()})" in found["port-proxy-tcp"][0]["what"]
    assert f"(process {os.getpid()})" in found["port-dns-udp"][0]["what"]
    assert "port-dns-tcp" not in found


def test_a_key_that_others_may_read_is_told_and_fixed_and_the_undo_works(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with gateway(home, nickname="bob"):
        pass
    key = home / "identity.key"
    key.chmod(0o644)
    home.chmod(0o755)
    code, found, _ = doctor(home, "home")
    assert code == 1
    assert found["key-permissions"][0]["remedy"] == f"chmod 600 {key}"
    code, found, report = doctor(home, "home", "--fix")
    assert (code, stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(home.stat().st_mode)) == (0, 0o600, 0o700)
    assert {one["undo"] for one in report["fixed"]} == {f"chmod 644 {key}", f"chmod 755 {home}"}
    assert "key-permissions" not in found


def test_what_a_killed_gateway_left_is_told_and_removed(tmp_path: Path) -> None:
    bob = GatewayProcess(tmp_path / "home", nickname="bob").start()
    bob.signal(signal.SIGKILL)
    bob.kill()
    code, found, _ = doctor(bob, "home")
    assert (code, found["stale-socket"][0]["severity"]) == (0, "note")
    _, found, report = doctor(bob, "home", "--fix")
    assert "stale-socket" not in found
    assert not (bob.home / "control.sock").exists()
    assert len(report["fixed"]) == 1


def test_a_gateway_that_hangs_is_told_apart_from_none(
    alice: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.doctor.gathering.DOCTOR_CONTROL_SECONDS", 0.3)
    alice.signal(signal.SIGSTOP)
    try:
        facts = gathering.gather(Home(alice.home), ("proxy",))
    finally:
        alice.signal(signal.SIGCONT)
    assert facts.status is None
    assert facts.control_error


def test_a_dead_beacon_is_a_problem(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "gateway.toml").write_text(f"[beacons]\nurls = ['http://127.0.0.1:{free_port()}#{FRIEND}']\n")
    code, found, _ = doctor(home, "beacons")
    assert code == 1
    (beacon,) = found["beacon"]
    assert beacon["severity"] == "problem"
    assert "refused" in beacon["what"]


def test_a_beacon_that_is_somebody_else_is_told_apart_and_one_that_is_right_tells_the_time() -> None:
    key = SecretKey(bytes(range(32)))
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        server_context(key).wrap_socket(server, server_side=True) as tls,
    ):

        def serve() -> None:
            for _ in range(2):
                with contextlib.suppress(OSError):
                    client, _ = tls.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1] if server.fileno() >= 0 else tls.getsockname()[1]
        wrong = gathering.ask_beacon(BeaconUrl.parse(f"https://127.0.0.1:{port}#{FRIEND}"))
        right = gathering.ask_beacon(BeaconUrl.parse(f"https://127.0.0.1:{port}#{key.endpoint_id}"))
        thread.join()
    assert f"not {FRIEND}" in wrong.error
    assert not right.error
    assert right.skew is not None
    assert right.skew > 1000


def test_somebody_elses_answers_on_our_dns_port_are_told(alice: GatewayProcess) -> None:
    """As a firewall does that sends all DNS to its own server: another answers in place of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(10)

        def serve() -> None:
            data, place = other.recvfrom(4096)
            question = DNSRecord.parse(data)
            answer = question.reply()
            answer.add_answer(RR(question.q.qname, QTYPE.A, rdata=A("192.0.2.66")))
            other.sendto(answer.pack(), place)

        thread = threading.Thread(target=serve)
        thread.start()
        name = f"{alice.id}.overlay"
        proof = probing.proven(lambda: probing.dns(other.getsockname(), name, ""))
        thread.join()
    assert not proof.ok
    assert "192.0.2.66" in proof.detail


def test_a_bundle_of_a_real_gateway_holds_nothing_private(alice: GatewayProcess, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    alice.run("doctor", "--bundle", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    report = json.loads(text)
    assert report["findings"]
    assert report["log"]
    secret = (alice.home / "identity.key").read_text()
    for private in (
        alice.id,
        alice.id[:8],
        FRIEND,
        "grandma",
        "alicia",
        str(alice.home),
        socket.gethostname(),
        *secret.split(),
    ):
        assert private.lower() not in text.lower(), private
    assert alice.run("doctor", "--bundle", str(file), check=False).returncode == 2, "nothing is overwritten"


def test_a_configuration_that_is_wrong_is_one_finding(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "gateway.toml").write_text("[proxy]\nprot = 1\n")
    code, found, _ = doctor(home, "home")
    assert (code, found["configuration"][0]["severity"]) == (1, "problem")
