"""Real resolvers are told of `.overlay` by `overlay dns install`; then every program opens the page by name, and nothing else changes."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from tests.lab.gateways import OVERLAY
from tests.lab.system_dns import (
    OUTSIDE,
    OUTSIDE_ADDRESS,
    RESOLVERS,
    UPSTREAM,
    with_dnsmasq,
    with_resolved,
    with_unbound,
)
from tests.lab.system_worlds import system_world

pytestmark = pytest.mark.needs("root", "ip", "dnsmasq", "dig", "curl", "resolvers")

UNSIGNED = 'server:\n    trust-anchor: ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"\n'
"""The root's key: unbound asks the server outside for the root's signatures, and gets none."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with system_world(tmp_path_factory.mktemp("system")) as world:
        yield world


@pytest.fixture(scope="class", params=RESOLVERS)
def told(request, world):
    with world.told(request.param):
        yield request.param


@pytest.fixture
def machine(world):
    """Without any resolver of its own, and nothing of ours in it afterwards."""
    yield world.machine
    world.dns("remove", check=False)
    for unit in ("systemd-resolved", "unbound", "dnsmasq"):
        world.machine.run("systemctl", "stop", unit, check=False)
    world.machine.run("rm", "-rf", "/etc/resolv.conf", "/etc/systemd/resolved.conf")


def status_of(world, *question):
    return world.machine.run("dig", *question).stdout.split("status: ")[1].split(",")[0]


class TestOnceTold:
    def test_programs_open_the_page_by_its_name(self, world, told):
        address = world.machine.getent("web.alice.overlay")
        assert address.startswith("127.")
        assert world.machine.dig("web.alice.overlay") == address
        assert world.machine.dig("web.alice.overlay", "+tcp") == address
        asked = "import socket; print(socket.getaddrinfo('web.alice.overlay', 80, type=socket.SOCK_STREAM)[0][4][0])"
        assert world.machine.run(sys.executable, "-c", asked).stdout.strip() == address
        assert world.opens()

    def test_other_names_are_found_as_before_and_nobody_else_is_asked_about_ours(self, world, told):
        assert world.machine.getent(OUTSIDE) == OUTSIDE_ADDRESS
        assert world.machine.dig("ipv4only.arpa") == "192.0.0.170"
        assert status_of(world, "nobody-of-that-name.overlay") == "NXDOMAIN"
        assert world.machine.dig("web.alice.overlay", "AAAA") == ""
        assert status_of(world, "web.alice.overlay", "AAAA") == "NOERROR"
        assert world.machine.dig("_http._tcp.web.alice.overlay", "SRV").endswith("web.alice.overlay.")

    def test_names_survive_a_restart_of_the_resolver(self, world, told):
        world.machine.systemctl("restart", "NetworkManager" if told == "network-manager" else told)
        world.machine.wait_until(world.opens, "the page opens again")

    def test_the_status_says_so(self, world, told):
        report = json.loads(world.dns("status", "--json").stdout)
        assert (report["state"], report["manager"], report["verified"]) == ("installed", told, True)
        assert report["server"] == world.bob.listens("dns")
        assert report["resolvers"][0]["manager"] == told
        assert all(world.machine.exists(path) for path in report["files"])
        assert any(each["address"].endswith(":53") and each["program"] for each in report["listeners"])

    def test_again_it_changes_nothing(self, world, told):
        before = world.machine.run(
            "sh", "-c", "find /etc -newer /run/lab -type f; stat -c %Y /run/lab/*.pid"
        ).stdout
        assert json.loads(world.dns("install", "--json").stdout)["state"] == "unchanged"
        assert (
            world.machine.run(
                "sh", "-c", "find /etc -newer /run/lab -type f; stat -c %Y /run/lab/*.pid"
            ).stdout
            == before
        )


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_afterwards_everything_is_as_it_was(world, machine, resolver):
    def tree():
        return machine.run("sh", "-c", "find /etc /var/lib -xdev | sort; cat /etc/resolv.conf").stdout

    unit = RESOLVERS[resolver](machine)
    machine.wait_until(lambda: machine.getent(OUTSIDE) == OUTSIDE_ADDRESS, "names outside are found")
    before = tree()
    world.dns("install")
    assert "overlay" in tree()
    assert machine.getent("dns.overlay") == "127.0.0.1"
    world.dns("remove")
    assert tree() == before
    machine.wait_until(lambda: machine.getent(OUTSIDE) == OUTSIDE_ADDRESS, "names outside are found")
    assert machine.getent("dns.overlay") == ""
    assert world.dns("remove").stdout == "Nothing was installed.\n"
    machine.systemctl("stop", unit)


def test_killed_on_the_way_it_is_taken_back_or_completed(world, machine):
    RESOLVERS["dnsmasq"](machine)
    machine.write("/usr/local/sbin/systemctl", "#!/bin/sh\nkill -9 $PPID\n", mode=0o755)
    try:
        assert world.dns("install", check=False).returncode < 0
        assert json.loads(world.dns("status", "--json", check=False).stdout)["state"] == "incomplete"
    finally:
        machine.run("rm", "/usr/local/sbin/systemctl")
    world.dns("install")
    assert world.opens()
    world.dns("remove")
    assert not machine.exists("/etc/dnsmasq.d/overlay.conf")
    assert not machine.exists("/var/lib/overlay-dns")


