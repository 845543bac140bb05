"""Pipes, nc and forwarded ports between two real gateways: bytes, ends, crashes, refusals."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import clean_environment, gateway, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess


@contextlib.contextmanager
def running(
    gateway: GatewayProcess, *arguments: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """`overlay …` on a gateway's home, ended with the test."""
    process = subprocess.Popen(
        gateway._command(*arguments),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait(10)


def link_of(process: subprocess.Popen[bytes]) -> str:
    """What the other side of a pipe runs."""
    for line in process.stderr:
        if line.startswith(b"overlay pipe "):
            return line.decode().split()[2]
    raise AssertionError("no link was printed")


def says(process: subprocess.Popen[bytes], pattern: bytes) -> re.Match[bytes]:
    """Read its stderr until a line has this."""
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"nothing like {pattern!r} was printed")


def test_a_tree_goes_through_a_pipe(world, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "large").write_bytes(os.urandom(40_000_000))
    (source / "small").write_text("small")
    with subprocess.Popen(["tar", "c", "-C", str(source), "."], stdout=subprocess.PIPE) as tar:
        with running(world.alice, "pipe", stdin=tar.stdout) as sender:
            tar.stdout.close()
            with running(world.bob, "pipe", link_of(sender), stdin=subprocess.DEVNULL) as receiver:
                with tarfile.open(fileobj=receiver.stdout, mode="r|") as archive:
                    archive.extractall(target, filter="data")
                assert receiver.wait(20) == 0
            assert sender.wait(20) == 0
    digests = {hashlib.sha256((place / "large").read_bytes()).digest() for place in (source, target)}
    assert len(digests) == 1
    assert (target / "small").read_text() == "small"


def test_both_directions_end_on_their_own_and_nobody_becomes_a_contact(world):
    before = [world.alice.json("contacts", "ls"), world.bob.json("contacts", "ls")]
    with running(world.alice, "pipe") as alice, running(world.bob, "pipe", link_of(alice)) as bob:
        alice.stdin.write(b"from alice")
        alice.stdin.close()
        assert bob.stdout.read() == b"from alice"
        bob.stdin.write(b"an answer, later")
        bob.stdin.close()
        assert alice.stdout.read() == b"an answer, later"
        assert (alice.wait(10), bob.wait(10)) == (0, 0)
    assert [len(book) for book in (world.alice.json("contacts", "ls"), world.bob.json("contacts", "ls"))] == [
        len(book) for book in before
    ]


@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_a_side_that_is_killed_is_no_end(world, victim):
    with running(world.alice, "pipe") as sender:
        with running(world.bob, "pipe", link_of(sender), stdin=subprocess.DEVNULL) as receiver:
            sender.stdin.write(b"half of it")
            sender.stdin.flush()
            assert receiver.stdout.read(10) == b"half of it"
            killed, other = (sender, receiver) if victim == "sender" else (receiver, sender)
            killed.kill()
            # What is written after the receiver has gone has no place to go to.
            more = bytes(20_000_000) if victim == "receiver" else None
            _, told = other.communicate(more, timeout=30)
            assert other.returncode == 1
            assert b"cut off" in told or b"took no more" in told


def test_a_link_is_good_once_and_only_while_it_waits(world):
    with running(world.alice, "pipe") as alice:
        link = link_of(alice)
        with running(world.bob, "pipe", link) as bob:
            bob.stdin.close()
            alice.stdin.close()
            assert bob.wait(10) == 0
    refused = world.bob.run("pipe", link, check=False)
    assert refused.returncode == 1
    assert "a link is good once" in refused.stderr
    damaged = world.bob.run("pipe", link[:100] + link[110:], check=False)
    assert damaged.returncode == 2
    assert "copy the whole line" in damaged.stderr


def test_a_pipe_for_a_contact_is_for_nobody_else(world):
    with running(world.alice, "pipe", "--for", "bob") as alice:
        name = link_of(alice)
        with running(world.bob, "pipe", name) as bob:
            bob.stdin.close()
            alice.stdin.write(b"for you")
            alice.stdin.close()
            assert bob.stdout.read() == b"for you"
    assert world.alice.run("pipe", "--for", "nobody", check=False).returncode == 2


def test_nobody_finds_a_pipe_by_its_port_or_in_a_list(world):
    with running(world.alice, "pipe") as alice:
        link_of(alice)
        (service,) = (one for one in world.alice.json("services") if one["name"].startswith("pipe-"))
        refused = world.bob.run("nc", "alice", service["port"], "-d", check=False)
        assert refused.returncode == 1
        offered = world.bob.json("resolve", "alice")["offers"]
        assert not any(offer["service"].startswith("pipe-") for offer in offered)


