from __future__ import annotations

import fcntl
import os
import pwd
import stat
import sys

import pytest

from gateway.cli import dns
from gateway.cli.app import Session
from gateway.system_dns import asking, installing, journal, managers
from gateway.system_dns.machine import RealMachine
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import facts

DNSMASQ = "/usr/sbin/dnsmasq -7 /etc/dnsmasq.d"
FILE = "/etc/dnsmasq.d/overlay.conf"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with dnsmasq, on which names are found; commands run as its root."""
    made = FakeMachine()
    made.directories.add("/etc/dnsmasq.d")
    seen = {"facts": facts(DNSMASQ)}
    made.seen = seen
    monkeypatch.setattr("gateway.system_dns.machine.RealMachine", lambda: made)
    monkeypatch.setattr("gateway.system_dns.facts.gather", lambda machine: seen["facts"])
    monkeypatch.setattr("gateway.system_dns.status.gather", lambda machine: seen["facts"])
    monkeypatch.setattr(journal, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(asking, "gateway_at", lambda server: "alice")
    monkeypatch.setattr(asking, "look_up", lambda name, *_: ("127.0.0.1",))
    monkeypatch.setattr(asking, "_texts", lambda *_: ("id=alice",))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    return made


def not_root(machine, monkeypatch) -> None:
    machine.seen["facts"] = facts(DNSMASQ, is_root=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_the_plan_is_shown_done_and_verified(alone, machine):
    done = alone("dns", "install")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert f"write {FILE}" in lines[1]
    assert "    server=/overlay/127.0.0.1#5399" in lines
    assert any(line.startswith("undo  sudo ") and line.endswith("dns remove") for line in lines)
    assert lines[-1] == "Done, and verified: programs here find names under .overlay."
    assert FILE in machine.files
    assert alone("dns", "install").out.splitlines()[-1].startswith("It was so already")
    assert alone("dns", "status").code == 0
    assert alone("dns", "remove").out == f"Removed {FILE}.\nNothing of ours is left.\n"
    assert alone("dns", "remove").out == "Nothing was installed.\n"


async def test_the_server_of_a_running_gateway_is_where_it_listens(overlay, machine):
    done = await overlay("dns", "install", "--dry-run", "--json")
    assert (done.json["state"], done.json["plan"]["server"]) == ("planned", "127.0.0.1:5399")


def test_nothing_is_changed_by_a_dry_run(alone, machine):
    before = machine.files
    done = alone("dns", "install", "--dry-run")
    assert (done.code, machine.files) == (0, before)
    assert "Done" not in done.out


def test_who_is_not_root_gets_the_command_for_root(alone, machine, monkeypatch):
    not_root(machine, monkeypatch)
    done = alone("dns", "install", "--manager", "dnsmasq")
    assert done.code == 6
    assert (
        f"sudo {os.path.abspath(sys.argv[0])} --home {alone.home.path} dns install --manager dnsmasq"
        in done.err
    )
    assert f"write {FILE}" in done.out
    assert machine.files == {}
    assert alone("dns", "remove").code == 0  # there is nothing to be root for


def test_only_root_takes_it_back(alone, machine, monkeypatch):
    alone("dns", "install")
    not_root(machine, monkeypatch)
    done = alone("dns", "remove", "--json")
    assert done.code == 6
    assert "dns remove" in done.err
    assert FILE in machine.files


def test_without_a_gateway_nothing_is_done_that_could_not_be_verified(alone, machine, monkeypatch):
    monkeypatch.setattr(asking, "gateway_at", lambda server: None)
    done = alone("dns", "install")
    assert done.code == 5
    assert "overlay up" in done.err
    assert machine.files == {}


def test_what_does_not_work_is_rolled_back(alone, machine, monkeypatch):
    monkeypatch.setattr("gateway.system_dns.limits.SYSTEM_VERIFY_SECONDS", 0)
    monkeypatch.setattr(asking, "verify", lambda *_, **__: "it finds no names under .overlay")
    done = alone("dns", "install", "--json")
    assert done.code == 1
    assert "everything is as it was before" in done.err
    assert machine.files == {}


@pytest.mark.parametrize(
    ("text", "why"), [("[dns]\nport = 0\n", "set [dns] port"), ("[dns]\nenabled = false\n", "is off")]
)
def test_a_server_that_nobody_could_be_told_of(alone, machine, text, why):
    alone.home.config_file.write_text(text)
    done = alone("dns", "install")
    assert done.code == 2
    assert why in done.err
    assert alone("dns", "status").code == 1  # the rest is told


@pytest.mark.parametrize("manager", ["windows", "macos"])
def test_what_is_for_another_system_is_only_shown(alone, machine, manager):
    done = alone("dns", "install", "--manager", manager)
    assert done.code == 0
    assert "not done from here" in done.out
    assert machine.ran == []
    assert alone("dns", "install", "--manager", manager, "--json").code == 2
    assert (
        alone("dns", "install", "--manager", manager, "--json", "--dry-run").json["plan"]["manager"]
        == manager
    )


def test_the_status_is_told(alone, machine):
    alone("dns", "install")
    done = alone("dns", "status")
    assert "dnsmasq asks 127.0.0.1:5399" in done.out
    assert "we never change it" in done.out
    assert alone("dns", "status", "--json").json["verified"] is True
    machine.unlink(FILE)
    done = alone("dns", "status")
    assert "gone or changed" in done.out
    assert "→ sudo overlay" in done.out


def test_whose_place_is_taken_is_told(alone, machine):
    alone("dns", "install")
    alone.home.config_file.write_text("[dns]\nport = 5400\n")
    done = alone("dns", "install")
    assert "takes the place of 127.0.0.1:5399, of which dnsmasq was told" in done.out
    assert b"127.0.0.1#5400" in machine.files[FILE]


def test_only_one_is_at_work(alone, machine, tmp_path):
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        done = alone("dns", "install")
    finally:
        os.close(descriptor)
    assert (done.code, machine.files) == (1, {})
    assert "at work" in done.err


def test_nobody_else_can_hold_the_lock(alone, machine, tmp_path):
    assert alone("dns", "install").code == 0
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    done = alone("dns", "remove")
    assert "cannot be opened" in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_sudo_means_the_home_of_who_called_it(monkeypatch, tmp_path):
    monkeypatch.delenv("OVERLAY_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1234")
    user = pwd.struct_passwd(("carol", "x", 1234, 1234, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: user)
    assert dns._home(Session()).path == tmp_path / ".local" / "state" / "overlay"
    named = Session()
    named.directory = "/elsewhere"
    assert str(dns._home(named).path) == "/elsewhere"


def test_the_places_of_all_are_searched_without_a_note(alone, machine, monkeypatch):
    alone("dns", "install")
    del machine.names[journal.JOURNAL]
    assert FILE in {place for each in managers.MANAGERS for place in each.places()}
    done = alone("dns", "remove")
    assert f"Removed {FILE}." in done.out
    assert "restart your resolver" in done.err


def test_the_real_machine_is_asked_for_nothing_else():
    assert installing.remove(RealMachine("/nonexistent")) == ((), ())