def test_with_nobody_to_tell_it_says_what_else_works(world, machine):
    machine.write("/etc/resolv.conf", f"nameserver {UPSTREAM}\n")
    done = world.dns("install", check=False)
    assert done.returncode == 1
    assert "resolv.conf we do not touch" in done.stderr
    assert "overlay status" in done.stderr


def test_a_resolver_that_would_not_ask_us_is_refused_with_the_reason(world, machine):
    with_resolved(machine, f"DNS={UPSTREAM}\n")
    done = world.dns("install", check=False)
    assert done.returncode == 1
    assert "names servers for everything" in done.stderr


def test_what_does_not_work_is_rolled_back_and_the_reason_told(world, machine):
    RESOLVERS["dnsmasq"](machine)
    machine.write(
        "/etc/dnsmasq.d/policy.conf", "server=/gateway.overlay/\n"
    )  # a policy of the administrator's
    done = world.dns("install", check=False)
    assert done.returncode == 1
    assert "finds no names under .overlay; everything is as it was before" in done.stderr
    machine.run("rm", "/etc/dnsmasq.d/policy.conf")
    assert not machine.exists("/etc/dnsmasq.d/overlay.conf")
    machine.wait_until(lambda: machine.getent(OUTSIDE) == OUTSIDE_ADDRESS, "names outside are found")


def test_a_resolver_that_validates_takes_our_names_for_what_they_are(world, machine):
    with_unbound(machine, UNSIGNED, check=False)
    port = world.bob.port("dns")
    machine.write(
        "/etc/unbound/unbound.conf.d/without.conf",
        f'server:\n  do-not-query-localhost: no\n  private-domain: "overlay"\nstub-zone:\n  name: "overlay"\n  stub-addr: 127.0.0.1@{port}\n',
    )
    machine.systemctl("restart", "unbound")
    machine.wait_until(
        lambda: "status: SERVFAIL" in machine.run("dig", "dns.overlay", check=False).stdout, "it validates"
    )
    machine.run("rm", "/etc/unbound/unbound.conf.d/without.conf")
    world.dns("install")
    assert world.opens()


def test_dnsmasq_that_validates_takes_them_too(world, machine):
    anchor = "--trust-anchor=.,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
    with_dnsmasq(machine, "--dnssec", "--dnssec-check-unsigned", anchor, check=False)
    machine.wait_until(
        lambda: "status: SERVFAIL" in machine.run("dig", OUTSIDE, check=False).stdout, "it validates"
    )
    world.dns("install")
    assert world.opens()


@pytest.mark.parametrize("mode", ["yes", "allow-downgrade"])
def test_systemd_resolved_that_validates_takes_them_too(world, machine, mode):
    with_resolved(machine, f"DNSSEC={mode}\n")
    world.dns("install")
    assert world.opens()
    machine.run("rm", "/etc/dnssec-trust-anchors.d/overlay.negative")
    machine.systemctl("restart", "systemd-resolved")
    machine.wait_until(
        lambda: "status: SERVFAIL" in machine.run("dig", "dns.overlay", check=False).stdout, "it validates"
    )


def test_sudo_means_the_home_of_who_called_it_and_leaves_no_file_of_roots_there(world, machine, tmp_path):
    RESOLVERS["dnsmasq"](machine)
    machine.append("/etc/passwd", f"carol:x:1234:1234::{tmp_path}:/bin/sh\n")
    home = tmp_path / ".local" / "state" / "overlay"
    home.mkdir(parents=True)
    (home / "gateway.toml").write_text(f"[dns]\nport = {world.bob.port('dns')}\n")
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 1234, 1234)
    environment = ["env", "-i", f"PATH={os.environ['PATH']}", "SUDO_UID=1234", "HOME=/root"]
    for words in (["install", "--json"], ["status"], ["remove"]):
        done = machine.run(*environment, OVERLAY, "dns", *words)
        if words[0] == "install":
            assert str(home) in done.stdout
    assert {path.stat().st_uid for path in (tmp_path, *tmp_path.rglob("*"))} == {1234}


def test_while_the_gateway_is_away_other_names_are_found_at_once(world, machine):
    RESOLVERS["systemd-resolved"](machine)
    world.dns("install")
    world.bob.stop()
    try:
        begun = time.monotonic()
        assert machine.getent(OUTSIDE) == OUTSIDE_ADDRESS
        assert time.monotonic() - begun < 4  # what glibc waits before it asks again is 5 s
        done = world.dns("status", "--json", check=False)
        assert "is the gateway running?" in json.loads(done.stdout)["problem"]
        assert world.dns("install", check=False).returncode in (2, 5)
    finally:
        world.bob.start()
