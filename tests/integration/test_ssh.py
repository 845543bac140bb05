"""OpenSSH through the tunnel: a real server behind alice, a real client at bob, all ways in."""

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

pytestmark = pytest.mark.needs("ssh", "sshd", "nc", "git")


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


def test_a_user_that_ssh_would_take_for_an_option_is_refused(world, exposed_ssh, tmp_path):
    user = f"-oKnownHostsCommand=/usr/bin/touch {tmp_path}/seen"
    for name in (f"{user}@alice", user):
        done = world.bob.run(
            "ssh", "--", name, "ssh.alice.overlay", "-o", "BatchMode=yes", "true", check=False
        )
        assert done.returncode == 2, done.stderr
        assert list(tmp_path.iterdir()) == []


def test_ssh_logs_in_through_the_loopback_address(world, exposed_ssh):
    resolved = world.bob.resolved("ssh.alice")
    (offer,) = resolved["offers"]
    text = "x" * 500_000
    output = ssh(exposed_ssh, "-p", str(offer["offered"]), resolved["ip"], "printf 'x%.0s' $(seq 500000)")
    assert output == text


QUIET = (
    "-o",
    "HashKnownHosts=no",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "BatchMode=yes",
    "-o",
    "IdentitiesOnly=yes",
    "-o",
    "HashKnownHosts=no",
)


def test_overlay_ssh_passes_arguments_on_and_remembers_the_key_for_the_endpoint(world, exposed_ssh, tmp_path):
    user = pwd.getpwuid(os.geteuid()).pw_name
    known = tmp_path / "known_hosts"
    options = (*QUIET, "-i", str(exposed_ssh), "-o", f"UserKnownHostsFile={known}", "-o", "HashKnownHosts=no")
    done = world.bob.run("ssh", f"{user}@alice", *options, "echo $((6 * 7)); cat; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "42\n")
    assert known.read_text().startswith(f"{world.alice.id}.overlay ")
    assert world.bob.run("ssh", "nobody", check=False).returncode == 1


def test_git_clones_by_the_printed_configuration(world, exposed_ssh, tmp_path):
    user = pwd.getpwuid(os.geteuid()).pw_name
    repository, config = tmp_path / "project", tmp_path / "config"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "file").write_text("versioned " * 10_000)
    identity = ("-c", "user.name=alice", "-c", "user.email=alice@example.org")
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    subprocess.run(["git", "-C", str(repository), *identity, "commit", "-qm", "first"], check=True)
    config.write_text(
        world.bob.run("ssh-config").stdout
        + f"    User {user}\n    IdentityFile {exposed_ssh}\n    StrictHostKeyChecking no\n"
        + f"    UserKnownHostsFile {tmp_path}/known_hosts\n    BatchMode yes\n    LogLevel ERROR\n"
    )
    subprocess.run(
        ["git", "clone", "-q", f"ssh://ssh.alice.overlay{repository}", str(tmp_path / "clone")],
        env=os.environ | {"GIT_SSH_COMMAND": f"ssh -F {config}"}, check=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "clone" / "file").read_text() == (repository / "file").read_text()
