"""OpenSSH through the tunnel: a real server behind alice, a real client at bob, two ways in."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("ssh", "sshd", "nc")


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory) -> Iterator[tuple[int, Path]]:
    """An sshd of our own on loopback; its port and the client's key."""
    place = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (place / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
    )
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    process = subprocess.Popen([sshd, "-D", "-e", "-f", str(place / "config")], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, what="sshd listens")
        yield port, place / "user"
    finally:
        process.terminate()
        process.wait(10)


def ssh(key: Path, *arguments: str) -> str:
    user = pwd.getpwuid(os.geteuid()).pw_name
    done = subprocess.run(
        [
            "ssh", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
            "-l", user, *arguments,
        ],
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exposed_ssh(world, ssh_server) -> Iterator[Path]:
    port, key = ssh_server
    world.alice.run("expose", "ssh", f"127.0.0.1:{port}", "--allow", "bob")
    yield key
    world.alice.run("unexpose", "ssh")


def test_ssh_logs_in_through_a_proxy_command(world, exposed_ssh):
    command = f"ProxyCommand=nc -X 5 -x {world.bob.listens('proxy')} %h %p"
    assert ssh(exposed_ssh, "-o", command, "ssh.alice.overlay", "echo $((6 * 7))") == "42\n"


def test_ssh_logs_in_through_the_loopback_address(world, exposed_ssh):
    resolved = world.bob.resolved("ssh.alice")
    (offer,) = resolved["offers"]
    text = "x" * 500_000
    output = ssh(exposed_ssh, "-p", str(offer["offered"]), resolved["ip"], "printf 'x%.0s' $(seq 500000)")
    assert output == text