def test_a_daemon_that_ends_cuts_streams_off(world, tmp_path):
    with gateway(tmp_path / "carol", nickname="carol") as carol:
        with running(carol, "nc", "-l", "talk") as listening:
            says(listening, b"waiting for a caller")
            with running(carol, "nc", "carol", "talk") as calling:
                calling.stdin.write(b"hello")
                calling.stdin.flush()
                assert listening.stdout.read(5) == b"hello"
                carol.run("down")
                for process in (calling, listening):
                    process.communicate(timeout=20)
                    assert process.returncode == 1
        assert "none runs on" in carol.run("nc", "carol", "talk", check=False).stderr


def test_nc_speaks_to_a_service_by_name_and_by_port(world):
    request = b"GET /style.css HTTP/1.0\r\nHost: web.alice.overlay\r\n\r\n"
    for words in (("alice", "web"), ("web.alice",), ("alice", "80")):
        with running(world.bob, "nc", *words) as nc:
            out, _ = nc.communicate(request, timeout=20)
            assert nc.returncode == 0
            assert b" 200 OK" in out


def test_nc_tells_why_not(world):
    for words, code, why in (
        (("alice", "nothing"), 1, "nothing is exposed there"),
        (("nobody", "web"), 1, "nobody is known as nobody"),
        (("alice",), 2, "which service of alice"),
        (("-F", "alice", "web"), 2, "standard output is none"),
    ):
        done = world.bob.run("nc", *words, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert why in done.stderr


def test_nc_listens_for_one_caller_who_may(world):
    with running(world.alice, "nc", "-N", "-l", "talk", "--allow", "bob") as listening:
        says(listening, b"waiting for a caller")
        with running(world.bob, "nc", "-N", "alice", "talk") as calling:
            calling.stdin.write(b"question")
            calling.stdin.close()
            assert listening.stdout.read() == b"question"
            listening.stdin.write(b"answer")
            listening.stdin.close()
            assert calling.stdout.read() == b"answer"
            assert (calling.wait(10), listening.wait(10)) == (0, 0)


def test_a_service_of_a_program_is_for_whom_it_allows(world):
    with running(world.alice, "nc", "-l", "private") as listening:
        says(listening, b"nobody may use private yet")
        refused = world.bob.run("nc", "-d", "alice", "private", check=False)
        assert refused.returncode == 1
        assert "does not let you use it" in refused.stderr


def test_nc_sends_datagrams(world, udp_echo_server):
    world.alice.run("expose", "echo", f"127.0.0.1:{udp_echo_server}", "--udp", "--allow", "bob")
    with running(world.bob, "nc", "-u", "-w", "1", "alice", "echo") as nc:
        out, _ = nc.communicate(b"abc", timeout=20)
        assert (nc.returncode, out) == (0, b"cba")
    world.alice.run("unexpose", "echo")


def test_ports_are_forwarded_several_at_once_and_closed_with_the_command(world, udp_echo_server):
    with running(world.bob, "forward", "0:web.alice", "0:alice:80") as forward:
        ports = [int(forward.stdout.readline().split()[0].rpartition(b":")[2]) for _ in range(2)]
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), 5) as web:
                web.sendall(b"GET / HTTP/1.0\r\nHost: web.alice.overlay\r\n\r\n")
                assert b"".join(iter(lambda: web.recv(65536), b"")).startswith(b"HTTP/1.")
        taken = world.bob.run("forward", f"{ports[0]}:web.alice", check=False)
        assert taken.returncode == 2
        assert "another program listens there" in taken.stderr
        forward.send_signal(2)
        assert forward.wait(10) == 130

    def is_closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports[0])) != 0

    wait_until(is_closed, what="the port closes")


def test_a_forwarded_port_tells_what_it_cannot_open_and_carries_udp(world, udp_echo_server):
    refused = world.bob.run("forward", "0:web.nobody", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no contact is called nobody" in refused.stderr
    with running(world.bob, "forward", "0:nothing.alice") as forward:
        port = int(forward.stdout.readline().split()[0].rpartition(b":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), 5) as visitor,
            contextlib.suppress(ConnectionResetError),
        ):
            assert visitor.recv(10) == b""
        assert says(forward, b"nothing is exposed there")
    world.alice.run("expose", "echo", f"127.0.0.1:{udp_echo_server}", "--udp", "--allow", "bob")
    with running(world.bob, "forward", "-u", "0:echo.alice") as forward:
        port = int(forward.stdout.readline().split()[0].rpartition(b":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(b"abc", ("127.0.0.1", port))
            assert sock.recv(10) == b"cba"
    world.alice.run("unexpose", "echo")


def test_open_prints_an_address_that_works_here(world):
    url = world.bob.run("open", "--print", "alice").stdout.strip()
    curl = subprocess.run(["curl", "-sS", url], capture_output=True, text=True, timeout=20, check=True)
    assert "Hello from alice" in curl.stdout
    refused = world.bob.run("open", "--print", "alice", "nothing", check=False)
    assert refused.returncode == 1
