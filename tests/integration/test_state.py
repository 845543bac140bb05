"""What goes wrong on a real machine: one line that says what and what to do, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import GatewayProcess, clean_environment, gateway, introduce, wait_until
from tests.lab.netns import two_hosts
from tests.lab.worlds import alice_and_bob
from tunnels.identity import SecretKey

if TYPE_CHECKING:
    from pathlib import Path


def start_and_fail(process: GatewayProcess, code: int) -> str:
    """Run `up`, which must end by itself with the code and one line; the line."""
    done = subprocess.run(
        process._command(*process._flags),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == code, done
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("overlay: "), line
    assert "Traceback" not in done.stderr
    return line


def test_a_second_gateway_on_one_home_is_told_who_has_it(tmp_path):
    with gateway(tmp_path / "home", nickname="one") as one:
        line = start_and_fail(GatewayProcess(tmp_path / "home", nickname="two"), 4)
        assert str(one.status["pid"]) in line
        assert "overlay down" in line
        assert one.json("status")["nickname"] == "one"


@pytest.mark.parametrize("door", ["proxy", "dns", "dashboard"])
def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path, door):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = start_and_fail(GatewayProcess(tmp_path / "home", nickname="x", **{door: port}), 3)
    assert str(port) in line
    assert door in line.lower()


def test_a_taken_tunnel_port_is_named_too(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        line = start_and_fail(GatewayProcess(tmp_path / "home", "--tunnel-port", str(port), nickname="x"), 3)
    assert str(port) in line


def test_the_tunnel_port_is_the_same_after_a_restart(tmp_path):
    with gateway(tmp_path / "home", nickname="x") as running:
        before = running.listens("tunnels")
        running.stop()
        running.start()
        assert running.listens("tunnels") == before


@pytest.mark.parametrize("damage", [b"", b"garbage\n", b"\x00" * 200])
def test_a_corrupt_identity_is_named_and_left_alone(tmp_path, damage):
    with gateway(tmp_path / "home", nickname="x") as running:
        identity = running.home / "identity.key"
    identity.write_bytes(damage)
    line = start_and_fail(GatewayProcess(tmp_path / "home", nickname="x"), 4)
    assert str(identity) in line
    assert identity.read_bytes() == damage


def test_corrupt_state_is_named_and_left_alone(tmp_path):
    with gateway(tmp_path / "home", nickname="x") as running:
        running.run("contacts", "add", "alice", id_of("alice"))
        saved = running.home / "state" / "contacts.json"
    saved.write_text('{"version": 1, "contacts": [{"petname"')
    line = start_and_fail(GatewayProcess(tmp_path / "home", nickname="x"), 4)
    assert str(saved) in line
    assert saved.read_text().endswith('"petname"')


@pytest.mark.needs("root")
def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(home)], check=True)
    try:
        with gateway(home, nickname="x") as running:
            running.run("contacts", "add", "alice", id_of("alice"))
            before = (home / "state" / "contacts.json").read_bytes()
            fill(home / "filler")
            done = running.run("contacts", "add", "carol", id_of("carol"), check=False)
            assert done.returncode == 4
            assert "disk is full" in done.stderr
            assert (home / "state" / "contacts.json").read_bytes() == before
            assert [contact["petname"] for contact in running.json("contacts", "ls")] == ["alice"]
            (home / "filler").unlink()
            running.run("contacts", "add", "carol", id_of("carol"))
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def id_of(name: str) -> str:
    """The id of an endpoint that need not exist."""
    return str(SecretKey(name.encode().ljust(32)).endpoint_id)


@pytest.mark.needs("root")
def test_a_read_only_home_is_told(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(home)], check=True)
    try:
        process = GatewayProcess.__new__(GatewayProcess)
        process.home, process.namespace = home, None
        process._flags = ["up"]
        line = start_and_fail(process, 4)
        assert "read-only" in line
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_wrong_key_in_the_configuration_is_named_with_the_nearest_right_one(tmp_path):
    process = GatewayProcess(tmp_path / "home", nickname="x", config="[proxy]\nprot = 1080\n")
    line = start_and_fail(process, 3)
    assert "gateway.toml" in line
    assert "prot" in line
    assert "port" in line


def test_reload_applies_a_change_without_dropping_a_connection(tmp_path):
    with alice_and_bob(tmp_path) as (alice, bob, web):
        host, _, port = bob.listens("proxy").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as held:
            held.sendall(b"CONNECT web.alice.overlay:80 HTTP/1.1\r\nHost: web.alice.overlay\r\n\r\n")
            assert b" 200 " in held.recv(1000)
            (alice.home / "gateway.toml").write_text(
                f'[services.second]\ntarget = "127.0.0.1:{web.port}"\nport = 8100\nallow = ["bob"]\n'
            )
            (bob.home / "gateway.toml").write_text('[proxy]\nother_hosts = "refuse"\n')
            assert alice.json("reload")["applied"] == ["services.second"]
            bob.signal(signal.SIGHUP)

            def refused() -> bool:
                with socket.create_connection((host, int(port)), timeout=20) as client:
                    client.sendall(b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
                    return b" 403 " in client.recv(1000)

            wait_until(refused, what="the proxy refuses other hosts")
            assert [service["name"] for service in alice.json("services")] == ["second", "web"]
            held.sendall(b"GET /style.css HTTP/1.1\r\nHost: web\r\n\r\n")
            assert receive_until(held, b"h1 {")


def receive_until(sock: socket.socket, words: bytes) -> bool:
    received = b""
    while words not in received:
        data = sock.recv(4096)
        if not data:
            return False
        received += data
    return True


def test_a_peer_that_was_killed_and_restarted_is_reached_again(tmp_path):
    with alice_and_bob(tmp_path) as (alice, bob, _web):
        host, _, port = bob.listens("proxy").rpartition(":")

        def opens() -> bool:
            with socket.create_connection((host, int(port)), timeout=20) as client:
                client.sendall(
                    b"GET http://web.alice.overlay/style.css HTTP/1.1\r\n"
                    b"Host: web.alice.overlay\r\nConnection: close\r\n\r\n"
                )
                return receive_until(client, b"h1 {")

        assert opens()
        alice.signal(signal.SIGKILL)
        alice.kill()
        alice.start()
        wait_until(opens, 15, "the page opens again")


def test_an_identity_moves_to_another_home(tmp_path):
    with gateway(tmp_path / "first", nickname="x") as first:
        mine = first.id
    second = GatewayProcess(tmp_path / "second", nickname="x")
    first.run("id", "--export", str(tmp_path / "key"))
    assert os.stat(tmp_path / "key").st_mode & 0o777 == 0o600
    second.run("id", "--import", str(tmp_path / "key"))
    assert second.run("id").stdout.strip() == mine


@pytest.mark.needs("root", "ip", "curl")
@pytest.mark.parametrize("family", [4, 6])
def test_two_hosts_on_a_network_reach_each_other_by_ticket(tmp_path, family):
    with two_hosts() as (here, there):
        bind = ("0.0.0.0",) if family == 4 else ("::",)
        web = subprocess.Popen(
            here.command(
                "python3", "-m", "http.server", "--bind", "127.0.0.1", "8000", "--directory", str(tmp_path)
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        (tmp_path / "note").write_text("from the other host")
        try:
            with (
                gateway(tmp_path / "alice", nickname="alice", namespace=here, bind=bind) as alice,
                gateway(tmp_path / "bob", nickname="bob", namespace=there, bind=bind) as bob,
            ):
                introduce(alice, bob)
                alice.run("expose", "web", "8000", "--allow", "bob")
                done = subprocess.run(
                    there.command(
                        "curl",
                        "-sS",
                        "--proxy",
                        f"socks5h://{bob.listens('proxy')}",
                        "http://web.alice.overlay/note",
                    ),
                    capture_output=True,
                    text=True,
                    timeout=40,
                    check=False,
                )
                assert done.stdout == "from the other host", done
                (tunnel,) = bob.json("status")["tunnels"]
                assert ("10.123.0.1" if family == 4 else "fd12:3::1") in tunnel["address"]
        finally:
            web.terminate()
            web.wait(10)
