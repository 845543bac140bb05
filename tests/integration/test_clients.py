"""Programs that people use with a proxy: requests, git and apt by HTTP; PySocks and npm's socks for UDP by SOCKS5."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from pathlib import Path

import pytest
import requests
import socks

from tests.lab.gateways import clean_environment
from tests.lab.git_server import git_server
from tests.lab.npm import installed

CLIENT = Path(__file__).parents[1] / "lab" / "socks_udp.mjs"


@pytest.fixture
def echo(world, udp_echo_server):
    world.alice.run(
        "expose", "echo", f"127.0.0.1:{udp_echo_server}", "--udp", "--port", "9001", "--allow", "bob"
    )
    yield "echo.alice.overlay", 9001
    world.alice.run("unexpose", "echo")


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=40, check=False, env=clean_environment() | environment
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_udp_by_pysocks_goes_there_and_back(world, echo):
    host, port = world.bob.listens("proxy").split(":")
    with socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.set_proxy(socks.SOCKS5, host, int(port), rdns=True)
        client.settimeout(3)
        for _ in range(5):
            client.sendto(b"by python", echo)
            try:
                assert client.recvfrom(2000)[0] == b"nohtyp yb"
            except TimeoutError:
                continue
            return
    raise AssertionError("no answer")


@pytest.mark.needs("node", "npm")
def test_udp_by_npms_socks_goes_there_and_back(world, echo):
    host, port = world.bob.listens("proxy").split(":")
    place = installed("socks@2.8.7")
    said = run("node", str(CLIENT), host, port, echo[0], str(echo[1]), "by node", cwd=place)
    assert said.strip() == "edon yb"


def test_requests_keeps_one_connection_and_streams_both_ways(world):
    proxy = f"http://{world.bob.listens('proxy')}"
    data = os.urandom(3_000_000)
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy, "https": proxy}
        for _ in range(3):
            assert "Hello from alice" in session.get(world.url(), timeout=20).text
        parts = (data[at : at + 100_000] for at in range(0, len(data), 100_000))
        answer = session.put(world.url("/hash"), data=parts, timeout=20)
        assert hashlib.sha256(data).hexdigest() in answer.text
        unknown = session.get("http://nobody.overlay/", timeout=20)
        assert unknown.status_code == 404


@pytest.mark.needs("git")
def test_git_clones_and_pushes(world, tmp_path):
    repositories = tmp_path / "repositories"
    repositories.mkdir()
    run("git", "init", "-q", "--bare", "-b", "main", "poems.git", cwd=repositories)
    run("git", "config", "http.receivepack", "true", cwd=repositories / "poems.git")
    by_proxy = {
        "http_proxy": f"http://{world.bob.listens('proxy')}",
        "HOME": str(tmp_path),
        "GIT_AUTHOR_NAME": "bob",
        "GIT_AUTHOR_EMAIL": "bob@example.invalid",
        "GIT_COMMITTER_NAME": "bob",
        "GIT_COMMITTER_EMAIL": "bob@example.invalid",
    }
    with git_server(repositories) as port:
        world.alice.run("expose", "git", f"127.0.0.1:{port}", "--allow", "bob")
        url = "http://git.alice.overlay/poems.git"
        run("git", "clone", "-q", url, "first", cwd=tmp_path, **by_proxy)
        first = tmp_path / "first"
        (first / "poem").write_bytes(os.urandom(3_000_000))
        run("git", "add", "poem", cwd=first, **by_proxy)
        run("git", "commit", "-q", "-m", "a poem", cwd=first, **by_proxy)
        run("git", "push", "-q", "origin", "HEAD:main", cwd=first, **by_proxy)
        run("git", "clone", "-q", url, "second", cwd=tmp_path, **by_proxy)
        assert (tmp_path / "second" / "poem").read_bytes() == (first / "poem").read_bytes()
        world.alice.run("unexpose", "git")


@pytest.mark.needs("apt-get")
def test_apt_updates_and_downloads(world, tmp_path, request):
    files = world.alice.home.parent / "files"
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    control = "Package: poem\nVersion: 1.0\nArchitecture: all\nMaintainer: alice <a@example.invalid>\nDescription: a poem\n"
    (package / "DEBIAN" / "control").write_text(control)
    run("dpkg-deb", "--root-owner-group", "-b", str(package), str(files / "poem.deb"), cwd=tmp_path)
    deb = (files / "poem.deb").read_bytes()
    about = f"Filename: ./poem.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
    (files / "Packages").write_text(control + about)
    state = tmp_path / "state"
    for each in ("lists/partial", "archives/partial"):
        (state / each).mkdir(parents=True)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {world.url('/files')} ./\n")
    (tmp_path / "status").write_text("")
    options = [
        f"Acquire::http::Proxy=http://{world.bob.listens('proxy')}",
        f"Dir::Etc::SourceList={tmp_path}/sources.list",
        "Dir::Etc::SourceParts=-",
        f"Dir::State::Lists={state}/lists",
        f"Dir::State::status={tmp_path}/status",
        f"Dir::Cache={state}",
        "APT::Sandbox::User=",
    ]
    flags = [part for option in options for part in ("-o", option)]
    run("apt-get", *flags, "update", cwd=tmp_path)
    run("apt-get", *flags, "download", "poem", cwd=tmp_path)
    (found,) = tmp_path.glob("poem*.deb")
    assert found.read_bytes() == deb
